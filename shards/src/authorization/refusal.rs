//! A refusal in the reference's words.

use api::Status;
use api::rbac::Action;
use api::status::Reason;

use crate::service::UserInfo;

/// 403: what the user may not, and the authorizers' reason where they had one.
pub(super) fn of(user: &UserInfo, action: &Action<'_>, reason: &str) -> Status {
    let who = format!("User {:?} cannot {}", user.name, action.verb);
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    if !action.is_resource() {
        let why = sanitised(&format!("forbidden: {who} path {:?}{reason}", action.path));
        return Status::new(Reason::Forbidden, why);
    }
    let resource = match action.subresource {
        "" => action.resource.to_string(),
        sub => format!("{}/{sub}", action.resource),
    };
    let place = match action.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    let why = format!("{who} resource {resource:?} in API group {:?} {place}{reason}", action.group);
    Status::forbidden(action.group, action.resource, action.name, &sanitised(&why))
}

/// So that no browser takes the answer for a page.
fn sanitised(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_worded_as_the_reference_does() {
        let user = UserInfo { name: "x".into(), groups: vec!["system:authenticated".into()], ..UserInfo::default() };
        let refuse = |action: &Action<'_>| of(&user, action, "").message().to_owned();
        let pods = Action { verb: "list", resource: "pods", namespace: "default", ..Action::default() };
        assert_eq!(
            refuse(&pods),
            "pods is forbidden: User \"x\" cannot list resource \"pods\" in API group \"\" in the namespace \"default\""
        );
        let scale = Action {
            verb: "get",
            group: "apps",
            resource: "deployments",
            subresource: "scale",
            namespace: "a",
            name: "b",
            path: "",
        };
        assert_eq!(
            refuse(&scale),
            "deployments.apps \"b\" is forbidden: User \"x\" cannot get resource \"deployments/scale\" in API group \
             \"apps\" in the namespace \"a\""
        );
        let nodes = Action { verb: "list", resource: "nodes", ..Action::default() };
        assert_eq!(
            refuse(&nodes),
            "nodes is forbidden: User \"x\" cannot list resource \"nodes\" in API group \"\" at the cluster scope"
        );
        let version = Action { verb: "get", path: "/version", ..Action::default() };
        assert_eq!(refuse(&version), "forbidden: User \"x\" cannot get path \"/version\"");
        assert!(of(&user, &nodes, "because").message().ends_with("at the cluster scope: because"));
    }
}
