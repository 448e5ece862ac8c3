//! Who shares the work: one Lease per worker, like everything else in Kubernetes (DESIGN D7).

//!
//! Each worker renews a Lease of its own, which also says whom that worker counts as a member. From that follows who may
//! act:
//!
//! * A worker whose Lease did not change for the TTL on the observer's boot clock, confirmed by a GET, is dead. It stays a
//!   member for `deadline` longer, so that nothing which it began can meet what its heir does; then it is removed.
//! * A worker stops acting a margin before the TTL has passed since the *start* of its last successful renewal.
//! * A new worker, or one that comes back, acts once every other live worker's Lease counts it as a member.
//! * A clean stop deletes the Lease, and the others take over at once: cancel `shutdown` only when the work has stopped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use serde::Deserialize;
use serde_json::json;
use smol_str::SmolStr;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::backoff::{Backoff, jitter};
use crate::{Client, ClientError, Informer, InformerOptions, Kept, Meta, known};

const NAMESPACE: &str = "kube-system";
/// The label that finds a group's Leases.
const GROUP: &str = "shardplane.dev/group";
/// The annotation in which a worker says whom it counts as members, itself included.
const MEMBERS: &str = "shardplane.dev/members";
/// How long joining may take before it fails.
const JOIN: Duration = Duration::from_secs(60);

/// How a worker takes part.
#[derive(Clone, Debug)]
pub struct MembershipOptions {
    /// Which work: `shardplane-scheduler`, `shardplane-controllers`. Leases carry it as a label.
    pub group: String,
    /// This worker, unique in its group, and best the same after a restart: the new process then goes on where the old
    /// one stopped, where a stranger would have to wait until the old one is found dead. The Lease is
    /// `<group>-<identity>` in kube-system.
    pub identity: String,
    /// A Lease that stayed unchanged for so long on the observer's boot clock is a dead worker's.
    pub ttl: Duration,
    /// The longest that an action of a dead worker may still take effect: a new owner waits TTL plus this.
    pub deadline: Duration,
}

/// The live workers, by identity, sorted. Everyone computes the same shares from it by rendezvous hashing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Identities.
    pub identities: Arc<[String]>,
    /// This worker's own; empty when its own Lease is lost, and then it must not act.
    pub own: String,
}

impl Members {
    /// Whether this worker owns what hashes to `key`.
    pub fn owns(&self, key: u64) -> bool {
        !self.own.is_empty() && api::slot::rendezvous(key, &self.identities).is_some_and(|owner| *owner == self.own)
    }
}

/// A worker's part in a group.
pub struct Membership {
    client: Client,
    options: MembershipOptions,
    /// spec.holderIdentity: tells this process from an earlier one of the same identity.
    holder: String,
    lease_name: String,
    /// resourceVersion and uid of the own Lease as last written; empty while it must be made anew.
    version: SmolStr,
    uid: SmolStr,
    transitions: i64,
    /// Whom the own Lease says to be members.
    announced: Vec<String>,
    /// Start of the last successful renewal on the boot clock.
    renewed: Option<Duration>,
    /// Whether the others have counted this worker in since it (re)joined.
    accepted: bool,
    others: BTreeMap<String, Other>,
    /// Another process that holds the own Lease: its version when it was last seen to change, and when that was.
    rival: Option<(SmolStr, Duration)>,
    leases: Arc<Informer<LeaseView>>,
    sender: watch::Sender<Members>,
}

