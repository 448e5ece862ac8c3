//! `continue` tokens: where a list stopped, and of which list.

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
    #[serde(rename = "c")]
    cluster: SmolStr,
    #[serde(rename = "r")]
    resource: SmolStr,
    /// Namespace that was asked for; empty for all.
    #[serde(rename = "s")]
    scope: SmolStr,
    /// The state that the list shows.
    #[serde(rename = "rv")]
    version: u64,
    /// Key of the last object that was sent.
    #[serde(rename = "ns")]
    namespace: SmolStr,
    #[serde(rename = "n")]
    name: SmolStr,
}

/// The form of tokens that this code writes.
const FORM: u8 = 1;

impl Continuation {
    pub(crate) fn new(cluster: &str, resource: &str, scope: &str, version: Version, last: (SmolStr, SmolStr)) -> Self {
        Self {
            form: FORM,
            cluster: cluster.into(),
            resource: resource.into(),
            scope: scope.into(),
            version: version.0,
            namespace: last.0,
            name: last.1,
        }
    }

    pub(crate) fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("plain text and numbers are JSON"))
    }

    /// Reads a token of that list; 400 for anything else.
    pub(crate) fn decode(token: &str, cluster: &str, resource: &str, scope: &str) -> Result<Self, Status> {
        let text = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid("it is no base64"))?;
        let read: Self = serde_json::from_slice(&text).map_err(|_| invalid("it is no token of this server"))?;
        if read.form != FORM || read.version > Version::MAX.0 || read.name.is_empty() {
            return Err(invalid("server does not recognize this encoded version"));
        }
        if (&*read.cluster, &*read.resource, &*read.scope) != (cluster, resource, scope) {
            return Err(invalid("it belongs to another list"));
        }
        Ok(read)
    }

    pub(crate) fn version(&self) -> Version {
        Version(self.version)
    }

    pub(crate) fn last(&self) -> (SmolStr, SmolStr) {
        (self.namespace.clone(), self.name.clone())
    }
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
        assert_eq!((read.version(), read.last()), (Version(77), last));
        for (cluster, resource, scope) in [("other", "pods", ""), ("default", "nodes", ""), ("default", "pods", "ns")] {
            assert_eq!(Continuation::decode(&token, cluster, resource, scope).unwrap_err().code(), 400);
        }
        for broken in ["", "!", "e30", &token[1..]] {
            assert_eq!(Continuation::decode(broken, "default", "pods", "").unwrap_err().code(), 400);
        }
    }
}
