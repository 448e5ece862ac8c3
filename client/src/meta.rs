//! The metadata that clients keep, and what makes a type keepable in an [`crate::Informer`].

use serde::Deserialize;
use serde::de::DeserializeOwned;
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
    pub name: SmolStr,
    /// Namespace.
    pub namespace: SmolStr,
    /// UID.
    pub uid: SmolStr,
    /// resourceVersion.
    pub resource_version: SmolStr,
    /// generation.
    pub generation: i64,
    /// creationTimestamp, RFC 3339.
    pub creation_timestamp: SmolStr,
    /// deletionTimestamp, RFC 3339.
    pub deletion_timestamp: Option<SmolStr>,
    /// deletionGracePeriodSeconds.
    pub deletion_grace_period_seconds: Option<i64>,
    /// Labels.
    pub labels: BTreeMap<SmolStr, SmolStr>,
    /// Annotations.
    pub annotations: BTreeMap<SmolStr, String>,
    /// Owners.
    pub owner_references: Vec<OwnerReference>,
    /// Finalizers.
    pub finalizers: Vec<SmolStr>,
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
