//! Several engines over one small API that delays everything: all that fits somewhere is bound, no node is overcommitted,
//! and whoever fits nowhere says so about all nodes, also when schedulers die and come back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use client::{Change, Members};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use super::{World, for_seeds, naive};
use crate::engine::{Binding, Engine, Telling, What, Written};
use crate::queue::Place;
use crate::refusal;
use crate::view::{NodeView, PodView};

enum Write {
    Bind(Binding),
    Tell(Telling),
}

struct Member {
    name: String,
    engine: Engine,
    /// How much of the API's log it has seen.
    seen: usize,
    writes: Vec<Write>,
}

struct Cluster {
    world: World,
    random: StdRng,
    nodes: BTreeMap<String, Value>,
    pods: BTreeMap<String, Value>,
    log: Vec<Change<PodView>>,
    version: u64,
    members: Vec<Member>,
    /// How the share of every member is computed now.
    identities: Vec<String>,
    refusals: usize,
}

fn view<T: serde::de::DeserializeOwned>(document: &Value) -> Arc<T> {
    Arc::new(serde_json::from_value(document.clone()).unwrap())
}

impl Cluster {
    fn new(seed: u64, members: usize, nodes: usize) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let node = |random: &mut StdRng, name: &str| {
            let (zone, cpu) = (["a", "b"][random.random_range(0..2)], ["1", "2", "4"][random.random_range(0..3)]);
            json!({"metadata": {"name": name, "labels": {"zone": zone}}, "spec": {},
                "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "20"}}})
        };
        let names = (0..nodes).map(|number| format!("n{number}"));
        let nodes = names.map(|name| (name.clone(), node(&mut random, &name))).collect();
        let (pods, log, identities) = Default::default();
        let world = World::new(seed);
        let mut made =
            Self { world, random, nodes, pods, log, version: 0, members: Vec::new(), identities, refusals: 0 };
        for number in 0..members {
            made.start(&format!("scheduler-{number}"));
        }
        made.share();
        made
    }

    fn start(&mut self, name: &str) {
        let engine = Engine::new("default-scheduler", self.world.ambient(), Arc::default());
        let mut member = Member { name: name.to_owned(), engine, seen: self.log.len(), writes: Vec::new() };
        for pod in self.pods.values() {
            member.engine.pod_changed(&Change::Added(view(pod)));
        }
        self.members.push(member);
    }

    /// Everyone learns who is there. A new share begins when nothing of the old one is under way, as Membership sees to.
    fn share(&mut self) {
        for at in 0..self.members.len() {
            while let Some(write) = self.members[at].writes.pop() {
                self.execute(at, write);
            }
        }
        self.identities = self.members.iter().map(|member| member.name.clone()).collect();
        let nodes: Vec<Arc<NodeView>> = self.nodes.values().map(view).collect();
        let pods: Vec<Arc<PodView>> = self.pods.values().map(view).collect();
        for member in &mut self.members {
            let members = Members { identities: self.identities.as_slice().into(), own: member.name.clone() };
            member.engine.members_changed(&members, &nodes, &pods);
        }
    }

    fn put(&mut self, mut pod: Value) {
        self.version += 1;
        pod.set(&["metadata", "resourceVersion"], self.version.to_string());
        let new = view(&pod);
        let change = match self.pods.insert(pod.uid().to_owned(), pod) {
            Some(old) => Change::Updated(view(&old), new),
            None => Change::Added(new),
        };
        self.log.push(change);
    }

    fn add_pod(&mut self) {
        let uid = format!("u{}", self.version);
        let cpu = ["200m", "500m", "1500m", "9"][self.random.random_range(0..4)];
        let mut spec = json!({"schedulerName": "default-scheduler",
            "containers": [{"resources": {"requests": {"cpu": cpu, "memory": "64Mi"}}}]});
        if self.random.random_range(0..3) == 0 {
            let zone = ["a", "b", "nowhere"][self.random.random_range(0..3)];
            spec["nodeSelector"] = json!({"zone": zone});
        }
        self.put(json!({"metadata": {"name": uid, "namespace": "default", "uid": uid}, "spec": spec}));
    }

    fn remove_pod(&mut self) {
        let at = self.random.random_range(0..self.pods.len().max(1));
        let Some(uid) = self.pods.keys().nth(at).cloned() else { return };
        let pod = self.pods.remove(&uid).unwrap();
        self.log.push(Change::Deleted(view(&pod)));
    }

    /// One member takes in some changes and decides.
    fn work(&mut self, at: usize, changes: usize) {
        let member = &mut self.members[at];
        for change in self.log.iter().skip(member.seen).take(changes) {
            member.engine.pod_changed(change);
            member.seen += 1;
        }
        member.engine.wake();
        member.writes.extend(member.engine.decide(4).into_iter().map(Write::Bind));
        let tellings: VecDeque<Telling> = std::mem::take(member.engine.tellings());
        member.writes.extend(tellings.into_iter().map(Write::Tell));
    }

    /// The API carries a write out, and its outcome comes back.
    fn execute(&mut self, at: usize, write: Write) {
        match write {
            Write::Bind(binding) => {
                let mut written = Written::Failed;
                if self.random.random_range(0..10) > 0 {
                    written = self.bind(&binding);
                }
                self.members[at].engine.bound(&binding, written);
            }
            Write::Tell(telling) => {
                let mut written = Written::Failed;
                if self.random.random_range(0..10) > 0 {
                    written = self.tell(&telling);
                }
                self.members[at].engine.told(&telling, written);
            }
        }
    }

    fn bind(&mut self, binding: &Binding) -> Written {
        let Some(mut pod) = self.pods.get(binding.pod.uid().as_str()).cloned() else { return Written::Stale };
        if !pod.text(&["spec", "nodeName"]).is_empty() {
            return Written::Stale;
        }
        pod.set(&["spec", "nodeName"], binding.node.as_str());
        pod.remove(&["status"]);
        self.put(pod);
        Written::Done
    }

    fn tell(&mut self, telling: &Telling) -> Written {
        let Some(mut pod) = self.pods.get(telling.pod.uid().as_str()).cloned() else { return Written::Stale };
        match &telling.what {
            What::Refusal { key, text } => {
                pod.set(&["metadata", "annotations", key], text.as_str());
                self.refusals += 1;
            }
            What::Condition { is_patch: false, .. } => return Written::Done,
            What::Condition { reason, message, .. } => {
                if pod.text(&["metadata", "resourceVersion"]) != telling.pod.meta.resource_version {
                    return Written::Stale;
                }
                let condition =
                    json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message});
                pod.set(&["status", "conditions"], json!([condition]));
            }
        }
        self.put(pod);
        Written::Done
    }

    fn step(&mut self) {
        match self.random.random_range(0..10) {
            0 | 1 => self.add_pod(),
            2 if self.random.random_range(0..4) == 0 => self.remove_pod(),
            3 => self.world.advance(Duration::from_millis(self.random.random_range(0..3000))),
            4..7 => {
                let at = self.random.random_range(0..self.members.len());
                let writes = self.members[at].writes.len();
                if writes > 0 {
                    let write = self.random.random_range(0..writes);
                    let write = self.members[at].writes.swap_remove(write);
                    self.execute(at, write);
                }
            }
            _ => {
                let (at, changes) = (self.random.random_range(0..self.members.len()), self.random.random_range(0..5));
                self.work(at, changes);
            }
        }
        self.check_room();
    }

    /// A member dies, with some of its last writes carried out and the others lost.
    fn kill(&mut self, at: usize) {
        let dead = self.members.swap_remove(at);
        for write in dead.writes {
            if self.random.random_range(0..2) == 0 {
                match write {
                    Write::Bind(binding) => drop(self.bind(&binding)),
                    Write::Tell(telling) => drop(self.tell(&telling)),
                }
            }
        }
        // The others go on for a while before they know.
        for _ in 0..10 {
            self.step();
        }
        self.share();
    }

    /// Everyone works until nothing is left to do, while time goes by.
    fn settle(&mut self, during: Duration) {
        let mut left = during.as_secs();
        loop {
            let mut is_idle = true;
            for at in 0..self.members.len() {
                self.work(at, usize::MAX);
                while let Some(write) = self.members[at].writes.pop() {
                    is_idle = false;
                    self.execute(at, write);
                }
                is_idle &= self.members[at].seen == self.log.len() && !self.members[at].engine.has_work();
            }
            if is_idle {
                let Some(rest) = left.checked_sub(1) else { break };
                left = rest;
                self.world.advance(Duration::from_secs(1));
            }
        }
    }

    fn on(&self, node: &str) -> Vec<&Value> {
        self.pods.values().filter(|pod| pod.text(&["spec", "nodeName"]) == node).collect()
    }

    /// No node has more than it can hold.
    fn check_room(&self) {
        for (name, node) in &self.nodes {
            let pods = self.on(name);
            let milli = pods.iter().map(|pod| naive::requests(pod, false)["cpu"]).sum::<f64>();
            let whole: f64 = node.text(&["status", "allocatable", "cpu"]).parse().unwrap();
            assert!(milli <= whole * 1000.0, "{name} is overcommitted: {milli}m of {whole}");
        }
    }

    /// Whoever has no node fits on none, and says what is wrong with all of them.
    fn check_settled(&mut self) {
        self.check_room();
        for pod in self.pods.values().filter(|pod| pod.text(&["spec", "nodeName"]).is_empty()) {
            let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
            for (name, node) in &self.nodes {
                let refusals = naive::refusals(pod, node, &self.on(name));
                assert!(!refusals.is_empty(), "{} would fit on {name}", pod.name());
                for reason in refusals {
                    *reasons.entry(reason).or_default() += 1;
                }
            }
            let mut words: Vec<_> = reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
            words.sort();
            let expected = format!("0/{} nodes are available: {}.", self.nodes.len(), words.join(", "));
            let condition = pod.list(&["status", "conditions"]).first().unwrap_or_else(|| panic!("{pod} says nothing"));
            assert!(condition.text(&["message"]).starts_with(&expected), "{condition}\n{expected}\n{pod}");
        }
        let nodes: Vec<Arc<NodeView>> = self.nodes.values().map(view).collect();
        let pods: Vec<Arc<PodView>> = self.pods.values().map(view).collect();
        for member in &mut self.members {
            member.engine.consistency_check(&nodes, &pods).unwrap();
            member.engine.check_classes().unwrap();
            let waiting = member.engine.queue().iter().filter(|(_, entry)| entry.place == Place::InFlight).count();
            assert_eq!(waiting, 0, "pods in flight of nobody");
        }
    }
}

