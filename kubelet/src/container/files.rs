//! A container's files: a tree in memory, of a megabyte at most.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;

/// Bytes of all files of one container, with what it takes to keep them.
const BYTES: usize = 1 << 20;
/// The same of all containers of a fleet.
const ALL: usize = 64 << 20;
/// What an entry costs besides its name and its content.
const ENTRY: usize = 100;

/// Why something cannot be done with a file, in the system's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FileError {
    #[error("No such file or directory")]
    Missing,
    #[error("Is a directory")]
    Directory,
    #[error("Not a directory")]
    NotDirectory,
    #[error("File exists")]
    Exists,
    #[error("Directory not empty")]
    NotEmpty,
    #[error("No space left on device (a simulated container keeps 1 MiB)")]
    Full,
}

/// A file, or a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// None: a directory.
    pub(crate) content: Option<Bytes>,
    pub(crate) mode: u32,
}

/// Shared by all commands in one life of a container.
#[derive(Clone, Debug, Default)]
pub(crate) struct Files(Arc<Mutex<Tree>>);

/// What all files of a fleet cost.
pub(crate) type Spent = Arc<AtomicUsize>;

#[derive(Debug, Default)]
struct Tree {
    entries: BTreeMap<String, Entry>,
    cost: usize,
    spent: Spent,
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.spent.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

fn cost(path: &str, content: Option<&Bytes>) -> usize {
    ENTRY + path.len() + content.map_or(0, Bytes::len)
}

impl Tree {
    /// Puts an entry in the place of what is there, if there is room for it.
    fn put(&mut self, path: &str, entry: Entry) -> Result<(), FileError> {
        let before = self.entries.get(path).map_or(0, |entry| cost(path, entry.content.as_ref()));
        let after = cost(path, entry.content.as_ref());
        let grown = after.saturating_sub(before);
        if grown > 0 && (self.cost + grown > BYTES || self.spent.load(Ordering::Relaxed) + grown > ALL) {
            return Err(FileError::Full);
        }
        self.cost = self.cost + after - before;
        self.spent.fetch_add(after, Ordering::Relaxed);
        self.spent.fetch_sub(before, Ordering::Relaxed);
        self.entries.insert(path.to_owned(), entry);
        Ok(())
    }

    fn make_parents(&mut self, path: &str) -> Result<(), FileError> {
        let slashes = path.char_indices().filter(|(_, c)| *c == '/').map(|(at, _)| at);
        for at in slashes.collect::<Vec<_>>() {
            let parent = if at == 0 { "/" } else { &path[..at] };
            if !self.entries.contains_key(parent) {
                self.put(parent, Entry { content: None, mode: 0o755 })?;
            }
        }
        Ok(())
    }

    fn check_parent(&self, path: &str) -> Result<(), FileError> {
        let parent = path.rsplit_once('/').map_or("/", |(parent, _)| if parent.is_empty() { "/" } else { parent });
        match self.entries.get(parent) {
            Some(Entry { content: None, .. }) => Ok(()),
            Some(_) => Err(FileError::NotDirectory),
            None => Err(FileError::Missing),
        }
    }
}

impl Files {
    /// Files that count with those of others.
    pub(crate) fn new(spent: Spent) -> Self {
        Self(Arc::new(Mutex::new(Tree { entries: BTreeMap::new(), cost: 0, spent })))
    }

    /// What is there from the beginning.
    pub(super) fn prepare(&self, hostname: &str, ip: &str, working_dir: &str) {
        let mut tree = self.0.lock();
        if !tree.entries.is_empty() {
            return;
        }
        let release = "NAME=\"Shardplane simulation\"\nID=shardplane-sim\n".to_owned();
        let hosts = format!("127.0.0.1\tlocalhost\n{ip}\t{hostname}\n");
        for path in ["/bin/", "/etc/", "/root/", "/tmp/", "/var/", &format!("{working_dir}/")] {
            // There is room in an empty tree, or nowhere.
            let _ = tree.make_parents(path);
        }
        for (path, text) in [("hostname", format!("{hostname}\n")), ("hosts", hosts), ("os-release", release)] {
            let _ = tree.put(&format!("/etc/{path}"), Entry { content: Some(text.into()), mode: 0o644 });
        }
    }

