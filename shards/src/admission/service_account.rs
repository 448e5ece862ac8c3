//! ServiceAccount: a Pod runs as an account that exists. The volume with its token comes with TokenRequest.

use std::time::Duration;

use api::document::Document;
use api::{Status, Value};
use smol_str::SmolStr;

use super::{Attributes, Operation};
use crate::verbs::Call;

const ACCOUNTS: &str = "serviceaccounts";
const MIRROR: &str = "kubernetes.io/config.mirror";
/// How long a new Namespace's default account may take: its controller makes it.
const DEFAULT_WAIT: (u32, Duration) = (10, Duration::from_millis(100));

pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, pod: &mut Value) -> Result<(), Status> {
    let call = attributes.call;
    if !call.is("pods") || attributes.operation != Operation::Create {
        return Ok(());
    }
    if !pod.at(&["metadata", "annotations", MIRROR]).is_null() {
        return admit_mirror(call, pod);
    }
    let name = account_of(pod);
    set_account(pod, &name);
    let namespace = call.request.namespace.clone();
    let table = call.other_table(ACCOUNTS);
    let account = table.and_then(|table| attributes.view.read(table, &(namespace.clone(), name.clone())));
    let Some(account) = account else {
        return Err(call.forbidden(&format!(
            "error looking up service account {namespace}/{name}: serviceaccount {name:?} not found"
        )));
    };
    if pod.list(&["spec", "imagePullSecrets"]).is_empty() {
        let secrets = account.document();
        let named = |secret: &Value| serde_json::json!({"name": secret.text(&["name"])});
        let secrets: Vec<Value> = secrets.list(&["imagePullSecrets"]).iter().map(named).collect();
        if !secrets.is_empty() {
            pod.set(&["spec", "imagePullSecrets"], secrets);
        }
    }
    Ok(())
}

fn account_of(pod: &Value) -> SmolStr {
    match (pod.text(&["spec", "serviceAccountName"]), pod.text(&["spec", "serviceAccount"])) {
        ("", "") => SmolStr::new_static("default"),
        ("", old) => old.into(),
        (name, _) => name.into(),
    }
}

/// Both spellings: the older one is kept for older clients, as the reference's conversion does.
fn set_account(pod: &mut Value, name: &str) {
    pod.set(&["spec", "serviceAccountName"], name);
    pod.set(&["spec", "serviceAccount"], name);
}

/// A mirror Pod shows what a kubelet runs anyway; it may not use what others have.
fn admit_mirror(call: Call<'_>, pod: &Value) -> Result<(), Status> {
    if !pod.text(&["spec", "serviceAccountName"]).is_empty() {
        return Err(call.forbidden("a mirror pod may not reference service accounts"));
    }
    let mut containers = ["containers", "initContainers"].iter().flat_map(|kind| pod.list(&["spec", kind]));
    let reads_secret = |container: &Value| {
        let from = container.list(&["envFrom"]).iter().any(|source| !source.at(&["secretRef"]).is_null());
        let env = container.list(&["env"]).iter();
        from || env.into_iter().any(|env| !env.at(&["valueFrom", "secretKeyRef"]).is_null())
    };
    let volumes = pod.list(&["spec", "volumes"]);
    if containers.any(reads_secret)
        || volumes.iter().any(|volume| !volume.at(&["secret"]).is_null())
        || !pod.list(&["spec", "imagePullSecrets"]).is_empty()
    {
        return Err(call.forbidden("a mirror pod may not reference secrets"));
    }
    let mut sources = volumes.iter().flat_map(|volume| volume.list(&["projected", "sources"]));
    if sources.any(|source| !source.at(&["serviceAccountToken"]).is_null()) {
        return Err(call.forbidden("a mirror pod may not use ServiceAccountToken volume projections"));
    }
    Ok(())
}

/// Gives the controller the time to make a new Namespace's default account.
pub(super) async fn wait_for_default(call: Call<'_>, pod: &Value) {
    let name = account_of(pod);
    let Some(table) = call.other_table(ACCOUNTS).filter(|_| name == "default") else { return };
    let key = (call.request.namespace.clone(), name);
    let namespaces = call.other_table("namespaces");
    let namespace = (SmolStr::default(), call.request.namespace.clone());
    for _ in 0..DEFAULT_WAIT.0 {
        let there = call.shard.sequencer.newest(table, &key).object.is_some();
        let hopeless = namespaces.is_none_or(|table| call.shard.sequencer.newest(table, &namespace).object.is_none());
        if there || hopeless {
            return;
        }
        tokio::time::sleep(DEFAULT_WAIT.1).await;
    }
}
