//! Clusters of real processes on loopback, killed in the middle of the work. `FDBSERVER` and `FDBCLI` say where the programs
//! are; without them each test says that it was skipped.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;

struct Process {
    port: u16,
    child: Option<Child>,
}

/// A cluster in a directory that goes with it.
struct Cluster {
    server: PathBuf,
    directory: tempfile::TempDir,
    processes: Vec<Process>,
}

impl Cluster {
    fn start(test: &str, count: usize, redundancy: &str) -> Option<Self> {
        let (Some(server), Some(client)) = (std::env::var_os("FDBSERVER"), std::env::var_os("FDBCLI")) else {
            println!("{test}: skipped, FDBSERVER and FDBCLI are not set");
            return None;
        };
        // All ports are held at the same time, so that no two are the same.
        let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        drop(listeners);
        let directory = tempfile::tempdir().unwrap();
        let addresses: Vec<String> = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let processes = ports.into_iter().map(|port| Process { port, child: None }).collect();
        let mut cluster = Self { server: server.into(), directory, processes };
        std::fs::write(cluster.file(), format!("test:test@{}", addresses.join(","))).unwrap();
        for at in 0..count {
            cluster.restart(at);
        }
        let configure = format!("configure new {redundancy} ssd");
        let mut command = Command::new(client);
        command.arg("-C").arg(cluster.file()).args(["--exec", &configure, "--timeout", "60"]);
        let configured = command.output().unwrap();
        assert!(configured.status.success(), "{}", String::from_utf8_lossy(&configured.stdout));
        Some(cluster)
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("fdb.cluster")
    }

    fn restart(&mut self, at: usize) {
        let port = self.processes[at].port;
        let directory = self.directory.path().join(port.to_string());
        std::fs::create_dir_all(&directory).unwrap();
        let mut command = Command::new(&self.server);
        command.arg("--cluster-file").arg(self.file()).arg("--public-address").arg(format!("127.0.0.1:{port}"));
        command.arg("--datadir").arg(&directory).arg("--logdir").arg(&directory);
        // Each is a zone of its own, so that copies are kept on several.
        command.arg(format!("--locality-zoneid=z{at}")).arg(format!("--locality-machineid=m{at}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.processes[at].child = Some(command.spawn().unwrap());
    }

    /// SIGKILL: the process writes nothing and says nothing any more.
    fn kill(&mut self, at: usize) {
        if let Some(mut child) = self.processes[at].child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for at in 0..self.processes.len() {
            self.kill(at);
        }
    }
}

/// Counts while one process after the other is killed and started again.
async fn counts_through_kills(mut cluster: Cluster, kills: usize) {
    let store = Arc::new(FoundationDb::open(Options::new(cluster.file())).await.unwrap());
    let counting = tokio::spawn({
        let store = store.clone();
        // More than is done before the last kill.
        async move { contract::endurance::counts_exactly(store, 1, 8, 300).await }
    });
    let mut done = 0;
    while !counting.is_finished() && done < kills {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let at = done % cluster.processes.len();
        cluster.kill(at);
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.restart(at);
        done += 1;
    }
    let counted = counting.await.unwrap();
    println!("{done} kills, {counted:?}, {} commits of unknown result were settled", store.unknown_results());
    assert!(done > 0, "it was over before a process was killed");
    store.ping().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_killed_again_and_again_loses_and_doubles_nothing() {
    let Some(cluster) = Cluster::start("one process", 1, "single") else { return };
    counts_through_kills(cluster, 4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_killed_in_turn_lose_and_double_nothing() {
    let Some(cluster) = Cluster::start("three processes", 3, "double") else { return };
    counts_through_kills(cluster, 6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_stops_is_unavailable_in_time_and_comes_back() {
    let Some(mut cluster) = Cluster::start("a cluster that stops", 1, "single") else { return };
    let options = Options { deadline: Duration::from_secs(2), ..Options::new(cluster.file()) };
    let store = FoundationDb::open(options).await.unwrap();
    store.commit(batch(1, vec![], put("1"))).await.unwrap();
    cluster.kill(0);
    let began = tokio::time::Instant::now();
    let read = store.get(Bytes::from_static(b"a")).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))), "{read:?}");
    assert!(store.ping().await.is_err());
    let refused = store.commit(batch(2, vec![], put("2"))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_) | StoreError::Unknown(_))), "{refused:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    cluster.restart(0);
    while store.ping().await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(120), "it does not come back");
    }
    store.commit(batch(2, vec![], put("2"))).await.unwrap();
    assert_eq!(store.get(Bytes::from_static(b"a")).await.unwrap().as_deref(), Some(&b"2"[..]));
}
