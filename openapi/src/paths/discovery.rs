//! The paths that show which groups, versions and resources there are, and which program this is.

use super::operation::{Answer, Operation};
use super::{Names, Paths};
use crate::schemas::META;

const MEDIA: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];

/// `/apis/apps/v1/`
pub(super) fn version(paths: &mut Paths<'_, '_>, group: &str, version: &str) {
    let names = Names::of(group, Some(version));
    let id = format!("get{}APIResources", names.title);
    let path = format!("/{}/", crate::root(group, version));
    get(paths, path, &names, id, "get available resources", format!("{META}.APIResourceList"));
}

/// `/apis/apps/`
pub(super) fn group(paths: &mut Paths<'_, '_>, group: &str) {
    let names = Names::of(group, None);
    let id = format!("get{}APIGroup", names.title);
    get(paths, format!("/apis/{group}/"), &names, id, "get information of a group", format!("{META}.APIGroup"));
}

/// `/api/`
pub(super) fn core(paths: &mut Paths<'_, '_>) {
    let id = "getCoreAPIVersions".to_owned();
    let answer = format!("{META}.APIVersions");
    get(paths, "/api/".to_owned(), &Names::of("", None), id, "get available API versions", answer);
}

/// `/apis/`
pub(super) fn list(paths: &mut Paths<'_, '_>) {
    let names = Names { title: String::new(), tag: "apis".to_owned() };
    let id = "getAPIVersions".to_owned();
    get(paths, "/apis/".to_owned(), &names, id, "get available API versions", format!("{META}.APIGroupList"));
}

/// `/version/`
pub(super) fn program(paths: &mut Paths<'_, '_>) {
    let names = Names { title: String::new(), tag: "version".to_owned() };
    let answer = "io.k8s.apimachinery.pkg.version.Info".to_owned();
    let mut operation = operation("getCodeVersion".to_owned(), "get the version information for this server", answer);
    (operation.consumes, operation.produces) = (&MEDIA[..1], &MEDIA[..1]);
    paths.add("/version/".to_owned(), &names, Vec::new(), vec![operation]);
}

fn get(paths: &mut Paths<'_, '_>, path: String, names: &Names, id: String, text: &str, answer: String) {
    paths.add(path, names, Vec::new(), vec![operation(id, text, answer)]);
}

fn operation(id: String, text: &str, answer: String) -> Operation {
    Operation {
        method: "get",
        action: None,
        id,
        text: text.to_owned(),
        kind: None,
        parameters: Vec::new(),
        body: None,
        consumes: MEDIA,
        produces: MEDIA,
        codes: &[200],
        answer: Answer::Type(answer),
    }
}