#[test]
fn what_fits_anywhere_is_bound_and_nothing_is_overcommitted() {
    let refusals = std::cell::Cell::new(0);
    for_seeds(30, |seed| {
        let members = 2 + (seed % 3) as usize;
        let mut cluster = Cluster::new(seed, members, 8);
        for _ in 0..300 {
            cluster.step();
        }
        cluster.settle(Duration::from_secs(320));
        cluster.check_settled();
        refusals.set(refusals.get() + cluster.refusals);
    });
    assert!(std::env::var("SEED").is_ok() || refusals.get() > 50, "hardly any pod was offered to anyone");
}

#[test]
fn work_goes_on_when_schedulers_die_and_come_back() {
    for_seeds(30, |seed| {
        let mut cluster = Cluster::new(seed, 3, 8);
        for round in 0..4 {
            for _ in 0..80 {
                cluster.step();
            }
            let at = cluster.random.random_range(0..cluster.members.len());
            let name = cluster.members[at].name.clone();
            cluster.kill(at);
            for _ in 0..80 {
                cluster.step();
            }
            // Every other time under its old name, whose refusals it does not remember.
            cluster.start(&if round % 2 == 0 { name } else { format!("new-{round}") });
            cluster.share();
        }
        cluster.settle(Duration::from_secs(320));
        cluster.check_settled();
    });
}

