//! Configurations as they are compiled: one [`Hook`] for each webhook, which outlives changes of other configurations, so that
//! its connections and what its circuit breaker knows are kept.

use std::sync::Arc;
use std::time::Duration;

use api::cel::admission::Compiler;
use api::document::Document;
use api::{Object, Status, Value, Version};
use smol_str::SmolStr;

use super::Hooks;
use super::review::ReviewVersion;
use crate::admission::bypass;
use crate::outside::{Breaker, Client};
use crate::reviews::{Beside, Conditions, Facts, Matching, Phase, Subject};
use crate::verbs::Call;

/// One webhook.
pub(crate) struct Hook {
    /// Of which state of which configuration.
    configuration: (SmolStr, Version),
    pub(super) name: String,
    /// What tells it from all others.
    pub(super) key: String,
    pub(super) phase: Phase,
    /// Until when it is not asked: microseconds since 1970.
    bypassed: Option<i64>,
    pub(crate) matching: Matching,
    conditions: Conditions,
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
            let bypassed = bypass::until(&document);
            let list = document.list(&["webhooks"]).iter().enumerate();
            let read = |(at, hook)| Arc::new(Hook { bypassed, ..Hook::read(id.clone(), phase, at, hook) });
            hooks.extend(list.map(read));
        }
    }
    hooks.into()
}

impl Hook {
    fn read(configuration: (SmolStr, Version), phase: Phase, at: usize, hook: &Value) -> Self {
        let seconds = hook.int(&["timeoutSeconds"]).unwrap_or(10).clamp(1, 30);
        Self {
            key: format!("{}/{at}", configuration.0),
            configuration,
            name: hook.text(&["name"]).to_owned(),
            phase,
            bypassed: None,
            matching: Matching::of_webhook(hook),
            conditions: Conditions::read(hook, &Compiler::plain(), false),
            ignores_failure: hook.text(&["failurePolicy"]) == "Ignore",
            timeout: Duration::from_secs(seconds.unsigned_abs()),
            reinvoked: phase == Phase::Mutating && hook.text(&["reinvocationPolicy"]) == "IfNeeded",
            may_run_dry: matches!(hook.text(&["sideEffects"]), "None" | "NoneOnDryRun"),
            review_version: ReviewVersion::first(hook.list(&["admissionReviewVersions"])),
            client: Client::new(hook.at(&["clientConfig"])),
            breaker: Breaker::default(),
        }
    }

    /// Whether its conditions ask what users may do.
    pub(crate) fn asks(&self) -> bool {
        self.conditions.ask()
    }

    /// In which served version it wants to see a write, if it is meant for it. 403 where that cannot be found out; an error may
    /// also mean that something has to be converted first.
    pub(super) fn matched(&self, call: Call<'_>, subject: &Subject) -> Result<Option<usize>, Status> {
        let Some(at) = self.matching.matches(call, subject) else { return Ok(None) };
        if self.bypassed.is_some_and(|until| call.now_micros() < until) {
            let why = format!(
                "admission webhook {:?} is bypassed by its configuration {:?}",
                self.name, self.configuration.0
            );
            call.reviews.warn(vec![why]);
            return Ok(None);
        }
        if self.conditions.is_empty() {
            return Ok(Some(at));
        }
        let facts = Facts::new(call, subject, at, call.request.served)?;
        match self.conditions.hold(&facts.bindings(Beside::default())) {
            Ok(holds) => Ok(holds.then_some(at)),
            Err(why) => Err(call.forbidden(&why)),
        }
    }
}
