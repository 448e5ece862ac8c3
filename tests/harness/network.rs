//! Machines on one machine: network namespaces on one bridge, which can be cut from each other.
//!
//! A cut is silent, as a broken switch is: packets go to a hardware address that nobody has. Nobody is told, and connections
//! hang until somebody loses patience.

use std::process::{Command, Stdio, id};
use std::sync::atomic::{AtomicU8, Ordering};

/// A hardware address that nobody has.
const NOBODY: &str = "02:00:00:00:00:99";

/// A bridge of its own, gone with its machines when dropped. The test stands on it as well.
pub struct Network {
    name: String,
    /// `10.213.7.`
    prefix: String,
    machines: AtomicU8,
}

/// One network namespace.
#[derive(Clone, Debug)]
pub struct Machine {
    namespace: String,
    /// Its only address.
    pub address: String,
}

fn ip(line: &str) -> bool {
    let mut command = Command::new("ip");
    command.args(line.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[track_caller]
fn must(line: &str) {
    assert!(ip(line), "ip {line}");
}

impl Network {
    /// `None`, and one line, where this user may make none.
    pub fn new() -> Option<Self> {
        let (name, prefix) = (format!("sp{}", id()), format!("10.213.{}.", id() % 250));
        // Both: a container may allow one and not the other.
        let possible = ip(&format!("netns add {name}")) && ip(&format!("link add {name} type bridge"));
        ip(&format!("netns delete {name}"));
        if !possible {
            eprintln!("skipped: cut networks, for this user may make no network namespaces (or there is no `ip`)");
            return None;
        }
        must(&format!("address add {prefix}254/24 dev {name}"));
        must(&format!("link set {name} up"));
        Some(Self { name, prefix, machines: AtomicU8::new(0) })
    }

    /// One more machine.
    pub fn machine(&self) -> Machine {
        let number = self.machines.fetch_add(1, Ordering::Relaxed) + 1;
        let Self { name, prefix, .. } = self;
        let machine = Machine { namespace: format!("{name}-{number}"), address: format!("{prefix}{number}") };
        let (namespace, plug) = (&machine.namespace, format!("{name}v{number}"));
        must(&format!("netns add {namespace}"));
        must(&format!("link add {plug} type veth peer name eth0 netns {namespace}"));
        must(&format!("link set {plug} master {name} up"));
        must(&format!("-n {namespace} address add {}/24 dev eth0", machine.address));
        must(&format!("-n {namespace} link set eth0 up"));
        must(&format!("-n {namespace} link set lo up"));
        machine
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for number in 1..=self.machines.load(Ordering::Relaxed) {
            ip(&format!("netns delete {}-{number}", self.name));
        }
        ip(&format!("link delete {}", self.name));
    }
}

impl Machine {
    /// A command that runs a program here. It has the program's process id.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace, program]);
        command
    }

    /// Nothing passes between the two, either way.
    pub fn cut(&self, other: &Self) {
        self.lose(other);
        other.lose(self);
    }

    fn lose(&self, other: &Self) {
        let Self { namespace, .. } = self;
        must(&format!("-n {namespace} neigh replace {} lladdr {NOBODY} dev eth0 nud permanent", other.address));
    }

    /// All is well between the two.
    pub fn heal(&self, other: &Self) {
        for (one, other) in [(self, other), (other, self)] {
            must(&format!("-n {} neigh delete {} dev eth0", one.namespace, other.address));
        }
    }
}
