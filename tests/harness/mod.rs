//! Drives the real binary from outside: it is started as a user would, and spoken to by kubectl and curl over TLS.

#![allow(dead_code, reason = "each test file uses its own part of the harness")]

pub mod disk;
pub mod load;
pub mod network;
pub mod service;
pub mod webhook;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything in a test may take before it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running `shardplane up`, stopped when dropped.
pub struct Server {
    child: Option<Child>,
    data: PathBuf,
    log: PathBuf,
    lines: Mutex<Receiver<String>>,
    /// Texts that a WARN or ERROR line of this test's server may hold.
    pub expected_warnings: Vec<&'static str>,
    /// https://127.0.0.1:port
    pub url: String,
}

/// How a command ended and what it said.
#[derive(Debug)]
pub struct Ran {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("commands print UTF-8");
        Self { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// The binary under test.
pub fn binary() -> Command {
    Command::new(env!("CARGO_BIN_EXE_shardplane"))
}

impl Server {
    /// `up` with these arguments over a data directory, once it says that it serves.
    pub fn start(data: &Path, arguments: &[&str]) -> Self {
        Self::start_part("up", data, arguments)
    }

    /// Another subcommand that serves the API.
    pub fn start_part(part: &str, data: &Path, arguments: &[&str]) -> Self {
        Self::start_at("127.0.0.1:0", part, data, arguments)
    }

    /// The same at an address that clients know, usually that of a server that was killed.
    pub fn start_at(address: &str, part: &str, data: &Path, arguments: &[&str]) -> Self {
        Self::start_by(binary(), address, part, data, arguments)
    }

    /// The same with a command that leads to the binary.
    pub fn start_by(mut command: Command, address: &str, part: &str, data: &Path, arguments: &[&str]) -> Self {
        let log = data.with_extension("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let mut child = command
            .args([part, "--listen", address, "--data-dir"])
            .arg(data)
            .args(arguments)
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.take().expect("piped above");
        let lines = lines_of(stdout);
        let mut server = Self {
            child: Some(child),
            data: data.to_owned(),
            log,
            lines: Mutex::new(lines),
            expected_warnings: Vec::new(),
            url: String::new(),
        };
        let line = server.lines.lock().expect("nobody panics with it").recv_timeout(PATIENCE);
        let line = line.unwrap_or_else(|error| panic!("no line on stdout ({error}); its log:\n{}", server.log()));
        assert!(line.starts_with("export KUBECONFIG="), "the first line on stdout is the one to paste: {line}");
        let view = ["config", "view", "-o", "jsonpath={.clusters[0].cluster.server}"];
        server.url = server.kubectl(&view).trim().to_owned();
        server
    }

    pub fn data(&self) -> &Path {
        &self.data
    }

    pub fn kubeconfig(&self) -> PathBuf {
        self.data.join("kubeconfig")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn kubectl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("kubectl");
        command.arg("--kubeconfig").arg(self.kubeconfig()).arg("--cache-dir").arg(self.data.with_extension("cache"));
        command.args(arguments).stdin(Stdio::null());
        command
    }

    /// kubectl, which must succeed; its stdout.
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let ran = self.try_kubectl(arguments);
        assert!(ran.status.success(), "kubectl {arguments:?}: {}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// kubectl, whatever comes of it.
    pub fn try_kubectl(&self, arguments: &[&str]) -> Ran {
        self.kubectl_command(arguments).output().expect("kubectl is installed").into()
    }

    /// kubectl with a manifest on its stdin.
    pub fn kubectl_with(&self, arguments: &[&str], manifest: &str) -> Ran {
        let mut child = self
            .kubectl_command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl is installed");
        child.stdin.take().expect("piped above").write_all(manifest.as_bytes()).expect("kubectl reads its stdin");
        child.wait_with_output().expect("kubectl ends").into()
    }

    /// A kubectl that goes on; its lines of stdout as they come.
    pub fn kubectl_follow(&self, arguments: &[&str]) -> Follow {
        let mut child = self.kubectl_command(arguments).stdout(Stdio::piped()).spawn().expect("kubectl is installed");
        let stdout = child.stdout.take().expect("piped above");
        let lines = lines_of(stdout);
        Follow { child, lines }
    }

    /// Waits with `kubectl wait`, which watches.
    pub fn wait(&self, arguments: &[&str]) {
        let mut all = vec!["wait", "--timeout=60s"];
        all.extend_from_slice(arguments);
        self.kubectl(&all);
    }

    /// One object as JSON.
    pub fn get(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["get", "-o", "json"];
        all.extend_from_slice(arguments);
        serde_json::from_str(&self.kubectl(&all)).expect("kubectl prints JSON")
    }

    /// A request by curl with the admin's certificate.
    pub fn http(&self, method: &str, path: &str, headers: &[&str], body: &[u8]) -> Answer {
        let (cert, key) = (self.data.join("admin.crt"), self.data.join("admin.key"));
        curl(self, method, path, headers, body, &["--cert", text(&cert), "--key", text(&key)])
    }

    /// A request by curl without any credentials but those in `headers`.
    pub fn http_as_nobody(&self, method: &str, path: &str, headers: &[&str]) -> Answer {
        curl(self, method, path, headers, b"", &[])
    }

    /// A JSON request with the admin's certificate; the status and the answer.
    pub fn json(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let bytes = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let answer = self.http(method, path, &["Content-Type: application/json"], &bytes);
        (answer.code, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill is installed").success());
    }

    /// Ctrl-C, and how long it took to end.
    pub fn stop(&mut self) -> (ExitStatus, Duration) {
        let start = Instant::now();
        self.signal("-INT");
        let status = self.ended();
        (status, start.elapsed())
    }

    /// kill -9.
    pub fn kill(&mut self) {
        self.signal("-KILL");
        self.ended();
    }

    fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("it runs");
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                return status;
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                panic!("it did not end within {PATIENCE:?}; its log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn unexpected(&self) -> Vec<String> {
        let log = self.log();
        let loud =
            log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ") || line.contains("panicked"));
        let unexpected = loud.filter(|line| !self.expected_warnings.iter().any(|text| line.contains(text)));
        unexpected.map(str::to_owned).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.is_some() && !std::thread::panicking() {
            let (status, _) = self.stop();
            assert!(status.success(), "it ended with {status}; its log:\n{}", self.log());
        } else if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of the server's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        } else {
            let unexpected = self.unexpected();
            assert!(unexpected.is_empty(), "unexpected warnings in the log:\n{}", unexpected.join("\n"));
        }
    }
}

/// A part that works for the cluster of a kubeconfig, stopped when dropped.
pub struct Part {
    child: Child,
    log: PathBuf,
}

impl Part {
    /// `shardplane NAME --kubeconfig …`
    pub fn start(name: &str, server: &Server, arguments: &[&str]) -> Self {
        let log = server.data.with_extension(format!("{name}.log"));
        let file = std::fs::File::create(&log).expect("a log file");
        let mut command = binary();
        command.arg(name).arg("--kubeconfig").arg(server.kubeconfig()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
        Self { child: command.spawn().expect("the binary starts"), log }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let _ = Command::new("kill").args(["-INT", &id]).status();
        let status = self.child.wait().expect("a child can be waited for");
        if std::thread::panicking() {
            eprintln!("{}:\n{}", self.log.display(), std::fs::read_to_string(&self.log).unwrap_or_default());
        } else {
            assert!(status.success(), "{}: {status}", self.log.display());
        }
    }
}

/// A kubectl that follows something.
pub struct Follow {
    child: Child,
    lines: Receiver<String>,
}

impl Follow {
    /// The next line that holds `text`.
    pub fn until(&self, wanted: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) if line.contains(wanted) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {wanted:?} ({error}); seen:\n{}", seen.join("\n")),
            }
        }
    }
}

impl Drop for Follow {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    pub headers: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.code, String::from_utf8_lossy(&self.body)))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// Lines as they come, read by a thread so that they can be waited for.
pub fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are UTF-8")
}

