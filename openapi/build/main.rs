//! Collects the descriptions of the built-in types into one table in OUT_DIR, which `src/words.rs` reads.
//!
//! They are the doc comments of two crates, k8s-openapi ([`openapi`]: types and their fields) and k8s-pb ([`protobuf`]: lists
//! and the options that become query parameters). Their sources are read as text and never compiled: that takes less than a
//! second, and k8s-openapi with its schemas need not be compiled. `cargo metadata` on `xtask/sources/Cargo.toml` finds the
//! sources, and fetches them where they are not there yet, as cargo does with everything else that a build needs.
//!
//! A table has a line for each type (`io.k8s.api.apps.v1.Deployment 12`) and below it one for each field (` spec 13`). The
//! numbers are lines of the second part, behind an empty line: the descriptions, each once, as the inside of a JSON string.

#![expect(clippy::print_stdout, reason = "cargo reads what a build script prints")]

mod openapi;
mod protobuf;
mod text;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// What is said about a type and about its fields.
#[derive(Default)]
struct Described {
    text: String,
    fields: BTreeMap<String, String>,
}

/// By full name.
type Types = BTreeMap<String, Described>;

fn main() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("../xtask/sources");
    for input in ["build", "../xtask/sources/Cargo.toml", "../xtask/sources/Cargo.lock"] {
        println!("cargo::rerun-if-changed={input}");
    }
    let table = find(&sources.join("Cargo.toml")).and_then(|(openapi, pb)| {
        let mut types = openapi::read(&openapi.join("src/v1_36"))?;
        protobuf::read(&pb.join("src"), &mut types)?;
        Ok(write(&types))
    });
    let written = table.and_then(|table| {
        let path = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?).join("descriptions.txt");
        fs::write(&path, table).map_err(|error| format!("{}: {error}", path.display()))
    });
    if let Err(error) = written {
        println!("cargo::error=the descriptions of the API's types cannot be had: {error}");
    }
}

/// The folders of k8s-openapi and k8s-pb.
fn find(manifest: &Path) -> Result<(PathBuf, PathBuf), String> {
    let cargo = env::var("CARGO").map_err(|error| format!("CARGO: {error}"))?;
    let mut command = Command::new(cargo);
    command.args(["metadata", "--format-version=1", "--locked", "--manifest-path"]).arg(manifest);
    let output = command.output().map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")));
    }
    let metadata = String::from_utf8_lossy(&output.stdout);
    let folder = |name: &str| {
        let package = metadata.split_once(&format!("{{\"name\":\"{name}\",\"version\":"))?.1;
        let path = package.split_once("\"manifest_path\":\"")?.1.split('"').next()?;
        // Paths of Windows are escaped.
        Path::new(&path.replace("\\\\", "\\")).parent().map(Path::to_owned)
    };
    let folder = |name: &str| folder(name).ok_or_else(|| format!("{name} is not among the sources"));
    Ok((folder("k8s-openapi")?, folder("k8s-pb")?))
}

fn write(types: &Types) -> String {
    let (mut names, mut texts, mut known) = (String::new(), String::new(), HashMap::new());
    let mut number = |text: &str| {
        let next = known.len();
        *known.entry(text.to_owned()).or_insert_with(|| {
            _ = writeln!(texts, "{}", text::escape(text));
            next
        })
    };
    for (name, described) in types {
        _ = writeln!(names, "{name} {}", number(&described.text));
        for (field, text) in described.fields.iter().filter(|(_, text)| !text.is_empty()) {
            _ = writeln!(names, " {field} {}", number(text));
        }
    }
    format!("{names}\n{texts}")
}
