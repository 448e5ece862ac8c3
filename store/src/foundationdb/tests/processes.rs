//! Clusters of real processes on loopback, killed in the middle of the work. `FDBSERVER` and `FDBCLI` say where the programs
//! are; without them each test says that it was skipped.

use super::*;
use crate::testing::{Programs, Servers};

/// A cluster in a directory that goes with it.
fn start(test: &str, count: usize, redundancy: &str) -> Option<(Servers, tempfile::TempDir)> {
    let Some(programs) = Programs::find() else {
        println!("{test}: skipped, FDBSERVER and FDBCLI are not set");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    Some((Servers::run(programs, directory.path(), count, redundancy).unwrap(), directory))
}

/// Counts while one process after the other is killed and started again.
async fn counts_through_kills(mut cluster: Servers, kills: usize) {
    let store = Arc::new(FoundationDb::open(Options::new(cluster.file())).await.unwrap());
    let counting = tokio::spawn({
        let store = store.clone();
        // More than is done before the last kill.
        async move { contract::endurance::counts_exactly(store, 1, 8, 300).await }
    });
    let mut done = 0;
    while !counting.is_finished() && done < kills {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let at = done % cluster.count();
        cluster.kill(at).unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.start(at).unwrap();
        done += 1;
    }
    let counted = counting.await.unwrap();
    println!("{done} kills, {counted:?}, {} commits of unknown result were settled", store.unknown_results());
    assert!(done > 0, "it was over before a process was killed");
    assert!(store.unknown_results() > 0, "no commit was under way when a process was killed");
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_killed_again_and_again_loses_and_doubles_nothing() {
    let Some((cluster, _directory)) = start("one process", 1, "single") else { return };
    counts_through_kills(cluster, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_killed_in_turn_lose_and_double_nothing() {
    let Some((cluster, _directory)) = start("three processes", 3, "double") else { return };
    counts_through_kills(cluster, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_stops_is_unavailable_in_time_and_comes_back() {
    let Some((mut cluster, _directory)) = start("a cluster that stops", 1, "single") else { return };
    let options = Options { deadline: Duration::from_secs(2), ..Options::new(cluster.file()) };
    let store = FoundationDb::open(options).await.unwrap();
    store.commit(batch(1, vec![], put("1"))).await.unwrap();
    cluster.kill(0).unwrap();
    let began = tokio::time::Instant::now();
    let read = store.get(Bytes::from_static(b"a")).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(store.ping().await.is_err());
    let refused = store.commit(batch(2, vec![], put("2"))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_) | StoreError::Unknown(_))), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    cluster.start(0).unwrap();
    while store.ping().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(120), "it does not come back");
    }
    store.commit(batch(2, vec![], put("2"))).await.unwrap();
    assert_eq!(store.get(Bytes::from_static(b"a")).await.unwrap().as_deref(), Some(&b"2"[..]));
}