    pub(super) fn get(&self, path: &str) -> Option<Entry> {
        self.0.lock().entries.get(path).cloned()
    }

    pub(super) fn read(&self, path: &str) -> Result<Bytes, FileError> {
        match self.get(path) {
            None => Err(FileError::Missing),
            Some(Entry { content: None, .. }) => Err(FileError::Directory),
            Some(Entry { content: Some(content), .. }) => Ok(content),
        }
    }

    /// Replaces a file, or makes it; its directory must be there unless `parents` are made.
    pub(super) fn write(&self, path: &str, content: Bytes, mode: u32, parents: bool) -> Result<(), FileError> {
        let mut tree = self.0.lock();
        if parents {
            tree.make_parents(path)?;
        }
        tree.check_parent(path)?;
        if matches!(tree.entries.get(path), Some(Entry { content: None, .. })) {
            return Err(FileError::Directory);
        }
        // A copy: what it was cut out of must not be kept.
        tree.put(path, Entry { content: Some(Bytes::copy_from_slice(&content)), mode })
    }

    /// Makes a directory, with those above it or not.
    pub(super) fn make(&self, path: &str, parents: bool) -> Result<(), FileError> {
        let mut tree = self.0.lock();
        if parents {
            tree.make_parents(path)?;
        }
        tree.check_parent(path)?;
        match tree.entries.get(path) {
            Some(Entry { content: None, .. }) if parents => Ok(()),
            Some(_) => Err(FileError::Exists),
            None => tree.put(path, Entry { content: None, mode: 0o755 }),
        }
    }

    /// Removes a file, or a directory with everything in it.
    pub(super) fn remove(&self, path: &str, recursive: bool) -> Result<(), FileError> {
        let mut tree = self.0.lock();
        match tree.entries.get(path) {
            None => return Err(FileError::Missing),
            Some(Entry { content: None, .. }) if !recursive => return Err(FileError::Directory),
            Some(_) if path == "/" => return Err(FileError::NotEmpty),
            Some(_) => {}
        }
        let below = format!("{path}/");
        let mut freed = 0;
        tree.entries.retain(|other, entry| {
            let stays = other != path && !other.starts_with(&below);
            freed += if stays { 0 } else { cost(other, entry.content.as_ref()) };
            stays
        });
        tree.cost -= freed;
        tree.spent.fetch_sub(freed, Ordering::Relaxed);
        Ok(())
    }

    /// What is in a directory: names in order.
    pub(super) fn list(&self, path: &str) -> Result<Vec<String>, FileError> {
        let tree = self.0.lock();
        match tree.entries.get(path) {
            None => return Err(FileError::Missing),
            Some(Entry { content: Some(_), .. }) => return Err(FileError::NotDirectory),
            Some(_) => {}
        }
        let below = format!("{}/", path.trim_end_matches('/'));
        let names = tree.entries.keys().filter_map(|other| other.strip_prefix(&below));
        Ok(names.filter(|name| !name.is_empty() && !name.contains('/')).map(str::to_owned).collect())
    }

    /// An entry and everything below it, in order.
    pub(super) fn walk(&self, path: &str) -> Vec<(String, Entry)> {
        let below = format!("{}/", path.trim_end_matches('/'));
        let tree = self.0.lock();
        let inside = tree.entries.iter().filter(|(other, _)| *other == path || other.starts_with(&below));
        inside.map(|(path, entry)| (path.clone(), entry.clone())).collect()
    }
}

/// A path from the root, without `.` and `..`.
pub(super) fn absolute(directory: &str, path: &str) -> String {
    let whole = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
    let mut parts: Vec<&str> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => _ = parts.pop(),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}
