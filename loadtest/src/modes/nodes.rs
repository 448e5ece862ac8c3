//! Node creations.

use client::known::NODES;
use serde_json::json;

use super::{RUN_LABEL, clean_up, create_all};
use crate::{Bench, LoadError, Report};

/// Creates the Nodes and removes them.
pub(super) async fn run(bench: &Bench<'_>, count: u32) -> Result<Report, LoadError> {
    let run = bench.run.clone();
    let made = create_all(bench, "create nodes", NODES, "", count, move |number| {
        let name = format!("loadtest-{run}-{number}");
        json!({
            "metadata": {
                "name": name,
                "labels": {RUN_LABEL: run, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux",
                           "kubernetes.io/arch": "amd64", "topology.kubernetes.io/zone": format!("zone-{}", number % 3)},
            },
            // Nobody stands behind it: nothing may be placed there.
            "spec": {"unschedulable": true},
            "status": {
                "capacity": {"cpu": "32", "memory": "128Gi", "pods": "110"},
                "allocatable": {"cpu": "32", "memory": "128Gi", "pods": "110"},
                "nodeInfo": {"kubeletVersion": "v1.36.0", "operatingSystem": "linux", "architecture": "amd64",
                             "machineID": "", "systemUUID": "", "bootID": "", "kernelVersion": "", "osImage": "",
                             "containerRuntimeVersion": "", "kubeProxyVersion": ""},
            },
        })
    })
    .await;
    clean_up(bench, &[(NODES, "")], None).await?;
    Ok(Report { measured: vec![made], notes: vec![] })
}
