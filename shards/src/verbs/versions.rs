//! Documents of custom kinds in the version that a request speaks.
//!
//! A request for a built-in kind is decided in the stored version. One for a custom kind is decided in its own, as in the
//! reference: defaults, rules and managedFields belong to a version. So what is stored is read in the request's version, and what
//! was decided is made a document of the stored one. Where a webhook has to say what that is, a decision leaves what it wants
//! converted with its request ([`Converted`]) and is given up; the write has it converted, outside of every lock, and derives
//! its decision again.

use std::sync::Arc;

use api::apply::Convert;
use api::crd::Reading;
use api::document::Document;
use api::{Object, Status, Value};
use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use super::Call;
use crate::outside::Caller;
use crate::topology::Topology;

/// How often one request may want something converted.
const ROUNDS: usize = 40;
/// What of metadata a webhook may change, and so is part of what it is asked about.
const CONVERTED: [&str; 2] = ["labels", "annotations"];

/// What a decision wants converted.
enum Wanted {
    /// A stored object, for the request's version.
    Object(Arc<Object>),
    /// A document: the key that it is remembered by, and the versions.
    Document { key: u128, document: Value, from: usize, to: usize },
}

/// What was converted for one request, and what is to be.
#[derive(Default)]
pub(crate) struct Converted(Mutex<Said>);

#[derive(Default)]
struct Said {
    wanted: Option<Wanted>,
    rounds: usize,
    object: Option<(Arc<Object>, Arc<Object>)>,
    /// By contents and versions.
    documents: Vec<(u128, Value)>,
}

impl Call<'_> {
    /// From here, for this request's cluster.
    pub(crate) fn caller<'c>(&'c self, topology: Option<&'c Topology>) -> Caller<'c> {
        Caller {
            topology,
            registry: &self.shard.registry,
            ambient: &self.shard.ambient,
            allowed: &self.shard.options.webhook_allow,
            cluster: &self.request.cluster,
        }
    }

    /// Whether `status` is a subresource in the request's version.
    pub(crate) fn has_status(&self) -> bool {
        self.resource.has_status_in(self.served)
    }

    /// A stored object's document for who is about to write ([`Object::working_copy`]), in the version that the request is
    /// decided in. An error may mean that it has to be converted first.
    pub(crate) fn working_copy(&self, object: &Arc<Object>) -> Result<Value, Status> {
        if !self.resource.is_custom() {
            return Ok(object.working_copy());
        }
        let served = self.request.served;
        let from = match self.resource.reading(object, served)? {
            Reading::AsItIs => return Ok(unmarked(object)),
            Reading::BySchema(from) => {
                return Ok(self.resource.fitted(self.resource.renewed(object, from), from, served));
            }
            Reading::ByWebhook(from) => from,
        };
        let mut said = self.converted.0.lock();
        match &said.object {
            Some((of, converted)) if of.stored() == object.stored() => Ok(unmarked(converted)),
            _ => {
                said.wanted = Some(Wanted::Object(object.clone()));
                Err(first(from))
            }
        }
    }

    /// What was decided as it is stored. A dry run's stays in the version of the request, which is not stored.
    pub(crate) fn to_stored(self, mut document: Value) -> Result<Value, Status> {
        if !self.resource.is_custom() {
            return Ok(document);
        }
        if self.is_dry_run() {
            document.set(&["apiVersion"], self.resource.mark_in(self.request.served));
            return Ok(document);
        }
        let mut stored = self.converted(document, self.request.served, 0)?;
        if let Some(custom) = &self.resource.served[0].custom {
            custom.settle(&mut stored);
        }
        Ok(stored)
    }

    /// Whether an object would be stored as it is, were it written now: in today's version, and as its schema has it.
    pub(crate) fn is_stored_as_it_is(&self, object: &Object) -> bool {
        let version = |mark: &str| mark.split_once(' ').map(|(version, _)| version.to_owned());
        let (mark, today) = (object.mark(), self.resource.mark());
        mark == today || (version(mark) == version(today) && self.resource.renewed(object, 0) == unmarked(object))
    }

    fn converted(&self, document: Value, from: usize, to: usize) -> Result<Value, Status> {
        if from == to || !self.resource.converts_by_webhook() {
            return Ok(self.resource.fitted(document, from, to));
        }
        let key = key(&document, from, to);
        let mut said = self.converted.0.lock();
        if let Some((_, known)) = said.documents.iter().find(|(of, _)| *of == key) {
            return Ok(with_metadata(known.clone(), &document));
        }
        said.wanted = Some(Wanted::Document { key, document, from, to });
        Err(first(from))
    }

    /// Whether a decision was given up for something that has to be converted.
    pub(crate) fn wants_conversion(&self) -> bool {
        self.converted.0.lock().wanted.is_some()
    }

    /// Has converted what a decision wanted.
    pub(crate) async fn convert_wanted(&self) -> Result<(), Status> {
        let wanted = {
            let mut said = self.converted.0.lock();
            said.rounds += 1;
            if said.rounds > ROUNDS {
                return Err(self.stale());
            }
            said.wanted.take()
        };
        match wanted {
            Some(Wanted::Object(object)) => {
                let converted = self.in_version(object.clone(), self.request.served).await?;
                self.converted.0.lock().object = Some((object, converted));
            }
            Some(Wanted::Document { key, document, from, to }) => {
                let converted = self.document_in(&document, from, to).await?;
                self.converted.0.lock().documents.push((key, converted));
            }
            None => {}
        }
        Ok(())
    }

    /// A stored object in a served version.
    pub(crate) async fn in_version(&self, object: Arc<Object>, served: usize) -> Result<Arc<Object>, Status> {
        let topology = self.shard.topology().ok();
        self.shard.conversions.object(self.caller(topology.as_deref()), self.resource, served, object).await
    }

    /// A document of one version in another one.
    pub(crate) async fn document_in(&self, document: &Value, from: usize, to: usize) -> Result<Value, Status> {
        let topology = self.shard.topology().ok();
        let caller = self.caller(topology.as_deref());
        self.shard.conversions.document(caller, self.resource, document, from, to).await
    }
}

