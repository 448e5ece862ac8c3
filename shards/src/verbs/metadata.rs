//! What every object's metadata has to hold, whatever its kind (rest.BeforeCreate, rest.BeforeUpdate).

use api::document::Document;
use api::{Causes, Object, Status, Value, names};

use super::Call;
use crate::service::Verb;

/// What only the server sets.
const SYSTEM: [&str; 5] = ["creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "uid"];

impl Call<'_> {
    /// Gives a new object what only the server sets.
    pub(crate) fn fill_metadata(&self, document: &mut Value, uid: &str) -> Result<(), Status> {
        // An update that creates may name the version of what is gone.
        let creates = matches!(self.request.verb, Verb::Create { .. });
        if creates && !document.text(&["metadata", "resourceVersion"]).is_empty() {
            // The reference answers a 500 with these words; it is the client's mistake.
            return Err(Status::bad_request("resourceVersion should not be set on objects to be created"));
        }
        let metadata = document.at_mut(&["metadata"]);
        for field in SYSTEM {
            metadata.remove(&[field]);
        }
        metadata.set(&["creationTimestamp"], self.now());
        metadata.set(&["uid"], uid);
        metadata.remove(&["resourceVersion"]);
        metadata.remove(&["generation"]);
        if self.resource.generation {
            metadata.set(&["generation"], 1);
        }
        Ok(())
    }

    /// Namespace and name are the path's; where the document says something else, it is a 400.
    pub(crate) fn match_path(&self, document: &mut Value) -> Result<(), Status> {
        let (namespace, name) = (&*self.request.namespace, &*self.request.name);
        let expected = if self.resource.namespaced { namespace } else { "" };
        match document.namespace() {
            have if have == expected => {}
            "" => document.set(&["metadata", "namespace"], expected),
            _ if expected.is_empty() => drop(document.remove(&["metadata", "namespace"])),
            _ => {
                let why = "the namespace of the provided object does not match the namespace sent on the request";
                return Err(Status::bad_request(why));
            }
        }
        match document.name() {
            have if have == name => {}
            // Created: its name may have been generated.
            "" if matches!(self.request.verb, Verb::Create { .. }) => document.set(&["metadata", "name"], name),
            "" => {
                return Err(Status::bad_request(format!(
                    "the name of the object ({name} based on URL) was undeterminable: name must be provided"
                )));
            }
            have => {
                return Err(Status::bad_request(format!(
                    "the name of the object ({have}) does not match the name on the URL ({name})"
                )));
            }
        }
        if expected.is_empty() {
            document.remove(&["metadata", "namespace"]);
        }
        Ok(())
    }

    /// Puts back what an update cannot change by leaving it out.
    pub(crate) fn keep_metadata(&self, document: &mut Value, old: &Value) {
        let metadata = document.at_mut(&["metadata"]);
        metadata.remove(&["selfLink"]);
        copy(metadata, old, "creationTimestamp");
        copy(metadata, old, "generation");
        if metadata.text(&["uid"]).is_empty() {
            copy(metadata, old, "uid");
        }
        if old.is_deleting() {
            copy(metadata, old, "deletionTimestamp");
        }
        if metadata.at(&["deletionGracePeriodSeconds"]).is_null() {
            copy(metadata, old, "deletionGracePeriodSeconds");
        }
    }

    /// Checks the metadata of a new object, behind the kind's own rules as in the reference. Answers warnings.
    pub(crate) fn check_new(&self, document: &Value) -> Result<Vec<String>, Status> {
        let mut causes = Causes::default();
        self.rules().validate(document, &mut causes);
        self.rules().validate_create(document, &mut causes);
        self.check_metadata(document, &mut causes);
        let warnings = causes.take_warnings();
        self.invalid_unless_empty(causes).map(|()| warnings)
    }

    /// Checks what stands in metadata by itself.
    pub(crate) fn check_metadata(&self, document: &Value, causes: &mut Causes) {
        let rule = |name: &str| self.rules().validate_name(name);
        names::validate_metadata(document, self.resource.namespaced, rule, causes);
        if self.rules().qualifies_finalizers() {
            names::validate_kube_finalizers(document, causes);
        }
    }

    /// 422 with a cause per field, if there is any.
    pub(crate) fn invalid_unless_empty(&self, causes: Causes) -> Result<(), Status> {
        if causes.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(&self.served.group, &self.resource.kind, &self.request.name, causes))
    }

    /// The preconditions that an update's own document states.
    pub(crate) fn check_preconditions(&self, document: &Value, old: &Object, old_uid: &str) -> Result<(), Status> {
        let uid = document.uid();
        if !uid.is_empty() && uid != old_uid {
            return Err(self
                .conflict(&format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}")));
        }
        let version = document.text(&["metadata", "resourceVersion"]);
        if matches!(version, "" | "0") {
            if super::update::needs_version(self.resource) {
                let mut causes = Causes::default();
                causes.invalid("metadata.resourceVersion", &Value::from(0), "must be specified for an update");
                // Named by the plural, as in the reference.
                let plural = &self.resource.plural;
                return Err(Status::invalid(&self.served.group, plural, &self.request.name, causes));
            }
            return Ok(());
        }
        match version.parse::<api::Version>() {
            Ok(version) if version == old.version => Ok(()),
            Ok(_) => Err(self.stale()),
            Err(_) => {
                let mut causes = Causes::default();
                causes.invalid("metadata.resourceVersion", &version.into(), "must be a decimal number");
                self.invalid_unless_empty(causes)
            }
        }
    }
}

fn copy(metadata: &mut Value, old: &Value, field: &str) {
    match old.at(&["metadata", field]) {
        Value::Null => drop(metadata.remove(&[field])),
        value => metadata.set(&[field], value.clone()),
    }
}

/// Whether an update leaves an object that only waited for its last finalizer (ShouldDeleteDuringUpdate).
pub(crate) fn must_be_removed(call: Call<'_>, document: &Value, old: &Value) -> bool {
    let grace = old.int(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0);
    document.list(&["metadata", "finalizers"]).is_empty()
        && (!call.is("namespaces") || document.list(&["spec", "finalizers"]).is_empty())
        && old.is_deleting()
        && grace == 0
}
