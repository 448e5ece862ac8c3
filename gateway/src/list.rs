//! Lists: of one slot at its owner's latest, of several shards cut at one version (DESIGN D5).

mod cut;

use std::sync::Arc;
use std::time::Duration;

use api::selector::Selector;
use api::slot::Slot;
use api::status::{Causes, Reason};
use api::{Object, Resource, Status, Version};
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use shards::service::{ListPage, ListRequest, ListSlots, ShardError, VERSION_WAIT};
use shards::topology::{Member, OWNER_WAIT, SlotMap, Topology};
use smol_str::SmolStr;
use tokio::time::Instant;

use crate::continuation::Continuation;
use crate::query::Query;
use crate::relay::Reach;

/// How often a clock, or a map, is looked at again.
const AGAIN: Duration = Duration::from_millis(20);

/// Which objects are meant.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    pub(crate) cluster: SmolStr,
    pub(crate) resource: Arc<Resource>,
    /// Empty for all.
    pub(crate) namespace: SmolStr,
    pub(crate) selector: Arc<Selector>,
}

impl Scope {
    /// Whom a watch of them waits for.
    pub(crate) fn reach(&self) -> Reach {
        self.slot().map_or(Reach::Everywhere, Reach::One)
    }

    /// The one slot that they all live in, if that can be told.
    pub(crate) fn slot(&self) -> Option<Slot> {
        let one_name = || {
            let name = self.selector.fields.name()?;
            let known = !self.resource.namespaced || !self.namespace.is_empty();
            known.then(|| self.resource.slot(&self.cluster, &self.namespace, name))
        };
        self.resource.list_slot(&self.cluster, &self.namespace).or_else(one_name)
    }
}

/// Of which moment the answer must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// The latest.
    Latest,
    /// Not older than this.
    NotOlderThan(Version),
    /// This one.
    Exactly(Version),
}

/// A page of a list.
#[derive(Debug)]
pub(crate) struct Listed {
    /// A watch from here misses nothing and repeats nothing.
    pub(crate) version: Version,
    /// In key order.
    pub(crate) objects: Vec<Arc<Object>>,
    /// Objects behind the last one that match as well.
    pub(crate) remaining: usize,
}

/// The options of a list, read from the query and checked as the reference does.
#[derive(Clone, Debug)]
pub(crate) struct ListOptions {
    pub(crate) at: At,
    pub(crate) limit: usize,
    pub(crate) after: Option<(SmolStr, SmolStr)>,
}

impl ListOptions {
    pub(crate) fn read(query: &Query, scope: &Scope) -> Result<Self, Status> {
        let matching = query.text("resourceVersionMatch");
        let token = query.text("continue");
        check_match(query, matching, token)?;
        let version = parse_version(query.text("resourceVersion"))?;
        let limit = match query.number::<i64>("limit")? {
            Some(limit) if limit > 0 => usize::try_from(limit).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        if !token.is_empty() {
            if version.is_some_and(|version| !version.is_zero()) {
                return Err(Status::bad_request("specifying resource version is not allowed when using continue"));
            }
            let read = Continuation::decode(token, &scope.cluster, &scope.resource.id_name, &scope.namespace)?;
            let at = match read.version() {
                // No state of this cluster is as old.
                Some(_) if read.is_of_former(&scope.cluster) => At::Exactly(Version(1)),
                version => version.map_or(At::Latest, At::Exactly),
            };
            return Ok(Self { at, limit, after: Some(read.last()) });
        }
        let at = match (version, matching) {
            (None, _) => At::Latest,
            (Some(version), _) if version.is_zero() => At::Latest,
            (Some(version), "Exact") => At::Exactly(version),
            // A limited list of a version used to mean exactly that one.
            (Some(version), "") if limit != usize::MAX => At::Exactly(version),
            (Some(version), _) => At::NotOlderThan(version),
        };
        Ok(Self { at, limit, after: None })
    }
}

fn check_match(query: &Query, matching: &str, token: &str) -> Result<(), Status> {
    let mut causes = Causes::default();
    let version = query.text("resourceVersion");
    if !matching.is_empty() {
        let field = "resourceVersionMatch";
        if version.is_empty() {
            causes.forbidden(field, "resourceVersionMatch is forbidden unless resourceVersion is provided");
        }
        if !token.is_empty() {
            causes.forbidden(field, "resourceVersionMatch is forbidden when continue is provided");
        }
        if !matches!(matching, "Exact" | "NotOlderThan") {
            causes.not_supported(field, &matching.into(), &["Exact", "NotOlderThan", ""]);
        }
        if matching == "Exact" && version == "0" {
            causes.forbidden(field, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
        }
    }
    if query.get("sendInitialEvents").is_some() {
        causes.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list");
    }
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "ListOptions", "", causes)) }
}

/// resourceVersion of a query; `None` where it is empty.
pub(crate) fn parse_version(text: &str) -> Result<Option<Version>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| Status::new(Reason::BadRequest, format!("Invalid value: {text:?}: invalid resource version")))
}

