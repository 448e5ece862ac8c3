//! Taints of nodes and tolerations of pods.

use serde::Deserialize;
use smol_str::SmolStr;

/// core/v1 Taint, without its time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Taint {
    /// Key.
    pub key: SmolStr,
    /// Value.
    pub value: SmolStr,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: SmolStr,
}

/// What a taint does to pods that do not tolerate it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They are not scheduled there (NoSchedule and NoExecute).
    Forbids,
    /// They go there only when nothing better is left (PreferNoSchedule).
    Discourages,
    /// Nothing that scheduling knows of.
    Nothing,
}

impl Taint {
    /// What the scheduler makes of the effect.
    pub fn effect(&self) -> Effect {
        match self.effect.as_str() {
            "NoSchedule" | "NoExecute" => Effect::Forbids,
            "PreferNoSchedule" => Effect::Discourages,
            _ => Effect::Nothing,
        }
    }
}

/// core/v1 Toleration, without its seconds, which are the taint eviction controller's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(default)]
pub struct Toleration {
    /// Key; empty for every key.
    pub key: SmolStr,
    /// `Equal` (or empty) or `Exists`. `Lt` and `Gt` are alpha in v1.36 and tolerate nothing.
    pub operator: SmolStr,
    /// Value.
    pub value: SmolStr,
    /// Effect; empty for every effect.
    pub effect: SmolStr,
}

impl Toleration {
    /// Whether this toleration tolerates the taint.
    pub fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && match self.operator.as_str() {
                "" | "Equal" => self.value == taint.value,
                "Exists" => true,
                _ => false,
            }
    }
}
