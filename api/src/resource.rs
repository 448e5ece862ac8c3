//! A kind: what is served under which path, how it is stored, and who decides about it.
//!
//! A kind is a row: of `api/schema/resources.txt` for the built-in ones, of a CustomResourceDefinition for others.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use smol_str::SmolStr;

use crate::crd::{Custom, Definition};
use crate::document::Value;
use crate::schema::{Schema, Shape, TypeId};
use crate::strategy::Strategy;

/// Kinds whose deletion answers the last state; others answer a `Status` (ReturnDeletedObject).
const ANSWERS_LAST_STATE: [&str; 19] = [
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "deviceclasses.resource.k8s.io",
    "devicetaintrules.resource.k8s.io",
    "namespaces",
    "persistentvolumeclaims",
    "persistentvolumes",
    "pods",
    "podtemplates",
    "resourceclaims.resource.k8s.io",
    "resourceclaimtemplates.resource.k8s.io",
    "resourcepoolstatusrequests.resource.k8s.io",
    "resourcequotas",
    "resourceslices.resource.k8s.io",
    "serviceaccounts",
    "services",
    "storageclasses.storage.k8s.io",
    "volumeattachments.storage.k8s.io",
    "volumeattributesclasses.storage.k8s.io",
];

/// Number of a kind in its [`crate::Registry`]. Not stable across processes: keys and the wire carry [`Resource::id_name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceId(pub u32);

/// Where a resource's objects live among the slots (DESIGN D3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spread {
    /// With their namespace. Only namespaced kinds, and Namespace itself (each in its own).
    Namespace,
    /// Each by its name: cluster-scoped kinds and Events.
    Name,
    /// By name in one namespace, with the namespace elsewhere: Leases in kube-node-lease.
    NameIn(&'static str),
    /// With their namespace, or by name where they have none: custom kinds, of which an owner of slots may not know yet
    /// what they are.
    Scope,
}

/// What an acknowledgement of a write promises (DESIGN D6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// It is on disk.
    Strict,
    /// It will be within a second: node Leases and Events.
    Relaxed,
}

/// A field that field selectors may name, beside metadata.name and metadata.namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SelectableField {
    /// As clients write it: `spec.nodeName`.
    pub label: SmolStr,
    /// The steps to it in the document.
    pub path: Vec<SmolStr>,
    /// What an absent field reads as: `""`, `"false"` for booleans, `"0"` for numbers.
    pub absent: &'static str,
}

impl SelectableField {
    /// A field of a custom kind, whose name is the way to it.
    pub fn custom(label: &str) -> Self {
        Self { label: label.into(), path: label.split('.').map(SmolStr::new).collect(), absent: "" }
    }

    /// The field's text in a document.
    pub fn read(&self, document: &Value) -> SmolStr {
        let found = self.path.iter().try_fold(document, |value, step| value.get(step.as_str()));
        match found.unwrap_or(&Value::Null) {
            Value::Null => SmolStr::new_static(self.absent),
            Value::String(text) => text.into(),
            other => SmolStr::new(other.to_string()),
        }
    }
}

/// One subresource of a served version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subresource {
    /// `status`, `scale`, `binding`, …
    pub name: &'static str,
    /// Kind of its bodies, with group and version where they differ from the parent's.
    pub kind: SmolStr,
    /// Group of `kind`.
    pub group: SmolStr,
    /// Version of `kind`.
    pub version: SmolStr,
    /// Kubernetes verbs, as discovery lists them.
    pub verbs: Vec<&'static str>,
}

/// One group and version under which a resource is served.
#[derive(Debug)]
pub struct Served {
    /// Empty for the core group.
    pub group: SmolStr,
    /// `v1`, `v1beta1`, …
    pub version: SmolStr,
    /// The type of its documents.
    pub type_id: TypeId,
    /// Kubernetes verbs, as discovery lists them. None where the version is stored but not served (see
    /// [`Served::is_public`]).
    pub verbs: Vec<&'static str>,
    /// Subresources, in the order of discovery.
    pub subresources: Vec<Subresource>,
    /// `{"kind":"Pod","apiVersion":"v1",`: what a client reads before the tail.
    pub head: Bytes,
    /// Conversions from and to the stored version; `None` where the documents are alike.
    pub convert: Option<Conversion>,
    /// Rules of this version alone, where it has some: custom kinds have a schema for each.
    pub rules: Option<Rules>,
    /// What a custom kind's version holds its documents to.
    pub custom: Option<Arc<Custom>>,
}

/// Conversion between the stored version and a served one. Both are total: what one side lacks is carried along or
/// dropped as the reference does.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    /// Stored document to served document.
    pub from_stored: fn(&mut Value),
    /// Served document to stored document.
    pub to_stored: fn(&mut Value),
}

impl Served {
    /// Whether it has a path and a place in discovery. Internal resources, and stored versions that `--runtime-config`
    /// switched off, have neither.
    pub fn is_public(&self) -> bool {
        !self.verbs.is_empty()
    }

    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The subresource of that name.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|sub| sub.name == name)
    }
}

