//! `--runtime-config`: which API versions are served.

use std::collections::BTreeSet;

use super::rows;

/// What `--runtime-config` switched: `group/version[/resource]=true|false`, `api/all`, `api/ga`, `api/beta`, `api/alpha`.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig(pub Vec<(String, bool)>);

/// Sets of versions by their maturity.
const MATURITIES: [&str; 4] = ["api/all", "api/ga", "api/beta", "api/alpha"];

impl RuntimeConfig {
    /// Parses `--runtime-config`'s comma-separated list. The error names everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut known = BTreeSet::new();
        for row in rows::read().into_iter().filter(|row| !row.internal) {
            for version in &row.versions {
                let name = group_version(version.group, version.version);
                known.insert(format!("{name}/{}", row.plural));
                known.insert(name);
            }
        }
        let mut config = Vec::new();
        let mut errors = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (key, value) = part.split_once('=').unwrap_or((part, "true"));
            let (key, value) = (normal(key.trim()), value.trim());
            let on = match value {
                "true" | "" => true,
                "false" => false,
                _ => {
                    errors.push(format!("{key:?} is true or false, not {value:?}"));
                    continue;
                }
            };
            if !MATURITIES.contains(&key) && !known.contains(key) {
                errors.push(format!("{key:?} is no API version or resource of Kubernetes v1.36 that is served here"));
            }
            config.push((key.to_owned(), on));
        }
        if errors.is_empty() { Ok(Self(config)) } else { Err(format!("--runtime-config: {}", errors.join("; "))) }
    }

    /// Whether a resource is served under a version. The narrowest rule wins, whatever the order; of two alike, the
    /// last.
    pub(super) fn enables(&self, group: &str, version: &str, plural: &str) -> bool {
        let maturity = if version.contains("alpha") {
            "api/alpha"
        } else if version.contains("beta") {
            "api/beta"
        } else {
            "api/ga"
        };
        let name = group_version(group, version);
        let resource = format!("{name}/{plural}");
        let rule = |key: &str| self.0.iter().rev().find(|(rule, _)| rule == key).map(|(_, on)| *on);
        let narrow = rule(&resource).or_else(|| rule(&name)).or_else(|| rule(maturity));
        narrow.or_else(|| rule("api/all")).unwrap_or(maturity == "api/ga")
    }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

/// The core group goes by `v1` and by `api/v1`.
fn normal(key: &str) -> &str {
    match key.strip_prefix("api/") {
        Some(rest) if rest.starts_with('v') => rest,
        _ => key,
    }
}
