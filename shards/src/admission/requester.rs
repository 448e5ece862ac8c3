//! Who asks for a certificate: the server says it, and nobody is certified in another's name. (The reference's registry
//! does this; here, as there, it is done before anything else looks.)

use api::document::Document;
use api::{Status, Value};
use serde_json::{Map, json};

use super::{Attributes, Operation};

pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, document: &mut Value) -> Result<(), Status> {
    let call = attributes.call;
    if attributes.operation != Operation::Create || !call.is("certificatesigningrequests.certificates.k8s.io") {
        return Ok(());
    }
    for said in ["username", "uid", "groups", "extra"] {
        document.remove(&["spec", said]);
    }
    let user = &call.request.user;
    for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            document.set(&["spec", field], text.as_str());
        }
    }
    if !user.groups.is_empty() {
        document.set(&["spec", "groups"], json!(user.groups));
    }
    if !user.extra.is_empty() {
        let extra: Map<String, Value> = user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
        document.set(&["spec", "extra"], extra);
    }
    Ok(())
}
