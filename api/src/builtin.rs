//! The built-in rows.
use crate::resource::Registry;

/// What `--runtime-config` switched: `group/version[/resource]=true|false`, `api/all`, `api/beta`, `api/alpha`.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig(pub Vec<(String, bool)>);

impl RuntimeConfig {
    /// Parses `--runtime-config`'s comma-separated list.
    pub fn parse(_text: &str) -> Result<Self, String> {
        todo!()
    }
}

/// The resources of Kubernetes v1.36 that `config` enables.
pub fn registry(_config: &RuntimeConfig) -> Registry {
    todo!()
}
