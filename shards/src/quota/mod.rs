//! Quota that is exact (DESIGN D3): a namespace has one writer, so what its objects take is added up where their order is
//! decided.
//!
//! Whoever owns a namespace that has ResourceQuotas keeps an account of it ([`crate::sequencer`], `books.rs`): the quotas'
//! rules, what each object takes, and the sums ([`ledger`]). A decision computes what its object takes under the rules
//! ([`admit`]) and hands that in with its proposal; the sequencer refuses a proposal whose rules are no longer the newest or
//! that does not fit, in the same critical section that gives it its place, and the decision is taken again. So what is
//! pending counts, and so does what is pending to go.
//!
//! What the quotas say about themselves (`status`) is written with the batch that changed it ([`statement`]).
//!
//! An account is derived state. It is drawn up from the newest objects when the slot is loaded, when a quota's rules change and
//! when a batch was lost ([`keeper`]); until that is done its namespace takes no writes, which is milliseconds. A namespace
//! without quotas has no account, and pays a look at one number.
//!
//! Invariants: the sums of an account are those of the newest objects (`consistency_check` recomputes them); nothing is added
//! that passes a limit; what is committed of a quota's `used` is what the objects of the same commit make.
//!
//! What does not live with its namespace (DESIGN D3: Events, Leases of nodes) is not counted.

pub(crate) mod keeper;
pub(crate) mod ledger;
pub(crate) mod statement;

use api::Value;
use api::document::Document;
use api::{Status, quota};

use crate::admission::is_apart;
use crate::sequencer::{Charged, Known, Place, Revision};
use crate::service::ShardError;
use crate::verbs::{Call, Decision, View};

/// The kind that this is about.
pub(crate) const ID_NAME: &str = "resourcequotas";

impl Call<'_> {
    /// The account that the object would be in, if its namespace had one.
    pub(crate) fn place(&self) -> Option<Place> {
        if !self.resource.namespaced || is_apart(self.resource, &self.request.namespace) {
            return None;
        }
        Some((self.shard.layout.cluster_of(self.table), self.request.namespace.clone()))
    }
}

/// Waits until the account of a write's namespace is drawn up, if it has one.
pub(crate) async fn ready(call: Call<'_>) -> Result<(), ShardError> {
    let sequencer = &call.shard.sequencer;
    if !sequencer.has_books() {
        return Ok(());
    }
    let Some(place) = call.place() else { return Ok(()) };
    loop {
        let drawn = sequencer.drawn.notified();
        tokio::pin!(drawn);
        drawn.as_mut().enable();
        if !matches!(sequencer.known(&place), Known::Unsettled) {
            return Ok(());
        }
        if !keeper::draw_up(call.shard, &place).await {
            drawn.await;
        }
    }
}

/// ResourceQuota, the last word about a new document: refuses what a quota does not allow, and says what the object takes.
pub(crate) fn admit(call: Call<'_>, view: &mut View<'_>, old: Option<&Value>, document: &Value) -> Result<(), Status> {
    let Some(mut charged) = charge(call, document) else { return Ok(()) };
    charged.may_refuse = quota::may_refuse(&call.resource.id_name, &call.request.subresource, old, document);
    if charged.may_refuse {
        if let Some(why) = charged.rules.unsaid(&call.resource.id_name, document) {
            return Err(call.forbidden(&why));
        }
        let place = call.place().expect("it was charged somewhere");
        // Who creates what is there already is told first that it would not fit.
        let of = old.map(|_| (call.table, call.key()));
        let (exceeded, ticket) = call.shard.sequencer.exceeded(&place, of, &charged);
        view.wait_for(ticket);
        if let Some(why) = exceeded {
            return Err(call.forbidden(&why.to_string()));
        }
    }
    view.charged = Some(charged);
    Ok(())
}

/// What an object takes where it may not be refused for it: whatever is written to what is there already.
pub(crate) fn charge(call: Call<'_>, document: &Value) -> Option<Charged> {
    if !call.shard.sequencer.has_books() {
        return None;
    }
    let Known::Drawn(revision, rules) = call.shard.sequencer.known(&call.place()?) else { return None };
    let charge = rules.charge(&call.resource.id_name, document);
    Some(Charged { revision, rules, charge, may_refuse: false })
}

/// What a write does to a quota, if it is one.
pub(crate) fn revision(call: Call<'_>, view: &View<'_>, decision: &Decision) -> Revision {
    if !call.is(ID_NAME) {
        return Revision::None;
    }
    let (Decision::Put { document, .. }, Some(old)) = (decision, &view.object) else { return Revision::Rules };
    if old.document().at(&["spec"]) == document.at(&["spec"]) { Revision::Form } else { Revision::Rules }
}

/// Recomputes every account of a shard, and complains about the first difference.
#[cfg(test)]
pub(crate) fn consistency_check(shard: &crate::Shard) {
    for place in shard.sequencer.places() {
        keeper::check(shard, &place);
    }
}
