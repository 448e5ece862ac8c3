//! Writing a backup of logical clusters while writes go on: see [`shards::backup`] for what it is.
//!
//! Each kind is followed first ([`changes`]) and then read page by page, at whatever version each page is read. When all were
//! read the cut is chosen, above everything that was read, and each kind is brought up to it.
//!
//! Invariants: of what changes while the backup runs, the newest state at or below the cut is in it; a slow client makes no
//! shard wait, and costs no more memory than [`HELD`].

mod changes;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::status::Reason;
use api::{Object, Resource, Status, Version};
use axum::body::Body;
use bytes::Bytes;
use futures_util::future::try_join_all;
use shards::backup::{Count, Header, Origin, Part, Record, Trailer, Writer};
use shards::merge::drive;
use smol_str::SmolStr;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::Inner;
use crate::clusters::Cluster;
use crate::list::{self, At, ListOptions, Listed, Scope};
use changes::Changes;

/// What a backup's media type is.
pub(crate) const MEDIA: &str = "application/vnd.shardplane.backup";
/// Where one is asked for.
pub(crate) const PATH: &str = "/shardplane/v1/backup";
/// Objects of a page.
const PAGE: usize = 500;
/// Blocks that wait for a client.
const QUEUE: usize = 8;
/// Bytes of changes that are kept before they are written, although newer ones may come.
const KEPT: usize = 16 << 20;
/// Bytes of changes that a client may make wait which takes nothing.
const HELD: usize = 512 << 20;
/// How long a client may take nothing.
const STALLED: Duration = Duration::from_secs(60);
/// How long a shard may be away before the backup is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked after that.
const AGAIN: Duration = Duration::from_millis(100);
/// The kind of logical clusters' records: of the service, not of the cluster that holds them.
const RECORDS: &str = "logicalclusters.internal.shardplane";

/// Why a backup does not come to its end.
type Why = String;

/// The bytes of a backup of these clusters, as they are made. One that does not come to its end says so in its last block.
pub(crate) fn body(gateway: Arc<Inner>, clusters: Vec<Arc<Cluster>>, all: bool) -> Body {
    let (sender, mut receiver) = mpsc::channel(QUEUE);
    tokio::spawn(async move {
        let stopping = gateway.stopping.clone();
        let (mut backup, start) = Backup::begin(&gateway, clusters, all, sender.clone()).await;
        let written = async {
            backup.send(start).await?;
            backup.run().await
        };
        let end = match stopping.run_until_cancelled(written).await {
            Some(Ok(trailer)) => {
                tracing::info!(version = trailer.version, "a backup was written");
                backup.writer.finish(&trailer)
            }
            Some(Err(why)) => {
                tracing::info!(why, "a backup was given up");
                backup.writer.give_up(&why)
            }
            None => backup.writer.give_up("the server is shutting down"),
        };
        drop(tokio::time::timeout(STALLED, sender.send(end)).await);
    });
    let pieces = futures_util::stream::poll_fn(move |context| receiver.poll_recv(context));
    Body::from_stream(futures_util::StreamExt::map(pieces, Ok::<_, std::convert::Infallible>))
}

struct Backup<'a> {
    gateway: &'a Inner,
    clusters: Vec<Arc<Cluster>>,
    /// By position in the header's list.
    names: Vec<SmolStr>,
    /// The kinds of each cluster, by that position.
    kinds: Vec<BTreeMap<u16, Arc<Resource>>>,
    all: bool,
    out: mpsc::Sender<Bytes>,
    writer: Writer,
    followed: Vec<Arc<Changes>>,
    stop: CancellationToken,
    _guard: DropGuard,
}

