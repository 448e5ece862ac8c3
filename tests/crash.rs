//! Stops, crashes and bad starts: nothing acknowledged is lost, and a bad start says one clear line.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::{Ran, Server, binary, run};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

/// Every object of the kinds that a test made, by path, without what a restart may change.
fn state(server: &Server) -> BTreeMap<String, Value> {
    let mut state = BTreeMap::new();
    for path in ["/api/v1/configmaps", "/apis/apps/v1/deployments", "/api/v1/services", "/api/v1/namespaces"] {
        let (code, list) = server.json("GET", path, &Value::Null);
        assert_eq!(code, 200);
        for item in list["items"].as_array().unwrap() {
            let key = format!("{path} {}/{}", item["metadata"]["namespace"], item["metadata"]["name"]);
            state.insert(key, item.clone());
        }
    }
    state
}

#[test]
fn a_stop_is_quick_and_the_next_start_finds_everything() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let mut server = Server::start(&data, &["--nodes", "0"]);
    for number in 0..50 {
        let body = json!({"metadata": {"name": format!("map-{number}")}, "data": {"n": number.to_string()}});
        assert_eq!(server.json("POST", MAPS, &body).0, 201);
    }
    let before = state(&server);
    // A running watch must not hold the stop up.
    let _watch = server.kubectl_follow(&["get", "configmaps", "-w"]);
    let (status, took) = server.stop();
    assert!(status.success(), "{status}");
    assert!(took < Duration::from_secs(2), "Ctrl-C took {took:?}");
    drop(server);

    let server = Server::start(&data, &["--nodes", "0", "--shards", "3"]);
    let after = state(&server);
    for (key, object) in &before {
        assert_eq!(after.get(key), Some(object), "{key}");
    }
    // Versions go on above those that were issued.
    let (_, made) = server.json("POST", MAPS, &json!({"metadata": {"name": "later"}}));
    let number = |object: &Value| object["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
    assert!(before.values().all(|object| number(object) < number(&made)));
}

#[test]
fn kill_9_under_load_loses_no_acknowledged_write() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let acknowledged: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
    for round in 0..4 {
        let mut server = Server::start(&data, &["--nodes", "0"]);
        check(&server, &acknowledged.lock().unwrap());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (server, stop, acknowledged) = (&server, &stop, acknowledged.clone());
                scope.spawn(move || write_until(server, stop, &acknowledged, &format!("r{round}-w{writer}")));
            }
            // Killed in the middle: after a number of acknowledgements, not after a time.
            let wanted = acknowledged.lock().unwrap().len() + 40 + 7 * round;
            harness::eventually("writes are acknowledged", || {
                (acknowledged.lock().unwrap().len() >= wanted).then_some(())
            });
            server.signal("-KILL");
            stop.store(true, Ordering::Relaxed);
        });
        server.kill();
    }
    let server = Server::start(&data, &["--nodes", "0"]);
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() >= 160);
    check(&server, &acknowledged);
}

