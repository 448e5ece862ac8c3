//! The commands that there are. Each does what its namesake does in the simplest case.

use std::io;
use std::time::Duration;

use api::time;

use super::files::{Entry, FileError, absolute};
use super::shell::{Shell, Stdio};
use super::tar;
use super::terminal::Sink;

/// All of them.
const NAMES: &str = "[ cat cd date echo env exit export false head hostname id ls mkdir printenv pwd rm sh sleep tar test \
                     touch true uname wc whoami";

/// Whether a command is a shell, by whatever name.
pub(super) fn is_shell(words: &[String]) -> bool {
    words.first().is_some_and(|name| matches!(base(name), "sh" | "bash" | "ash" | "dash"))
}

/// `/bin/ls` is `ls`.
fn base(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}

/// Runs a command; its code. The error is that the client is gone.
pub(super) async fn run(shell: &mut Shell, words: &[String], io: &Stdio) -> io::Result<u8> {
    let Some((name, arguments)) = words.split_first() else { return Ok(0) };
    match base(name) {
        "cat" => cat(shell, arguments, io).await,
        "cd" => cd(shell, arguments, io).await,
        "date" => date(shell, arguments, io).await,
        "echo" => echo(arguments, io).await,
        "env" | "printenv" => env(shell, arguments, io).await,
        "exit" => Ok(*shell.exit.insert(arguments.first().and_then(|code| code.parse().ok()).unwrap_or(0))),
        "export" => export(shell, arguments),
        "false" => Ok(1),
        "head" => head(shell, arguments, io).await,
        "help" => say(&io.stdout, format!("a simulated container has: {NAMES}\n")).await,
        "hostname" => say(&io.stdout, format!("{}\n", shell.container.hostname)).await,
        "id" => say(&io.stdout, "uid=0(root) gid=0(root) groups=0(root)\n").await,
        "ls" => ls(shell, arguments, io).await,
        "mkdir" => on_files(shell, "mkdir", arguments, io, |files, path, p| files.make(path, p)).await,
        "pwd" => say(&io.stdout, format!("{}\n", shell.directory)).await,
        "rm" => on_files(shell, "rm", arguments, io, |files, path, recursive| files.remove(path, recursive)).await,
        "sh" | "bash" | "ash" | "dash" => Box::pin(shell.shell(arguments, io)).await,
        "sleep" => sleep(arguments, io).await,
        "tar" => tar::run(shell, arguments, io).await,
        "test" => Ok(u8::from(!is_true(shell, arguments))),
        "[" => Ok(u8::from(!is_true(shell, arguments.strip_suffix(&["]".to_owned()]).unwrap_or(arguments)))),
        "touch" => on_files(shell, "touch", arguments, io, |files, path, _| touch(files, path)).await,
        "true" | ":" => Ok(0),
        "uname" => say(&io.stdout, uname(shell, arguments)).await,
        "wc" => wc(shell, arguments, io).await,
        "whoami" => say(&io.stdout, "root\n").await,
        other => {
            let why = format!("{other}: not found; nothing runs in a simulated container, which has: {NAMES}\n");
            io.stderr.write(why).await?;
            Ok(127)
        }
    }
}

async fn say(to: &Sink, text: impl AsRef<[u8]>) -> io::Result<u8> {
    to.write(text).await?;
    Ok(0)
}

pub(super) async fn complain(io: &Stdio, name: &str, what: &str, error: FileError) -> io::Result<u8> {
    io.stderr.write(format!("{name}: {what}: {error}\n")).await?;
    Ok(1)
}

async fn cat(shell: &Shell, arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let stdin = ["-".to_owned()];
    let mut code = 0;
    for name in if arguments.is_empty() { &stdin } else { arguments } {
        if name == "-" {
            while let Some(piece) = io.stdin.next().await {
                io.stdout.write(&piece).await?;
            }
            continue;
        }
        match shell.container.files.read(&absolute(&shell.directory, name)) {
            Ok(content) => io.stdout.write(&content).await?,
            Err(error) => code = complain(io, "cat", name, error).await?,
        }
    }
    Ok(code)
}