fn curl(server: &Server, method: &str, path: &str, headers: &[&str], body: &[u8], extra: &[&str]) -> Answer {
    let mut command = Command::new("curl");
    command.args(["--silent", "--show-error", "--max-time", "60", "--include", "--suppress-connect-headers"]);
    command
        .args(["--noproxy", "*", "-H", "Expect:", "--cacert", text(&server.data.join("ca.crt")), "-X", method])
        .args(extra);
    for header in headers {
        command.args(["-H", header]);
    }
    if !body.is_empty() {
        command.args(["--data-binary", "@-"]);
    }
    command.arg(format!("{}{path}", server.url));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("curl");
    let mut stdin = child.stdin.take().expect("piped above");
    let body = body.to_vec();
    let writer = std::thread::spawn(move || {
        // A server that refuses a large body may close before it has read it.
        let _ = stdin.write_all(&body);
    });
    let output = child.wait_with_output().expect("curl ends");
    writer.join().expect("the writer does not panic");
    let raw = output.stdout;
    let end = raw.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("curl {path}: {}", String::from_utf8_lossy(&output.stderr)));
    let headers = String::from_utf8_lossy(&raw[..end]).into_owned();
    let code = headers.split_whitespace().nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    Answer { code, headers, body: raw[end + 4..].to_vec() }
}

/// A command that must end by itself within the patience of a test.
pub fn run(mut command: Command) -> Ran {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary starts");
    let deadline = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("{command:?} did not end");
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let (mut stdout, mut stderr) = (String::new(), String::new());
    child.stdout.take().expect("piped above").read_to_string(&mut stdout).expect("UTF-8");
    child.stderr.take().expect("piped above").read_to_string(&mut stderr).expect("UTF-8");
    Ran { status, stdout, stderr }
}

/// Polls something that has no event to wait for.
pub fn eventually<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
