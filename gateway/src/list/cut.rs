//! A list over several shards, cut at one version: each answers for exactly the slots that the map gives it, and the pages
//! merge in key order.

use std::sync::Arc;

use api::{Object, Version};
use futures_util::future::try_join_all;
use shards::SlotMap;
use shards::service::{ListPage, ListRequest, ListSlots, ShardError};
use shards::topology::Member;
use smol_str::SmolStr;

use super::Listed;

/// Objects that a shard is asked for at least: a page costs more than some objects.
const LEAST: usize = 32;

/// Namespace and name.
type Key<'a> = (&'a SmolStr, &'a SmolStr);

/// What one shard has told so far.
struct Part<'a> {
    member: &'a Member,
    objects: Vec<Arc<Object>>,
    /// Objects behind the last one that match as well.
    remaining: usize,
}

impl Part<'_> {
    fn last(&self) -> Option<Key<'_>> {
        self.objects.last().map(|object| key(object))
    }
}

fn key(object: &Object) -> Key<'_> {
    (&object.namespace, &object.name)
}

/// At most `limit` objects behind `after`, at version `at` (`None`: the latest, where one shard has everything).
/// `request` fills in the rest of what is asked.
pub(super) async fn read(
    map: &SlotMap,
    at: Option<Version>,
    after: Option<&(SmolStr, SmolStr)>,
    limit: usize,
    request: impl Fn(ListSlots) -> ListRequest,
) -> Result<Listed, ShardError> {
    let owners: Vec<&Member> = map.members().iter().filter(|member| !member.slots.is_empty()).collect();
    let ask = async |member: &Member, after: Option<(SmolStr, SmolStr)>, limit: usize| {
        let slots = ListSlots::Exactly(member.slots.clone());
        member.service.list(ListRequest { at, after, limit, ..request(slots) }).await
    };
    // Two shards may as well be asked for all. Of many, each has a part, but nobody knows how large it is.
    let share = match owners.len() {
        0..=2 => limit,
        many => limit.div_ceil(many).saturating_mul(2).max(LEAST).min(limit),
    };
    let pages = try_join_all(owners.iter().map(|member| ask(member, after.cloned(), share))).await?;
    let version = at.or_else(|| pages.first().map(|page| page.version)).unwrap_or_default();
    let part = |(member, page)| {
        let ListPage { objects, remaining, .. } = page;
        Part { member, objects, remaining }
    };
    let mut parts: Vec<Part<'_>> = owners.into_iter().zip(pages).map(part).collect();
    loop {
        let short = short(&parts, limit);
        if short.is_empty() {
            return Ok(merge(version, parts, limit));
        }
        let more = try_join_all(short.iter().map(|at| {
            let part = &parts[*at];
            let last = part.objects.last().map(|object| (object.namespace.clone(), object.name.clone()));
            ask(part.member, last, (limit - part.objects.len()).min(share))
        }));
        for (at, page) in short.iter().zip(more.await?) {
            let part = &mut parts[*at];
            part.remaining = page.remaining;
            part.objects.extend(page.objects);
        }
    }
}

/// Parts that may hold more of the first `limit` objects than they have told.
fn short(parts: &[Part<'_>], limit: usize) -> Vec<usize> {
    let unfinished = |part: &Part<'_>| part.remaining > 0;
    if !parts.iter().any(unfinished) {
        return Vec::new();
    }
    let mut keys: Vec<Key<'_>> = parts.iter().flat_map(|part| part.objects.iter().map(|object| key(object))).collect();
    keys.sort_unstable();
    let end = keys.get(limit.saturating_sub(1));
    let is_short =
        |part: &Part<'_>| unfinished(part) && end.is_none_or(|end| part.last().is_none_or(|last| last < *end));
    (0..parts.len()).filter(|at| is_short(&parts[*at])).collect()
}

/// Each part is in key order, and all together come out so.
fn merge(version: Version, parts: Vec<Part<'_>>, limit: usize) -> Listed {
    let mut remaining: usize = parts.iter().map(|part| part.remaining).sum();
    let mut objects: Vec<Arc<Object>> = Vec::with_capacity(parts.iter().map(|part| part.objects.len()).sum());
    parts.into_iter().for_each(|part| objects.extend(part.objects));
    // The standard library's stable sort finds the runs and merges them.
    objects.sort_by(|a, b| key(a).cmp(&key(b)));
    if objects.len() > limit {
        remaining += objects.len() - limit;
        objects.truncate(limit);
    }
    Listed { version, objects, remaining }
}
