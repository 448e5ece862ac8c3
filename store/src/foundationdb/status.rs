//! Why a cluster does not answer, as far as the client library can tell.
//!
//! The library answers one key by itself: its own status and, where it reaches one, the cluster's, as JSON.

use std::time::Duration;

use serde_json::Value;

use super::Cluster;

const STATUS: &[u8] = b"\xff\xff/status/json";
/// The library waits 2 s for each of the processes that it misses, and for the answers of those that it finds.
const PATIENCE: Duration = Duration::from_secs(5);

impl Cluster {
    /// What is wrong, in words for the operator; `None` where the library does not know either.
    pub(super) async fn trouble(&self) -> Option<String> {
        let transaction = self.database.create_trx().ok()?;
        let status = tokio::time::timeout(PATIENCE, transaction.get(STATUS, true)).await.ok()?.ok()??;
        explain(&serde_json::from_slice(&status).ok()?)
    }
}

fn explain(status: &Value) -> Option<String> {
    let reachable = status.pointer("/client/coordinators/quorum_reachable").and_then(Value::as_bool);
    let said = ["/client/messages", "/cluster/messages"].into_iter().flat_map(|place| {
        let messages = status.pointer(place).and_then(Value::as_array);
        messages.into_iter().flatten()
    });
    let mut said: Vec<&str> = said.filter_map(|message| message["description"].as_str()).collect();
    let controlled = !has(status, "/client/messages", "no_cluster_controller");
    match reachable {
        Some(false) => said = vec!["a majority of its coordinators cannot be reached"],
        Some(true) if !controlled => {
            said = vec![
                "its coordinators answer, but know no cluster of that name: is the file, with the words before its `@`, that \
                 of the cluster's own machines, and do its servers run?",
            ];
        }
        _ => {}
    }
    (!said.is_empty()).then(|| said.join("; "))
}

fn has(status: &Value, place: &str, name: &str) -> bool {
    let messages = status.pointer(place).and_then(Value::as_array);
    messages.into_iter().flatten().any(|message| message["name"] == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_library_knows_is_put_in_words() {
        let status = |reachable: bool, name: &str| {
            json!({"client": {"coordinators": {"quorum_reachable": reachable},
                "messages": [{"name": name, "description": "As it says."}]}, "cluster": {}})
        };
        for (status, part) in [
            (status(false, "quorum_not_reachable"), "majority of its coordinators"),
            (status(true, "no_cluster_controller"), "know no cluster of that name"),
            (status(true, "status_incomplete_timeout"), "As it says."),
        ] {
            let said = explain(&status).expect("something is wrong");
            assert!(said.contains(part), "{said}");
        }
        let recovering = json!({"client": {"coordinators": {"quorum_reachable": true}, "messages": []},
            "cluster": {"messages": [{"name": "unreachable_processes", "description": "The cluster has some."}]}});
        assert_eq!(explain(&recovering).as_deref(), Some("The cluster has some."));
        assert_eq!(explain(&json!({})), None);
    }
}
