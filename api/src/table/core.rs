//! The core group, except Pods.

use super::cell::{
    AGE, CONTAINERS, IMAGES, NAME, Row, SELECTOR, condition, int, integer, is_true, join, or_none, some_of, text,
    text_or, texts, wide,
};
use super::{Column, Printer};
use crate::document::{Document, Map, Value};

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "replicationcontrollers",
        columns: &[
            NAME,
            integer("Desired", "Pods wanted."),
            integer("Current", "Pods there."),
            integer("Ready", "Pods that are ready."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        print: |row| {
            row.name().int(&["spec", "replicas"]).int(&["status", "replicas"]).int(&["status", "readyReplicas"]).age();
            row.containers(&["spec", "template", "spec"]).labels(&["spec", "selector"]);
        },
    },
    Printer {
        resource: "services",
        columns: &[
            NAME,
            text("Type", "How the service is reached."),
            text("Cluster-IP", "First address within the cluster."),
            text("External-IP", "Addresses outside the cluster."),
            text("Port(s)", "Ports, node ports and protocols."),
            AGE,
            SELECTOR,
        ],
        print: service,
    },
    Printer {
        resource: "endpoints",
        columns: &[NAME, text("Endpoints", "Addresses and ports that are ready."), AGE],
        print: |row| _ = row.name().of(endpoints).age(),
    },
    Printer {
        resource: "nodes",
        columns: &[
            NAME,
            text("Status", "Whether the node is ready and takes pods."),
            text("Roles", "Roles by the node's labels."),
            AGE,
            text("Version", "Version of the kubelet."),
            wide("Internal-IP", "First internal address."),
            wide("External-IP", "First external address."),
            wide("OS-Image", "Operating system."),
            wide("Kernel-Version", "Kernel and architecture."),
            wide("Container-Runtime", "Container runtime and its version."),
        ],
        print: node,
    },
    Printer {
        resource: "namespaces",
        columns: &[NAME, text("Status", "Phase of the namespace."), AGE],
        print: |row| _ = row.name().text(&["status", "phase"]).age(),
    },
    Printer { resource: "events", columns: EVENT, print: event },
    Printer { resource: "serviceaccounts", columns: &[NAME, AGE], print: |row| _ = row.name().age() },
    Printer {
        resource: "secrets",
        columns: &[NAME, text("Type", "What the data is for."), text("Data", "Number of keys."), AGE],
        print: |row| _ = row.name().text(&["type"]).of(|secret| keys(secret, "data")).age(),
    },
    Printer {
        resource: "configmaps",
        columns: &[NAME, text("Data", "Number of keys."), AGE],
        print: |row| _ = row.name().of(|map| keys(map, "data") + keys(map, "binaryData")).age(),
    },
    Printer {
        resource: "persistentvolumes",
        columns: &[
            NAME,
            text("Capacity", "Size of the volume."),
            text("Access Modes", "How the volume can be mounted."),
            text("Reclaim Policy", "What becomes of the volume without its claim."),
            text("Status", "Phase of the volume."),
            text("Claim", "Claim that has the volume."),
            text("StorageClass", "Storage class of the volume."),
            text("VolumeAttributesClass", "Attributes class of the volume."),
            text("Reason", "Why the volume is in its phase."),
            AGE,
            wide("VolumeMode", "Filesystem or Block."),
        ],
        print: persistent_volume,
    },
    Printer {
        resource: "persistentvolumeclaims",
        columns: &[
            NAME,
            text("Status", "Phase of the claim."),
            text("Volume", "Volume that the claim has."),
            text("Capacity", "Size of the volume."),
            text("Access Modes", "How the volume can be mounted."),
            text("StorageClass", "Storage class of the claim."),
            text("VolumeAttributesClass", "Attributes class of the claim."),
            AGE,
            wide("VolumeMode", "Filesystem or Block."),
        ],
        print: persistent_volume_claim,
    },
    Printer {
        resource: "resourcequotas",
        columns: &[
            NAME,
            text("Request", "Use and limits of all but limits."),
            text("Limit", "Use and limits of limits."),
            AGE,
        ],
        print: resource_quota,
    },
    Printer { resource: "limitranges", columns: CREATED_AT, print: created_at },
];

/// Kinds for which the reference shows when they were created instead of their age.
pub(super) const CREATED_AT: &[Column] =
    &[NAME, Column { kind: "date", ..text("Created At", "When the object was created.") }];

pub(super) fn created_at(row: &mut Row<'_>) {
    row.name().text(&["metadata", "creationTimestamp"]);
}

