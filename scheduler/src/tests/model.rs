//! One engine against the naive rules: every placement is one of the best that are allowed, every refusal is right and
//! says why, and what is kept equals what is recomputed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use client::{Change, Members};
use rand::RngExt;
use serde_json::{Value, json};

use super::cluster::Generator;
use super::{World, for_seeds, naive};
use crate::engine::{Binding, Engine, What, Written};
use crate::queue::Place;
use crate::view::{NodeView, PodView};

struct Model {
    world: World,
    made: Generator,
    engine: Engine,
    nodes: BTreeMap<String, Value>,
    /// Pods that exist, by uid.
    pods: BTreeMap<String, Value>,
    /// Where pods are or are assumed to be, by uid.
    placed: BTreeMap<String, String>,
    /// Bindings under way.
    open: Vec<Binding>,
    placements: usize,
    refusals: usize,
}

fn view<T: serde::de::DeserializeOwned>(document: &Value) -> Arc<T> {
    Arc::new(serde_json::from_value(document.clone()).unwrap())
}

impl Model {
    fn new(seed: u64) -> Self {
        let world = World::new(seed);
        let mut engine = Engine::new("default-scheduler", world.ambient(), Arc::default());
        let members = Members { identities: ["one".to_owned()].as_slice().into(), own: "one".to_owned() };
        engine.members_changed(&members, &[], &[]);
        let (nodes, pods, placed) = Default::default();
        let (open, made) = (Vec::new(), Generator::new(seed));
        Self { world, made, engine, nodes, pods, placed, open, placements: 0, refusals: 0 }
    }

    fn put_node(&mut self, name: &str) {
        let node = self.made.node(name);
        let new: Arc<NodeView> = view(&node);
        let change = match self.nodes.insert(name.to_owned(), node) {
            Some(old) => Change::Updated(view(&old), new),
            None => Change::Added(new),
        };
        self.engine.node_changed(&change);
    }

    fn remove_node(&mut self, name: &str) {
        if let Some(old) = self.nodes.remove(name) {
            self.engine.node_changed(&Change::Deleted(view(&old)));
        }
    }

    fn add_pod(&mut self, node: Option<&str>) {
        let pod = self.made.pod(node);
        let uid = pod.uid().to_owned();
        if let Some(node) = node {
            self.placed.insert(uid.clone(), node.to_owned());
        }
        self.engine.pod_changed(&Change::Added(view(&pod)));
        self.pods.insert(uid, pod);
    }

    fn remove_pod(&mut self, uid: &str) {
        if let Some(old) = self.pods.remove(uid) {
            self.placed.remove(uid);
            self.engine.pod_changed(&Change::Deleted(view(&old)));
        }
    }

