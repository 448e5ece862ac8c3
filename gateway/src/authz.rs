//! Who may: `system:masters` everything, nobody else anything yet. RBAC gets its room here.

use api::Status;
use api::status::Reason;
use shards::service::UserInfo;

use crate::request::RequestInfo;

/// Whether a path is open to everybody, known or not.
pub(crate) fn is_open(path: &str) -> bool {
    ["/healthz", "/livez", "/readyz"]
        .iter()
        .any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// 403 in the reference's words, unless the user may.
pub(crate) fn authorize(user: &UserInfo, info: &RequestInfo) -> Result<(), Status> {
    if is_open(&info.path) || user.groups.iter().any(|group| group == "system:masters") {
        return Ok(());
    }
    let who = format!("User {:?} cannot {}", user.name, info.verb);
    if !info.is_resource {
        let why = sanitised(&format!("forbidden: {who} path {:?}", info.path));
        return Err(Status::new(Reason::Forbidden, why));
    }
    let resource = match info.subresource.as_str() {
        "" => info.resource.to_string(),
        sub => format!("{}/{sub}", info.resource),
    };
    let place = match info.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let why = format!("{who} resource {resource:?} in API group {:?} {place}", info.group);
    Err(Status::forbidden(&info.group, &info.resource, &info.name, &sanitised(&why)))
}

/// So that no browser takes the answer for a page.
fn sanitised(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;

    #[test]
    fn refusals_are_worded_as_the_reference_does() {
        let user = UserInfo { name: "x".into(), groups: vec!["system:authenticated".into()], ..UserInfo::default() };
        let refuse = |path: &str| {
            let info = RequestInfo::new(&"default".into(), &Method::GET, path, None);
            authorize(&user, &info).unwrap_err().message().to_owned()
        };
        assert_eq!(
            refuse("/api/v1/namespaces/default/pods"),
            "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
        );
        assert_eq!(
            refuse("/apis/apps/v1/namespaces/a/deployments/b/scale"),
            "deployments.apps \"b\" is forbidden: User \"x\" cannot get resource \"deployments/scale\" in API group \
             \"apps\" in the namespace \"a\""
        );
        assert_eq!(
            refuse("/api/v1/nodes"),
            "nodes is forbidden: User \"x\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
        assert_eq!(refuse("/version"), "forbidden: User \"x\" cannot get path \"/version\"");
    }

    #[test]
    fn masters_may_and_health_is_open() {
        let info = RequestInfo::new(&"default".into(), &Method::DELETE, "/api/v1/nodes", None);
        let master = UserInfo { groups: vec!["system:masters".into()], ..UserInfo::default() };
        assert!(authorize(&master, &info).is_ok());
        assert!(is_open("/readyz") && is_open("/livez/ping") && !is_open("/healthzx") && !is_open("/metrics"));
    }
}