async fn cd(shell: &mut Shell, arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let name = arguments.first().map_or("/root", String::as_str);
    let path = absolute(&shell.directory, name);
    match shell.container.files.get(&path) {
        Some(Entry { content: None, .. }) => {
            shell.directory = path;
            Ok(0)
        }
        Some(_) => complain(io, "cd", name, FileError::NotDirectory).await,
        None => complain(io, "cd", name, FileError::Missing).await,
    }
}

async fn date(shell: &Shell, arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let now = shell.ambient.clock.wall_micros();
    let text = match arguments.last().map(String::as_str) {
        Some("+%s") => (now / 1_000_000).to_string(),
        _ => time::format_seconds(now),
    };
    say(&io.stdout, format!("{text}\n")).await
}

async fn echo(arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let (end, words) = match arguments {
        [first, rest @ ..] if first == "-n" => ("", rest),
        [first, rest @ ..] if first == "-e" => ("\n", rest),
        words => ("\n", words),
    };
    say(&io.stdout, format!("{}{end}", words.join(" "))).await
}

async fn env(shell: &Shell, arguments: &[String], io: &Stdio) -> io::Result<u8> {
    match arguments.first() {
        None => {
            let lines = shell.variables.iter().map(|(name, value)| format!("{name}={value}\n"));
            say(&io.stdout, lines.collect::<String>()).await
        }
        Some(name) => match shell.variables.get(name) {
            Some(value) => say(&io.stdout, format!("{value}\n")).await,
            None => Ok(1),
        },
    }
}

fn export(shell: &mut Shell, arguments: &[String]) -> io::Result<u8> {
    for (name, value) in arguments.iter().filter_map(|word| word.split_once('=')) {
        shell.variables.insert(name.to_owned(), value.to_owned());
    }
    Ok(0)
}

/// Everything from stdin or a file, or a megabyte of it.
async fn text(shell: &Shell, name: Option<&String>, io: &Stdio) -> Result<Vec<u8>, FileError> {
    if let Some(name) = name {
        return shell.container.files.read(&absolute(&shell.directory, name)).map(|content| content.to_vec());
    }
    let mut text = Vec::new();
    while let Some(piece) = io.stdin.next().await {
        if text.len() + piece.len() > 1 << 20 {
            return Err(FileError::Full);
        }
        text.extend_from_slice(&piece);
    }
    Ok(text)
}

async fn head(shell: &Shell, arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let (count, names) = match arguments {
        [flag, count, names @ ..] if flag == "-n" => (count.parse().unwrap_or(10), names),
        names => (10, names),
    };
    match text(shell, names.first(), io).await {
        Ok(text) => {
            let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').take(count).collect();
            say(&io.stdout, lines.concat()).await
        }
        Err(error) => complain(io, "head", names.first().map_or("-", String::as_str), error).await,
    }
}

async fn wc(shell: &Shell, arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let (flags, names): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|word| word.starts_with('-'));
    match text(shell, names.first().copied(), io).await {
        Ok(text) => {
            let lines = text.iter().filter(|byte| **byte == b'\n').count();
            let words = text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
            let counts = [("-l", lines), ("-w", words), ("-c", text.len())];
            let wanted = counts.iter().filter(|(flag, _)| flags.is_empty() || flags.iter().any(|have| have == flag));
            let counts: Vec<String> = wanted.map(|(_, count)| count.to_string()).collect();
            say(&io.stdout, format!("{}\n", counts.join(" "))).await
        }
        Err(error) => complain(io, "wc", names.first().map_or("-", |name| name.as_str()), error).await,
    }
}

