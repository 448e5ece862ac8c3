//! `/pods` and `/metrics`: what the fleet runs. One server answers for all nodes, so they are those of all nodes.

use http::{HeaderValue, Response, StatusCode};
use serde_json::json;

use super::{Body, Serving, text};

impl Serving {
    pub(super) fn pods(&self) -> Response<Body> {
        let items: Vec<_> = self
            .logs
            .all()
            .into_iter()
            .map(|(key, life)| {
                json!({
                    "metadata": {"namespace": key.namespace, "name": key.name, "uid": life.uid},
                    "spec": {"nodeName": life.node},
                })
            })
            .collect();
        let list = json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items});
        let mut response = text(StatusCode::OK, &list.to_string());
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        response
    }

    pub(super) fn metrics(&self) -> Response<Body> {
        let (mut pods, mut running) = (0, 0);
        for (_, life) in self.logs.all() {
            let alive = life.span.end.is_none_or(|end| end > self.logs.now());
            pods += usize::from(alive);
            running += if alive { life.containers.len() - life.inits } else { 0 };
        }
        let mut out = String::new();
        for (name, help, rows) in [
            ("kubelet_running_pods", "Number of pods that have a running pod sandbox", format!(" {pods}")),
            (
                "kubelet_running_containers",
                "Number of containers currently running",
                format!("{{container_state=\"running\"}} {running}"),
            ),
        ] {
            out.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n{name}{rows}\n"));
        }
        text(StatusCode::OK, &out)
    }
}
