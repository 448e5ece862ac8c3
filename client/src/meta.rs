//! The metadata that clients keep, and what makes a type keepable in an [`crate::Informer`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use smol_str::SmolStr;
use std::collections::BTreeMap;

/// Namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Empty for cluster-scoped kinds.
    pub namespace: SmolStr,
    /// metadata.name
    pub name: SmolStr,
}

/// metadata, as far as controllers need it. A kind's own view embeds it as `metadata`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Meta {
    /// Name.
    #[serde(deserialize_with = "null_is_empty")]
    pub name: SmolStr,
    /// Namespace.
    #[serde(deserialize_with = "null_is_empty")]
    pub namespace: SmolStr,
    /// UID.
    #[serde(deserialize_with = "null_is_empty")]
    pub uid: SmolStr,
    /// resourceVersion.
    #[serde(deserialize_with = "null_is_empty")]
    pub resource_version: SmolStr,
    /// generation.
    #[serde(deserialize_with = "null_is_empty")]
    pub generation: i64,
    /// creationTimestamp, RFC 3339.
    #[serde(deserialize_with = "null_is_empty")]
    pub creation_timestamp: SmolStr,
    /// deletionTimestamp, RFC 3339.
    pub deletion_timestamp: Option<SmolStr>,
    /// deletionGracePeriodSeconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    #[serde(deserialize_with = "null_is_empty")]
    pub labels: BTreeMap<SmolStr, SmolStr>,
    /// Annotations.
    #[serde(deserialize_with = "null_is_empty")]
    pub annotations: BTreeMap<SmolStr, String>,
    /// Owners.
    #[serde(deserialize_with = "tight")]
    pub owner_references: Vec<OwnerReference>,
    /// Finalizers.
    #[serde(deserialize_with = "tight")]
    pub finalizers: Vec<SmolStr>,
}

/// Servers write null where they mean nothing (`"creationTimestamp": null`).
fn null_is_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// Reads a list (or null) without room for more: caches hold it for long, and never grow it.
pub fn tight<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let mut list: Vec<T> = null_is_empty(from)?;
    list.shrink_to_fit();
    Ok(list)
}

/// Reads of metadata only what an [`crate::Informer`] itself needs, for views that want nothing else of it.
pub fn identity<'de, D: Deserializer<'de>>(from: D) -> Result<Meta, D::Error> {
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Identity {
        name: SmolStr,
        namespace: SmolStr,
        uid: SmolStr,
        resource_version: SmolStr,
    }
    let Identity { name, namespace, uid, resource_version } = Identity::deserialize(from)?;
    Ok(Meta { name, namespace, uid, resource_version, ..Meta::default() })
}

/// metav1.OwnerReference
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// apiVersion of the owner.
    pub api_version: SmolStr,
    /// Kind of the owner.
    pub kind: SmolStr,
    /// Name of the owner.
    pub name: SmolStr,
    /// UID of the owner.
    pub uid: SmolStr,
    /// Whether it is the managing controller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether it waits for this object in a foreground deletion.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl Meta {
    /// Namespace and name.
    pub fn key(&self) -> Key {
        Key { namespace: self.namespace.clone(), name: self.name.clone() }
    }

    /// The managing owner, if there is one.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|owner| owner.controller == Some(true))
    }

    /// Whether deletion has begun.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }
}

/// A view of a kind: a slim type that deserialises what its user needs and skips the rest, so that a cache of 100,000
/// objects costs what is used of them.
pub trait Kept: DeserializeOwned + Send + Sync + 'static {
    /// Its metadata.
    fn meta(&self) -> &Meta;
}
