//! Admission policies: what a cluster's own expressions say to its writes (ValidatingAdmissionPolicy,
//! MutatingAdmissionPolicy). When they are run is [`crate::reviews`]' to say.
//!
//! ```text
//! configuration (followed, compiled) -> matching -> parameters -> match conditions -> validations or mutations
//! ```
//!
//! A policy says what it wants, a binding where and with which parameters; each pair of a binding and a parameter is one run,
//! which has budgets of its own. All of it is a function of the write, the configuration and the copies of parameters, so a
//! decision runs it where it stands.
//!
//! Invariants: policies and their bindings are never held against a policy, so that they can always be mended; an expression
//! ends within its cost; what goes wrong in a policy refuses the write, unless its failurePolicy is Ignore.
//!
//! Not here yet: audit annotations are worked out, and lead to nothing but a line in the log (there is no audit log).

mod configuration;
mod metrics;
mod mutating;
mod params;
mod refusal;
mod typecheck;
mod validating;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use api::document::Document;
use api::{Status, Value};
use parking_lot::Mutex;

use crate::follow::Kind;
use crate::reviews::{Facts, NamespaceLabels, Phase, Subject};
use crate::verbs::Call;
use configuration::Bound;
pub(crate) use metrics::PolicyMetrics;
pub(crate) use mutating::mutate;
pub(crate) use params::follow as follow_params;
pub(crate) use typecheck::run;
pub(crate) use validating::validate;

/// Policies that are bound, by their names.
pub(crate) type Policies = Arc<[Bound]>;

/// The kinds of policies and of their bindings.
fn kinds(phase: Phase) -> [Kind; 2] {
    match phase {
        Phase::Mutating => [Kind::MutatingPolicies, Kind::MutatingBindings],
        Phase::Validating => [Kind::ValidatingPolicies, Kind::ValidatingBindings],
    }
}

/// How often the copies of policies and bindings had changed.
type AsOf = (u64, u64);

/// The policies of every cluster that the shard has tables of, compiled when their configurations change.
#[derive(Default)]
pub(crate) struct Compiled(Mutex<HashMap<(usize, Phase), (AsOf, Policies)>>);

impl Compiled {
    /// Those that may be meant for a request.
    pub(crate) fn of(&self, call: Call<'_>, phase: Phase) -> Policies {
        let cluster = call.shard.layout.cluster_at(&call.request.cluster).filter(|_| !is_exempt(call));
        cluster.and_then(|cluster| self.compiled(call, cluster, phase)).unwrap_or_default()
    }

    fn compiled(&self, call: Call<'_>, cluster: usize, phase: Phase) -> Option<Policies> {
        let [policies, bindings] = kinds(phase).map(|kind| call.shard.followed.of(call, kind));
        let (policies, bindings) = (policies?, bindings?);
        let ((of_policies, policy_count), (of_bindings, binding_count)) = (policies.glance()?, bindings.glance()?);
        let as_of = (of_policies, of_bindings);
        let mut compiled = self.0.lock();
        let known = compiled.get(&(cluster, phase));
        if let Some((_, policies)) = known.filter(|(known, _)| *known == as_of) {
            return Some(policies.clone());
        }
        if known.is_none() && policy_count.min(binding_count) == 0 {
            return None;
        }
        let before = known.map(|(_, policies)| policies.clone()).unwrap_or_default();
        let made = configuration::compile(&policies.all(), &bindings.all(), phase, &before);
        compiled.insert((cluster, phase), (as_of, made.clone()));
        let both = Phase::ALL.iter().filter_map(|phase| compiled.get(&(cluster, *phase)));
        let kinds = both.flat_map(|(_, policies)| policies.iter()).filter_map(|bound| bound.policy.param_kind.as_ref());
        let resources: BTreeSet<_> = kinds.filter_map(|kind| Some(kind.resolve(call)?.0.id)).collect();
        call.shard.followed.only(cluster, &resources);
        Some(made)
    }
}

/// What policies never see: what says which policies there are.
fn is_exempt(call: Call<'_>) -> bool {
    const EXEMPT: [&str; 4] = [
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
    ];
    call.resource.group == "admissionregistration.k8s.io" && EXEMPT.contains(&call.resource.plural.as_str())
}

/// A write as several policies see it: made once for each version.
struct Views<'a> {
    call: Call<'a>,
    /// By the version of kind and resource.
    made: Vec<((usize, usize), Arc<Facts>)>,
}

impl<'a> Views<'a> {
    fn of(call: Call<'a>) -> Self {
        Self { call, made: Vec::new() }
    }

    /// The object and the request's kind in one version, the request's resource in another.
    fn facts(&mut self, subject: &Subject, kind_of: usize, resource_of: usize) -> Result<Arc<Facts>, Status> {
        let key = (kind_of, resource_of);
        if let Some((_, facts)) = self.made.iter().find(|(known, _)| *known == key) {
            return Ok(facts.clone());
        }
        let facts = Arc::new(Facts::new(self.call, subject, kind_of, resource_of)?);
        self.made.push((key, facts.clone()));
        Ok(facts)
    }

    /// The object has changed.
    fn forget(&mut self) {
        self.made.clear();
    }
}

/// `namespaceObject`; nothing for what lives in no namespace. 404 where it is not there.
fn namespace_object(call: Call<'_>, subject: &Subject) -> Result<Option<Value>, Status> {
    if call.is("namespaces") {
        return Ok(None);
    }
    match &subject.namespace {
        NamespaceLabels::ClusterScoped | NamespaceLabels::Written(_) => Ok(None),
        NamespaceLabels::Unknown => Err(Status::not_found("", "namespaces", &call.request.namespace)),
        NamespaceLabels::Of(namespace) => {
            let mut document = namespace.document();
            for hidden in ["managedFields", "ownerReferences"] {
                document.remove(&["metadata", hidden]);
            }
            Ok(Some(document))
        }
    }
}