async fn ls(shell: &Shell, arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let here = ".".to_owned();
    let (flags, mut names): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|word| word.starts_with('-'));
    let long = flags.iter().any(|flag| flag.contains('l'));
    if names.is_empty() {
        names.push(&here);
    }
    let files = &shell.container.files;
    let mut code = 0;
    for name in names {
        let path = absolute(&shell.directory, name);
        let inside = match files.list(&path) {
            Ok(inside) => inside.into_iter().map(|inner| (absolute(&path, &inner), inner)).collect(),
            Err(FileError::NotDirectory) => vec![(path, name.clone())],
            Err(error) => {
                code = complain(io, "ls", name, error).await?;
                continue;
            }
        };
        for (path, shown) in inside {
            let Some(Entry { content, mode }) = files.get(&path).filter(|_| long) else {
                io.stdout.write(format!("{shown}\n")).await?;
                continue;
            };
            let kind = if content.is_some() { '-' } else { 'd' };
            let bits: String =
                (0..9).rev().map(|bit| if mode >> bit & 1 == 1 { b"xwr"[bit % 3].into() } else { '-' }).collect();
            let length = content.map_or(0, |content| content.len());
            io.stdout.write(format!("{kind}{bits} 1 root root {length} {shown}\n")).await?;
        }
    }
    Ok(code)
}

/// A command that does the same to each of some paths. `-p` and `-r`, which mean the same to each of them: with all that is
/// above or below.
async fn on_files(
    shell: &Shell,
    command: &str,
    arguments: &[String],
    io: &Stdio,
    act: impl Fn(&super::Files, &str, bool) -> Result<(), FileError>,
) -> io::Result<u8> {
    let (flags, names): (Vec<&String>, Vec<&String>) = arguments.iter().partition(|word| word.starts_with('-'));
    let deep = flags.iter().any(|flag| flag.contains(['p', 'r', 'R']));
    let force = flags.iter().any(|flag| flag.contains('f'));
    let mut code = 0;
    for name in names {
        match act(&shell.container.files, &absolute(&shell.directory, name), deep) {
            Ok(()) => {}
            Err(FileError::Missing) if force => {}
            Err(error) => code = complain(io, command, name, error).await?,
        }
    }
    Ok(code)
}

fn touch(files: &super::Files, path: &str) -> Result<(), FileError> {
    if files.get(path).is_some() { Ok(()) } else { files.write(path, Default::default(), 0o644, false) }
}

async fn sleep(arguments: &[String], io: &Stdio) -> io::Result<u8> {
    let mut whole = 0.0;
    for word in arguments {
        let (number, unit) = match word.strip_suffix(['s', 'm', 'h', 'd']) {
            Some(number) => (number, word.as_bytes()[number.len()]),
            None => (word.as_str(), b's'),
        };
        let Some(number) = number.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0) else {
            io.stderr.write(format!("sleep: invalid number '{word}'\n")).await?;
            return Ok(1);
        };
        whole += number * [1.0, 60.0, 3600.0, 86_400.0][b"smhd".iter().position(|known| *known == unit).unwrap_or(0)];
    }
    tokio::time::sleep(Duration::from_secs_f64(whole.min(1e9))).await;
    Ok(0)
}

/// What `test` says of its arguments.
fn is_true(shell: &Shell, arguments: &[String]) -> bool {
    let entry = |name: &str| shell.container.files.get(&absolute(&shell.directory, name));
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    match words[..] {
        ["!", ref rest @ ..] => !is_true(shell, &rest.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>()),
        ["-d", name] => entry(name).is_some_and(|entry| entry.content.is_none()),
        ["-f", name] => entry(name).is_some_and(|entry| entry.content.is_some()),
        ["-e" | "-r" | "-w" | "-x", name] => entry(name).is_some(),
        ["-s", name] => entry(name).is_some_and(|entry| entry.content.is_some_and(|content| !content.is_empty())),
        ["-n", text] => !text.is_empty(),
        ["-z", text] => text.is_empty(),
        [left, "=" | "==", right] => left == right,
        [left, "!=", right] => left != right,
        [left, "-eq", right] => number(left) == number(right),
        [left, "-ne", right] => number(left) != number(right),
        [left, "-lt", right] => number(left) < number(right),
        [left, "-gt", right] => number(left) > number(right),
        [text] => !text.is_empty(),
        _ => false,
    }
}

fn uname(shell: &Shell, arguments: &[String]) -> String {
    match arguments.first().map(String::as_str) {
        Some("-a") => format!("Linux {} simulated shardplane-sim x86_64\n", shell.container.hostname),
        Some("-n") => format!("{}\n", shell.container.hostname),
        Some("-r") => "simulated\n".to_owned(),
        Some("-m") => "x86_64\n".to_owned(),
        _ => "Linux\n".to_owned(),
    }
}
