//! Sets, merges and owners: tables of what the reference does, and what must hold for any document.

mod custom;
mod fuzz;
mod scenarios;
mod sets;
mod updates;

use std::sync::{Arc, LazyLock};

use serde_json::json;

use super::{Applied, Sent, Tracking};
use crate::Registry;
use crate::builtin::{RuntimeConfig, registry};
use crate::codec;
use crate::document::{Document, Value};
use crate::resource::Resource;
use crate::status::Status;

fn resource(name: &str) -> Arc<Resource> {
    static REGISTRY: LazyLock<Registry> = LazyLock::new(|| registry(&RuntimeConfig::parse("api/all").unwrap()));
    REGISTRY.named(name).unwrap_or_else(|| panic!("{name} is not served")).clone()
}

/// One object and those who write it, one second after another.
struct Story {
    resource: Arc<Resource>,
    served: usize,
    live: Option<Value>,
    seconds: i64,
}

impl Story {
    fn new(name: &str) -> Self {
        Self { resource: resource(name), served: 0, live: None, seconds: 0 }
    }

    /// The same object through another version.
    fn through(&mut self, version: &str) -> &mut Self {
        let at = self.resource.served.iter().position(|served| served.api_version() == version);
        self.served = at.unwrap_or_else(|| panic!("{version} is not served"));
        self
    }

    fn now(&mut self) -> String {
        self.seconds += 1;
        crate::time::format_seconds(1_767_225_600_000_000 + self.seconds * 1_000_000)
    }

    fn document(&self, mut document: Value) -> Value {
        let served = &self.resource.served[self.served];
        document.set_default(&["metadata", "name"], "it");
        let mut document = codec::conform(self.resource.shape(served), document).unwrap().value;
        if let Some(convert) = &served.convert {
            (convert.to_stored)(&mut document);
        }
        document.remove(&["kind"]);
        document.remove(&["apiVersion"]);
        document
    }

    /// Creates or replaces the object, or what a subresource shows of it.
    fn update(&mut self, manager: &str, subresource: &str, document: Value) {
        let now = self.now();
        let mut document = self.document(document);
        let sent = document.remove(&["metadata", "managedFields"]).unwrap_or_default();
        let (resource, served) = (self.resource.clone(), self.served);
        let tracking = Tracking::of(&resource, &resource.served[served], subresource, manager, &now);
        let text = match &mut self.live {
            None => tracking.create(&document, Sent::of(&sent)),
            Some(old) => {
                let mut old = old.clone();
                let before = old.remove(&["metadata", "managedFields"]).unwrap_or_default();
                tracking.update(before.as_str().unwrap_or_default(), &old, &document, Sent::of(&sent))
            }
        };
        if !text.is_empty() {
            document.set(&["metadata", "managedFields"], text);
        }
        document.set(&["metadata", "uid"], "1");
        self.live = Some(document);
    }

    fn try_apply(&mut self, manager: &str, subresource: &str, config: Value, force: bool) -> Result<(), Status> {
        let now = self.now();
        let mut config = config;
        let served = &self.resource.served[self.served];
        config.set(&["kind"], self.resource.kind.as_str());
        config.set(&["apiVersion"], served.api_version());
        config.set_default(&["metadata", "name"], "it");
        let tracking = Tracking::of(&self.resource, served, subresource, manager, &now);
        let Applied { mut document, managers } = tracking.apply(self.live.as_ref(), &config, force)?;
        document.remove(&["kind"]);
        document.remove(&["apiVersion"]);
        if let Some(convert) = &served.convert {
            (convert.to_stored)(&mut document);
        }
        if !managers.is_empty() {
            document.set(&["metadata", "managedFields"], managers);
        }
        document.set(&["metadata", "uid"], "1");
        self.live = Some(document);
        Ok(())
    }

    fn apply(&mut self, manager: &str, config: Value) {
        self.try_apply(manager, "", config, false).unwrap_or_else(|status| panic!("{status}"));
    }

    fn force(&mut self, manager: &str, config: Value) {
        self.try_apply(manager, "", config, true).unwrap_or_else(|status| panic!("{status}"));
    }

    fn refused(&mut self, manager: &str, config: Value) -> Status {
        self.try_apply(manager, "", config, false).expect_err("it is refused")
    }

    fn at(&self, path: &[&str]) -> &Value {
        self.live.as_ref().expect("it exists").at(path)
    }

    fn text(&self) -> &str {
        self.at(&["metadata", "managedFields"]).as_str().unwrap_or_default()
    }

    /// `manager operation[/subresource] version seconds fields`, one line each.
    fn owners(&self) -> Vec<String> {
        let list: Value = serde_json::from_str(self.text()).unwrap_or_else(|_| json!([]));
        let line = |entry: &Value| {
            let subresource = match entry.text(&["subresource"]) {
                "" => String::new(),
                name => format!("/{name}"),
            };
            let time = crate::time::parse(entry.text(&["time"])).map(|at| (at - 1_767_225_600_000_000) / 1_000_000);
            let time = time.map_or("-".to_owned(), |time| time.to_string());
            let fields = super::Set::of_value(entry.at(&["fieldsV1"])).unwrap().text();
            let (name, operation) = (entry.text(&["manager"]), entry.text(&["operation"]));
            format!("{name} {operation}{subresource} {} {time} {fields}", entry.text(&["apiVersion"]))
        };
        list.as_array().unwrap().iter().map(line).collect()
    }
}
