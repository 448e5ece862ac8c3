//! `api/schema/resources.txt`, whose head describes its format.

use smol_str::{SmolStr, ToSmolStr, format_smolstr};

use crate::resource::{SelectableField, Spread, Subresource};

const TABLE: &str = include_str!("../../schema/resources.txt");

const VERBS: &str = "create,delete,deletecollection,get,list,patch,update,watch";

/// One kind of the table.
pub(super) struct Row {
    pub plural: &'static str,
    pub kind: &'static str,
    pub namespaced: bool,
    pub internal: bool,
    pub short_names: Vec<SmolStr>,
    pub categories: Vec<SmolStr>,
    pub verbs: Vec<&'static str>,
    pub spread: Spread,
    pub relaxed: bool,
    pub selectable: Vec<SelectableField>,
    pub indexed: Option<usize>,
    pub generation: bool,
    pub create_on_update: bool,
    pub versions: Vec<VersionRow>,
}

impl Row {
    /// `pods`, `deployments.apps`: the group is that of the stored version.
    pub fn id_name(&self) -> SmolStr {
        match self.versions[0].group {
            "" => self.plural.to_smolstr(),
            group => format_smolstr!("{}.{group}", self.plural),
        }
    }
}

/// One version of a kind.
pub(super) struct VersionRow {
    pub group: &'static str,
    pub version: &'static str,
    pub convert: Option<&'static str>,
    pub subresources: Vec<Subresource>,
}

/// The full name of a kind's type in the schema.
pub fn type_name(group: &str, version: &str, kind: &str) -> String {
    let package = match group {
        "" => "io.k8s.api.core",
        "internal.apiserver.k8s.io" => "io.k8s.api.apiserverinternal",
        "apiextensions.k8s.io" => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions",
        "apiregistration.k8s.io" => "io.k8s.kube-aggregator.pkg.apis.apiregistration",
        "internal.shardplane" => "internal.shardplane",
        group => &format!("io.k8s.api.{}", group.split('.').next().unwrap_or_default()),
    };
    format!("{package}.{version}.{kind}")
}

/// Reads the table. It is part of the binary, so a bad line is a bug, and the tests meet it.
pub(super) fn read() -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let bad = || panic!("resources.txt has a bad line: {line}");
        let mut words = line.split(' ');
        match words.next() {
            Some("R") => rows.push(row(words).unwrap_or_else(bad)),
            Some("V") => {
                let row = rows.last_mut().unwrap_or_else(|| panic!("resources.txt opens with a version"));
                let version =
                    version(words, row.kind).unwrap_or_else(|| panic!("resources.txt has a bad line: {line}"));
                row.versions.push(version);
            }
            _ => _ = bad(),
        }
    }
    rows
}

fn row(mut words: std::str::Split<'static, char>) -> Option<Row> {
    let mut row = Row {
        plural: words.next()?,
        kind: words.next()?,
        namespaced: match words.next()? {
            "namespaced" => true,
            "cluster" => false,
            _ => return None,
        },
        internal: false,
        short_names: Vec::new(),
        categories: Vec::new(),
        verbs: VERBS.split(',').collect(),
        spread: Spread::Namespace,
        relaxed: false,
        selectable: Vec::new(),
        indexed: None,
        generation: false,
        create_on_update: false,
        versions: Vec::new(),
    };
    for word in words {
        let list = |text: &'static str| text.split(',').map(SmolStr::new_static).collect::<Vec<_>>();
        match word.split_once('=') {
            None if word == "internal" => row.internal = true,
            None if word == "relaxed" => row.relaxed = true,
            None if word == "generation" => row.generation = true,
            None if word == "create-on-update" => row.create_on_update = true,
            Some(("short", names)) => row.short_names = list(names),
            Some(("categories", names)) => row.categories = list(names),
            Some(("verbs", verbs)) => row.verbs = verbs.split(',').collect(),
            Some(("spread", "name")) => row.spread = Spread::Name,
            Some(("spread", spread)) => row.spread = Spread::NameIn(spread.strip_prefix("name-in:")?),
            Some(("fields", fields)) => row.selectable = fields.split(',').map(selectable).collect(),
            Some(("index", label)) => {
                row.indexed = Some(row.selectable.iter().position(|field| field.label == label)?);
            }
            _ => return None,
        }
    }
    Some(row)
}

/// `label[@path][:absent]`
fn selectable(text: &'static str) -> SelectableField {
    let (text, absent) = text.split_once(':').unwrap_or((text, ""));
    let (label, path) = text.split_once('@').unwrap_or((text, text));
    SelectableField { label: label.into(), path: path.split('.').map(SmolStr::new_static).collect(), absent }
}

fn version(mut words: std::str::Split<'static, char>, kind: &'static str) -> Option<VersionRow> {
    let name = words.next()?;
    let (group, version) = name.split_once('/').unwrap_or(("", name));
    let mut row = VersionRow { group, version, convert: None, subresources: Vec::new() };
    for word in words {
        match word.split_once('=') {
            Some(("convert", name)) => row.convert = Some(name),
            Some((name, body)) => row.subresources.push(subresource(name, body, group, version)?),
            None if word == "status" => row.subresources.push(readable(word, kind, group, version)),
            None if word == "scale" => row.subresources.push(readable(word, "Scale", "autoscaling", "v1")),
            None => return None,
        }
    }
    Some(row)
}

fn readable(name: &'static str, kind: &'static str, group: &'static str, version: &'static str) -> Subresource {
    Subresource {
        name,
        kind: kind.into(),
        group: group.into(),
        version: version.into(),
        verbs: vec!["get", "patch", "update"],
    }
}

/// `[group/version/]Kind/verbs`
fn subresource(
    name: &'static str,
    body: &'static str,
    group: &'static str,
    version: &'static str,
) -> Option<Subresource> {
    let parts: Vec<&str> = body.split('/').collect();
    let (group, version, kind, verbs) = match *parts {
        [kind, verbs] => (group, version, kind, verbs),
        [group, version, kind, verbs] => (group, version, kind, verbs),
        _ => return None,
    };
    let verbs = verbs.split(',').collect();
    Some(Subresource { name, kind: kind.into(), group: group.into(), version: version.into(), verbs })
}
