//! Configurations as they are compiled: one [`Hook`] for each webhook, which outlives changes of other configurations, so that
//! its connections and what its circuit breaker knows are kept.

use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use api::selector::LabelSelector;
use api::{Object, Value, Version};
use smol_str::SmolStr;

use super::matching::Rule;
use super::review::ReviewVersion;
use super::{Hooks, Phase};
use crate::outside::{Breaker, Client};

/// One webhook.
pub(super) struct Hook {
    /// Of which state of which configuration.
    configuration: (SmolStr, Version),
    pub(super) name: String,
    pub(super) phase: Phase,
    pub(super) rules: Vec<Rule>,
    /// matchPolicy is Equivalent.
    pub(super) equivalent: bool,
    pub(super) namespaces: LabelSelector,
    pub(super) objects: LabelSelector,
    /// failurePolicy is Ignore.
    pub(super) ignores_failure: bool,
    pub(super) timeout: Duration,
    /// reinvocationPolicy is IfNeeded.
    pub(super) reinvoked: bool,
    /// sideEffects is None or NoneOnDryRun.
    pub(super) may_run_dry: bool,
    /// `None`: it speaks no version that this server knows.
    pub(super) review_version: Option<ReviewVersion>,
    pub(super) client: Client,
    pub(super) breaker: Breaker,
}

/// All webhooks of a phase, by the names of their configurations and then as they stand there.
pub(super) fn compile(configurations: &[Arc<Object>], phase: Phase, before: &Hooks) -> Hooks {
    let mut hooks = Vec::new();
    for object in configurations {
        let id = (object.name.clone(), object.version);
        let known = before.iter().filter(|hook| hook.configuration == id);
        let first = hooks.len();
        hooks.extend(known.cloned());
        if hooks.len() == first {
            let document = object.document();
            hooks.extend(document.list(&["webhooks"]).iter().map(|hook| Arc::new(Hook::read(id.clone(), phase, hook))));
        }
    }
    hooks.into()
}

impl Hook {
    fn read(configuration: (SmolStr, Version), phase: Phase, hook: &Value) -> Self {
        // Validation has read them before.
        let selector = |key| {
            let value = hook.at(&[key]);
            if value.is_null() {
                return LabelSelector::default();
            }
            LabelSelector::from_value(value).unwrap_or_else(|_| LabelSelector::nothing())
        };
        let seconds = hook.int(&["timeoutSeconds"]).unwrap_or(10).clamp(1, 30);
        Self {
            configuration,
            name: hook.text(&["name"]).to_owned(),
            phase,
            rules: hook.list(&["rules"]).iter().map(Rule::read).collect(),
            equivalent: hook.text(&["matchPolicy"]) != "Exact",
            namespaces: selector("namespaceSelector"),
            objects: selector("objectSelector"),
            ignores_failure: hook.text(&["failurePolicy"]) == "Ignore",
            timeout: Duration::from_secs(seconds.unsigned_abs()),
            reinvoked: phase == Phase::Mutating && hook.text(&["reinvocationPolicy"]) == "IfNeeded",
            may_run_dry: matches!(hook.text(&["sideEffects"]), "None" | "NoneOnDryRun"),
            review_version: ReviewVersion::first(hook.list(&["admissionReviewVersions"])),
            client: Client::new(hook.at(&["clientConfig"])),
            breaker: Breaker::default(),
        }
    }
}
