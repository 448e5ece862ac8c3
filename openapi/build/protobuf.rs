//! Descriptions of what k8s-openapi has no type for, from the sources of k8s-pb: lists of kinds, and the options whose fields
//! become query parameters. Of fields, names are in lower case and without signs here.

use std::fs;
use std::path::Path;

use crate::text::joined;
use crate::{Described, Types};

/// Where lists and options are, and the packages of these.
const PACKAGES: &[(&str, &str)] = &[
    ("api", "io.k8s.api"),
    ("apiextensions_apiserver/pkg/apis", "io.k8s.apiextensions-apiserver.pkg.apis"),
    ("apimachinery/pkg/apis", "io.k8s.apimachinery.pkg.apis"),
    ("kube_aggregator/pkg/apis", "io.k8s.kube-aggregator.pkg.apis"),
];

/// Adds what the crate says about lists and options.
pub fn read(folder: &Path, types: &mut Types) -> Result<(), String> {
    for (inside, package) in PACKAGES {
        let root = folder.join(inside);
        for group in folders(&root)? {
            for version in folders(&root.join(&group))? {
                let path = root.join(&group).join(&version).join("mod.rs");
                let Ok(source) = fs::read_to_string(&path) else { continue };
                module(&format!("{package}.{group}.{version}"), &source, types);
            }
        }
    }
    Ok(())
}

fn folders(folder: &Path) -> Result<Vec<String>, String> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(Vec::new()) };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", folder.display()))?;
        if entry.path().is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}

fn module(package: &str, source: &str, types: &mut Types) {
    let mut comment = Vec::new();
    let mut open: Option<(String, Described)> = None;
    for line in source.lines() {
        if let Some(text) = line.trim_start().strip_prefix("///") {
            comment.push(text);
        } else if let Some(rest) = line.strip_prefix("pub struct ") {
            let name = rest.split([' ', '{', ';', '(']).next().unwrap_or_default();
            let text = joined(&std::mem::take(&mut comment));
            let wanted = (name.ends_with("List") || name.ends_with("Options")) && rest.ends_with('{');
            open = wanted.then(|| (format!("{package}.{name}"), Described { text, ..Described::default() }));
        } else if line == "}" {
            if let Some((name, described)) = open.take() {
                types.entry(name).or_insert(described);
            }
            comment.clear();
        } else if let Some((ident, _)) = line.strip_prefix("    pub ").and_then(|line| line.split_once(':')) {
            let text = joined(&std::mem::take(&mut comment));
            if let Some((_, described)) = &mut open {
                let ident = ident.trim_start_matches("r#").replace('_', "");
                described.fields.insert(ident, text);
            }
        }
    }
}
