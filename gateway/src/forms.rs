//! Objects in protobuf: made when first asked for, and kept in a cache with a byte budget (DESIGN D2), where gets, lists
//! and watches find them.
//!
//! What is kept is the object alone: an envelope, a list or an event goes around it. An object is known by a hash of its
//! stored bytes, so that what has other contents can never be taken for it, be it under the same version (a dry run, or
//! the last state of what has left a selector).

use std::sync::Arc;

use api::codec::protobuf;
use api::resource::ResourceId;
use api::{Object, Resource, Status};
use bytes::Bytes;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use shards::kept::Kept;
use xxhash_rust::xxh3::xxh3_128;

/// Objects of a list that are made before others get their turn at the thread.
const AT_ONCE: usize = 64;

/// The forms of a gateway.
pub(crate) struct Forms {
    kept: Kept<Key, Bytes>,
    bytes: Gauge,
    hits: Counter,
    encodings: Counter,
    evictions: Counter,
}

/// Contents, resource and index into `Resource::served`.
type Key = (u128, ResourceId, usize);

impl Forms {
    pub(crate) fn new(budget: usize, registry: &mut Registry) -> Arc<Self> {
        let forms = Self {
            kept: Kept::new(budget),
            bytes: Gauge::default(),
            hits: Counter::default(),
            encodings: Counter::default(),
            evictions: Counter::default(),
        };
        registry.register("shardplane_forms_bytes", "Bytes of protobuf that are kept", forms.bytes.clone());
        registry.register("shardplane_forms_hits", "Objects whose protobuf was there", forms.hits.clone());
        let help = "Objects whose protobuf was made";
        registry.register("shardplane_forms_encodings", help, forms.encodings.clone());
        let help = "Objects whose protobuf was dropped to make room";
        registry.register("shardplane_forms_evictions", help, forms.evictions.clone());
        Arc::new(forms)
    }

    /// The protobuf of an object in a served version, without an envelope.
    pub(crate) fn of(&self, resource: &Resource, served: usize, object: &Object) -> Result<Bytes, Status> {
        let key = (xxh3_128(object.stored()), resource.id, served);
        if let Some(form) = self.kept.get(&key) {
            self.hits.inc();
            return Ok(form);
        }
        let form = encode(resource, served, object)?;
        self.encodings.inc();
        let change = self.kept.put(key, form.clone(), form.len());
        self.evictions.inc_by(change.evictions);
        self.bytes.inc_by(change.bytes);
        Ok(form)
    }

    /// Those of a list. Many are made away from the threads that serve connections.
    pub(crate) async fn of_all(
        self: &Arc<Self>,
        resource: &Arc<Resource>,
        served: usize,
        objects: Vec<Arc<Object>>,
    ) -> Result<Vec<Bytes>, Status> {
        let (forms, resource) = (self.clone(), resource.clone());
        let few = objects.len() <= AT_ONCE;
        let all = move || objects.iter().map(|object| forms.of(&resource, served, object)).collect();
        if few { all() } else { tokio::task::spawn_blocking(all).await.map_err(Status::internal)? }
    }

    #[cfg(test)]
    pub(crate) fn encodings(&self) -> u64 {
        self.encodings.get()
    }
}

fn encode(resource: &Resource, served: usize, object: &Object) -> Result<Bytes, Status> {
    let served = &resource.served[served];
    let mut document = object.document();
    if let Some(conversion) = &served.convert {
        (conversion.from_stored)(&mut document);
    }
    let form = match resource.has_protobuf() {
        true => protobuf::object(resource.shape(served), &document),
        // Custom resources have their metadata in protobuf, and nothing else.
        false => protobuf::metadata(&document),
    };
    form.map(Bytes::from).map_err(Status::internal)
}

#[cfg(test)]
mod tests {
    use api::Version;
    use api::builtin::{RuntimeConfig, registry};
    use api::object::Draft;
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_are_made_once() {
        let rows = registry(&RuntimeConfig::default());
        let maps = rows.named("configmaps").unwrap();
        let object = |at: u64, text: &str| {
            let document = json!({ "metadata": { "name": format!("m{at}") }, "data": { "text": text } });
            Draft::new(maps, &document).seal(Version(at))
        };
        let forms = Forms::new(1 << 20, &mut Registry::default());
        let (one, other) = (object(1, "a"), object(1, "b"));
        let made = forms.of(maps, 0, &one).unwrap();
        assert_eq!(forms.of(maps, 0, &object(1, "a")).unwrap(), made, "the same contents");
        assert_ne!(forms.of(maps, 0, &other).unwrap(), made, "the same version is not enough");
        assert_eq!((forms.encodings(), forms.hits.get()), (2, 1));
        assert!(forms.bytes.get() > made.len() as i64);
    }
}
