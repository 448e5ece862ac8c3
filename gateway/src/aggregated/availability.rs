//! Whether the servers of APIServices answer: looked at now and then, and said in their status.

use std::sync::{Arc, Weak};
use std::time::Duration;

use api::document::Document;
use api::{Status, Value};
use axum::body::Body;
use bytes::Bytes;
use hashbrown::HashMap;
use http::Request as HttpRequest;
use serde_json::json;
use shards::outside::{self, Place};
use shards::service::{Format, Outcome, Request, UserInfo, Verb, WriteOptions};
use smol_str::SmolStr;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{ApiService, Followed, ID_NAME, discovered, proxy};
use crate::Inner;

/// How often a server that answers is looked at.
const OFTEN: Duration = Duration::from_secs(30);
/// First and longest pause before one that does not is looked at again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest answer that is read.
const ANSWER: usize = 4 << 20;

/// What is said about a server.
struct Verdict {
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// When a server is looked at again, and the pause before it.
struct Due {
    at: Instant,
    pause: Duration,
    /// Of the object that it was looked at for.
    version: api::Version,
}

/// Looks at the servers of a cluster's APIServices until it is told to stop, or the gateway has gone.
pub(super) async fn keep(inner: Weak<Inner>, followed: Arc<Followed>, stop: CancellationToken) {
    let mut revision = followed.informer.revision();
    let mut due: HashMap<SmolStr, Due> = HashMap::new();
    loop {
        revision.get_and_update();
        let services = followed.table();
        due.retain(|name, _| services.iter().any(|service| service.name == *name));
        for service in services.iter() {
            let Some(inner) = inner.upgrade() else { return };
            let is_due = |due: &Due| due.at <= Instant::now() || due.version != service.version_of_object;
            if due.get(&service.name).is_none_or(is_due) {
                let before = due.get(&service.name).map_or(Duration::ZERO, |due| due.pause);
                let pause = match look(&inner, &followed.cluster, service).await {
                    true => OFTEN,
                    false if before == OFTEN => PAUSE.0,
                    false => (before * 2).clamp(PAUSE.0, PAUSE.1),
                };
                let version = service.version_of_object;
                due.insert(service.name.clone(), Due { at: Instant::now() + pause, pause, version });
            }
        }
        let next = due.values().map(|due| due.at).min().unwrap_or_else(|| Instant::now() + OFTEN);
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = tokio::time::timeout_at(next, revision.changed()) => drop(changed),
        }
    }
}

/// Looks at one server and says what came of it, if that is news. Answers whether it is available.
async fn look(inner: &Arc<Inner>, cluster: &SmolStr, service: &ApiService) -> bool {
    let verdict = match check(inner, cluster, service).await {
        Ok(resources) => {
            service.set_resources(resources);
            Verdict { status: "True", reason: "Passed", message: "all checks passed".to_owned() }
        }
        Err(verdict) => verdict,
    };
    let is_available = verdict.status == "True";
    if let Err(status) = say(inner, cluster, service, &verdict).await {
        tracing::debug!(service = %service.name, %status, "the status of an APIService is written later");
        return false;
    }
    is_available
}

async fn check(inner: &Arc<Inner>, cluster: &SmolStr, service: &ApiService) -> Result<Vec<Value>, Verdict> {
    let caller = inner.caller(cluster);
    let Place::Service { namespace, name, port } = service.place() else { return Ok(Vec::new()) };
    let verdict = |status, reason, message| Err(Verdict { status, reason, message });
    let of = format!("service/{name} in {namespace:?}");
    let found = match outside::service(caller, namespace, name).await {
        Ok(Some(found)) => found.document(),
        Ok(None) => return verdict("False", "ServiceNotFound", format!("{of} is not present")),
        Err(why) => return verdict("Unknown", "ServiceAccessError", format!("{of} cannot be checked due to: {why}")),
    };
    if found.text(&["spec", "type"]) == "ClusterIP" {
        let mut ports = found.list(&["spec", "ports"]).iter();
        let Some(wanted) = ports.find(|entry| entry.int(&["port"]) == Some(i64::from(*port))) else {
            return verdict("False", "ServicePortError", format!("{of} is not listening on port {port}"));
        };
        let wanted = wanted.text(&["name"]);
        match outside::slices(caller, namespace, name).await {
            Err(why) => {
                return verdict("Unknown", "EndpointsAccessError", format!("{of} cannot be checked due to: {why}"));
            }
            Ok(slices) if slices.is_empty() => {
                return verdict("False", "EndpointsNotFound", format!("cannot find endpointslices for {of}"));
            }
            Ok(slices) if slices.iter().all(|slice| outside::of_slice(&slice.document(), wanted).is_empty()) => {
                let why = format!("endpointslices for {of} have no addresses with port name {wanted:?}");
                return verdict("False", "MissingEndpoints", why);
            }
            Ok(_) => {}
        }
    }
    match tokio::time::timeout(PATIENCE, discover(inner, cluster, service)).await {
        Ok(Ok(resources)) => Ok(resources),
        Ok(Err(why)) => verdict("False", "FailedDiscoveryCheck", why),
        Err(_) => {
            let why = format!("timed out waiting for {}", url(service));
            verdict("False", "FailedDiscoveryCheck", why)
        }
    }
}

