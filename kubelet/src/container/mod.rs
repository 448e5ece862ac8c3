//! What a command finds in a simulated container. Nothing runs in it: [`shell`] reads a small part of the shell's language,
//! [`commands`] has a handful of commands in it, [`files`] is a tree in memory that is empty but for what is put there, and the
//! ports that the Pod names answer with a [`page`]. What is not simulated says so.
//!
//! A container is made from the Pod when somebody asks for it, so it costs nothing until then; its files last as long as its
//! life.

mod commands;
mod files;
pub(crate) mod page;
mod shell;
mod tar;
mod terminal;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use api::ambient::Ambient;
use serde::Deserialize;
use streaming::remote::{Outcome, Remote};

pub(crate) use files::{Files, Spent};
use shell::Shell;
use terminal::Terminal;

/// What is read of a Pod when somebody wants into it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PodFacts {
    metadata: MetaFacts,
    spec: SpecFacts,
    status: StatusFacts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MetaFacts {
    uid: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SpecFacts {
    hostname: Option<String>,
    containers: Vec<ContainerFacts>,
    init_containers: Vec<ContainerFacts>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct StatusFacts {
    #[serde(rename = "podIP")]
    pod_ip: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerFacts {
    name: String,
    image: String,
    working_dir: String,
    env: Vec<Variable>,
    ports: Vec<Port>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Variable {
    name: String,
    value: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Port {
    container_port: u16,
    protocol: String,
}

impl PodFacts {
    pub(crate) fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// The container that names a TCP port.
    pub(crate) fn listener(&self, port: u16) -> Option<&str> {
        let listens = |named: &Port| named.container_port == port && matches!(named.protocol.as_str(), "" | "TCP");
        let mut containers = self.spec.containers.iter().chain(&self.spec.init_containers);
        containers.find(|container| container.ports.iter().any(listens)).map(|container| container.name.as_str())
    }
}

/// Where a container is.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) namespace: String,
    pub(crate) pod: String,
    pub(crate) node: String,
}

/// A container, as a command sees it.
#[derive(Debug)]
pub(crate) struct Container {
    place: Place,
    name: String,
    image: String,
    hostname: String,
    working_dir: String,
    env: Vec<(String, String)>,
    files: Files,
}

impl Container {
    /// The container of that name; `None` where the Pod has none.
    pub(crate) fn of(pod: &PodFacts, place: Place, name: &str, files: Files) -> Option<Self> {
        let mut containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
        let facts = containers.find(|container| container.name == name)?;
        let hostname = pod.spec.hostname.clone().filter(|name| !name.is_empty()).unwrap_or_else(|| place.pod.clone());
        let own = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
            ("HOSTNAME", &hostname),
            ("HOME", "/root"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let given = facts.env.iter().map(|variable| (variable.name.clone(), variable.value.clone()));
        let env = own.into_iter().chain(given).collect();
        let working_dir = if facts.working_dir.is_empty() { "/".to_owned() } else { facts.working_dir.clone() };
        files.prepare(&hostname, &pod.status.pod_ip, &working_dir);
        let (name, image) = (facts.name.clone(), facts.image.clone());
        Some(Self { place, name, image, hostname, working_dir, env, files })
    }

    /// `container nginx (nginx:1.21) of pod default/web on node-7`
    fn title(&self) -> String {
        let Place { namespace, pod, node } = &self.place;
        format!("container {} ({}) of pod {namespace}/{pod} on {node}", self.name, self.image)
    }
}

/// Runs a command to its end, unless its client goes first.
pub(crate) async fn exec(container: Container, command: &[String], mut remote: Remote, tty: bool, ambient: &Ambient) {
    let gone = remote.gone.clone();
    let terminal = Terminal::of(&mut remote, tty);
    let shell = Shell::new(Arc::new(container), ambient.clone(), tty);
    let outcome = tokio::select! {
        outcome = shell.exec(command, &terminal) => outcome,
        () = gone.cancelled() => return,
    };
    terminal.close().await;
    drop(terminal);
    tell(remote, &outcome).await;
}

/// Tells the client what came of it.
pub(crate) async fn tell(remote: Remote, outcome: &Outcome) {
    let Remote { ending, .. } = remote;
    if let Err(error) = ending.finish(outcome).await {
        tracing::debug!(%error, "a client has not heard the result of its command");
    }
}
