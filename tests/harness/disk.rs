//! A small disk, which others can fill.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A file system of its own at a directory, gone when dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// One of that many MB. `None`, and one line, where this user may mount nothing.
    pub fn mount(at: &Path, megabytes: u32) -> Option<Self> {
        std::fs::create_dir_all(at).expect("a directory to mount at");
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "none"]).arg(at);
        let mounted = command.stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if !mounted {
            eprintln!("skipped: a full disk, for this user may not mount a file system");
        }
        mounted.then(|| Self(at.to_owned()))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("of-somebody-else")
    }

    /// Somebody else takes all that is free.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).expect("a file");
        for piece in [vec![1; 1 << 16], vec![1; 1 << 12]] {
            while file.write_all(&piece).is_ok() {}
        }
    }

    /// … and gives it back.
    pub fn empty(&self) {
        std::fs::remove_file(self.ballast()).expect("it was there");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}
