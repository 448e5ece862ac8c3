//! `tar`, which is what `kubectl cp` needs: create and extract, without compression (POSIX.1-1988 ustar; longer names of others
//! are read).

use std::io;

use bytes::{Buf, Bytes, BytesMut};

use super::commands::complain;
use super::files::{Entry, FileError, absolute};
use super::shell::{Shell, Stdio};

const BLOCK: usize = 512;
/// Bytes of a name, and of what may stand before it.
const NAME: usize = 100;
const PREFIX: usize = 155;
/// Bytes of one member that is read: more than a container can keep.
const MEMBER: usize = 4 << 20;

pub(super) async fn run(shell: &Shell, arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let Some((mode, mut rest)) = arguments.split_first() else { return refuse(io, "it must be told what to do").await };
    let mode = mode.trim_start_matches('-');
    let mut directory = shell.directory.clone();
    let mut names = Vec::new();
    if mode.contains('f') {
        match rest.split_first() {
            Some((file, behind)) if file == "-" => rest = behind,
            _ => return refuse(io, "only `-`, stdin and stdout, is simulated").await,
        }
    }
    while let Some((word, behind)) = rest.split_first() {
        rest = behind;
        match (word.as_str(), behind.split_first()) {
            ("-C", Some((to, behind))) => {
                directory = absolute(&directory, to);
                rest = behind;
            }
            (word, _) if word.starts_with('-') => {}
            (word, _) => names.push(word.to_owned()),
        }
    }
    if mode.contains(['z', 'j', 'J']) {
        return refuse(io, "compression is not simulated").await;
    }
    match (mode.contains('c'), mode.contains('x')) {
        (true, false) => create(shell, &directory, &names, io).await,
        (false, true) => extract(shell, &directory, io).await,
        _ => refuse(io, "only c and x are simulated").await,
    }
}

async fn refuse(io: &Stdio, why: &str) -> io::Result<u8> {
    io.stderr.write(format!("tar: {why}\n")).await?;
    Ok(2)
}

async fn create(shell: &Shell, directory: &str, names: &[String], io: &Stdio) -> io::Result<u8> {
    let mut code = 0;
    for name in names {
        let path = absolute(directory, name);
        let members = shell.container.files.walk(&path);
        if members.is_empty() {
            code = complain(io, "tar", name, FileError::Missing).await?;
        }
        // Members are called as they were asked for, but never from the root.
        let shown = name.trim_start_matches('/').trim_end_matches('/');
        for (member, entry) in members {
            let called = format!("{shown}{}", &member[path.trim_end_matches('/').len()..]);
            io.stdout.write(head(called.trim_start_matches('/'), &entry)).await?;
            if let Some(content) = entry.content {
                io.stdout.write(&content).await?;
                io.stdout.write(vec![0; content.len().next_multiple_of(BLOCK) - content.len()]).await?;
            }
        }
    }
    io.stdout.write([0; 2 * BLOCK]).await?;
    Ok(code)
}

/// What comes before a member's content.
fn head(name: &str, entry: &Entry) -> Vec<u8> {
    let mut slashes = name.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at);
    let length = entry.content.as_ref().map_or(0, Bytes::len);
    let kind = if entry.content.is_some() { b'0' } else { b'5' };
    if name.len() <= NAME {
        return block("", name, entry.mode, length, kind);
    }
    if let Some(at) = slashes.find(|at| name.len() - at - 1 <= NAME).filter(|at| *at <= PREFIX) {
        return block(&name[..at], &name[at + 1..], entry.mode, length, kind);
    }
    // As GNU does: the name is the content of a member of its own.
    let mut head = block("", "././@LongLink", 0, name.len() + 1, b'L');
    head.extend_from_slice(name.as_bytes());
    head.resize(BLOCK + (name.len() + 1).next_multiple_of(BLOCK), 0);
    let end = name.char_indices().map(|(at, _)| at).take_while(|at| *at <= NAME).last().unwrap_or(0);
    head.extend(block("", &name[..end], entry.mode, length, kind));
    head
}

