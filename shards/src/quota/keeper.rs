//! Draws up accounts, and looks after them.

use std::sync::Arc;
use std::time::Duration;

use api::quota::{self, Quota};
use api::{Object, Value};

use super::ID_NAME;
use super::ledger::{Charge, Ledger, Of, Rules};
use crate::admission::is_apart;
use crate::sequencer::Place;
use crate::shard::Shard;
use crate::table::Table;

/// How often is looked for Pods whose time is over.
const EVERY: Duration = Duration::from_secs(1);
/// Objects that are added up before others get a turn.
const TURN: usize = 256;

/// For ever.
pub(crate) async fn run(shard: &Shard) {
    loop {
        for place in shard.sequencer.unsettled_places() {
            draw_up(shard, &place).await;
        }
        shard.sequencer.state_due();
        let unsettled = shard.sequencer.unsettled.notified();
        if shard.sequencer.has_books() {
            let _ = tokio::time::timeout(EVERY, unsettled).await;
        } else {
            unsettled.await;
        }
    }
}

/// Draws up the account of a namespace, unless somebody else is at it: then it answers false.
pub(crate) async fn draw_up(shard: &Shard, place: &Place) -> bool {
    let Some(drawing) = shard.sequencer.begin_drawing(place) else { return false };
    let Some(rules) = rules(shard, place) else {
        drawing.finish(None);
        return true;
    };
    let mut ledger = Ledger::new(rules.clone());
    let mut count = 0;
    for (of, object, id_name) in measured(shard, place, &rules) {
        ledger.set(of, charge(&rules, id_name, &object));
        count += 1;
        if count % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
    let (cluster, namespace) = place;
    tracing::debug!(cluster, %namespace, count, "the account of a namespace's quotas was drawn up");
    drawing.finish(Some(ledger));
    true
}

/// What an object takes, which is read only where that matters.
fn charge(rules: &Rules, id_name: &str, object: &Object) -> Charge {
    match quota::depends_on_document(id_name) {
        true => rules.charge(id_name, &object.document()),
        false => rules.charge(id_name, &Value::Null),
    }
}

/// The rules that hold in a namespace by now; `None` where it has no quotas.
fn rules(shard: &Shard, (cluster, namespace): &Place) -> Option<Arc<Rules>> {
    let table = shard.layout.named(usize::from(*cluster), ID_NAME)?;
    let (quotas, _) = shard.sequencer.newest_in(table, namespace);
    let quotas: Vec<Quota> = quotas.iter().map(|object| Quota::of(&object.document())).collect();
    (!quotas.is_empty()).then(|| Arc::new(Rules::new(quotas)))
}

/// The objects that are measured by any rule, and of which kind they are.
fn measured<'a>(
    shard: &'a Shard,
    (cluster, namespace): &Place,
    rules: &Rules,
) -> impl Iterator<Item = (Of, Arc<Object>, &'a str)> {
    let is_meant = |table: &Table| rules.measure(&table.resource.id_name) && !is_apart(&table.resource, namespace);
    let tables = shard.layout.tables_of(usize::from(*cluster));
    let tables: Vec<_> = tables.into_iter().filter(|(_, table)| is_meant(table)).collect();
    tables.into_iter().flat_map(move |(id, table)| {
        let (objects, _) = shard.sequencer.newest_in(id, namespace);
        let of = move |object: Arc<Object>| {
            ((id, (object.namespace.clone(), object.name.clone())), object, table.resource.id_name.as_str())
        };
        objects.into_iter().map(of)
    })
}

/// Draws it up once more, and complains about the first difference.
#[cfg(test)]
pub(crate) fn check(shard: &Shard, place: &Place) {
    let fresh = rules(shard, place).map(|rules| {
        let mut ledger = Ledger::new(rules.clone());
        for (of, object, id_name) in measured(shard, place, &rules) {
            ledger.set(of, charge(&rules, id_name, &object));
        }
        ledger
    });
    shard.sequencer.compare(place, fresh);
}