/// What is known of another worker.
struct Other {
    /// Version of its Lease when it was last seen to change.
    version: SmolStr,
    /// When that was, on the boot clock.
    changed: Duration,
    /// Whom it counts as members.
    members: Vec<String>,
    /// Whether its silence has been confirmed by a GET.
    confirmed: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LeaseView {
    metadata: Meta,
    spec: LeaseSpec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseSpec {
    holder_identity: Option<String>,
    lease_transitions: Option<i64>,
}

impl Kept for LeaseView {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl LeaseView {
    fn members(&self) -> Vec<String> {
        let members = self.metadata.annotations.get(MEMBERS).map(String::as_str).unwrap_or_default();
        members.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }
}

impl Membership {
    /// Creates this worker's Lease, keeps renewing it until `shutdown`, and follows the others. Released at the end, so
    /// that a clean stop hands over at once; the receiver is closed once that is done.
    pub async fn join(
        client: Client,
        options: MembershipOptions,
        shutdown: CancellationToken,
    ) -> Result<watch::Receiver<Members>, ClientError> {
        let follow = InformerOptions {
            namespace: NAMESPACE.to_owned(),
            labels: format!("{GROUP}={}", options.group),
            fields: String::new(),
        };
        // The informer outlives the release by nothing: it ends with this task.
        let informing = shutdown.child_token();
        let leases = Informer::<LeaseView>::start(client.clone(), known::LEASES, follow, informing);
        let mut membership = Self {
            holder: format!("{}_{:016x}", options.identity, client.ambient.entropy.next_u64()),
            lease_name: format!("{}-{}", options.group, options.identity),
            version: SmolStr::default(),
            uid: SmolStr::default(),
            transitions: 0,
            announced: Vec::new(),
            renewed: None,
            accepted: false,
            others: BTreeMap::new(),
            rival: None,
            leases,
            sender: watch::Sender::new(Members::default()),
            client,
            options,
        };
        membership.first_lease().await?;
        let changed = Arc::new(Notify::new());
        let teller = changed.clone();
        membership.leases.synced().await;
        membership.leases.on_change(move |_| teller.notify_one());
        let receiver = membership.sender.subscribe();
        tokio::spawn(membership.run(changed, shutdown));
        Ok(receiver)
    }

    async fn first_lease(&mut self) -> Result<(), ClientError> {
        let until = Instant::now() + JOIN;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let Err(error) = self.renew().await else { return Ok(()) };
            // A cluster that has just been made may not have its system namespace yet.
            let passing = error.is_retryable() || error.is_not_found() || error.is_conflict();
            if !passing || Instant::now() >= until {
                return Err(error);
            }
            sleep(backoff.next(&*self.client.ambient.entropy)).await;
        }
    }

    async fn run(mut self, changed: Arc<Notify>, shutdown: CancellationToken) {
        let mut next_renewal = Instant::now() + self.renewal_interval();
        let mut failures = 0u32;
        loop {
            self.observe().await;
            let members = self.members();
            if members != self.announced || Instant::now() >= next_renewal {
                match self.renew().await {
                    Ok(()) => {
                        failures = 0;
                        next_renewal = Instant::now() + self.renewal_interval();
                    }
                    Err(error) => {
                        failures += 1;
                        debug!(lease = self.lease_name, %error, failures, "cannot renew the Lease");
                        let pause = self.options.ttl / 16 * failures.min(4);
                        next_renewal = Instant::now() + jitter(pause, 0.5, &*self.client.ambient.entropy);
                    }
                }
            }
            self.publish();
            let wake = next_renewal.min(Instant::now() + self.until_next_change());
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = changed.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
            }
        }
        self.release().await;
    }

    fn renewal_interval(&self) -> Duration {
        jitter(self.options.ttl / 4, 0.2, &*self.client.ambient.entropy)
    }

    /// When this worker must stop acting, counted from the start of its last renewal.
    fn own_life(&self) -> Duration {
        self.options.ttl - self.options.ttl / 8
    }

    /// Looks at the others' Leases: who changed, who went, who fell silent.
    async fn observe(&mut self) {
        let now = self.client.ambient.clock.boot();
        let prefix = format!("{}-", self.options.group);
        let mut seen = BTreeMap::new();
        for lease in self.leases.list() {
            let Some(identity) = lease.metadata.name.strip_prefix(&prefix) else { continue };
            let released = lease.spec.holder_identity.as_deref().unwrap_or_default().is_empty();
            if identity == self.options.identity || released {
                continue;
            }
            let version = lease.metadata.resource_version.clone();
            let old = self.others.remove(identity).filter(|old| old.version == version);
            let fresh = || Other { version, changed: now, members: lease.members(), confirmed: false };
            seen.insert(identity.to_owned(), old.unwrap_or_else(fresh));
        }
        // A Lease that was deleted is a clean stop.
        self.others = seen;
        let ttl = self.options.ttl;
        let silent = |other: &Other| !other.confirmed && now.saturating_sub(other.changed) >= ttl;
        let suspects: Vec<String> =
            self.others.iter().filter(|(_, other)| silent(other)).map(|(identity, _)| identity.clone()).collect();
        for identity in suspects {
            self.confirm(identity).await;
        }
    }

    /// Asks the server whether a Lease really did not change: it may be this worker's watch that stands still.
    async fn confirm(&mut self, identity: String) {
        let name = format!("{}-{identity}", self.options.group);
        let lease = timeout(self.options.ttl / 4, self.client.get::<LeaseView>(&known::LEASES, NAMESPACE, &name)).await;
        let Some(other) = self.others.get_mut(&identity) else { return };
        match lease {
            Ok(Ok(lease)) if lease.metadata.resource_version == other.version => {
                info!(group = self.options.group, member = identity, "a member is silent and will be replaced");
                other.confirmed = true;
            }
            // Its change will arrive through the watch; until then it lives.
            Ok(Ok(_)) => other.changed = self.client.ambient.clock.boot(),
            Ok(Err(error)) if error.is_not_found() => other.confirmed = true,
            Ok(Err(_)) | Err(_) => {}
        }
    }

    fn is_removed(&self, other: &Other) -> bool {
        let silence = self.client.ambient.clock.boot().saturating_sub(other.changed);
        other.confirmed && silence >= self.options.ttl + self.options.deadline
    }

    /// Everyone who counts now, sorted.
    fn members(&self) -> Vec<String> {
        let live = self.others.iter().filter(|(_, other)| !self.is_removed(other));
        let mut members: Vec<String> = live.map(|(identity, _)| identity.clone()).collect();
        members.push(self.options.identity.clone());
        members.sort_unstable();
        members
    }

    fn publish(&mut self) {
        let now = self.client.ambient.clock.boot();
        let alive = self.renewed.is_some_and(|renewed| now.saturating_sub(renewed) < self.own_life());
        if !alive && self.accepted {
            warn!(lease = self.lease_name, "this worker's Lease is lost, it stops acting until it is renewed");
            self.accepted = false;
        }
        let identities = self.members();
        if alive && !self.accepted {
            let counted = |identity: &String| {
                self.others.get(identity).is_none_or(|other| other.members.contains(&self.options.identity))
            };
            self.accepted = identities == self.announced && identities.iter().all(counted);
        }
        let own = if alive && self.accepted { self.options.identity.clone() } else { String::new() };
        let members = Members { identities: identities.into(), own };
        self.sender.send_if_modified(|old| {
            let modified = *old != members;
            *old = members;
            modified
        });
    }

    /// How long nothing can change by the mere passing of time.
    fn until_next_change(&self) -> Duration {
        let now = self.client.ambient.clock.boot();
        let own = self.renewed.map(|renewed| renewed + self.own_life()).filter(|_| self.accepted);
        let others = self.others.values().filter(|other| !self.is_removed(other)).map(|other| {
            let silence = if other.confirmed { self.options.ttl + self.options.deadline } else { self.options.ttl };
            other.changed + silence
        });
        let next = others.chain(own).min().unwrap_or(Duration::MAX);
        // Not less than a little: a confirmation that fails must not become a busy loop.
        next.saturating_sub(now).clamp(self.options.ttl / 64, self.options.ttl)
    }

    /// Writes the own Lease: makes it, renews it, or takes it over from an earlier process of the same identity.
    async fn renew(&mut self) -> Result<(), ClientError> {
        let start = self.client.ambient.clock.boot();
        let members = self.members();
        let limit = self.options.ttl / 2;
        let written = timeout(limit, self.write(&members))
            .await
            .unwrap_or_else(|_| Err(ClientError::Deadline { path: self.lease_name.clone(), seconds: limit.as_secs() }));
        match written {
            Ok(lease) => {
                self.version = lease.metadata.resource_version;
                self.uid = lease.metadata.uid;
                self.renewed = Some(start);
                self.announced = members;
                Ok(())
            }
            Err(error) => {
                if error.is_not_found() || error.is_conflict() {
                    self.version = SmolStr::default();
                }
                if error.is_not_found() {
                    // Somebody deleted it, so the others have already shared out the work.
                    self.renewed = None;
                }
                Err(error)
            }
        }
    }

    async fn write(&mut self, members: &[String]) -> Result<LeaseView, ClientError> {
        if self.version.is_empty() {
            match self.client.create(&known::LEASES, NAMESPACE, &self.lease(members)).await {
                Err(error) if error.is_already_exists() => {}
                done => return done,
            }
            let current: LeaseView = self.client.get(&known::LEASES, NAMESPACE, &self.lease_name).await?;
            if current.spec.holder_identity.as_deref() != Some(self.holder.as_str()) {
                self.contest(&current)?;
                self.transitions = current.spec.lease_transitions.unwrap_or(0) + 1;
            }
            self.version = current.metadata.resource_version;
        }
        self.client.update(&known::LEASES, NAMESPACE, &self.lease_name, "", &self.lease(members)).await
    }

    /// Whether the own Lease may be taken from whoever holds it. At the start it may: that is an earlier process of this
    /// identity. Later it is somebody who runs now, and must fall silent first.
    fn contest(&mut self, current: &LeaseView) -> Result<(), ClientError> {
        if self.uid.is_empty() {
            return Ok(());
        }
        let now = self.client.ambient.clock.boot();
        let version = current.metadata.resource_version.clone();
        let since = match &self.rival {
            Some((seen, since)) if *seen == version => *since,
            _ => now,
        };
        if now.saturating_sub(since) >= self.options.ttl {
            self.rival = None;
            return Ok(());
        }
        self.rival = Some((version, since));
        self.renewed = None;
        let message = format!("{} is held by another process of this identity", self.lease_name);
        Err(ClientError::Status { code: 409, reason: "Conflict".to_owned(), message, retry_after: None })
    }

    fn lease(&self, members: &[String]) -> Value {
        let now = api::time::format_micros(self.client.ambient.clock.wall_micros());
        let mut metadata = json!({
            "name": self.lease_name,
            "namespace": NAMESPACE,
            "labels": {GROUP: self.options.group},
            "annotations": {MEMBERS: members.join(",")},
        });
        if !self.version.is_empty() {
            metadata["resourceVersion"] = self.version.as_str().into();
        }
        json!({
            "metadata": metadata,
            "spec": {
                "holderIdentity": self.holder,
                "leaseDurationSeconds": self.options.ttl.as_secs().max(1),
                "leaseTransitions": self.transitions,
                "renewTime": now,
            },
        })
    }

    /// Gives the work back: nobody may act under this Lease from here on.
    async fn release(self) {
        self.sender.send_modify(|members| members.own.clear());
        let options = json!({"preconditions": {"uid": self.uid}});
        let gone = self.client.delete(&known::LEASES, NAMESPACE, &self.lease_name, &options);
        match timeout(Duration::from_secs(1), gone).await {
            Ok(Ok(_)) => {}
            // The others will find out after the TTL.
            Ok(Err(error)) => debug!(lease = self.lease_name, %error, "the Lease was not released"),
            Err(_) => debug!(lease = self.lease_name, "the Lease was not released in time"),
        }
    }
}

#[cfg(test)]
mod tests;
