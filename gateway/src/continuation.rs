//! `continue` tokens: where a list stopped, and of which list and state. One whose state is gone is answered with one
//! that goes on at the latest state, from the same place: what changed in between shows up in it or not.

use api::status::Reason;
use api::{Status, Version};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

/// What a token says. It is bound to the list that it came from, so that it means nothing elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Continuation {
    #[serde(rename = "v")]
    form: u8,
    /// Its id.
    #[serde(rename = "c")]
    cluster: SmolStr,
    #[serde(rename = "r")]
    resource: SmolStr,
    /// Namespace that was asked for; empty for all.
    #[serde(rename = "s")]
    scope: SmolStr,
    /// The state that the list shows, or [`LATEST`].
    #[serde(rename = "rv")]
    version: i64,
    /// Key of the last object that was sent.
    #[serde(rename = "ns")]
    namespace: SmolStr,
    #[serde(rename = "n")]
    name: SmolStr,
}

/// The form of tokens that this code writes.
const FORM: u8 = 1;

/// In place of a version, as the reference has it. Zero is none, so that a token without one is seen to be damaged.
const LATEST: i64 = -1;

impl Continuation {
    pub(crate) fn new(cluster: &str, resource: &str, scope: &str, version: Version, last: (SmolStr, SmolStr)) -> Self {
        Self {
            form: FORM,
            cluster: cluster.into(),
            resource: resource.into(),
            scope: scope.into(),
            // Versions have 63 bits.
            version: version.0.cast_signed(),
            namespace: last.0,
            name: last.1,
        }
    }

    /// A token that goes on behind the same key in whatever is the latest state then.
    pub(crate) fn at_latest(self) -> Self {
        Self { version: LATEST, ..self }
    }

    pub(crate) fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("plain text and numbers are JSON"))
    }

    /// Reads a token of that list; 400 for anything else.
    pub(crate) fn decode(token: &str, cluster: &str, resource: &str, scope: &str) -> Result<Self, Status> {
        let text = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid("it is no base64"))?;
        let read: Self = serde_json::from_slice(&text).map_err(|_| invalid("it is no token of this server"))?;
        if read.form != FORM || read.version < LATEST || read.name.is_empty() {
            return Err(invalid("server does not recognize this encoded version"));
        }
        if read.version == 0 {
            return Err(invalid("incorrect encoded start resourceVersion"));
        }
        if (name_of(&read.cluster), &*read.resource, &*read.scope) != (name_of(cluster), resource, scope) {
            return Err(invalid("it belongs to another list"));
        }
        Ok(read)
    }

    /// Whether it is of a cluster that had the name before: its state is gone.
    pub(crate) fn is_of_former(&self, cluster: &str) -> bool {
        self.cluster != cluster
    }

    /// The state to go on in; `None` for the latest.
    pub(crate) fn version(&self) -> Option<Version> {
        u64::try_from(self.version).ok().map(Version)
    }

    pub(crate) fn last(&self) -> (SmolStr, SmolStr) {
        (self.namespace.clone(), self.name.clone())
    }
}

/// The name of the cluster with that id.
fn name_of(id: &str) -> &str {
    id.split_once('.').map_or(id, |(name, _)| name)
}

fn invalid(why: &str) -> Status {
    Status::new(Reason::BadRequest, format!("continue key is not valid: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_belong_to_their_list() {
        let last = (SmolStr::from("ns"), SmolStr::from("pod-7"));
        let token = Continuation::new("default", "pods", "", Version(77), last.clone()).encode();
        let read = Continuation::decode(&token, "default", "pods", "").unwrap();
        assert_eq!((read.version(), read.last()), (Some(Version(77)), last.clone()));
        let read = Continuation::decode(&read.at_latest().encode(), "default", "pods", "").unwrap();
        assert_eq!((read.version(), read.last()), (None, last));
        for (cluster, resource, scope) in [("other", "pods", ""), ("default", "nodes", ""), ("default", "pods", "ns")] {
            assert_eq!(Continuation::decode(&token, cluster, resource, scope).unwrap_err().code(), 400);
        }
        let without_state = Continuation::new("default", "pods", "", Version::ZERO, read.last()).encode();
        for broken in ["", "!", "e30", &token[1..], &without_state] {
            assert_eq!(Continuation::decode(broken, "default", "pods", "").unwrap_err().code(), 400);
        }
    }
}
