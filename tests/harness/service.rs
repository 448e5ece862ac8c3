//! A service of several processes: a store, shards, gateways. Each process can be killed, stopped, paused and started again.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::time::Instant;

use super::network::{Machine, Network};
use super::{PATIENCE, Server, binary, lines_of};

/// One process that says on stderr when it serves.
pub struct Process {
    /// Where it runs, if not on the test's own machine.
    pub machine: Option<Machine>,
    arguments: Vec<String>,
    child: Option<Child>,
    lines: Mutex<Receiver<String>>,
    /// `host:port` for other processes.
    pub address: String,
    /// Where /readyz is; empty for a store.
    pub health: String,
}

impl Process {
    fn start(machine: Option<Machine>, arguments: Vec<String>) -> Self {
        let mut process = Self::begin(machine, arguments);
        process.read_address();
        process
    }

    /// One that may not serve for long, or never will.
    pub fn begin(machine: Option<Machine>, arguments: Vec<String>) -> Self {
        let (child, receiver) = Self::spawn(machine.as_ref(), &arguments);
        let (lines, address, health) = (Mutex::new(receiver), String::new(), String::new());
        Self { machine, arguments, child: Some(child), lines, address, health }
    }

    fn spawn(machine: Option<&Machine>, arguments: &[String]) -> (Child, Receiver<String>) {
        let mut command = command(machine);
        command.args(arguments).env("NO_COLOR", "1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        let stderr = child.stderr.take().expect("piped above");
        (child, lines_of(stderr))
    }

    fn read_address(&mut self) {
        let line = self.until("serv");
        let words: Vec<&str> = line.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|have| *have == word).map(|at| words[at + 1]);
        let address = after("at").expect("it says where it serves");
        self.address = address.trim_start_matches("grpc://").trim_end_matches(';').to_owned();
        self.health =
            words.last().filter(|word| word.starts_with("http://")).map_or_else(String::new, |w| (*w).to_owned());
    }

    /// What its /readyz answers: the status, and why.
    pub fn readyz(url: &str) -> (u16, String) {
        let said = Command::new("curl").args(["--silent", "--max-time", "10", "-w", "\n%{http_code}", url]).output();
        let said = String::from_utf8(said.expect("curl is installed").stdout).expect("UTF-8");
        let (why, code) = said.rsplit_once('\n').expect("curl writes the code behind it");
        (code.parse().expect("a number"), why.to_owned())
    }

    /// The next line of its log that holds `text`.
    pub fn until(&self, text: &str) -> String {
        let (deadline, mut seen) = (Instant::now() + PATIENCE, Vec::new());
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.lock().expect("nobody panics with it").recv_timeout(left) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {text:?} ({error}); seen:\n{}", seen.join("\n")),
            }
        }
    }

    pub fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill is installed").success());
    }

    /// Waits until it has ended.
    pub fn ended(&mut self) -> ExitStatus {
        self.child.take().expect("it runs").wait().expect("a child can be waited for")
    }

    /// Starts it again where it was.
    pub fn again(&mut self) {
        let at = self.arguments.iter().position(|argument| argument == "--listen").expect("all have one");
        self.arguments[at + 1] = self.address.clone();
        let (child, lines) = Self::spawn(self.machine.as_ref(), &self.arguments);
        (self.child, self.lines) = (Some(child), Mutex::new(lines));
        self.read_address();
    }
}

/// The binary, on a machine.
fn command(machine: Option<&Machine>) -> Command {
    machine.map_or_else(binary, |machine| machine.command(env!("CARGO_BIN_EXE_shardplane")))
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// All processes. Gateways end before shards, and the store last.
pub struct Service {
    pub gateways: Vec<Server>,
    pub shards: Vec<Process>,
    /// None where something else is under the shards than `shardplane store`.
    pub store: Option<Process>,
    /// What shards are told: `--store`.
    pub store_url: String,
    /// Where the gateways run.
    pub machines: Vec<Machine>,
    directory: PathBuf,
}

impl Service {
    /// A store, that many shards, and that many gateways with one CA.
    pub fn start(directory: &Path, shards: usize, gateways: usize) -> Self {
        Self::start_on(None, directory, shards, gateways)
    }

    /// The same, each process on a machine of its own.
    pub fn start_on(network: Option<&Network>, directory: &Path, shards: usize, gateways: usize) -> Self {
        let place = network.map(Network::machine);
        let arguments = Self::arguments(directory, place.as_ref(), "store", "store", &[]);
        let store = Process::start(place, arguments);
        let url = format!("grpc://{}", store.address);
        Self { store: Some(store), ..Self::over(network, directory, url, shards, gateways) }
    }

    /// The same over a store that is there.
    pub fn over(
        network: Option<&Network>,
        directory: &Path,
        store_url: String,
        shards: usize,
        gateways: usize,
    ) -> Self {
        let machine = || network.map(Network::machine);
        let (directory, machines) = (directory.to_owned(), Vec::new());
        let (gateways_now, shards_now) = (Vec::new(), Vec::new());
        let mut service =
            Self { gateways: gateways_now, shards: shards_now, store: None, store_url, machines, directory };
        for ordinal in 0..shards {
            let shard = service.new_shard_on(machine(), ordinal);
            service.shards.push(shard);
        }
        for number in 0..gateways {
            let gateway = service.new_gateway_on(machine(), number);
            service.gateways.push(gateway);
        }
        service
    }

    fn new_gateway_on(&mut self, machine: Option<Machine>, number: usize) -> Server {
        let data = self.directory.join(format!("gateway-{number}"));
        let shards: Vec<&str> = self.shards.iter().map(|shard| shard.address.as_str()).collect();
        let (ca, certificates) = (self.internal_ca(), self.directory.join("certificates"));
        let arguments = [
            ("--shards", shards.join(",")),
            ("--internal-ca-dir", ca.display().to_string()),
            ("--cert-dir", certificates.display().to_string()),
        ];
        let arguments: Vec<&str> = arguments.iter().flat_map(|(flag, value)| [*flag, value]).collect();
        let address = listen(machine.as_ref());
        let gateway = Server::start_by(command(machine.as_ref()), &address, "gateway", &data, &arguments);
        self.machines.extend(machine);
        gateway
    }

    /// Starts one more shard, which is not in `shards` yet.
    pub fn new_shard(&self, ordinal: usize) -> Process {
        self.new_shard_on(None, ordinal)
    }

    fn new_shard_on(&self, machine: Option<Machine>, ordinal: usize) -> Process {
        let number = ordinal.to_string();
        let more = ["--store", &self.store_url, "--ordinal", &number, "--health-listen", "127.0.0.1:0"];
        let name = format!("shard-{ordinal}");
        let arguments = Self::arguments(&self.directory, machine.as_ref(), "shard", &name, &more);
        Process::start(machine, arguments)
    }

    /// Where the internal CA is.
    pub fn internal_ca(&self) -> PathBuf {
        self.directory.join("internal")
    }

    fn arguments(directory: &Path, machine: Option<&Machine>, part: &str, name: &str, more: &[&str]) -> Vec<String> {
        let (data, ca) = (directory.join(name), directory.join("internal"));
        let (data, ca) = (data.display().to_string(), ca.display().to_string());
        let listen = listen(machine);
        let common = [part, "--listen", &listen, "--data-dir", &data, "--internal-ca-dir", &ca];
        common.iter().chain(more).map(|argument| (*argument).to_owned()).collect()
    }
}

/// Any port of a machine.
fn listen(machine: Option<&Machine>) -> String {
    format!("{}:0", machine.map_or("127.0.0.1", |machine| &machine.address))
}
