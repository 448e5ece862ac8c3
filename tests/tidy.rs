//! Ratchets: what keeps the house in order may get better, not worse.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Files longer than [`LINES`] when this was written, and how long they may be. Lower a number, or take a row out.
const LONG_FILES: &[(&str, usize)] = &[];
const LINES: usize = 500;

fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = Command::new("git").args(["ls-files", "*.rs"]).current_dir(root).output().expect("git is installed");
    let listed = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let files: Vec<PathBuf> = listed.lines().map(PathBuf::from).collect();
    assert!(files.len() > 50, "git lists the sources");
    files
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap_or_default()
}

#[test]
fn files_stay_short() {
    let mut wrong = Vec::new();
    for path in sources() {
        let name = path.to_str().unwrap();
        let lines = read(&path).lines().count();
        let limit = LONG_FILES.iter().find(|(long, _)| *long == name).map_or(LINES, |(_, limit)| *limit);
        if lines > limit {
            wrong.push(format!("{name}: {lines} lines, {limit} allowed"));
        }
    }
    assert!(wrong.is_empty(), "a file that grows wants a better seam:\n{}", wrong.join("\n"));
}

#[test]
fn every_room_says_what_it_is_for() {
    let mut silent = Vec::new();
    for path in sources() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if matches!(name, "lib.rs" | "mod.rs" | "main.rs") && !read(&path).starts_with("//!") {
            silent.push(path.display().to_string());
        }
    }
    assert!(silent.is_empty(), "these open without `//!`: {}", silent.join(", "));
}

#[test]
fn nothing_is_left_to_do_in_silence() {
    let marks = [concat!("to", "do!("), concat!("unimple", "mented!("), concat!("FIX", "ME"), concat!("#[ig", "nore")];
    for path in sources() {
        let text = read(&path);
        for mark in marks {
            assert!(!text.contains(mark), "{}: {mark}", path.display());
        }
    }
}