/// Reads a page. Waits for slots that have no owner, or one that does not answer, up to [`OWNER_WAIT`]; 503 then.
pub(crate) async fn list(topology: &Topology, scope: &Scope, options: &ListOptions) -> Result<Listed, Status> {
    let began = Instant::now();
    loop {
        let map = topology.current();
        let read = tokio::select! {
            biased;
            read = attempt(topology, &map, scope, options) => read,
            () = lost(topology, &map) => Err(ShardError::Unreachable("it has been taken for dead".to_owned())),
        };
        match read {
            Ok(listed) => return Ok(listed),
            Err(ShardError::Status(status)) => return Err(status),
            Err(error) => again(topology, &map, began, &error).await?,
        }
    }
}

/// A version such that a watch behind it shows what happens from now on. Waits as [`list`] does.
pub(crate) async fn now(topology: &Topology, scope: &Scope) -> Result<Version, Status> {
    let began = Instant::now();
    loop {
        let map = topology.current();
        let clock = match scope.slot() {
            Some(slot) => match map.owner(slot) {
                Some(owner) => clock(owner).await,
                None => Err(ShardError::NotOwner),
            },
            None if map.is_complete() => newest(&map).await,
            None => Err(ShardError::NotOwner),
        };
        match clock {
            Ok(version) => return Ok(version),
            Err(ShardError::Status(status)) => return Err(status),
            Err(error) => again(topology, &map, began, &error).await?,
        }
    }
}

/// Waits for another map, or a moment: an owner may come back before the map changes. 503 when it has lasted too long:
/// nothing but reading was tried, so whoever asked may do so again.
async fn again(topology: &Topology, map: &SlotMap, began: Instant, error: &ShardError) -> Result<(), Status> {
    if began.elapsed() >= OWNER_WAIT {
        return Err(Status::unavailable(format!("slots have no owner that can be reached: {error}")));
    }
    drop(tokio::time::timeout(AGAIN, topology.newer_than(map.generation)).await);
    Ok(())
}

/// Waits until a member of `map` is no longer one: it will not answer.
async fn lost(topology: &Topology, map: &SlotMap) {
    let mut newer = topology.newer_than(map.generation).await;
    loop {
        let here = |ordinal| newer.members().iter().any(|member| member.ordinal == ordinal);
        if !map.members().iter().all(|member| here(member.ordinal)) {
            return;
        }
        newer = topology.newer_than(newer.generation).await;
    }
}

/// Reads a page as one map says where things are.
async fn attempt(
    topology: &Topology,
    map: &SlotMap,
    scope: &Scope,
    options: &ListOptions,
) -> Result<Listed, ShardError> {
    let request = |slots| ListRequest {
        slots,
        cluster: scope.cluster.clone(),
        resource: scope.resource.id,
        namespace: scope.namespace.clone(),
        selector: scope.selector.clone(),
        at: None,
        after: options.after.clone(),
        limit: options.limit,
    };
    if let Some(slot) = scope.slot() {
        let owner = map.owner(slot).ok_or(ShardError::NotOwner)?;
        let at = match options.at {
            At::Latest => None,
            At::NotOlderThan(version) => Some(match clock(owner).await? {
                // At this moment, and not at the latest that is published: while a write is pending, that is older.
                now if now >= version => now,
                // Another shard has released it, perhaps: then this one may be moved there.
                _ => released(topology, version).await?,
            }),
            At::Exactly(version) => Some(exactly(topology, version).await?),
        };
        let page = owner.service.list(ListRequest { at, ..request(ListSlots::One(slot)) }).await?;
        let ListPage { version, objects, remaining } = page;
        return Ok(Listed { version, objects, remaining });
    }
    if !map.is_complete() {
        return Err(ShardError::NotOwner);
    }
    let at = match options.at {
        // One shard alone needs no version to be cut at.
        At::Latest if map.members().len() == 1 => None,
        At::Latest => Some(newest(map).await?),
        At::NotOlderThan(version) => Some(released(topology, version).await?),
        At::Exactly(version) => Some(exactly(topology, version).await?),
    };
    cut::read(map, at, options.after.as_ref(), options.limit, request).await
}

/// A shard's clock. One that says nothing for too long is not reached.
async fn clock(member: &Member) -> Result<Version, ShardError> {
    let silent = |_| Err(ShardError::Unreachable("it does not answer".to_owned()));
    tokio::time::timeout(OWNER_WAIT, member.service.clock()).await.unwrap_or_else(silent)
}

/// The highest of all owners' clocks. What a shard without slots has released in its time lies below its heirs' clocks.
async fn newest(map: &SlotMap) -> Result<Version, ShardError> {
    let owners = map.members().iter().filter(|member| !member.slots.is_empty());
    let clocks = try_join_all(owners.map(clock)).await?;
    Ok(clocks.into_iter().max().unwrap_or_default())
}

/// Waits until some shard's clock has passed `version`: clients move no clock. Returns that clock.
pub(crate) async fn released(topology: &Topology, version: Version) -> Result<Version, Status> {
    let deadline = Instant::now() + VERSION_WAIT;
    loop {
        // One that does not answer cannot have been the only one to release it: whoever takes over starts above.
        let map = topology.current();
        let mut clocks: FuturesUnordered<_> = map.members().iter().map(clock).collect();
        let mut newest = Version::ZERO;
        while let Some(clock) = clocks.next().await {
            newest = newest.max(clock.unwrap_or_default());
            if newest >= version {
                return Ok(newest);
            }
        }
        if Instant::now() >= deadline {
            return Err(Status::version_too_large(version, newest));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn exactly(topology: &Topology, version: Version) -> Result<Version, Status> {
    released(topology, version).await.map(|_| version)
}
