//! The types of `request` and `namespaceObject`. Both are narrower than what they are made of: `request` has no objects, which
//! are variables of their own, and of a Namespace's metadata only some fields are there.

use std::sync::{Arc, LazyLock};

use expressions::{Declared, DeclaredKind};

type Fields<'a> = &'a [(&'a str, &'a Arc<Declared>)];

fn message(name: &str, fields: Fields<'_>) -> Arc<Declared> {
    let fields = fields.iter().map(|(name, of)| ((*name).into(), Arc::clone(of)));
    Declared::object(name, fields)
}

fn text() -> Arc<Declared> {
    Declared::scalar(DeclaredKind::String)
}

/// admission.k8s.io AdmissionRequest.
pub fn request() -> &'static Arc<Declared> {
    static REQUEST: LazyLock<Arc<Declared>> = LazyLock::new(|| {
        let text = &text();
        let texts = &Declared::list(text.clone());
        let kind = &message("kubernetes.GroupVersionKind", &[("group", text), ("version", text), ("kind", text)]);
        let resource =
            &message("kubernetes.GroupVersionResource", &[("group", text), ("version", text), ("resource", text)]);
        let extra = &Declared::map(texts.clone());
        let user =
            &message("kubernetes.UserInfo", &[("username", text), ("uid", text), ("groups", texts), ("extra", extra)]);
        let fields: Fields<'_> = &[
            ("kind", kind),
            ("resource", resource),
            ("subResource", text),
            ("requestKind", kind),
            ("requestResource", resource),
            ("requestSubResource", text),
            ("name", text),
            ("namespace", text),
            ("operation", text),
            ("userInfo", user),
            ("dryRun", &Declared::scalar(DeclaredKind::Bool)),
            ("options", &Declared::anything()),
        ];
        message("kubernetes.AdmissionRequest", fields)
    });
    &REQUEST
}

/// The Namespace of the object.
pub fn namespace() -> &'static Arc<Declared> {
    static NAMESPACE: LazyLock<Arc<Declared>> = LazyLock::new(|| {
        let text = &text();
        let int = &Declared::scalar(DeclaredKind::Int);
        let time = &Declared::scalar(DeclaredKind::DateTime);
        let texts = &Declared::list(text.clone());
        let pairs = &Declared::map(text.clone());
        let spec = &message("kubernetes.NamespaceSpec", &[("finalizers", texts)]);
        let condition = message(
            "kubernetes.NamespaceCondition",
            &[("status", text), ("type", text), ("lastTransitionTime", time), ("message", text), ("reason", text)],
        );
        let conditions = &Declared::list(condition);
        let status = &message("kubernetes.NamespaceStatus", &[("conditions", conditions), ("phase", text)]);
        let fields: Fields<'_> = &[
            ("name", text),
            ("generateName", text),
            ("namespace", text),
            ("labels", pairs),
            ("annotations", pairs),
            // Spelled as the reference does.
            ("UID", text),
            ("creationTimestamp", time),
            ("deletionGracePeriodSeconds", int),
            ("deletionTimestamp", time),
            ("generation", int),
            ("resourceVersion", text),
            ("finalizers", texts),
        ];
        let metadata = &message("kubernetes.NamespaceMetadata", fields);
        message("kubernetes.Namespace", &[("metadata", metadata), ("spec", spec), ("status", status)])
    });
    &NAMESPACE
}
