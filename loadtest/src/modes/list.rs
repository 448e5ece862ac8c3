//! Lists of all Pods.

use bytes::Bytes;
use client::known::PODS;
use http::Method;

use super::{JSON, NO_SCHEDULER, clean_up, create_all, make_namespace, pod};
use crate::api_call::{fetch, request, send};
use crate::pace::{Load, drive};
use crate::{Bench, LoadError, Report};

/// Makes the Pods, lists them for the given time, and removes them.
pub(super) async fn run(bench: &Bench<'_>, pods: u32, limit: u32) -> Result<Report, LoadError> {
    let namespace = make_namespace(bench).await?;
    let run = bench.run.clone();
    let made = create_all(bench, "create pods", PODS, &namespace, pods, move |number| {
        pod(&run, &format!("pod-{number}"), NO_SCHEDULER)
    })
    .await;
    let transports = bench.transports.clone();
    let load = Load { name: format!("list {pods} pods"), total: None, duration: bench.duration() };
    let listed = drive(bench, load, move |worker, _| {
        let transport = transports[worker % transports.len()].clone();
        async move {
            if limit == 0 {
                return send(&transport, request(Method::GET, &PODS.collection(""), JSON, Bytes::new())).await;
            }
            let (mut bytes, mut token) = (0, String::new());
            loop {
                let path = format!("{}?limit={limit}&continue={token}", PODS.collection(""));
                let page = fetch(&transport, request(Method::GET, &path, JSON, Bytes::new())).await?;
                bytes += page["items"].as_array().map_or(0, Vec::len);
                token = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
                if token.is_empty() {
                    return Ok(bytes);
                }
            }
        }
    })
    .await;
    clean_up(bench, &[(PODS, &namespace)], Some(&namespace)).await?;
    let per_list = listed.bytes / listed.latencies.len().max(1);
    let unit = if limit == 0 { "bytes" } else { "items" };
    Ok(Report { measured: vec![made, listed], notes: vec![format!("{per_list} {unit} in each list")] })
}