/// A kind's rules: part of the program for a built-in kind, made at run time for a custom one.
#[derive(Clone)]
pub enum Rules {
    /// Of a file in `api/src/strategy`.
    Builtin(&'static dyn Strategy),
    /// Of a CustomResourceDefinition.
    Custom(Arc<dyn Strategy>),
}

impl Deref for Rules {
    type Target = dyn Strategy;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Builtin(strategy) => *strategy,
            Self::Custom(strategy) => &**strategy,
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}

/// One kind, stored once, whatever the number of versions that serve it.
#[derive(Debug)]
pub struct Resource {
    /// Its row.
    pub id: ResourceId,
    /// Stored identity, part of every key: `pods`, `deployments.apps`.
    pub id_name: SmolStr,
    /// Group of the stored version.
    pub group: SmolStr,
    /// `deployments`
    pub plural: SmolStr,
    /// `deployment`
    pub singular: SmolStr,
    /// `Deployment`
    pub kind: SmolStr,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
    /// `deploy`
    pub short_names: Vec<SmolStr>,
    /// `all`
    pub categories: Vec<SmolStr>,
    /// Where its objects live.
    pub spread: Spread,
    /// What its acknowledgements promise outside [`Spread::NameIn`] exceptions; see [`Resource::durability`].
    pub relaxed: bool,
    /// Fields that selectors may name.
    pub selectable: Vec<SelectableField>,
    /// Index into `selectable` of the field that shards and relays keep an index of (`spec.nodeName` of Pods).
    pub indexed: Option<usize>,
    /// Whether metadata.generation counts changes of everything outside metadata and status.
    pub generation: bool,
    /// Whether `status` is a subresource that main-resource writes cannot touch.
    pub has_status: bool,
    /// Whether PUT to a missing name creates it (allowCreateOnUpdate).
    pub create_on_update: bool,
    /// Served versions; the first is the stored one.
    pub served: Vec<Served>,
    /// What defines it; `None` for built-in kinds, and for a custom one of which nothing is known.
    pub definition: Option<Arc<Definition>>,
    /// What the schema cannot say.
    pub strategy: Rules,
    /// The types of its documents.
    pub schema: Arc<Schema>,
}

impl Resource {
    /// A row for a custom kind of which nothing is known but its name: no version of it is served.
    pub fn undefined(id: ResourceId, id_name: &str) -> Self {
        let (plural, group) = id_name.split_once('.').unwrap_or((id_name, ""));
        Self {
            id,
            id_name: id_name.into(),
            group: group.into(),
            plural: plural.into(),
            singular: SmolStr::default(),
            kind: SmolStr::default(),
            namespaced: true,
            short_names: Vec::new(),
            categories: Vec::new(),
            spread: Spread::Scope,
            relaxed: false,
            selectable: Vec::new(),
            indexed: None,
            generation: true,
            has_status: false,
            create_on_update: false,
            served: Vec::new(),
            definition: None,
            strategy: Rules::Builtin(crate::strategy::of(group, "")),
            schema: Schema::builtin(),
        }
    }

    /// The shape of documents of a served version.
    pub fn shape(&self, served: &Served) -> Shape<'_> {
        self.schema.shape(served.type_id)
    }

    /// The shape of stored documents.
    pub fn stored_shape(&self) -> Shape<'_> {
        self.shape(&self.served[0])
    }

    /// Whether its objects have a protobuf form: those of built-in kinds do.
    pub fn has_protobuf(&self) -> bool {
        !self.is_custom()
    }

    /// Whether `status` is a subresource of a served version: a custom kind may have it in some of them.
    pub fn has_status_in(&self, served: &Served) -> bool {
        if served.custom.is_some() { served.subresource("status").is_some() } else { self.has_status }
    }

    /// Whether it is no built-in kind.
    pub fn is_custom(&self) -> bool {
        self.served.first().is_none_or(|served| served.custom.is_some())
    }

    /// Whether a deletion answers what was deleted, and not a `Status`.
    pub fn answers_last_state(&self) -> bool {
        ANSWERS_LAST_STATE.contains(&self.id_name.as_str())
    }

    /// The rules of a served version.
    pub fn rules<'a>(&'a self, served: &'a Served) -> &'a dyn Strategy {
        served.rules.as_deref().unwrap_or(&*self.strategy)
    }

    /// The durability class of writes in a namespace.
    pub fn durability(&self, namespace: &str) -> Durability {
        let relaxed = match self.spread {
            Spread::NameIn(only) => namespace == only,
            _ => self.relaxed,
        };
        if relaxed { Durability::Relaxed } else { Durability::Strict }
    }

    /// Where one object lives.
    pub fn slot(&self, cluster: &str, namespace: &str, name: &str) -> crate::slot::Slot {
        let by_name = match self.spread {
            Spread::Name => true,
            Spread::NameIn(only) => namespace == only,
            Spread::Scope => namespace.is_empty(),
            Spread::Namespace => false,
        };
        if by_name {
            crate::slot::of_spread(cluster, &self.id_name, namespace, name)
        } else {
            crate::slot::of_namespace(cluster, if self.namespaced { namespace } else { name })
        }
    }

    /// The one slot that holds all of a namespace's objects of this kind, if one does. `namespace` is empty for a
    /// cluster-wide question.
    pub fn list_slot(&self, cluster: &str, namespace: &str) -> Option<crate::slot::Slot> {
        let one = self.namespaced && !namespace.is_empty();
        match self.spread {
            Spread::Namespace | Spread::Scope if one => Some(crate::slot::of_namespace(cluster, namespace)),
            Spread::NameIn(only) if one && namespace != only => Some(crate::slot::of_namespace(cluster, namespace)),
            _ => None,
        }
    }
}
