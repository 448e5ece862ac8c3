//! Pod creations, without anybody to schedule them.

use client::known::PODS;

use super::{NO_SCHEDULER, clean_up, create_all, make_namespace, pod};
use crate::{Bench, LoadError, Report};

/// Creates the Pods and removes them.
pub(super) async fn run(bench: &Bench<'_>, count: u32) -> Result<Report, LoadError> {
    let namespace = make_namespace(bench).await?;
    let run = bench.run.clone();
    let made = create_all(bench, "create pods", PODS, &namespace, count, move |number| {
        pod(&run, &format!("pod-{number}"), NO_SCHEDULER)
    })
    .await;
    clean_up(bench, &[(PODS, &namespace)], Some(&namespace)).await?;
    Ok(Report { measured: vec![made], notes: vec![] })
}
