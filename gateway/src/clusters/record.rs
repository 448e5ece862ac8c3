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
use shards::service::{DeleteOptions, Format, Outcome, Request, UserInfo, Verb, WriteOptions};
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
    /// It answers.
    Ready,
}

/// A stored cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) name: SmolStr,
    pub(crate) id: SmolStr,
    pub(crate) phase: Phase,
    /// SHA-256 of its administrator's bearer token.
    pub(crate) token_digest: Digest,
}

impl Record {
    fn read(object: &Object) -> Result<Self, Status> {
        let document = object.document();
        let damaged = || Status::internal(format!("the record of the cluster {:?} is damaged", &*object.name));
        let phase = match document.text(&["spec", "phase"]) {
            "Ready" => Phase::Ready,
            "Creating" => Phase::Creating,
            _ => return Err(damaged()),
        };
        let token_digest = read_hex(document.text(&["spec", "tokenDigest"])).ok_or_else(damaged)?;
        Ok(Self { name: object.name.clone(), id: document.text(&["spec", "id"]).into(), phase, token_digest })
    }

    fn to_value(&self) -> Value {
        let phase = match self.phase {
            Phase::Creating => "Creating",
            Phase::Ready => "Ready",
        };
        let digest: String = self.token_digest.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({
            "metadata": {"name": &*self.name},
            "spec": {"id": &*self.id, "phase": phase, "tokenDigest": digest},
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
        let resource = self.kind()?;
        let request = Request {
            id: self.ambient.entropy.next_u128(),
            cluster: self.default.id.clone(),
            resource: resource.id,
            served: 0,
            subresource: SmolStr::default(),
            namespace: SmolStr::default(),
            name: name.into(),
            user: Arc::new(UserInfo { name: "system:apiserver".to_owned(), ..UserInfo::default() }),
            verb,
        };
        let slot = resource.slot(&self.default.id, "", name);
        self.topology.execute(slot, request).await.map(|answer| answer.outcome)
    }

    /// What is stored of a cluster.
    pub(super) async fn record(&self, name: &str) -> Result<Option<Record>, Status> {
        Ok(self.stored(name).await?.map(|(record, _)| record))
    }

    async fn stored(&self, name: &str) -> Result<Option<(Record, Version)>, Status> {
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

    /// Makes a cluster that answers to that token, or goes on where an earlier try was interrupted. 409 where there is
    /// one; 422 for a name that is no DNS label.
    pub(crate) async fn create(&self, name: &str, token: &str, bootstrap: &Bootstrap) -> Result<Record, Status> {
        if !is_name(name) {
            let mut causes = Causes::default();
            causes.invalid("name", &name.into(), &api::names::is_dns1123_label(name).join(", "));
            return Err(Status::invalid("", "Cluster", name, causes));
        }
        let exists = || Status::new(Reason::AlreadyExists, format!("the cluster {name:?} already exists"));
        let mut record = match self.record(name).await? {
            _ if name == DEFAULT => return Err(exists()),
            Some(Record { phase: Phase::Ready, .. }) => return Err(exists()),
            Some(interrupted) => interrupted,
            None => {
                let suffix = self.ambient.entropy.next_u64() as u32;
                let id = format!("{name}.{suffix:08x}").into();
                let fresh = Record { name: name.into(), id, phase: Phase::Creating, token_digest: digest_of(token) };
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
        (record.phase, record.token_digest) = (Phase::Ready, digest_of(token));
        self.write(&record, Some(version)).await?;
        self.forget(name);
        Ok(record)
    }

    async fn write(&self, record: &Record, over: Option<Version>) -> Result<(), Status> {
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
        let record = Record { name: "a".into(), id: "a.0".into(), phase: Phase::Ready, token_digest: digest };
        let hex = record.to_value()["spec"]["tokenDigest"].as_str().unwrap().to_owned();
        assert_eq!(read_hex(&hex), Some(digest));
        assert!(!record.shown().to_string().contains(&hex));
        assert_eq!((read_hex("zz"), read_hex(&"zz".repeat(32)), read_hex(&"é".repeat(32))), (None, None, None));
    }
}
