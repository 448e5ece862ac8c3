//! Acting as somebody else: `Impersonate-User`, `-Group`, `-Uid` and `-Extra-*` headers, for whoever may `impersonate` each of
//! what they name.
//!
//! Invariant: nothing behind this sees the headers, so a request is impersonated once or not at all.

use std::sync::Arc;

use api::Status;
use api::rbac::Action;
use http::header::HeaderName;
use http::{HeaderMap, HeaderValue};
use shards::authorization::Authorizer;
use shards::service::UserInfo;
use smol_str::SmolStr;

use crate::query::decode;

const USER: HeaderName = HeaderName::from_static("impersonate-user");
const GROUP: HeaderName = HeaderName::from_static("impersonate-group");
const UID: HeaderName = HeaderName::from_static("impersonate-uid");
const EXTRA: &str = "impersonate-extra-";

/// Who a request acts as: its sender, where it names nobody else.
pub(crate) async fn apply(
    authorizer: &Authorizer,
    cluster: &SmolStr,
    sender: Arc<UserInfo>,
    headers: &mut HeaderMap,
) -> Result<Arc<UserInfo>, Status> {
    if !headers.keys().any(|name| name.as_str().starts_with("impersonate-")) {
        return Ok(sender);
    }
    let Some(wanted) = wanted(headers)? else { return Ok(sender) };
    for action in actions(&wanted) {
        authorizer.require(cluster, &sender, &action.as_action()).await?;
    }
    let ours: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with("impersonate-")).cloned().collect();
    for name in ours {
        headers.remove(name);
    }
    Ok(Arc::new(whole(wanted)))
}

/// Whom the headers name; `None` where they name nothing. 500 where they name no user, as in the reference.
fn wanted(headers: &HeaderMap) -> Result<Option<UserInfo>, Status> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let one = |name| headers.get(name).map(text).unwrap_or_default();
    let mut user = UserInfo { name: one(USER), uid: one(UID), ..UserInfo::default() };
    user.groups = headers.get_all(GROUP).iter().map(text).collect();
    for name in headers.keys() {
        let Some(key) = name.as_str().strip_prefix(EXTRA) else { continue };
        let values = headers.get_all(name).iter().map(text).collect();
        user.extra.push((decode(key, false), values));
    }
    if !user.name.is_empty() {
        return Ok(Some(user));
    }
    match user == UserInfo::default() {
        true => Ok(None),
        false => Err(Status::internal("requested groups, a uid or extra fields without impersonating a user")),
    }
}

/// What the sender must be allowed to do.
struct Needed {
    group: &'static str,
    resource: &'static str,
    subresource: String,
    namespace: String,
    name: String,
}

impl Needed {
    fn as_action(&self) -> Action<'_> {
        Action {
            verb: "impersonate",
            group: self.group,
            resource: self.resource,
            subresource: &self.subresource,
            namespace: &self.namespace,
            name: &self.name,
            path: "",
        }
    }
}

fn actions(wanted: &UserInfo) -> Vec<Needed> {
    let needed = |group, resource, name: &str| {
        let (subresource, namespace) = Default::default();
        Needed { group, resource, subresource, namespace, name: name.to_owned() }
    };
    let mut all = vec![match service_account(&wanted.name) {
        Some((namespace, name)) => Needed { namespace: namespace.to_owned(), ..needed("", "serviceaccounts", name) },
        None => needed("", "users", &wanted.name),
    }];
    all.extend(wanted.groups.iter().map(|group| needed("", "groups", group)));
    if !wanted.uid.is_empty() {
        all.push(needed("authentication.k8s.io", "uids", &wanted.uid));
    }
    for (key, values) in &wanted.extra {
        let extra = |value: &String| Needed {
            subresource: key.clone(),
            ..needed("authentication.k8s.io", "userextras", value)
        };
        all.extend(values.iter().map(extra));
    }
    all
}

/// With the groups that follow from who somebody is.
fn whole(mut user: UserInfo) -> UserInfo {
    if let Some((namespace, _)) = service_account(&user.name)
        && user.groups.is_empty()
    {
        user.groups = vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
    }
    let implied = if user.name == "system:anonymous" { "system:unauthenticated" } else { "system:authenticated" };
    let is_said = |group: &String| group == "system:authenticated" || group == "system:unauthenticated";
    if !user.groups.iter().any(is_said) {
        user.groups.push(implied.to_owned());
    }
    user
}

/// Namespace and name of the ServiceAccount that a user is.
fn service_account(user: &str) -> Option<(&str, &str)> {
    let (namespace, name) = user.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (!namespace.is_empty() && !name.is_empty() && !name.contains(':')).then_some((namespace, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn everything_that_is_named_must_be_allowed() {
        let headers = headers(&[
            ("Impersonate-User", "system:serviceaccount:a:b"),
            ("Impersonate-Group", "one"),
            ("Impersonate-Group", "two"),
            ("Impersonate-Uid", "1"),
            ("Impersonate-Extra-scopes%2fx", "view"),
        ]);
        let user = wanted(&headers).unwrap().unwrap();
        let needed: Vec<String> = actions(&user)
            .iter()
            .map(|needed| {
                format!(
                    "{}/{}/{}/{}/{}",
                    needed.group, needed.resource, needed.subresource, needed.namespace, needed.name
                )
            })
            .collect();
        let expected = [
            "/serviceaccounts//a/b",
            "/groups///one",
            "/groups///two",
            "authentication.k8s.io/uids///1",
            "authentication.k8s.io/userextras/scopes/x//view",
        ];
        assert_eq!(needed, expected);
    }

    #[test]
    fn groups_follow_from_the_name_and_a_name_is_needed() {
        let groups = |name: &str| whole(UserInfo { name: name.to_owned(), ..UserInfo::default() }).groups;
        assert_eq!(groups("bob"), ["system:authenticated"]);
        assert_eq!(groups("system:anonymous"), ["system:unauthenticated"]);
        let account = ["system:serviceaccounts", "system:serviceaccounts:a", "system:authenticated"];
        assert_eq!(groups("system:serviceaccount:a:b"), account);
        assert_eq!(wanted(&headers(&[("Impersonate-Group", "x")])).unwrap_err().code(), 500);
    }
}