    /// A pod that runs begins to end: it still takes its room.
    fn end_pod(&mut self, uid: &str) {
        let old = self.pods[uid].clone();
        let mut new = old.clone();
        new.set(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
        self.engine.pod_changed(&Change::Updated(view(&old), view(&new)));
        self.pods.insert(uid.to_owned(), new);
    }

    /// Lets a binding end: well, with the pod's change before or after the answer, or badly.
    fn settle(&mut self, at: usize) {
        let binding = self.open.swap_remove(at);
        let uid = binding.pod.uid().to_string();
        let is_good = self.made.chance(80) && self.pods.contains_key(&uid);
        if !is_good {
            if self.pods.contains_key(&uid) {
                self.placed.remove(&uid);
            }
            self.engine.bound(&binding, Written::Stale);
            return;
        }
        let is_change_first = self.made.chance(50);
        if !is_change_first {
            self.engine.bound(&binding, Written::Done);
        }
        let old = self.pods[&uid].clone();
        let mut new = old.clone();
        new.set(&["spec", "nodeName"], binding.node.as_str());
        // Old news about a pod that is being bound change nothing.
        self.engine.pod_changed(&Change::Updated(view(&old), view(&old)));
        self.engine.pod_changed(&Change::Updated(view(&old), view(&new)));
        self.pods.insert(uid, new);
        if is_change_first {
            self.engine.bound(&binding, Written::Done);
        }
    }

    fn step(&mut self) {
        let name = format!("n{}", self.made.random.random_range(0..8));
        let uids: Vec<String> = self.pods.keys().cloned().collect();
        match self.made.random.random_range(0..20) {
            0..3 => self.put_node(&name),
            3 => self.remove_node(&name),
            4 => self.add_pod(Some(&name)),
            5..7 if !uids.is_empty() => {
                let uid = self.made.pick(&uids);
                if self.made.chance(30) && !self.pods[&uid].text(&["spec", "nodeName"]).is_empty() {
                    self.end_pod(&uid);
                } else {
                    self.remove_pod(&uid);
                }
            }
            7..12 if !self.open.is_empty() => {
                let at = self.made.random.random_range(0..self.open.len());
                self.settle(at);
            }
            12 => self.world.advance(Duration::from_secs(self.made.pick(&[1, 5, 400]))),
            _ => self.add_pod(None),
        }
        self.decide();
        self.check_scores();
    }

    /// Every node has the score for some pod that the naive rules give it.
    fn check_scores(&mut self) {
        let pod = self.made.pod(None);
        let scores = self.engine.scores(&view(&pod));
        let scores: BTreeMap<String, i64> = scores.into_iter().map(|(name, score)| (name.to_owned(), score)).collect();
        let expected = naive::scores(&pod, &self.crowd());
        assert!(
            scores.iter().map(|(name, score)| (name.as_str(), *score)).eq(expected.clone()),
            "{scores:?} {expected:?} {pod}"
        );
    }

    fn crowd(&self) -> Vec<(&Value, Vec<&Value>)> {
        let on =
            |name: &str| self.placed.iter().filter(|(_, node)| *node == name).map(|(uid, _)| &self.pods[uid]).collect();
        self.nodes.iter().map(|(name, node)| (node, on(name))).collect()
    }

    fn decide(&mut self) {
        self.engine.wake();
        loop {
            let bindings = self.engine.decide(1);
            // Whoever was refused was so before the binding.
            self.check_tellings();
            let Some(binding) = bindings.into_iter().next() else { break };
            let uid = binding.pod.uid().to_string();
            let scores = naive::scores(&self.pods[&uid], &self.crowd());
            let best = scores.values().max();
            assert_eq!(scores.get(binding.node.as_str()), best, "{} for {}: {scores:?}", binding.node, self.pods[&uid]);
            self.placed.insert(uid, binding.node.to_string());
            self.open.push(binding);
            self.placements += 1;
        }
        self.check_refused();
    }

    /// Whoever still waits could not be placed now.
    fn check_refused(&mut self) {
        let crowd = self.crowd();
        for (uid, entry) in self.engine.queue().iter() {
            assert!(!matches!(entry.place, Place::Active(_) | Place::Parked(_) | Place::InFlight) || self.is_open(uid));
            if matches!(entry.place, Place::Unschedulable(_)) {
                let scores = naive::scores(&self.pods[uid.as_str()], &crowd);
                assert!(scores.is_empty(), "{} waits although there is {scores:?}", self.pods[uid.as_str()]);
            }
        }
    }

    fn is_open(&self, uid: &str) -> bool {
        self.open.iter().any(|binding| binding.pod.uid() == uid)
    }

    /// What is said about a pod that was just refused is what the naive rules say.
    fn check_tellings(&mut self) {
        for telling in std::mem::take(self.engine.tellings()) {
            let What::Condition { message, .. } = &telling.what else { panic!("{telling:?}") };
            if let Some(pod) = self.pods.get(telling.pod.uid().as_str()) {
                let crowd = self.crowd();
                let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
                for (node, others) in &crowd {
                    for reason in naive::refusals(pod, node, others) {
                        *reasons.entry(reason).or_default() += 1;
                    }
                }
                let mut words: Vec<_> = reasons.iter().map(|(reason, nodes)| format!("{nodes} {reason}")).collect();
                words.sort();
                let mut expected = format!("0/{} nodes are available: {}.", crowd.len(), words.join(", "));
                if crowd.is_empty() {
                    expected = "no nodes available to schedule pods".to_owned();
                }
                assert!(message.starts_with(&expected), "{message}\n{expected}\n{pod}");
                self.refusals += 1;
            }
            let written = if self.made.chance(80) { Written::Done } else { Written::Failed };
            self.engine.told(&telling, written);
        }
    }

    fn finish(mut self) -> (usize, usize) {
        let nodes: Vec<Arc<NodeView>> = self.nodes.values().map(view).collect();
        let pods: Vec<Arc<PodView>> = self.pods.values().map(view).collect();
        self.engine.consistency_check(&nodes, &pods).unwrap();
        self.engine.check_classes().unwrap();
        for (uid, node) in self.placed.iter().filter(|(_, node)| self.nodes.contains_key(*node)) {
            let placed = self.engine.columns().pod(uid).unwrap_or_else(|| panic!("{uid} on {node} is not counted"));
            assert_eq!(self.engine.columns().node(placed.row).unwrap().name(), node);
        }
        (self.placements, self.refusals)
    }
}

#[test]
fn placements_and_refusals_are_those_of_the_plain_rules() {
    let (placements, refusals) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    for_seeds(40, |seed| {
        let mut model = Model::new(seed);
        for _ in 0..120 {
            model.step();
        }
        let (placed, refused) = model.finish();
        placements.set(placements.get() + placed);
        refusals.set(refusals.get() + refused);
    });
    if std::env::var("SEED").is_err() {
        assert!(placements.get() > 300 && refusals.get() > 300, "{placements:?} {refusals:?}: the test tests little");
    }
}

#[test]
fn what_is_not_implemented_is_refused_and_said() {
    let mut model = Model::new(1);
    model.nodes.insert(
        "n".into(),
        json!({
            "metadata": {"name": "n"}, "status": {"allocatable": {"cpu": "4", "memory": "4Gi", "pods": "10"}},
        }),
    );
    model.engine.node_changed(&Change::Added(view(&model.nodes["n"])));
    let cases = [
        (
            json!({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
            "anti-affinity",
        ),
        (
            json!({"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}}),
            "InterPodAffinity",
        ),
        (json!({"topologySpreadConstraints": [{"whenUnsatisfiable": "DoNotSchedule"}]}), "PodTopologySpread"),
        (json!({"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]}), "VolumeBinding"),
        (json!({"volumes": [{"name": "v", "ephemeral": {}}]}), "VolumeBinding"),
        (json!({"resourceClaims": [{"name": "r"}]}), "DynamicResources"),
    ];
    for (number, (mut spec, word)) in cases.into_iter().enumerate() {
        spec["schedulerName"] = json!("default-scheduler");
        let pod = json!({"metadata": {"name": "p", "uid": format!("u{number}")}, "spec": spec});
        model.engine.pod_changed(&Change::Added(view(&pod)));
        assert!(model.engine.decide(10).is_empty(), "{pod}");
        let telling = model.engine.tellings().pop_front().unwrap();
        let What::Condition { message, reason, is_event: true, is_patch: true } = &telling.what else { panic!() };
        assert_eq!(*reason, "Unschedulable");
        assert!(message.contains("does not implement yet") && message.contains(word), "{message}");
    }
    let ignored = json!({"metadata": {"name": "q", "uid": "q"}, "spec": {"schedulerName": "default-scheduler",
        "topologySpreadConstraints": [{"whenUnsatisfiable": "ScheduleAnyway"}],
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{}]}}}});
    model.engine.pod_changed(&Change::Added(view(&ignored)));
    assert_eq!(model.engine.decide(10).len(), 1);
}

#[test]
fn gates_hold_a_pod_back_until_they_go() {
    let mut model = Model::new(1);
    let node = json!({"metadata": {"name": "n"}, "status": {"allocatable": {"pods": "10"}}});
    model.engine.node_changed(&Change::Added(view(&node)));
    let mut pod = json!({"metadata": {"name": "p", "uid": "p"},
        "spec": {"schedulerName": "default-scheduler", "schedulingGates": [{"name": "wait"}]}});
    let gated = view(&pod);
    model.engine.pod_changed(&Change::Added(Arc::clone(&gated)));
    assert!(model.engine.decide(10).is_empty());
    let telling = model.engine.tellings().pop_front().unwrap();
    assert!(matches!(telling.what, What::Condition { reason: "SchedulingGated", is_event: false, .. }));
    pod.set(&["spec", "schedulingGates"], json!([]));
    model.engine.pod_changed(&Change::Updated(gated, view(&pod)));
    assert_eq!(model.engine.decide(10).len(), 1);
}

#[test]
fn ties_are_broken_at_random() {
    let mut model = Model::new(1);
    for name in ["a", "b", "c", "d"] {
        let node = json!({"metadata": {"name": name}, "status": {"allocatable": {"cpu": "1000", "memory": "1000Gi", "pods": "1000"}}});
        model.engine.node_changed(&Change::Added(view(&node)));
    }
    let mut chosen: BTreeMap<String, usize> = BTreeMap::new();
    for number in 0..400 {
        let pod = json!({"metadata": {"name": "p", "uid": format!("{number}")}, "spec": {"schedulerName": "default-scheduler"}});
        model.engine.pod_changed(&Change::Added(view(&pod)));
        let binding = model.engine.decide(1).pop().unwrap();
        *chosen.entry(binding.node.to_string()).or_default() += 1;
        // Taken back, so that all four stay equal.
        model.engine.pod_changed(&Change::Deleted(binding.pod));
    }
    assert!(chosen.len() == 4 && chosen.values().all(|count| *count > 60), "{chosen:?}");
}
