//! Descriptions of types and fields, from the sources of k8s-openapi: one file for each type.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::text::plain;
use crate::{Described, Types};

/// Reads every generated type below a folder.
pub fn read(folder: &Path) -> Result<Types, String> {
    let mut types = Types::new();
    for path in files(folder)? {
        let source = fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let Some(name) = source.strip_prefix("// Generated from definition ") else { continue };
        types.insert(name.lines().next().unwrap_or_default().to_owned(), described(&source));
    }
    if types.is_empty() { Err(format!("{} holds no types", folder.display())) } else { Ok(types) }
}

fn described(source: &str) -> Described {
    // `"json name" => Field::Key_ident,`
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => Field::Key_"));
    let names: HashMap<&str, &str> = arms.map(|(name, ident)| (ident.trim_end_matches(','), name)).collect();
    let mut found = Described::default();
    let (mut comment, mut inside) = (Vec::new(), false);
    for line in source.lines() {
        if let Some(text) = line.trim_start().strip_prefix("///") {
            comment.push(text);
        } else if line.starts_with("pub struct ") || line.starts_with("pub enum ") {
            found.text = plain(&std::mem::take(&mut comment));
            // What is no message has no fields.
            inside = line.ends_with('{') && line.starts_with("pub struct ");
            if !inside {
                break;
            }
        } else if inside && line == "}" {
            break;
        } else if let Some((ident, _)) =
            line.strip_prefix("    pub ").filter(|_| inside).and_then(|line| line.split_once(':'))
        {
            let ident = ident.trim_start_matches("r#");
            let name = names.get(ident).copied().unwrap_or(ident);
            found.fields.insert(name.to_owned(), plain(&std::mem::take(&mut comment)));
        }
    }
    found
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        let error = |error| format!("{}: {error}", folder.display());
        for entry in fs::read_dir(&folder).map_err(error)? {
            let path = entry.map_err(error)?.path();
            match path.extension() {
                _ if path.is_dir() => folders.push(path),
                Some(extension) if extension == "rs" => files.push(path),
                _ => {}
            }
        }
    }
    Ok(files)
}
