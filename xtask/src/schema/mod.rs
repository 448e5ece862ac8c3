//! `cargo xtask schema`: facts about the built-in types, from three sources into one table.
//!
//! [`openapi`] reads the sources of k8s-openapi (v1_36) for names, types and what is required; [`protobuf`] those of k8s-pb
//! (v1.35) for field numbers, nesting and the markers in doc comments; [`overlay`] the committed `api/schema/overlay.txt` for
//! what neither says. [`table`] joins them and writes `api/schema/v1.36.txt`. No descriptions are taken.
//!
//! The sources are found with `cargo metadata` on `xtask/sources/Cargo.toml`; nothing of them is compiled.

mod openapi;
mod overlay;
mod protobuf;
mod table;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What is known about a field; the columns of the table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Field {
    /// In the words of the table.
    pub of: String,
    pub number: Vec<u32>,
    pub required: bool,
    /// `!`, `?` or `*`.
    pub presence: Option<char>,
    pub list: Option<String>,
    pub keys: Vec<String>,
    pub atomic: bool,
    pub granular: bool,
    pub patch: Option<String>,
    pub merge_key: Option<String>,
    /// JSON.
    pub default: Option<String>,
}

/// What is known about a message.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub fields: BTreeMap<String, Field>,
    pub atomic: bool,
    /// Whether unknown fields are kept.
    pub open: bool,
}

/// Messages by full name.
pub type Messages = BTreeMap<String, Message>;

/// Rewrites the table, or only compares; says what was done.
pub fn run(check: bool) -> Result<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = root.join("../api/schema");
    let (openapi, pb) = sources(&root.join("sources/Cargo.toml"))?;
    let mut messages = openapi::read(&openapi.join("src/v1_36"))?;
    let protobuf = protobuf::read(&pb.join("src"))?;
    protobuf::join(&mut messages, &protobuf);
    overlay::apply(&mut messages, &text(&folder.join("overlay.txt"))?)?;
    let table = table::write(&messages)?;
    let path = folder.join("v1.36.txt");
    let fields: usize = messages.values().map(|message| message.fields.len()).sum();
    let what = format!("{} types, {fields} fields, {} bytes", messages.len(), table.len());
    if check {
        return match text(&path)? == table {
            true => Ok(format!("the table is up to date: {what}")),
            false => Err("api/schema/v1.36.txt is not what the sources say: run `cargo xtask schema`".to_owned()),
        };
    }
    fs::write(&path, table).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(format!("wrote {}: {what}", path.display()))
}

/// The folders of the two crates.
fn sources(manifest: &Path) -> Result<(PathBuf, PathBuf), String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--locked", "--manifest-path"]).arg(manifest);
    let output = command.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))?;
    let find = |name: &str| {
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let package = packages.into_iter().find(|package| package["name"] == name);
        let manifest = package.and_then(|package| package["manifest_path"].as_str()).map(Path::new);
        manifest.and_then(Path::parent).map(Path::to_owned).ok_or_else(|| format!("{name} is not among the sources"))
    };
    Ok((find("k8s-openapi")?, find("k8s-pb")?))
}

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Every Rust file below a folder.
fn rust_files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))? {
            let path = entry.map_err(|error| format!("{}: {error}", folder.display()))?.path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => files.push(path),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}