fn url(service: &ApiService) -> String {
    let place = service.place();
    format!("https://{}:{}/apis/{}/{}", place.host(), place.port(), service.group, service.version)
}

/// Asks a server what it serves.
async fn discover(inner: &Arc<Inner>, cluster: &SmolStr, service: &ApiService) -> Result<Vec<Value>, String> {
    let aggregator = UserInfo {
        name: "system:kube-aggregator".to_owned(),
        groups: vec!["system:masters".to_owned()],
        ..UserInfo::default()
    };
    let request = HttpRequest::get(format!("/apis/{}/{}", service.group, service.version))
        .header("accept", "application/json")
        .body(Body::empty())
        .map_err(|error| error.to_string())?;
    let identity = inner.config.front_proxy.as_ref();
    let failed = |why: String| {
        let url = url(service);
        format!("failing or missing response from {url}: Get {url:?}: {why}")
    };
    let answer = proxy::ask(inner.caller(cluster), service, identity, &aggregator, request).await.map_err(failed)?;
    let code = answer.status();
    if !(200..400).contains(&code.as_u16()) {
        let why = format!("bad status from {}: {}", url(service), code.as_u16());
        return Err(format!("failing or missing response from {}: {why}", url(service)));
    }
    let body = proxy::read(answer.into_body(), ANSWER).await.map_err(failed)?;
    // Whatever it says, it answers.
    let list: Value = serde_json::from_slice(&body).unwrap_or_default();
    Ok(discovered::resources(&list, &service.group, &service.version))
}

/// Writes a condition, where it is not there already.
async fn say(inner: &Arc<Inner>, cluster: &SmolStr, service: &ApiService, verdict: &Verdict) -> Result<(), Status> {
    let Some(resource) = inner.registry.named(ID_NAME) else { return Ok(()) };
    let request = |verb| Request {
        id: inner.ambient.entropy.next_u128(),
        cluster: cluster.clone(),
        resource: resource.id,
        served: 0,
        subresource: SmolStr::default(),
        namespace: SmolStr::default(),
        name: service.name.clone(),
        user: Arc::new(UserInfo::apiserver()),
        verb,
    };
    let slot = resource.slot(cluster, "", &service.name);
    let read = inner.topology.execute(slot, request(Verb::Get { version: None })).await?;
    let Outcome::Object(object) = read.outcome else { return Ok(()) };
    let mut document = object.document();
    let now = inner.now_text();
    if !set(&mut document, verdict, &now) {
        return Ok(());
    }
    let verb = Verb::Update {
        body: Bytes::from(document.to_string()),
        format: Format::Json,
        options: WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() },
        uid: String::new(),
    };
    let write = Request { subresource: SmolStr::new_static("status"), ..request(verb) };
    inner.topology.execute(slot, write).await.map(drop)
}

/// Sets the condition; whether anything of it is new. Its time is that of the last change of its status.
fn set(document: &mut Value, verdict: &Verdict, now: &str) -> bool {
    let mut conditions = document.list(&["status", "conditions"]).to_vec();
    let place = conditions.iter_mut().find(|condition| condition.text(&["type"]) == "Available");
    let mut wanted = json!({
        "type": "Available", "status": verdict.status, "reason": verdict.reason, "message": verdict.message,
        "lastTransitionTime": now,
    });
    match place {
        Some(condition) => {
            if condition.text(&["status"]) == verdict.status {
                wanted.set(&["lastTransitionTime"], condition.at(&["lastTransitionTime"]).clone());
            }
            if *condition == wanted {
                return false;
            }
            *condition = wanted;
        }
        None => conditions.push(wanted),
    }
    document.set(&["status", "conditions"], conditions);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_keeps_its_time_while_its_status_stays() {
        let mut document = json!({"metadata": {"name": "v1.a"}});
        let verdict = |status, reason| Verdict { status, reason, message: "m".to_owned() };
        assert!(set(&mut document, &verdict("False", "ServiceNotFound"), "1"));
        assert!(!set(&mut document, &verdict("False", "ServiceNotFound"), "2"));
        assert!(set(&mut document, &verdict("False", "MissingEndpoints"), "3"));
        let time = |document: &Value| document["status"]["conditions"][0]["lastTransitionTime"].clone();
        assert_eq!(time(&document), "1");
        assert!(set(&mut document, &verdict("True", "Passed"), "4"));
        assert_eq!((time(&document), document["status"]["conditions"].as_array().unwrap().len()), (json!("4"), 1));
    }
}
