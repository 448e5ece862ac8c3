//! Lease renewals: what 10,000 kubelets do a thousand times a second.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::known::LEASES;
use http::Method;
use parking_lot::Mutex;
use serde_json::json;

use super::{JSON, RUN_LABEL, clean_up, create_all};
use crate::api_call::{read, request};
use crate::pace::{Load, drive};
use crate::{Bench, LoadError, Measured, Report};

const NAMESPACE: &str = "kube-node-lease";

/// Makes the Leases, renews them for the given time, and takes them away.
pub(super) async fn run(bench: &Bench<'_>, nodes: u32) -> Result<Report, LoadError> {
    let run = bench.run.clone();
    let made = create_all(bench, "make leases", LEASES, NAMESPACE, nodes, move |number| {
        let name = format!("loadtest-{run}-{number}");
        json!({
            "metadata": {"name": name, "labels": {RUN_LABEL: run}},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40},
        })
    })
    .await;

    let renewed = renew(bench, nodes).await;
    tokio::time::timeout(Duration::from_secs(120), clean_up(bench, &[(LEASES, NAMESPACE)], None))
        .await
        .map_err(|_| LoadError::TimedOut("removing the Leases took over 120 s".to_owned()))??;
    Ok(Report { measured: vec![made, renewed], notes: vec![] })
}

/// Each worker renews Leases of its own, as a kubelet does: with the version that the last answer gave.
async fn renew(bench: &Bench<'_>, nodes: u32) -> Measured {
    let workers = bench.command.concurrency.min(nodes);
    let versions: Arc<Vec<Mutex<Renewals>>> = Arc::new((0..workers).map(|_| Mutex::default()).collect());
    let (transports, clock, run) = (bench.transports.clone(), bench.ambient.clock.clone(), bench.run.clone());
    let load = Load { name: "renew leases".to_owned(), total: None, duration: bench.duration() };
    drive(bench, load, move |worker, _| {
        let transport = transports[worker % transports.len()].clone();
        let (versions, clock, run) = (versions.clone(), clock.clone(), run.clone());
        async move {
            // More workers than Leases would have to share them, and conflict.
            let worker = worker % workers as usize;
            let (turn, version) = {
                let mut mine = versions[worker].lock();
                let turn = mine.turns % (nodes - worker as u32).div_ceil(workers);
                mine.turns += 1;
                (turn, mine.versions.get(&turn).cloned())
            };
            let number = turn * workers + worker as u32;
            let name = format!("loadtest-{run}-{number}");
            let path = LEASES.object(NAMESPACE, &name, "");
            let version = match version {
                Some(version) => version,
                None => version_in(&read(&transport, request(Method::GET, &path, JSON, Bytes::new())).await?),
            };
            let body = renewal(&run, &name, &version, clock.wall_micros());
            let answer = read(&transport, request(Method::PUT, &path, JSON, Bytes::from(body))).await;
            let mut mine = versions[worker].lock();
            match answer {
                Ok(answer) => {
                    mine.versions.insert(turn, version_in(&answer));
                    Ok(answer.len())
                }
                Err(error) => {
                    mine.versions.remove(&turn);
                    Err(error)
                }
            }
        }
    })
    .await
}

/// What a worker knows of its Leases.
#[derive(Default)]
struct Renewals {
    turns: u32,
    versions: HashMap<u32, String>,
}

fn renewal(run: &str, name: &str, version: &str, now: i64) -> String {
    let now = api::time::format_micros(now);
    format!(
        "{{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/v1\",\"metadata\":{{\"name\":\"{name}\",\
         \"namespace\":\"{NAMESPACE}\",\"resourceVersion\":\"{version}\",\"labels\":{{\"{RUN_LABEL}\":\"{run}\"}}}},\
         \"spec\":{{\"holderIdentity\":\"{name}\",\"leaseDurationSeconds\":40,\"renewTime\":\"{now}\"}}}}"
    )
}

/// metadata.resourceVersion, without reading the rest: a load generator must cost less than what it loads.
fn version_in(answer: &[u8]) -> String {
    const KEY: &[u8] = b"\"resourceVersion\":\"";
    let start = answer.windows(KEY.len()).position(|part| part == KEY).map_or(answer.len(), |at| at + KEY.len());
    let digits = answer[start..].iter().take_while(|byte| byte.is_ascii_digit());
    digits.map(|byte| char::from(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_found() {
        assert_eq!(version_in(br#"{"metadata":{"name":"a","resourceVersion":"123"}}"#), "123");
        assert_eq!(version_in(b"{}"), "");
        let text = renewal("r", "n", "7", 0);
        assert_eq!(version_in(text.as_bytes()), "7");
        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
    }
}
