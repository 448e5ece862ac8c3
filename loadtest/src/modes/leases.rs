//! Lease renewals: what 10,000 kubelets do a thousand times a second.

use std::time::Duration;

use bytes::Bytes;
use client::known::LEASES;
use http::Method;
use serde_json::json;

use super::{JSON, RUN_LABEL, clean_up, create_all};
use crate::api_call::{request, send};
use crate::pace::{Load, drive};
use crate::{Bench, LoadError, Report};

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

    let transports = bench.transports.clone();
    let (clock, run) = (bench.ambient.clock.clone(), bench.run.clone());
    let load = Load { name: "renew leases".to_owned(), total: None, duration: bench.duration() };
    let renewed = drive(bench, load, move |worker, number| {
        let name = format!("loadtest-{run}-{}", number % u64::from(nodes));
        let now = api::time::format_micros(clock.wall_micros());
        // Without a resourceVersion, so that two renewals of one Lease in flight do not conflict: the reference's
        // figures were taken the same way.
        let body = format!(
            "{{\"kind\":\"Lease\",\"apiVersion\":\"coordination.k8s.io/v1\",\"metadata\":{{\"name\":\"{name}\",\
             \"namespace\":\"{NAMESPACE}\",\"labels\":{{\"{RUN_LABEL}\":\"{run}\"}}}},\"spec\":{{\
             \"holderIdentity\":\"{name}\",\"leaseDurationSeconds\":40,\"renewTime\":\"{now}\"}}}}"
        );
        let request = request(Method::PUT, &LEASES.object(NAMESPACE, &name, ""), JSON, Bytes::from(body));
        let transport = transports[worker % transports.len()].clone();
        async move { send(&transport, request).await }
    })
    .await;
    tokio::time::timeout(Duration::from_secs(120), clean_up(bench, &[(LEASES, NAMESPACE)], None))
        .await
        .map_err(|_| LoadError::TimedOut("removing the Leases took over 120 s".to_owned()))??;
    Ok(Report { measured: vec![made, renewed], notes: vec![] })
}