#[test]
fn a_pod_goes_from_its_home_to_the_only_node_that_will_do() {
    for number in 0..20 {
        let mut cluster = Cluster::new(number, 3, 0);
        let node = json!({"metadata": {"name": "only", "labels": {"zone": "a"}}, "spec": {},
            "status": {"allocatable": {"cpu": "4", "memory": "8Gi", "pods": "20"}}});
        cluster.nodes.insert("only".into(), node);
        cluster.share();
        let uid = format!("pod-{number}");
        cluster.put(json!({"metadata": {"name": uid, "uid": uid},
            "spec": {"schedulerName": "default-scheduler", "containers": [{"resources": {"requests": {"cpu": "1"}}}]}}));
        let owner = cluster.identities.iter().position(|one| {
            Members { identities: cluster.identities.as_slice().into(), own: one.clone() }.owns(crate::hash("only"))
        });
        let members = Members { identities: cluster.identities.as_slice().into(), own: String::new() };
        let pod: Arc<PodView> = view(&cluster.pods[&uid]);
        let order = refusal::order(&pod, &members);
        let turn = order.iter().position(|one| *one == cluster.identities[owner.unwrap()]).unwrap();
        cluster.settle(Duration::ZERO);
        // A refusal may have failed once in a while: then the turn is taken in time.
        cluster.settle(Duration::from_secs(40));
        assert_eq!(cluster.pods[&uid].text(&["spec", "nodeName"]), "only");
        assert!(cluster.refusals >= turn.min(1), "{} refusals, turn {turn}", cluster.refusals);
    }
}
