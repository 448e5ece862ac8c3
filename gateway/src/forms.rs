//! Objects in protobuf: made when first asked for, and kept in a cache with a byte budget (DESIGN D2), where gets, lists
//! and watches find them.
//!
//! What is kept is the object alone: an envelope, a list or an event goes around it. An object is known by a hash of its
//! stored bytes, so that what has other contents can never be taken for it, be it under the same version (a dry run, or
//! the last state of what has left a selector). Whoever was not asked for for a while makes room: a hand goes round over
//! all entries, and spares each once that was used since it last came by.

use std::collections::VecDeque;
use std::sync::Arc;

use api::codec::protobuf;
use api::resource::ResourceId;
use api::{Object, Resource, Status};
use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use xxhash_rust::xxh3::xxh3_128;

/// Parts of the cache, each with a lock and an equal share of the budget.
const PARTS: usize = 16;

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 128;

/// Objects of a list that are made before others get their turn at the thread.
const AT_ONCE: usize = 64;

/// The forms of a gateway.
pub(crate) struct Forms {
    parts: [Mutex<Part>; PARTS],
    /// Bytes of each part.
    budget: usize,
    bytes: Gauge,
    hits: Counter,
    encodings: Counter,
    evictions: Counter,
}

/// Contents, resource and index into `Resource::served`.
type Key = (u128, ResourceId, usize);

#[derive(Default)]
struct Part {
    entries: HashMap<Key, Entry>,
    /// Each key once, in the order in which the hand comes by.
    round: VecDeque<Key>,
    bytes: usize,
}

struct Entry {
    form: Bytes,
    used: bool,
}

impl Forms {
    pub(crate) fn new(budget: usize, registry: &mut Registry) -> Arc<Self> {
        let forms = Self {
            parts: Default::default(),
            budget: budget / PARTS,
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
        let hash = xxh3_128(object.stored());
        let key = (hash, resource.id, served);
        let part = &self.parts[hash as usize % PARTS];
        if let Some(entry) = part.lock().entries.get_mut(&key) {
            entry.used = true;
            self.hits.inc();
            return Ok(entry.form.clone());
        }
        let form = encode(resource, served, object)?;
        self.encodings.inc();
        self.keep(part, key, &form);
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

    fn keep(&self, part: &Mutex<Part>, key: Key, form: &Bytes) {
        let cost = form.len() + OVERHEAD;
        if cost > self.budget {
            return;
        }
        let mut part = part.lock();
        let before = part.bytes;
        while part.bytes + cost > self.budget && part.drop_one() {
            self.evictions.inc();
        }
        if part.entries.insert(key, Entry { form: form.clone(), used: false }).is_none() {
            part.round.push_back(key);
            part.bytes += cost;
        }
        self.bytes.inc_by(part.bytes as i64 - before as i64);
    }

    #[cfg(test)]
    pub(crate) fn encodings(&self) -> u64 {
        self.encodings.get()
    }
}

impl Part {
    /// Moves the hand to something that was not used; whether there was anything at all.
    fn drop_one(&mut self) -> bool {
        while let Some(key) = self.round.pop_front() {
            if let Some(entry) = self.entries.get_mut(&key)
                && std::mem::take(&mut entry.used)
            {
                self.round.push_back(key);
            } else if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= entry.form.len() + OVERHEAD;
                return true;
            }
        }
        false
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

    fn consistency_check(forms: &Forms) {
        let mut total = 0;
        for part in &forms.parts {
            let part = part.lock();
            let bytes: usize = part.entries.values().map(|entry| entry.form.len() + OVERHEAD).sum();
            assert_eq!((part.bytes, part.round.len()), (bytes, part.entries.len()));
            assert!(bytes <= forms.budget);
            total += bytes;
        }
        assert_eq!(forms.bytes.get(), total as i64);
    }

    #[test]
    fn forms_are_made_once_and_make_room() {
        let rows = registry(&RuntimeConfig::default());
        let maps = rows.named("configmaps").unwrap();
        let object = |at: u64, text: &str| {
            let document = json!({ "metadata": { "name": format!("m{at}") }, "data": { "text": text } });
            Draft::new(maps, &document).seal(Version(at))
        };
        let forms = Forms::new(PARTS * 4000, &mut Registry::default());
        let (one, other) = (object(1, "a"), object(1, "b"));
        let made = forms.of(maps, 0, &one).unwrap();
        assert_eq!(forms.of(maps, 0, &object(1, "a")).unwrap(), made, "the same contents");
        assert_ne!(forms.of(maps, 0, &other).unwrap(), made, "the same version is not enough");
        assert_eq!((forms.encodings(), forms.hits.get()), (2, 1));
        for at in 2..2000 {
            forms.of(maps, 0, &object(at, "x")).unwrap();
            forms.of(maps, 0, &one).unwrap();
        }
        consistency_check(&forms);
        assert!(forms.evictions.get() > 1000);
        assert_eq!(forms.encodings(), 2 + 1998, "what is used stays");
        let large = object(1, &"y".repeat(5000));
        forms.of(maps, 0, &large).unwrap();
        forms.of(maps, 0, &large).unwrap();
        assert_eq!(forms.encodings(), 2002, "what is too large for its part is not kept");
        consistency_check(&forms);
    }
}