impl<'a> Backup<'a> {
    async fn begin(
        gateway: &'a Inner,
        clusters: Vec<Arc<Cluster>>,
        all: bool,
        out: mpsc::Sender<Bytes>,
    ) -> (Self, Bytes) {
        let (mut names, mut kinds): (Vec<SmolStr>, Vec<_>) = (Vec::new(), Vec::new());
        for cluster in &clusters {
            let mut of = BTreeMap::new();
            for resource in kinds_of(gateway, cluster, all).await {
                let known = names.iter().position(|name| *name == resource.id_name);
                let at = known.unwrap_or_else(|| {
                    names.push(resource.id_name.clone());
                    names.len() - 1
                });
                of.insert(at as u16, resource);
            }
            kinds.push(of);
        }
        let origin = |cluster: &Arc<Cluster>| Origin { name: cluster.name.clone(), id: cluster.id.clone() };
        let header = Header {
            program: concat!("shardplane ", env!("CARGO_PKG_VERSION")).to_owned(),
            began: gateway.now_text(),
            service_cidr: gateway.config.service_cidr.to_string(),
            clusters: clusters.iter().map(origin).collect(),
            resources: names.iter().map(SmolStr::to_string).collect(),
        };
        let (writer, start) = Writer::begin(&header);
        let (followed, stop) = (Vec::new(), CancellationToken::new());
        let _guard = stop.clone().drop_guard();
        (Self { gateway, clusters, names, kinds, all, out, writer, followed, stop, _guard }, start)
    }

    async fn run(&mut self) -> Result<Trailer, Why> {
        for cluster in 0..self.clusters.len() {
            for resource in self.kinds[cluster].keys().copied().collect::<Vec<_>>() {
                self.scan(cluster as u16, resource).await?;
            }
        }
        let version = self.cut().await?;
        self.check_kinds().await?;
        let counts = self.counts(version).await?;
        self.write_changes().await?;
        Ok(Trailer { version: version.0, ended: self.gateway.now_text(), counts })
    }

    fn scope(&self, cluster: u16, resource: u16) -> Scope {
        Scope {
            cluster: self.clusters[usize::from(cluster)].id.clone(),
            resource: self.kinds[usize::from(cluster)][&resource].clone(),
            namespace: SmolStr::default(),
            selector: Arc::default(),
        }
    }

    /// A kind that was defined while the backup was written has its definition in it, and perhaps objects that are not.
    async fn check_kinds(&self) -> Result<(), Why> {
        for (cluster, kinds) in self.clusters.iter().zip(&self.kinds) {
            let now = kinds_of(self.gateway, cluster, self.all).await;
            let known = |name: &SmolStr| kinds.keys().any(|at| self.names[usize::from(*at)] == *name);
            if let Some(new) = now.iter().find(|resource| !known(&resource.id_name)) {
                return Err(format!("{} was defined while it was written: try again", new.id_name));
            }
        }
        Ok(())
    }

    /// Follows a kind, and reads all of it.
    async fn scan(&mut self, cluster: u16, resource: u16) -> Result<(), Why> {
        let scope = self.scope(cluster, resource);
        let changes = Changes::new(&scope, (cluster, resource));
        self.followed.push(changes.clone());
        let topology = self.gateway.topology.clone();
        tokio::spawn(drive(changes.clone(), topology, self.stop.clone()));
        let needs = tokio::time::timeout(PATIENCE, changes.opened()).await;
        let needs = needs.map_err(|_| "a shard does not answer".to_owned())?;
        let mut options = ListOptions { at: At::NotOlderThan(needs), limit: PAGE, after: None };
        loop {
            let page = self.list(&scope, &options).await?;
            let page = page.ok_or_else(|| "a shard has forgotten what it has just told".to_owned())?;
            changes.scanned(page.version);
            for object in &page.objects {
                let block = self.writer.add(Part::Scan, &found((cluster, resource), object));
                self.send(block.unwrap_or_default()).await?;
            }
            if self.followed.iter().map(|changes| changes.bytes()).sum::<usize>() > KEPT {
                self.write_changes().await?;
            }
            let Some(last) = page.objects.last().filter(|_| page.remaining > 0) else { return Ok(()) };
            // What happened up to the first page is believed to be in every page.
            options.at = At::NotOlderThan(page.version);
            options.after = Some((last.namespace.clone(), last.name.clone()));
        }
    }

