//! networking.k8s.io

use super::Printer;
use super::cell::{AGE, NAME, Row, join, text, texts};
use super::core::load_balancer;
use crate::document::{Document, Value};

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "ingresses.networking.k8s.io",
        columns: &[
            NAME,
            text("Class", "Who serves the ingress."),
            text("Hosts", "Hosts that its rules are for."),
            text("Address", "Addresses of its load balancer."),
            text("Ports", "Ports that it opens."),
            AGE,
        ],
        print: |row| {
            row.name().text_or(&["spec", "ingressClassName"], "<none>").of(hosts);
            let tls = !row.object.list(&["spec", "tls"]).is_empty();
            row.of(load_balancer).put(if tls { "80, 443" } else { "80" }).age();
        },
    },
    Printer {
        resource: "ingressclasses.networking.k8s.io",
        columns: &[
            NAME,
            text("Controller", "Who serves ingresses of the class."),
            text("Parameters", "Object with more about the class."),
            AGE,
        ],
        print: ingress_class,
    },
    Printer {
        resource: "networkpolicies.networking.k8s.io",
        columns: &[NAME, text("Pod-Selector", "Pods that the policy is about."), AGE],
        print: |row| _ = row.name().selector(&["spec", "podSelector"]).age(),
    },
    Printer {
        resource: "servicecidrs.networking.k8s.io",
        columns: &[NAME, text("CIDRs", "Ranges of addresses for services."), AGE],
        print: |row| _ = row.name().of(|cidrs| join(texts(cidrs, &["spec", "cidrs"]), ",")).age(),
    },
    Printer {
        resource: "ipaddresses.networking.k8s.io",
        columns: &[NAME, text("ParentRef", "What has the address.")],
        print: |row| _ = row.name().of(parent),
    },
];

fn hosts(ingress: &Value) -> String {
    let rules = ingress.list(&["spec", "rules"]);
    let named = rules.iter().map(|rule| rule.text(&["host"])).filter(|host| !host.is_empty());
    let shown: Vec<&str> = named.take(3).collect();
    // As in the reference, rules without a host count as more once three hosts were shown.
    let third = rules.iter().scan(0, |seen, rule| {
        *seen += usize::from(!rule.text(&["host"]).is_empty());
        Some(*seen)
    });
    let more = third.take(rules.len().saturating_sub(1)).any(|seen| seen == 3);
    match shown.join(",") {
        none if none.is_empty() => "*".to_owned(),
        shown if more => format!("{shown} + {} more...", rules.len() - 3),
        shown => shown,
    }
}

fn ingress_class(row: &mut Row<'_>) {
    let class = row.object;
    let default = class.text(&["metadata", "annotations", "ingressclass.kubernetes.io/is-default-class"]) == "true";
    row.put(format!("{}{}", class.name(), if default { " (default)" } else { "" })).text(&["spec", "controller"]);
    row.put(match class.at(&["spec", "parameters"]) {
        Value::Null => "<none>".to_owned(),
        parameters => {
            let group = parameters.at(&["apiGroup"]).as_str().map(|group| format!(".{group}")).unwrap_or_default();
            format!("{}{group}/{}", parameters.text(&["kind"]), parameters.text(&["name"]))
        }
    });
    row.age();
}

/// `services/default/web`
fn parent(address: &Value) -> String {
    let parent = address.at(&["spec", "parentRef"]);
    if parent.is_null() {
        return "<none>".to_owned();
    }
    let mut text = parent.text(&["resource"]).to_lowercase();
    for (before, field) in [(".", "group"), ("/", "namespace")] {
        if !parent.text(&[field]).is_empty() {
            text = format!("{text}{before}{}", parent.text(&[field]));
        }
    }
    format!("{text}/{}", parent.text(&["name"]))
}
