//! Random nodes and pods as documents: few values of each kind, so that they meet.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};

pub(super) struct Generator {
    pub(super) random: StdRng,
    templates: Vec<Value>,
    serial: usize,
}

const EFFECTS: [&str; 3] = ["NoSchedule", "NoExecute", "PreferNoSchedule"];

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        let mut made = Self { random: StdRng::seed_from_u64(seed), templates: Vec::new(), serial: 0 };
        let count = made.random.random_range(1..8);
        made.templates = (0..count).map(|_| made.template()).collect();
        made
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        self.random.random_range(0..100) < percent
    }

    pub(super) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.random_range(0..from.len())].clone()
    }

    /// A node; asked for again by the same name, it is a changed one.
    pub(super) fn node(&mut self, name: &str) -> Value {
        let mut labels = json!({});
        if self.chance(90) {
            labels["kubernetes.io/hostname"] = json!(name);
        }
        if self.chance(80) {
            labels["topology.kubernetes.io/zone"] = json!(self.pick(&["here", "there", "elsewhere"]));
        }
        for (key, values) in [("zone", &["a", "b", "c"]), ("disk", &["ssd", "hdd", ""]), ("size", &["1", "5", "x"])] {
            if self.chance(70) {
                labels[key] = json!(self.pick(values));
            }
        }
        let count = self.pick(&[0, 0, 0, 1, 2]);
        let taints: Vec<Value> = (0..count)
            .map(|_| json!({"key": self.pick(&["x", "y"]), "value": self.pick(&["", "1"]), "effect": self.pick(&EFFECTS)}))
            .collect();
        let cpu = self.pick(&["0", "500m", "1", "2", "4"]);
        let mut allocatable = json!({
            "cpu": cpu, "memory": self.pick(&["512Mi", "1Gi", "3Gi"]), "pods": self.pick(&["1", "3", "110"]),
        });
        if self.chance(50) {
            allocatable["ephemeral-storage"] = json!(self.pick(&["1Gi", "10Gi"]));
        }
        if self.chance(30) {
            allocatable["example.com/gpu"] = json!(self.pick(&["1", "2"]));
        }
        let unschedulable = self.chance(10);
        json!({
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "uid": format!("node-{name}"), "labels": labels},
            "spec": {"taints": taints, "unschedulable": unschedulable},
            "status": {"allocatable": allocatable},
        })
    }

    fn requests(&mut self) -> Value {
        let mut requests = Map::new();
        for (name, percent, values) in [
            ("cpu", 70, ["100m", "250m", "1"]),
            ("memory", 70, ["64Mi", "256Mi", "1Gi"]),
            ("ephemeral-storage", 10, ["100Mi", "1Gi", "2Gi"]),
            ("example.com/gpu", 8, ["1", "1", "2"]),
        ] {
            if self.chance(percent) {
                requests.insert(name.to_owned(), json!(self.pick(&values)));
            }
        }
        json!({"requests": requests})
    }

    fn container(&mut self) -> Value {
        let mut container = json!({"name": "c", "resources": self.requests()});
        if self.chance(15) {
            let mut port = json!({"containerPort": 80, "hostPort": self.pick(&[80, 443])});
            if self.chance(50) {
                port["hostIP"] = json!(self.pick(&["", "0.0.0.0", "10.0.0.1", "10.0.0.2"]));
                port["protocol"] = json!(self.pick(&["TCP", "UDP"]));
            }
            container["ports"] = json!([port]);
        }
        container
    }

    fn requirement(&mut self) -> Value {
        let key = self.pick(&["zone", "disk", "size", "none"]);
        match self.random.random_range(0..6) {
            0 | 1 => json!({"key": key, "operator": self.pick(&["In", "NotIn"]), "values": self.pick(&[
                json!(["a"]), json!(["a", "b"]), json!(["ssd"]), json!(["1", "hdd"]),
            ])}),
            2 => json!({"key": key, "operator": self.pick(&["Exists", "DoesNotExist"])}),
            3 => json!({"key": "size", "operator": self.pick(&["Gt", "Lt"]), "values": [self.pick(&["0", "3", "9"])]}),
            4 => json!({"key": key, "operator": "In", "values": []}),
            _ => json!({"key": "zone", "operator": "In", "values": ["b", "c"]}),
        }
    }

    fn term(&mut self) -> Value {
        let mut term = json!({});
        if self.chance(85) {
            let count = self.random.random_range(1..3);
            term["matchExpressions"] = (0..count).map(|_| self.requirement()).collect();
        }
        if self.chance(15) {
            let (operator, name) = (self.pick(&["In", "NotIn"]), format!("n{}", self.random.random_range(0..6)));
            term["matchFields"] = json!([{"key": "metadata.name", "operator": operator, "values": [name]}]);
        }
        term
    }

    fn affinity(&mut self) -> Value {
        let mut affinity = json!({});
        if self.chance(25) {
            let count = self.random.random_range(0..3);
            let terms: Vec<Value> = (0..count).map(|_| self.term()).collect();
            affinity["requiredDuringSchedulingIgnoredDuringExecution"] = json!({"nodeSelectorTerms": terms});
        }
        if self.chance(40) {
            let count = self.random.random_range(1..4);
            let term = |made: &mut Self| json!({"weight": made.pick(&[1, 10, 100]), "preference": made.term()});
            let terms: Vec<Value> = (0..count).map(|_| term(self)).collect();
            affinity["preferredDuringSchedulingIgnoredDuringExecution"] = json!(terms);
        }
        json!({"nodeAffinity": affinity})
    }

    fn toleration(&mut self) -> Value {
        match self.random.random_range(0..4) {
            0 => json!({"operator": "Exists"}),
            1 => json!({"key": self.pick(&["x", "y"]), "operator": "Exists", "effect": self.pick(&EFFECTS)}),
            2 => json!({"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"}),
            _ => {
                json!({"key": self.pick(&["x", "y"]), "operator": self.pick(&["", "Equal"]), "value": self.pick(&["", "1"])})
            }
        }
    }

    fn template(&mut self) -> Value {
        let mut spec = json!({"schedulerName": "default-scheduler", "containers": [self.container()]});
        if self.chance(25) {
            spec["containers"] = json!([self.container(), self.container()]);
        }
        if self.chance(20) {
            let mut sidecar = self.container();
            sidecar["restartPolicy"] = json!("Always");
            spec["initContainers"] = json!([self.container(), sidecar, self.container()]);
        }
        if self.chance(20) {
            spec["nodeSelector"] = json!({"zone": self.pick(&["a", "b"])});
        }
        if self.chance(50) {
            spec["affinity"] = self.affinity();
        }
        let tolerations: Vec<Value> = (0..self.pick(&[0, 0, 1, 2])).map(|_| self.toleration()).collect();
        spec["tolerations"] = json!(tolerations);
        if self.chance(10) {
            spec["overhead"] = json!({"cpu": "50m", "memory": "10Mi"});
        }
        if self.chance(10) {
            spec["resources"] = json!({"requests": {"cpu": "600m"}});
        }
        if self.chance(25) {
            spec["topologySpreadConstraints"] = self.spread();
        }
        spec["priority"] = json!(self.pick(&[0, 0, 0, 100]));
        spec
    }

    fn spread(&mut self) -> Value {
        let mut keys = vec!["kubernetes.io/hostname", "topology.kubernetes.io/zone", "rack"];
        let count = self.random.random_range(1..4);
        let constraint = || {
            let key = keys.swap_remove(self.random.random_range(0..keys.len()));
            let (app, skew) = (self.pick(&["a", "b"]), self.pick(&[1, 2, 4]));
            json!({"topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app": app}}})
        };
        std::iter::repeat_with(constraint).take(count).collect()
    }

    fn owners(&mut self) -> Value {
        if self.chance(15) {
            return json!([]);
        }
        let (version, kind, name) = self.pick(&[
            ("apps/v1", "ReplicaSet", "first"),
            ("apps/v1", "ReplicaSet", "second"),
            ("apps/v1", "StatefulSet", "third"),
            ("batch/v1", "Job", "fourth"),
        ]);
        let owner = json!({"apiVersion": version, "kind": kind, "name": name, "uid": format!("uid-{name}"), "controller": true});
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "other", "uid": "other"}, owner])
    }

    /// A pod of one of a few templates; on a node from the start, if one is given.
    pub(super) fn pod(&mut self, node: Option<&str>) -> Value {
        self.serial += 1;
        let name = format!("p{}", self.serial);
        let mut spec = self.pick(&self.templates.clone());
        if let Some(node) = node {
            spec["nodeName"] = json!(node);
        }
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": name, "namespace": "default", "uid": format!("uid-{name}"), "resourceVersion": "1",
                "labels": {"app": self.pick(&["a", "a", "b"])}, "ownerReferences": self.owners(),
            },
            "spec": spec,
        })
    }
}
