//! Admission webhooks: what a cluster's own servers say to its writes. When they are asked is [`crate::reviews`]' to say.
//!
//! ```text
//! configuration (followed, compiled) -> matching -> dispatch (order, reinvocation, policy) -> review -> crate::outside (HTTPS)
//! ```
//!
//! Invariant: configurations of webhooks and policies are never shown to a webhook, so that they can always be mended.
//!
//! Not here yet: CONNECT (no subresource connects yet), a client certificate or token towards webhooks, audit annotations
//! (there is no audit log).

mod configuration;
mod dispatch;
mod metrics;
mod review;

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::follow::Kind;
use crate::reviews::{Again, Pass, Phase, Subject};
use crate::verbs::Call;
use configuration::Hook;
pub(crate) use dispatch::{mutate, validate};
pub(crate) use metrics::WebhookMetrics;

/// Webhooks in the order in which they are asked.
pub(crate) type Hooks = Arc<[Arc<Hook>]>;

impl Phase {
    fn kind(self) -> Kind {
        match self {
            Self::Mutating => Kind::MutatingWebhooks,
            Self::Validating => Kind::ValidatingWebhooks,
        }
    }

    /// The reference's label of metrics.
    fn label(self) -> &'static str {
        match self {
            Self::Mutating => "admit",
            Self::Validating => "validating",
        }
    }
}

/// The webhooks of every cluster that the shard has tables of, compiled when their configurations change.
#[derive(Default)]
pub(crate) struct Webhooks {
    /// By the cluster's position and the phase: how often the copy had changed, and what it came to.
    compiled: Mutex<HashMap<(usize, Phase), (u64, Hooks)>>,
}

impl Webhooks {
    /// Those that may be meant for a request. There are none where there are none, which is cheap to find out.
    pub(crate) fn of(&self, call: Call<'_>, phase: Phase) -> Hooks {
        let of = |cluster, informer: Arc<crate::merge::Informer>| {
            let (changes, count) = informer.glance()?;
            if count == 0 {
                return None;
            }
            let mut compiled = self.compiled.lock();
            let known = compiled.get(&(cluster, phase));
            if let Some((_, hooks)) = known.filter(|(as_of, _)| *as_of == changes) {
                return Some(hooks.clone());
            }
            let before = known.map(|(_, hooks)| hooks.clone()).unwrap_or_default();
            let hooks = configuration::compile(&informer.all(), phase, &before);
            compiled.insert((cluster, phase), (changes, hooks.clone()));
            Some(hooks)
        };
        let cluster = call.shard.layout.cluster_at(&call.request.cluster).filter(|_| !is_exempt(call));
        let informer = call.shard.followed.of(call, phase.kind());
        cluster.zip(informer).and_then(|(cluster, informer)| of(cluster, informer)).unwrap_or_default()
    }
}

/// What webhooks never see: what says which webhooks and policies there are.
fn is_exempt(call: Call<'_>) -> bool {
    const EXEMPT: [&str; 6] = [
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    ];
    call.resource.group == "admissionregistration.k8s.io" && EXEMPT.contains(&call.resource.plural.as_str())
}

/// Whether any webhook is to be asked, or has to say why it cannot be found out.
pub(crate) fn are_meant(call: Call<'_>, hooks: &Hooks, pass: Pass, subject: &Subject, again: &Again) -> bool {
    let asks = |hook: &Hook| again.hooks.asks(pass, &hook.key) && !matches!(hook.matched(call, subject), Ok(None));
    hooks.iter().any(|hook| asks(hook))
}
