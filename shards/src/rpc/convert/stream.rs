//! Lists, subscriptions and histories.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use api::selector::{FieldSelector, LabelSelector, Selector, ShardSelector};
use api::{Object, Version};
use api::{Registry, Resource, ResourceId};
use bytes::Bytes;
use wire::proto::shard as proto;

use super::request::read_slot;
use super::{Misread, id_name, object, read_object, read_slots, read_version, required, resource_id, version};
use crate::service::{Event, HistoryRequest, ListRequest, ListSlots, SubscribeRequest};

pub(in crate::rpc) fn list(registry: &Registry, request: &ListRequest) -> proto::ListRequest {
    use proto::list_request::Slots;
    let key = |(namespace, name): &(_, _)| proto::Key { namespace: text(namespace), name: text(name) };
    proto::ListRequest {
        cluster: text(&request.cluster),
        resource: id_name(registry, request.resource),
        namespace: text(&request.namespace),
        selector: Some(selector(registry, request)),
        at: version(request.at),
        after: request.after.as_ref().map(key),
        limit: request.limit as u64,
        slots: Some(match &request.slots {
            ListSlots::One(slot) => Slots::One(slot.0.into()),
            ListSlots::Exactly(slots) => Slots::Exactly(slots.to_bytes().into()),
        }),
    }
}

fn text(text: &smol_str::SmolStr) -> String {
    text.as_str().to_owned()
}

pub(in crate::rpc) fn read_list(registry: &Registry, said: proto::ListRequest) -> Result<ListRequest, Misread> {
    use proto::list_request::Slots;
    let resource = resource_id(registry, &said.resource)?;
    let row = row(registry, &said.cluster, resource);
    let selector = read_selector(&row, said.selector.unwrap_or_default())?;
    Ok(ListRequest {
        slots: match required(said.slots, "the slots of a list")? {
            Slots::One(slot) => ListSlots::One(read_slot(slot)?),
            Slots::Exactly(slots) => ListSlots::Exactly(Arc::new(read_slots(&slots)?)),
        },
        cluster: said.cluster.into(),
        resource,
        namespace: said.namespace.into(),
        selector: Arc::new(selector),
        at: read_version(said.at),
        after: said.after.map(|key| (key.namespace.into(), key.name.into())),
        limit: usize::try_from(said.limit).unwrap_or(usize::MAX),
    })
}

fn selector(registry: &Registry, request: &ListRequest) -> proto::Selector {
    let Selector { labels, fields, shard } = &*request.selector;
    proto::Selector {
        labels: labels.to_string(),
        nothing: labels.is_nothing(),
        fields: fields.text(&row(registry, &request.cluster, request.resource)),
        shard: shard.to_string(),
    }
}

/// What is known of a kind.
fn row(registry: &Registry, cluster: &str, id: ResourceId) -> Arc<Resource> {
    let undefined = || Arc::new(Resource::undefined(id, &registry.id_name(id)));
    registry.row(cluster, id).unwrap_or_else(undefined)
}

fn read_selector(resource: &Resource, said: proto::Selector) -> Result<Selector, Misread> {
    let labels = match said.nothing {
        true => LabelSelector::nothing(),
        false => LabelSelector::parse(&said.labels).map_err(Misread)?,
    };
    let fields = FieldSelector::parse(&said.fields, resource).map_err(Misread)?;
    let shard = ShardSelector::parse(&said.shard).map_err(Misread)?;
    Ok(Selector { labels, fields, shard })
}

pub(in crate::rpc) fn subscribe(registry: &Registry, request: SubscribeRequest) -> proto::SubscribeRequest {
    proto::SubscribeRequest {
        cluster: request.cluster.into(),
        resource: id_name(registry, request.resource),
        from: version(request.from),
    }
}

pub(in crate::rpc) fn read_subscribe(
    registry: &Registry,
    said: proto::SubscribeRequest,
) -> Result<SubscribeRequest, Misread> {
    Ok(SubscribeRequest {
        cluster: said.cluster.into(),
        resource: resource_id(registry, &said.resource)?,
        from: read_version(said.from),
    })
}

pub(in crate::rpc) fn history(registry: &Registry, request: HistoryRequest) -> proto::HistoryRequest {
    proto::HistoryRequest {
        cluster: request.cluster.into(),
        resource: id_name(registry, request.resource),
        slots: request.slots.to_bytes().into(),
        from: request.from.0,
    }
}

pub(in crate::rpc) fn read_history(
    registry: &Registry,
    said: proto::HistoryRequest,
) -> Result<HistoryRequest, Misread> {
    Ok(HistoryRequest {
        cluster: said.cluster.into(),
        resource: resource_id(registry, &said.resource)?,
        slots: Arc::new(read_slots(&said.slots)?),
        from: Version(said.from),
    })
}

pub(in crate::rpc) fn event(event: &Event) -> proto::Event {
    proto::Event {
        version: event.version.0,
        slot: event.slot.0.into(),
        object: Some(object(&event.object)),
        old: event.old.as_deref().map(object),
        deleted: event.deleted,
    }
}

/// Reads one event. Events are kept for minutes: they must not keep the message alive in which they came, and what one says
/// was there before is the very object that an earlier one brought, where that is still around.
pub(in crate::rpc) fn read_event(said: proto::Event, known: &mut Known) -> Result<Arc<Event>, Misread> {
    let own = |said: proto::Object| {
        read_object(proto::Object { index: said.index, tail: Bytes::copy_from_slice(&said.tail) }).map(Arc::new)
    };
    let old = match said.old {
        None => None,
        Some(old) => {
            let peeked = old.index.first_chunk().map(|version| u64::from_be_bytes(*version));
            match peeked.and_then(|version| known.take(version)) {
                Some(shared) => Some(shared),
                None => Some(own(old)?),
            }
        }
    };
    let event = Event {
        version: Version(said.version),
        slot: read_slot(said.slot)?,
        object: own(required(said.object, "an event's object")?)?,
        old,
        deleted: said.deleted,
    };
    if !event.deleted {
        known.add(&event.object);
    }
    Ok(Arc::new(event))
}

/// Objects that a stream has brought, by their versions, as long as somebody has them.
#[derive(Default)]
pub(in crate::rpc) struct Known {
    objects: HashMap<u64, Weak<Object>>,
    /// How many there may be before those that nobody has any more are dropped.
    most: usize,
}

impl Known {
    fn take(&mut self, version: u64) -> Option<Arc<Object>> {
        self.objects.remove(&version)?.upgrade()
    }

    fn add(&mut self, object: &Arc<Object>) {
        if self.objects.len() >= self.most {
            self.objects.retain(|_, object| object.strong_count() > 0);
            self.most = (self.objects.len() * 2).max(64);
        }
        self.objects.insert(object.version.0, Arc::downgrade(object));
    }
}
