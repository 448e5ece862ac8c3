//! What an operator sets: a policy for Namespaces without labels, and who is exempt.

use super::level::{self, LevelVersion, Policy};
use crate::document::{Document, Value};

/// PodSecurityConfiguration of `pod-security.admission.config.k8s.io/v1`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    /// What holds where labels say nothing.
    pub defaults: Policy,
    /// What is never looked at.
    pub exemptions: Exemptions,
}

/// What is never looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exemptions {
    /// Whose requests.
    pub usernames: Vec<String>,
    /// Pods that run under one of these.
    pub runtime_classes: Vec<String>,
    /// Pods in one of these.
    pub namespaces: Vec<String>,
}

impl Configuration {
    /// Reads the document of a configuration file. The error says what is wrong with it.
    pub fn of(document: &Value) -> Result<Self, String> {
        let version = document.text(&["apiVersion"]);
        let group = version.strip_prefix("pod-security.admission.config.k8s.io/");
        if document.text(&["kind"]) != "PodSecurityConfiguration"
            || !matches!(group, Some("v1" | "v1beta1" | "v1alpha1"))
        {
            let kind = document.text(&["kind"]);
            return Err(format!(
                "a PodSecurityConfiguration of pod-security.admission.config.k8s.io/v1 is wanted, not {kind:?} of {version:?}"
            ));
        }
        known(document, "", &["apiVersion", "kind", "defaults", "exemptions"])?;
        let defaults = document.at(&["defaults"]);
        let names = ["enforce", "enforce-version", "audit", "audit-version", "warn", "warn-version"];
        known(defaults, "defaults.", &names)?;
        let exemptions = document.at(&["exemptions"]);
        known(exemptions, "exemptions.", &["usernames", "runtimeClasses", "namespaces"])?;
        let of = |mode| default(defaults, mode);
        Ok(Self {
            defaults: Policy { enforce: of("enforce")?, audit: of("audit")?, warn: of("warn")? },
            exemptions: Exemptions {
                usernames: texts(exemptions, "usernames")?,
                runtime_classes: texts(exemptions, "runtimeClasses")?,
                namespaces: texts(exemptions, "namespaces")?,
            },
        })
    }
}

impl Exemptions {
    /// Whether nobody looks at what happens in a Namespace.
    pub fn namespace(&self, name: &str) -> bool {
        self.namespaces.iter().any(|exempt| exempt == name)
    }

    /// Whether nobody looks at what somebody does.
    pub fn user(&self, name: &str) -> bool {
        self.usernames.iter().any(|exempt| exempt == name)
    }

    /// Whether nobody looks at a Pod, or a template of one, because of what runs it.
    pub fn runtime_class_of(&self, pod: &Value) -> bool {
        let class = pod.text(&["spec", "runtimeClassName"]);
        !class.is_empty() && self.runtime_classes.iter().any(|exempt| exempt == class)
    }
}

fn known(object: &Value, path: &str, names: &[&str]) -> Result<(), String> {
    let mut keys = object.as_object().into_iter().flatten().map(|(key, _)| key);
    match keys.find(|key| !names.contains(&key.as_str())) {
        Some(key) => Err(format!("unknown field {:?}", format!("{path}{key}"))),
        None => Ok(()),
    }
}

fn default(defaults: &Value, mode: &str) -> Result<LevelVersion, String> {
    let text = |name: &str, otherwise: &'static str| match defaults.at(&[name]) {
        Value::Null => Ok(otherwise.to_owned()),
        Value::String(text) => Ok(text.clone()),
        _ => Err(format!("defaults.{name}: a text is wanted")),
    };
    let (level, version) = (text(mode, "privileged")?, text(&format!("{mode}-version"), "latest")?);
    level::parse(&level, &version).map_err(|why| format!("defaults.{mode}: {level:?}, {version:?}: {why}"))
}

fn texts(of: &Value, name: &str) -> Result<Vec<String>, String> {
    let list = match of.at(&[name]) {
        Value::Null => &[],
        Value::Array(list) => list.as_slice(),
        _ => return Err(format!("exemptions.{name}: a list is wanted")),
    };
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    list.iter().map(|value| text(value).ok_or_else(|| format!("exemptions.{name}: a name is wanted"))).collect()
}
