//! A logical cluster as it is stored, and the calls that make, list and remove it.
//!
//! A creation is three steps, each of which may be repeated: the record (Creating), what every cluster has from its first
//! moment, the record again (Ready). Whoever asks for the same cluster after a crash in between takes it up where it was.

use std::sync::Arc;

use api::document::Document;
use api::resource::Resource;
use api::status::{Causes, Reason};
use api::{Object, Status, Value, Version};
use bytes::Bytes;
use serde_json::json;
use shards::Bootstrap;
use shards::service::{DeleteOptions, Format, Outcome, Verb, WriteOptions};
use smol_str::SmolStr;

use super::route::is_name;
use super::{Clusters, DEFAULT, unknown};
use crate::authn::{Digest, digest_of};
use crate::list::{At, ListOptions, Scope};

/// The internal kind.
const KIND: &str = "logicalclusters.internal.shardplane";

/// Whether a cluster answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// What every cluster has is still missing.
    Creating,
    /// What a backup holds is still missing, or some of it.
    Restoring,
    /// It answers.
    Ready,
}

/// A stored cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: SmolStr,
    pub(crate) id: SmolStr,
    pub(crate) phase: Phase,
    /// SHA-256 of its administrator's bearer token; zeros while there is none.
    pub(crate) token_digest: Digest,
    /// See [`super::Cluster::floor`].
    pub(crate) floor: Version,
    /// While it is restored: above every version that either side has issued.
    pub(crate) above: Version,
}

impl Record {
    fn read(object: &Object) -> Result<Self, Status> {
        let document = object.document();
        let damaged = || Status::internal(format!("the record of the cluster {:?} is damaged", &*object.name));
        let phase = match document.text(&["spec", "phase"]) {
            "Ready" => Phase::Ready,
            "Creating" => Phase::Creating,
            "Restoring" => Phase::Restoring,
            _ => return Err(damaged()),
        };
        let token_digest = read_hex(document.text(&["spec", "tokenDigest"])).ok_or_else(damaged)?;
        let version = |field: &str| match document.text(&["spec", field]) {
            "" => Ok(Version::ZERO),
            text => text.parse().map_err(|_| damaged()),
        };
        let (floor, above) = (version("floor")?, version("above")?);
        let id = document.text(&["spec", "id"]).into();
        Ok(Self { name: object.name.clone(), id, phase, token_digest, floor, above })
    }

    fn to_value(&self) -> Value {
        let phase = match self.phase {
            Phase::Creating => "Creating",
            Phase::Restoring => "Restoring",
            Phase::Ready => "Ready",
        };
        let digest: String = self.token_digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "metadata": {"name": &*self.name},
            "spec": {
                "id": &*self.id, "phase": phase, "tokenDigest": digest,
                "floor": self.floor.to_string(), "above": self.above.to_string(),
            },
        })
    }

    /// What is told of it: nothing secret.
    pub(crate) fn shown(&self) -> Value {
        json!({"name": &*self.name, "id": &*self.id, "phase": self.to_value()["spec"]["phase"]})
    }
}

fn read_hex(text: &str) -> Option<Digest> {
    let mut digest = Digest::default();
    if text.len() != 2 * digest.len() || !text.is_ascii() {
        return None;
    }
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(digest)
}

impl Clusters {
    fn kind(&self) -> Result<&Arc<Resource>, Status> {
        self.registry.named(KIND).ok_or_else(|| Status::internal("the registry lacks the kind of clusters"))
    }

    async fn ask(&self, name: &str, verb: Verb) -> Result<Outcome, Status> {
        self.ask_of(&self.default.id, self.kind()?, ("", name), verb).await
    }

    /// What is stored of a cluster.
    pub(super) async fn record(&self, name: &str) -> Result<Option<Record>, Status> {
        Ok(self.stored(name).await?.map(|(record, _)| record))
    }