fn block(prefix: &str, name: &str, mode: u32, length: usize, kind: u8) -> Vec<u8> {
    let mut block = vec![0; BLOCK];
    let mut put = |at: usize, text: &[u8]| block[at..at + text.len()].copy_from_slice(text);
    put(0, name.as_bytes());
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{length:011o}").as_bytes());
    put(136, b"00000000000");
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    put(265, b"root");
    put(297, b"root");
    put(345, prefix.as_bytes());
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

async fn extract(shell: &Shell, directory: &str, io: &Stdio) -> io::Result<u8> {
    let mut archive = Archive { io, pending: BytesMut::new() };
    let mut long_name = None;
    while let Some(block) = archive.take(BLOCK).await? {
        if block.iter().all(|byte| *byte == 0) {
            break;
        }
        let Some(member) = Member::read(&block) else {
            return refuse(io, "this does not look like a tar archive").await;
        };
        if member.length > MEMBER {
            return complain(io, "tar", &member.name, FileError::Full).await;
        }
        let Some(mut content) = archive.take(member.length.next_multiple_of(BLOCK)).await? else {
            return refuse(io, "short read").await;
        };
        content.truncate(member.length);
        match member.kind {
            // The name of the next member, as GNU and as POSIX.1-2001 write those that are long.
            b'L' => {
                long_name = Some(text(&content));
                continue;
            }
            b'x' => {
                long_name = pax_path(&content).or(long_name);
                continue;
            }
            _ => {}
        }
        let name = long_name.take().unwrap_or(member.name);
        let path = absolute(directory, name.trim_start_matches('/'));
        let files = &shell.container.files;
        let done = match member.kind {
            b'0' | 0 => files.write(&path, content, member.mode, true),
            b'5' => files.make(&path, true),
            // Links and devices are left out.
            _ => Ok(()),
        };
        if let Err(error) = done {
            return complain(io, "tar", &name, error).await;
        }
    }
    // What fills up the last record.
    while io.stdin.next().await.is_some() {}
    Ok(0)
}

struct Archive<'a> {
    io: &'a Stdio,
    pending: BytesMut,
}

impl Archive<'_> {
    /// So many bytes; `None` where the archive ends before.
    async fn take(&mut self, length: usize) -> io::Result<Option<Bytes>> {
        while self.pending.len() < length {
            match self.io.stdin.next().await {
                Some(piece) => self.pending.extend_from_slice(&piece),
                None => return Ok(None),
            }
        }
        Ok(Some(self.pending.split_to(length).freeze()))
    }
}

struct Member {
    name: String,
    mode: u32,
    length: usize,
    kind: u8,
}

impl Member {
    fn read(block: &[u8]) -> Option<Self> {
        let octal = |range: std::ops::Range<usize>| {
            let text = text(&block[range]);
            usize::from_str_radix(text.trim(), 8).ok()
        };
        let before = &block[..148];
        let sum: usize = before.iter().chain(&block[156..]).map(|byte| usize::from(*byte)).sum();
        if octal(148..156)? != sum + 8 * usize::from(b' ') {
            return None;
        }
        let (name, prefix) = (text(&block[..100]), text(&block[345..500]));
        let name = if prefix.is_empty() || &block[257..262] != b"ustar" { name } else { format!("{prefix}/{name}") };
        Some(Self { name, mode: octal(100..108)? as u32 & 0o777, length: octal(124..136)?, kind: block[156] })
    }
}

/// What stands before the first zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// `path` in a header of POSIX.1-2001: lines of a length, a blank, and `key=value`.
fn pax_path(mut content: &[u8]) -> Option<String> {
    while let Some(blank) = content.iter().position(|byte| *byte == b' ') {
        let length: usize = std::str::from_utf8(&content[..blank]).ok()?.parse().ok()?;
        let record = content.get(blank + 1..length)?;
        if let Some(path) = record.strip_prefix(b"path=") {
            return Some(text(path).trim_end_matches('\n').to_owned());
        }
        content.advance(length);
    }
    None
}
