//! What a request needs to be allowed, which [`shards::authorization`] decides.

use api::Status;
use api::rbac::Action;
use shards::authorization::Authorizer;
use shards::service::UserInfo;

use crate::request::RequestInfo;

/// 403 in the reference's words, unless the user may.
pub(crate) async fn authorize(authorizer: &Authorizer, user: &UserInfo, info: &RequestInfo) -> Result<(), Status> {
    match is_open(&info.path) {
        true => Ok(()),
        false => authorizer.require(&info.cluster, user, &action(info)).await,
    }
}

/// Whether a path is open to everybody, known or not.
pub(crate) fn is_open(path: &str) -> bool {
    ["/healthz", "/livez", "/readyz"]
        .iter()
        .any(|open| path.strip_prefix(open).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

fn action(info: &RequestInfo) -> Action<'_> {
    match info.is_resource {
        true => Action {
            verb: info.verb,
            group: &info.group,
            resource: &info.resource,
            subresource: &info.subresource,
            namespace: &info.namespace,
            name: &info.name,
            path: "",
        },
        false => Action { verb: info.verb, path: &info.path, ..Action::default() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_open_and_nothing_else() {
        assert!(is_open("/readyz") && is_open("/livez/ping") && !is_open("/healthzx") && !is_open("/metrics"));
    }
}