    pub(super) async fn stored(&self, name: &str) -> Result<Option<(Record, Version)>, Status> {
        match self.ask(name, Verb::Get { version: None }).await {
            Ok(Outcome::Object(object)) => Ok(Some((Record::read(&object)?, object.version))),
            Ok(Outcome::Document(_)) => Err(Status::internal("a get was answered with a document")),
            Err(status) if status.reason() == Reason::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// Every cluster but the default one, by name.
    pub(crate) async fn all(&self) -> Result<Vec<Record>, Status> {
        let scope = Scope {
            cluster: self.default.id.clone(),
            resource: self.kind()?.clone(),
            namespace: SmolStr::default(),
            selector: Arc::default(),
        };
        let options = ListOptions { at: At::Latest, limit: usize::MAX, after: None };
        let listed = crate::list::list(&self.topology, &scope, &options).await?;
        listed.objects.iter().map(|object| Record::read(object)).collect()
    }

    /// Names of the clusters that answer, the default one included.
    pub(crate) async fn ready(&self) -> Result<Vec<String>, Status> {
        let others = self.all().await?.into_iter().filter(|record| record.phase == Phase::Ready);
        Ok(others.map(|record| record.name.to_string()).chain([DEFAULT.to_owned()]).collect())
    }

    /// Makes a cluster that answers to that token, or goes on where an earlier try was interrupted. 409 where there is
    /// one; 422 for a name that is no DNS label.
    pub(crate) async fn create(&self, name: &str, token: &str, bootstrap: &Bootstrap) -> Result<Record, Status> {
        self.check_name(name)?;
        let exists = || Status::new(Reason::AlreadyExists, format!("the cluster {name:?} already exists"));
        let mut record = match self.record(name).await? {
            _ if name == DEFAULT => return Err(exists()),
            Some(Record { phase: Phase::Ready | Phase::Restoring, .. }) => return Err(exists()),
            Some(interrupted) => interrupted,
            None => {
                let fresh = self.fresh(name, Phase::Creating, digest_of(token));
                self.write(&fresh, None).await?;
                fresh
            }
        };
        Bootstrap { cluster: record.id.clone(), ..bootstrap.clone() }.run(&self.topology).await?;
        // As it is now: of two who create the same one, the second overwrites nothing.
        let Some((stored, version)) = self.stored(name).await?.filter(|(stored, _)| stored.id == record.id) else {
            return Err(Status::unavailable(format!("the cluster {name:?} was deleted meanwhile")));
        };
        if stored.phase == Phase::Ready {
            return Err(exists());
        }
        // Nothing that another cluster of that name was asked for counts here.
        record.floor = self.raise(&record.id, Version::ZERO).await?;
        (record.phase, record.token_digest) = (Phase::Ready, digest_of(token));
        self.write(&record, Some(version)).await?;
        self.forget(name);
        Ok(record)
    }

    /// 422 for a name that is no DNS label.
    pub(super) fn check_name(&self, name: &str) -> Result<(), Status> {
        if is_name(name) {
            return Ok(());
        }
        let mut causes = Causes::default();
        causes.invalid("name", &name.into(), &api::names::is_dns1123_label(name).join(", "));
        Err(Status::invalid("", "Cluster", name, causes))
    }

    /// A record of a cluster whose id nobody has had before.
    pub(super) fn fresh(&self, name: &str, phase: Phase, token_digest: Digest) -> Record {
        let suffix = self.ambient.entropy.next_u64() as u32;
        let id = format!("{name}.{suffix:08x}").into();
        Record { name: name.into(), id, phase, token_digest, floor: Version::ZERO, above: Version::ZERO }
    }

    pub(super) async fn write(&self, record: &Record, over: Option<Version>) -> Result<(), Status> {
        let mut body = record.to_value();
        let uid = uuid::Builder::from_random_bytes(self.ambient.entropy.next_u128().to_be_bytes()).into_uuid();
        let (options, format, uid) = (WriteOptions::default(), Format::Json, uid.to_string());
        let verb = match over {
            None => Verb::Create { body: Bytes::from(body.to_string()), format, options, uid },
            Some(version) => {
                body.set(&["metadata", "resourceVersion"], version.to_string());
                Verb::Update { body: Bytes::from(body.to_string()), format, options, uid }
            }
        };
        self.ask(&record.name, verb).await.map(drop)
    }

    /// Removes a cluster: it is gone for everybody at once, and what it held is cleared away afterwards.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Status> {
        if name == DEFAULT {
            let why = "the cluster \"default\" holds the others' records and cannot be deleted";
            return Err(Status::new(Reason::Forbidden, why));
        }
        let deleted = self.ask(name, Verb::Delete { options: DeleteOptions::default() }).await;
        self.forget(name);
        match deleted {
            Err(status) if status.reason() == Reason::NotFound => Err(unknown(name)),
            other => other.map(drop),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_store_and_show_no_secret() {
        let digest = digest_of("secret");
        let (floor, above) = (Version(7), Version::ZERO);
        let record =
            Record { name: "a".into(), id: "a.0".into(), phase: Phase::Ready, token_digest: digest, floor, above };
        let hex = record.to_value()["spec"]["tokenDigest"].as_str().unwrap().to_owned();
        assert_eq!(read_hex(&hex), Some(digest));
        assert!(!record.shown().to_string().contains(&hex));
        assert_eq!((read_hex("zz"), read_hex(&"zz".repeat(32)), read_hex(&"é".repeat(32))), (None, None, None));
    }
}