    /// Chooses the version of the cut, and waits until everything at or below it is known.
    async fn cut(&mut self) -> Result<Version, Why> {
        // What arrives from now on may be above the cut.
        self.followed.iter().for_each(|changes| changes.hold());
        let Some(changes) = self.followed.first() else { return Ok(Version::ZERO) };
        let scope = self.scope(changes.at.0, changes.at.1);
        let version = self.now(&scope).await?;
        self.followed.iter().for_each(|changes| changes.cut(version));
        let passed = try_join_all(self.followed.iter().map(|changes| changes.passed(version)));
        let passed = tokio::time::timeout(PATIENCE, passed).await;
        passed.map_err(|_| "a shard does not say how far it is".to_owned())??;
        Ok(version)
    }

    /// How many objects there were at the cut, told by the shards themselves.
    async fn counts(&self, version: Version) -> Result<Vec<Count>, Why> {
        let counts = try_join_all(self.followed.iter().map(|changes| self.count(changes.at, version))).await?;
        Ok(counts.into_iter().filter(|count| count.objects != Some(0)).collect())
    }

    async fn count(&self, (cluster, resource): (u16, u16), version: Version) -> Result<Count, Why> {
        let options = ListOptions { at: At::Exactly(version), limit: 1, after: None };
        let listed = self.list(&self.scope(cluster, resource), &options).await?;
        // So much may happen that the cut is forgotten already: then nobody can count.
        let objects = listed.map(|listed| (listed.objects.len() + listed.remaining) as u64);
        Ok(Count { cluster, resource, objects })
    }

    async fn write_changes(&mut self) -> Result<(), Why> {
        for at in 0..self.followed.len() {
            for event in self.followed[at].take() {
                let record = Record {
                    version: event.version,
                    tail: (!event.deleted).then(|| event.object.stored().clone()),
                    ..found(self.followed[at].at, &event.object)
                };
                let block = self.writer.add(Part::Change, &record);
                self.send(block.unwrap_or_default()).await?;
            }
        }
        Ok(())
    }

    /// Hands bytes to the client. One that takes nothing is not waited for for ever.
    async fn send(&self, bytes: Bytes) -> Result<(), Why> {
        if bytes.is_empty() {
            return Ok(());
        }
        if self.followed.iter().map(|changes| changes.bytes()).sum::<usize>() > HELD {
            return Err("more changes while it is written than the client takes".to_owned());
        }
        match tokio::time::timeout(STALLED, self.out.send(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the client has gone".to_owned()),
            Err(_) => Err(format!("the client has taken nothing for {} s", STALLED.as_secs())),
        }
    }

    /// A page; `None` where that version is forgotten.
    async fn list(&self, scope: &Scope, options: &ListOptions) -> Result<Option<Listed>, Why> {
        let patience = Patience::begin();
        loop {
            match list::list(&self.gateway.topology, scope, options).await {
                Ok(listed) => return Ok(Some(listed)),
                Err(status) if matches!(status.reason(), Reason::Expired | Reason::Gone) => return Ok(None),
                Err(status) => patience.wait(&status).await?,
            }
        }
    }

    async fn now(&self, scope: &Scope) -> Result<Version, Why> {
        let patience = Patience::begin();
        loop {
            match list::now(&self.gateway.topology, scope).await {
                Ok(version) => return Ok(version),
                Err(status) => patience.wait(&status).await?,
            }
        }
    }
}

/// How long slots may have no owner.
struct Patience(Instant);

impl Patience {
    fn begin() -> Self {
        Self(Instant::now() + PATIENCE)
    }

    async fn wait(&self, status: &Status) -> Result<(), Why> {
        let may_pass = matches!(status.reason(), Reason::ServiceUnavailable | Reason::Timeout);
        if !may_pass || Instant::now() >= self.0 {
            return Err(status.message().to_owned());
        }
        tokio::time::sleep(AGAIN).await;
        Ok(())
    }
}

/// The kinds whose objects are the cluster's.
async fn kinds_of(gateway: &Inner, cluster: &Cluster, all: bool) -> Vec<Arc<Resource>> {
    let kinds = gateway.kinds.all(&cluster.id).await;
    kinds.into_iter().filter(|resource| all || resource.id_name != RECORDS).collect()
}

fn found(at: (u16, u16), object: &Object) -> Record {
    Record {
        cluster: at.0,
        resource: at.1,
        namespace: object.namespace.clone(),
        name: object.name.clone(),
        version: object.version,
        tail: Some(object.stored().clone()),
    }
}
