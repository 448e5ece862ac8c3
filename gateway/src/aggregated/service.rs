//! One APIService that leads to a Service.

use std::sync::{Arc, OnceLock};

use api::document::Document;
use api::{Object, Value, Version};
use parking_lot::Mutex;
use rustls::ClientConfig;
use shards::outside::Place;
use smol_str::SmolStr;

use super::Table;
use crate::config::FrontProxy;
use crate::tls::client;

/// See the module.
#[derive(Debug)]
pub(crate) struct ApiService {
    pub(crate) name: SmolStr,
    /// Of the object.
    pub(super) version_of_object: Version,
    pub(crate) group: SmolStr,
    pub(crate) version: SmolStr,
    /// groupPriorityMinimum and versionPriority.
    pub(crate) priorities: (i32, i32),
    /// Whether its status says so.
    pub(crate) is_available: bool,
    server: Arc<Server>,
}

/// What stays the same while the APIService says the same.
#[derive(Debug)]
pub(super) struct Server {
    spec: Value,
    pub(super) place: Place,
    tls: OnceLock<Result<Arc<ClientConfig>, String>>,
    /// What it serves, as aggregated discovery says it, once that is known.
    resources: Mutex<Option<Arc<[Value]>>>,
}

impl ApiService {
    /// `None` for one that is served here. What is known of a server is taken over from `before`.
    pub(super) fn read(object: &Object, before: &Table) -> Option<Arc<Self>> {
        let known = before.iter().find(|service| service.name == object.name);
        if let Some(same) = known.filter(|known| known.version_of_object == object.version) {
            return Some(same.clone());
        }
        let document = object.document();
        let spec = document.at(&["spec"]);
        let service = spec.at(&["service"]);
        if !service.is_object() {
            return None;
        }
        let number = |key: &str| spec.int(&[key]).and_then(|value| i32::try_from(value).ok()).unwrap_or_default();
        let conditions = document.list(&["status", "conditions"]);
        let is_available = conditions
            .iter()
            .any(|condition| condition.text(&["type"]) == "Available" && condition.text(&["status"]) == "True");
        let server = match known.filter(|known| known.server.spec == *spec) {
            Some(known) => known.server.clone(),
            None => Arc::new(Server {
                place: Place::Service {
                    namespace: service.text(&["namespace"]).into(),
                    name: service.text(&["name"]).into(),
                    port: service.int(&["port"]).and_then(|port| u16::try_from(port).ok()).unwrap_or(443),
                },
                spec: spec.clone(),
                tls: OnceLock::new(),
                resources: Mutex::default(),
            }),
        };
        Some(Arc::new(Self {
            name: object.name.clone(),
            version_of_object: object.version,
            group: spec.text(&["group"]).into(),
            version: spec.text(&["version"]).into(),
            priorities: (number("groupPriorityMinimum"), number("versionPriority")),
            is_available,
            server,
        }))
    }

    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        self.group == group && self.version == version
    }

    pub(super) fn place(&self) -> &Place {
        &self.server.place
    }

    /// With what its server is called.
    pub(super) fn tls(&self, identity: Option<&FrontProxy>) -> Result<Arc<ClientConfig>, String> {
        let spec = &self.server.spec;
        let skips = spec.at(&["insecureSkipTLSVerify"]) == true;
        let make = || client::towards(spec.text(&["caBundle"]), skips, identity).map(Arc::new);
        self.server.tls.get_or_init(make).clone()
    }

    /// What it serves, as aggregated discovery says it; `None` before that is known.
    pub(crate) fn resources(&self) -> Option<Arc<[Value]>> {
        self.server.resources.lock().clone()
    }

    pub(super) fn set_resources(&self, resources: Vec<Value>) {
        *self.server.resources.lock() = Some(resources.into());
    }
}
