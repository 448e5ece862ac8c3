//! Levels, versions of them, and the labels of a Namespace.

use std::fmt;

use crate::document::{Document, Value};
use crate::status::Causes;

/// How strict; the stricter one is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything is allowed.
    Privileged,
    /// What is known to lead out of a container is not.
    Baseline,
    /// Only what is known to be harmless is.
    Restricted,
}

impl Level {
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Privileged => "privileged",
            Self::Baseline => "baseline",
            Self::Restricted => "restricted",
        })
    }
}

/// The Kubernetes version whose checks are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `v1.N`
    Minor(u64),
    /// Whatever is newest.
    Latest,
}

impl Version {
    fn parse(text: &str) -> Result<Self, &'static str> {
        const WRONG: &str = "must be \"latest\" or \"v1.x\"";
        if text == "latest" {
            return Ok(Self::Latest);
        }
        let digits = text.strip_prefix("v1.").ok_or(WRONG)?;
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
        digits.parse().ok().filter(|_| is_plain).map(Self::Minor).ok_or(WRONG)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::Minor(minor) => write!(f, "v1.{minor}"),
        }
    }
}

/// `restricted:latest`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelVersion {
    /// How strict.
    pub level: Level,
    /// As of when.
    pub version: Version,
}

impl LevelVersion {
    /// What holds where nobody says anything.
    pub const PRIVILEGED: Self = Self { level: Level::Privileged, version: Version::Latest };

    /// Whether it allows the same.
    fn is_like(&self, other: &Self) -> bool {
        self == other || (self.level == Level::Privileged && other.level == Level::Privileged)
    }
}

impl fmt::Display for LevelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.level, self.version)
    }
}

/// What holds in a Namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// What is refused.
    pub enforce: LevelVersion,
    /// What is noted down.
    pub audit: LevelVersion,
    /// What is warned of.
    pub warn: LevelVersion,
}

impl Default for Policy {
    fn default() -> Self {
        let all = LevelVersion::PRIVILEGED;
        Self { enforce: all, audit: all, warn: all }
    }
}

const LABELS: &str = "pod-security.kubernetes.io/";
const MODES: [[&str; 2]; 3] = [
    ["pod-security.kubernetes.io/enforce", "pod-security.kubernetes.io/enforce-version"],
    ["pod-security.kubernetes.io/audit", "pod-security.kubernetes.io/audit-version"],
    ["pod-security.kubernetes.io/warn", "pod-security.kubernetes.io/warn-version"],
];

impl Policy {
    /// The policy that the labels of a Namespace say. There always is one: where a label makes no sense, what is enforced is
    /// the strictest, and what is only said is nothing.
    pub fn of<'l>(label: impl Fn(&str) -> Option<&'l str>, defaults: &Self) -> (Self, Causes) {
        let (mut policy, mut causes) = (*defaults, Causes::default());
        let [enforce, audit, warn] = MODES;
        let mut read = |[level, version]: [&str; 2], at: &mut LevelVersion, otherwise: Level| {
            let mut is_said = false;
            if let Some(text) = label(level) {
                let parsed = Level::parse(text);
                at.level = parsed.unwrap_or(otherwise);
                is_said = parsed.is_ok();
                complain(parsed, level, text, &mut causes);
            }
            if let Some(text) = label(version) {
                let parsed = Version::parse(text);
                at.version = parsed.unwrap_or(Version::Latest);
                complain(parsed, version, text, &mut causes);
            }
            is_said
        };
        let enforced = read(enforce, &mut policy.enforce, Level::Restricted);
        read(audit, &mut policy.audit, Level::Privileged);
        read(warn, &mut policy.warn, Level::Privileged);
        // Who is refused Pods is warned of workloads that cannot have any.
        if enforced && label(warn[0]).is_none() && policy.enforce.level > policy.warn.level {
            policy.warn.level = policy.enforce.level;
            if label(warn[1]).is_none() {
                policy.warn.version = policy.enforce.version;
            }
        }
        (policy, causes)
    }

    /// The same for a document.
    pub fn of_document(namespace: &Value, defaults: &Self) -> (Self, Causes) {
        Self::of(|key| namespace.at(&["metadata", "labels", key]).as_str(), defaults)
    }

    /// Whether nothing is looked at.
    pub fn is_privileged(&self) -> bool {
        [self.enforce, self.audit, self.warn].iter().all(|it| it.level == Level::Privileged)
    }

    /// Whether it comes to the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.enforce.is_like(&other.enforce) && self.audit.is_like(&other.audit) && self.warn.is_like(&other.warn)
    }

    /// The modes that labels set to something that forbids anything: `enforce=baseline:latest, warn=…`
    pub(super) fn said(&self, namespace: &Value) -> String {
        let has = |key: &str| !namespace.at(&["metadata", "labels", key]).is_null();
        let modes = MODES.into_iter().zip([self.enforce, self.audit, self.warn]);
        let said = modes.filter(|(keys, at)| at.level != Level::Privileged && keys.iter().any(|key| has(key)));
        let said: Vec<String> = said.map(|([key, _], at)| format!("{}={at}", &key[LABELS.len()..])).collect();
        said.join(", ")
    }
}

fn complain<T>(parsed: Result<T, &'static str>, key: &str, text: &str, causes: &mut Causes) {
    if let Err(why) = parsed {
        causes.invalid(format!("metadata.labels[{key}]"), &text.into(), why);
    }
}

/// A level or version outside of labels, in a configuration.
pub(super) fn parse(level: &str, version: &str) -> Result<LevelVersion, &'static str> {
    Ok(LevelVersion { level: Level::parse(level)?, version: Version::parse(version)? })
}