const EVENT: &[Column] = &[
    text("Last Seen", "Time since it happened last."),
    text("Type", "Normal or Warning."),
    text("Reason", "Why it happened, in one word."),
    text("Object", "What it is about."),
    wide("Subobject", "Part of the object that it is about."),
    wide("Source", "Who says so."),
    text("Message", "What happened."),
    wide("First Seen", "Time since it happened first."),
    wide("Count", "How often it happened."),
    Column { priority: 1, ..NAME },
];

fn keys(object: &Value, field: &str) -> usize {
    object.at(&[field]).as_object().map_or(0, Map::len)
}

fn service(row: &mut Row<'_>) {
    let service = row.object;
    row.name().text(&["spec", "type"]);
    row.put(texts(service, &["spec", "clusterIPs"]).next().unwrap_or("<none>"));
    row.put(external_ip(service)).put(or_none(service_ports(service))).age().labels(&["spec", "selector"]);
}

fn external_ip(service: &Value) -> String {
    let balancer = load_balancer(service);
    let external = texts(service, &["spec", "externalIPs"]);
    match service.text(&["spec", "type"]) {
        "ClusterIP" | "NodePort" => or_none(join(external, ",")),
        "LoadBalancer" => {
            let all = balancer.split(',').filter(|part| !part.is_empty()).chain(external);
            match join(all, ",") {
                none if none.is_empty() => "<pending>".to_owned(),
                all => all,
            }
        }
        "ExternalName" => service.text(&["spec", "externalName"]).to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// Addresses of a load balancer, each once, in order.
pub(super) fn load_balancer(object: &Value) -> String {
    let ingress = object.list(&["status", "loadBalancer", "ingress"]).iter();
    let address = |ingress: &Value| text_or(ingress.at(&["ip"]), ingress.text(&["hostname"]));
    let mut addresses: Vec<String> = ingress.map(address).filter(|address| !address.is_empty()).collect();
    addresses.sort();
    addresses.dedup();
    addresses.join(",")
}

fn service_ports(service: &Value) -> String {
    let ports = service.list(&["spec", "ports"]).iter().map(|port| {
        let (number, protocol) = (int(port, &["port"]), port.text(&["protocol"]));
        match int(port, &["nodePort"]) {
            1.. => format!("{number}:{}/{protocol}", int(port, &["nodePort"])),
            _ => format!("{number}/{protocol}"),
        }
    });
    ports.collect::<Vec<_>>().join(",")
}

fn endpoints(object: &Value) -> String {
    let mut parts = Vec::new();
    for subset in object.list(&["subsets"]) {
        let addresses = || subset.list(&["addresses"]).iter().map(|address| address.text(&["ip"]));
        let ports = subset.list(&["ports"]);
        if ports.is_empty() {
            parts.extend(addresses().map(str::to_owned));
        }
        for port in ports {
            let port = int(port, &["port"]);
            let joined = |ip: &str| if ip.contains(':') { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") };
            parts.extend(addresses().map(joined));
        }
    }
    if object.list(&["subsets"]).is_empty() { "<none>".to_owned() } else { some_of(&parts, 3, ",") }
}

fn node(row: &mut Row<'_>) {
    let node = row.object;
    let ready = match condition(node, "Ready") {
        Some(_) if is_true(node, "Ready") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    let cordoned = if node.at(&["spec", "unschedulable"]) == true { ",SchedulingDisabled" } else { "" };
    row.name().put(format!("{ready}{cordoned}")).put(or_none(roles(node))).age();
    row.text(&["status", "nodeInfo", "kubeletVersion"]);
    row.put(address(node, "InternalIP")).put(address(node, "ExternalIP"));
    row.text_or(&["status", "nodeInfo", "osImage"], "<unknown>");
    let kernel = text_or(node.at(&["status", "nodeInfo", "kernelVersion"]), "<unknown>");
    row.put(match node.text(&["status", "nodeInfo", "architecture"]) {
        "" => kernel,
        architecture => format!("{kernel} ({architecture})"),
    });
    row.text_or(&["status", "nodeInfo", "containerRuntimeVersion"], "<unknown>");
}

fn roles(node: &Value) -> String {
    let labels = node.at(&["metadata", "labels"]).as_object().into_iter().flat_map(Map::iter);
    let role = |(key, value): (&'_ String, &'_ Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => role.to_owned(),
        None if key == "kubernetes.io/role" => value.as_str().unwrap_or_default().to_owned(),
        None => String::new(),
    };
    let mut roles: Vec<String> = labels.map(role).filter(|role| !role.is_empty()).collect();
    roles.sort();
    roles.dedup();
    roles.join(",")
}

fn address<'a>(node: &'a Value, kind: &str) -> &'a str {
    let mut addresses = node.list(&["status", "addresses"]).iter();
    addresses.find(|address| address.text(&["type"]) == kind).map_or("<none>", |address| address.text(&["address"]))
}

fn event(row: &mut Row<'_>) {
    let event = row.object;
    let time = |field: &str| event.at(&[field]).as_str().map(|at| row.since(at));
    let first = time("firstTimestamp").or_else(|| time("eventTime")).unwrap_or_else(|| "<unknown>".to_owned());
    let last = time("lastTimestamp").unwrap_or_else(|| first.clone());
    let (last, count) = match event.at(&["series"]) {
        // An event that happened once may have no count.
        Value::Null => (last, int(event, &["count"]).max(1)),
        series => (row.since(series.text(&["lastObservedTime"])), int(series, &["count"])),
    };
    let kind = event.text(&["involvedObject", "kind"]).to_lowercase();
    let object = match event.text(&["involvedObject", "name"]) {
        "" => kind,
        name => format!("{kind}/{name}"),
    };
    let component = text_or(event.at(&["source", "component"]), event.text(&["reportingComponent"]));
    let source = match text_or(event.at(&["source", "host"]), event.text(&["reportingInstance"])) {
        none if none.is_empty() => component,
        instance => format!("{component}, {instance}"),
    };
    row.put(last).text(&["type"]).text(&["reason"]).put(object).text(&["involvedObject", "fieldPath"]).put(source);
    row.put(event.text(&["message"]).trim()).put(first).put(count).name();
}

/// Phase, which deletion overrules.
fn phase(row: &mut Row<'_>) {
    let phase = if row.object.is_deleting() { "Terminating" } else { row.object.text(&["status", "phase"]) };
    row.put(phase);
}

fn access_modes(object: &Value, path: &[&str]) -> String {
    let short =
        [("ReadWriteOnce", "RWO"), ("ReadOnlyMany", "ROX"), ("ReadWriteMany", "RWX"), ("ReadWriteOncePod", "RWOP")];
    let has = |mode: &str| texts(object, path).any(|found| found == mode);
    join(short.iter().filter(|(mode, _)| has(mode)).map(|(_, short)| *short), ",")
}

fn storage_class(object: &Value) -> String {
    let annotation = object.text(&["metadata", "annotations", "volume.beta.kubernetes.io/storage-class"]);
    if annotation.is_empty() { object.text(&["spec", "storageClassName"]).to_owned() } else { annotation.to_owned() }
}

fn persistent_volume(row: &mut Row<'_>) {
    let volume = row.object;
    row.name().text_or(&["spec", "capacity", "storage"], "0").put(access_modes(volume, &["spec", "accessModes"]));
    row.text(&["spec", "persistentVolumeReclaimPolicy"]);
    phase(row);
    row.put(match volume.at(&["spec", "claimRef"]) {
        Value::Null => String::new(),
        claim => format!("{}/{}", claim.text(&["namespace"]), claim.text(&["name"])),
    });
    row.put(storage_class(volume)).text_or(&["spec", "volumeAttributesClassName"], "<unset>");
    row.text(&["status", "reason"]).age().text_or(&["spec", "volumeMode"], "<unset>");
}

fn persistent_volume_claim(row: &mut Row<'_>) {
    let claim = row.object;
    row.name();
    phase(row);
    row.text(&["spec", "volumeName"]);
    if claim.text(&["spec", "volumeName"]).is_empty() {
        row.put("").put("");
    } else {
        let modes = access_modes(claim, &["status", "accessModes"]);
        row.text_or(&["status", "capacity", "storage"], "0").put(modes);
    }
    row.put(storage_class(claim)).text_or(&["spec", "volumeAttributesClassName"], "<unset>").age();
    row.text_or(&["spec", "volumeMode"], "<unset>");
}

fn resource_quota(row: &mut Row<'_>) {
    let status = row.object.at(&["status"]);
    let (mut requests, mut limits) = (Vec::new(), Vec::new());
    for (name, hard) in status.at(&["hard"]).as_object().into_iter().flat_map(Map::iter) {
        let used = text_or(status.at(&["used", name]), "0");
        let part = format!("{name}: {used}/{}", text_or(hard, "0"));
        if name.starts_with("limits.") { limits.push(part) } else { requests.push(part) }
    }
    row.name().put(requests.join(", ")).put(limits.join(", ")).age();
}