/// Creates and updates over one keep-alive connection for each batch; counts only what was answered with success.
fn write_until(server: &Server, stop: &AtomicBool, acknowledged: &Mutex<BTreeMap<String, String>>, prefix: &str) {
    for number in 0.. {
        let name = format!("{prefix}-{number}");
        let body = json!({"metadata": {"name": name}, "data": {"n": "0"}});
        let manifest = server.data().with_extension(format!("{name}.out"));
        let code = post(server, "POST", MAPS, &body, &manifest);
        if code == Some(201) {
            acknowledged.lock().unwrap().insert(name.clone(), "0".to_owned());
        }
        let body = json!({"metadata": {"name": name}, "data": {"n": "1"}});
        if code == Some(201) && post(server, "PUT", &format!("{MAPS}/{name}"), &body, &manifest) == Some(200) {
            acknowledged.lock().unwrap().insert(name, "1".to_owned());
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// The status of a request, if it was answered at all: the server dies while this runs.
fn post(server: &Server, method: &str, path: &str, body: &Value, out: &std::path::Path) -> Option<u16> {
    let file = |name: &str| server.data().join(name).to_str().unwrap().to_owned();
    let output = std::process::Command::new("curl")
        .args([
            "--silent",
            "--max-time",
            "20",
            "--noproxy",
            "*",
            "--cacert",
            &file("ca.crt"),
            "--cert",
            &file("admin.crt"),
        ])
        .args(["--key", &file("admin.key"), "-X", method, "-H", "Content-Type: application/json", "-w", "%{http_code}"])
        .arg("-o")
        .arg(out)
        .args(["--data-binary", &body.to_string()])
        .arg(format!("{}{path}", server.url))
        .output()
        .unwrap();
    let complete = output.status.success();
    let _ = std::fs::remove_file(out);
    complete.then(|| String::from_utf8_lossy(&output.stdout).parse().ok()).flatten()
}

fn check(server: &Server, acknowledged: &BTreeMap<String, String>) {
    let (code, list) = server.json("GET", MAPS, &Value::Null);
    assert_eq!(code, 200);
    let found: BTreeMap<&str, &str> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|item| Some((item["metadata"]["name"].as_str()?, item["data"]["n"].as_str()?)))
        .collect();
    for (name, value) in acknowledged {
        // An update whose answer was lost may have happened; one that was answered must have.
        let have = found.get(name.as_str());
        assert!(have.is_some_and(|have| *have >= value.as_str()), "{name}: acknowledged {value}, found {have:?}");
    }
}

fn refused(ran: &Ran, needles: &[&str]) {
    assert!(!ran.status.success(), "{ran:?}");
    let lines: Vec<&str> = ran.stderr.lines().filter(|line| !line.trim().is_empty()).collect();
    assert!(needles.iter().all(|needle| ran.stderr.contains(needle)), "{needles:?} in {}", ran.stderr);
    assert!(!ran.stderr.contains("panicked") && lines.len() <= 8, "{}", ran.stderr);
}

#[test]
fn bad_starts_say_one_clear_line() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let up = |data: &std::path::Path, extra: &[&str]| {
        let mut command = binary();
        command.args(["up", "--nodes", "0", "--data-dir"]).arg(data).args(extra);
        run(command)
    };
    let server = Server::start(&data, &["--nodes", "0"]);
    let address = server.url.strip_prefix("https://").unwrap().to_owned();

    refused(&up(&data, &["--listen", "127.0.0.1:0"]), &["in use"]);
    let other = directory.path().join("other");
    let taken = up(&other, &["--listen", &address]);
    refused(&taken, &[&address, "in use"]);
    assert_eq!(taken.stderr.trim().lines().count(), 1, "one line: {}", taken.stderr);
    refused(&up(&other, &["--nodes", "many"]), &["--nodes"]);
    refused(&up(&other, &["--no-such-flag"]), &["--no-such-flag"]);
    refused(&up(&other, &["--listen", "nowhere"]), &["--listen"]);
    refused(&up(&other, &["--token-auth-file", "/nonexistent/tokens"]), &["/nonexistent/tokens"]);
    refused(&up(&other, &["--runtime-config", "nonsense"]), &["nonsense"]);
    assert!(!other.join("store.redb").exists(), "nothing half written");

    let unwritable = std::path::Path::new("/proc/shardplane");
    refused(&up(unwritable, &["--listen", "127.0.0.1:0"]), &["/proc/shardplane"]);
    drop(server);

    // A directory of a newer format is refused and left as it is.
    let store = data.join("store.redb");
    let before = std::fs::read(&store).unwrap();
    std::fs::write(data.join("format"), "999\n").unwrap();
    refused(&up(&data, &["--listen", "127.0.0.1:0"]), &["999"]);
    assert!(std::fs::read(&store).unwrap() == before);
}