/// managedFields of other versions are compared in those versions.
impl Convert for Call<'_> {
    fn convert(&self, document: &Value, from: usize, to: usize) -> Result<Value, String> {
        let mut document = document.clone();
        let kind = document.remove(&["kind"]);
        document.remove(&["apiVersion"]);
        let mut converted = self.converted(document, from, to).map_err(|status| status.message().to_owned())?;
        if let Some(kind) = kind {
            converted.set(&["kind"], kind);
            converted.set(&["apiVersion"], self.resource.served[to].api_version());
        }
        Ok(converted)
    }
}

/// The error of a decision that is given up; nobody is shown it.
fn first(from: usize) -> Status {
    Status::internal(format!("what is in version {from} has to be converted first"))
}

fn unmarked(object: &Object) -> Value {
    let mut document = object.working_copy();
    document.remove(&["apiVersion"]);
    document
}

/// What a webhook's answer depends on. Times and managers change each time that a decision is derived, and come back as they
/// were sent.
fn key(document: &Value, from: usize, to: usize) -> u128 {
    let mut text = format!("{from} {to}");
    for (name, value) in document.as_object().into_iter().flatten().filter(|(name, _)| *name != "metadata") {
        text.push_str(&format!("{name:?}{value}"));
    }
    for field in CONVERTED {
        text.push_str(&format!("{field:?}{}", document.at(&["metadata", field])));
    }
    xxh3_128(text.as_bytes())
}

/// A converted document with another one's metadata, but for what was converted of it.
fn with_metadata(mut converted: Value, of: &Value) -> Value {
    let mut metadata = of.at(&["metadata"]).clone();
    for field in CONVERTED {
        match converted.remove(&["metadata", field]) {
            Some(value) => metadata.set(&[field], value),
            None => drop(metadata.remove(&[field])),
        }
    }
    converted.set(&["metadata"], metadata);
    converted
}
