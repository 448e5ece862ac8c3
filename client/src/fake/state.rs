//! What the server remembers, and what each verb does to it.

use std::collections::BTreeMap;

use api::Value;
use api::document::Document;
use serde_json::json;

use super::path::Path;

/// A requested failure.
pub(super) struct Fault {
    pub(super) times: usize,
    pub(super) method: String,
    pub(super) part: String,
    pub(super) code: u16,
    pub(super) retry_after: u32,
}

/// One change: states before and after it.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) version: u64,
    pub(super) path: String,
    pub(super) old: Option<Value>,
    pub(super) new: Option<Value>,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) version: u64,
    pub(super) objects: BTreeMap<String, Value>,
    pub(super) log: Vec<Entry>,
    /// Watches from below it get 410.
    pub(super) oldest: u64,
    pub(super) faults: Vec<Fault>,
    pub(super) cuts: u64,
    pub(super) down: bool,
    pub(super) requests: Vec<String>,
    names: u64,
}

/// HTTP status and body.
pub(super) type Answer = (u16, Value);

pub(super) fn failure(code: u16, reason: &str, message: &str) -> Answer {
    (code, json!({"kind": "Status", "status": "Failure", "code": code, "reason": reason, "message": message}))
}

const NOW: &str = "2026-01-01T00:00:00Z";

impl State {
    /// Stores a state at the next version.
    pub(super) fn put(&mut self, path: &str, mut object: Value) -> Value {
        self.version += 1;
        object.set(&["metadata", "resourceVersion"], self.version.to_string());
        object.set_default(&["metadata", "uid"], format!("uid-{}", self.version));
        object.set_default(&["metadata", "creationTimestamp"], NOW);
        let old = self.objects.insert(path.to_owned(), object.clone());
        let entry = Entry { version: self.version, path: path.to_owned(), old, new: Some(object.clone()) };
        self.log.push(entry);
        object
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<Value> {
        let old = self.objects.remove(path)?;
        self.version += 1;
        let mut last = old.clone();
        last.set(&["metadata", "resourceVersion"], self.version.to_string());
        self.log.push(Entry { version: self.version, path: path.to_owned(), old: Some(old), new: None });
        Some(last)
    }

    /// The objects as they were at a version that is not forgotten.
    pub(super) fn at(&self, version: u64) -> BTreeMap<String, Value> {
        let mut objects = self.objects.clone();
        for entry in self.log.iter().rev().take_while(|entry| entry.version > version) {
            match &entry.old {
                Some(old) => drop(objects.insert(entry.path.clone(), old.clone())),
                None => drop(objects.remove(&entry.path)),
            }
        }
        objects
    }

    pub(super) fn create(&mut self, path: &Path, mut object: Value) -> Answer {
        if object.name().is_empty() {
            self.names += 1;
            let name = format!("{}{:05}", object.text(&["metadata", "generateName"]), self.names);
            object.set(&["metadata", "name"], name);
        }
        if !path.namespace.is_empty() {
            object.set(&["metadata", "namespace"], path.namespace.as_str());
        }
        let key = path.object(object.name());
        if self.objects.contains_key(&key) {
            let message = format!("{} {:?} already exists", path.plural, object.name());
            return failure(409, "AlreadyExists", &message);
        }
        (201, self.put(&key, object))
    }

    pub(super) fn post(&mut self, path: &Path, body: &Value) -> Answer {
        let key = path.object(&path.name);
        let Some(mut object) = self.objects.get(&key).cloned() else { return not_found(path) };
        match path.subresource.as_str() {
            "binding" if object.text(&["spec", "nodeName"]).is_empty() => {
                object.set(&["spec", "nodeName"], body.text(&["target", "name"]));
                self.put(&key, object);
                (201, json!({"kind": "Status", "status": "Success"}))
            }
            "binding" => failure(409, "Conflict", "pod is already assigned to a node"),
            "eviction" => {
                self.delete(path, &json!({}));
                (201, json!({"kind": "Status", "status": "Success"}))
            }
            other => failure(404, "NotFound", &format!("no subresource {other}")),
        }
    }

    pub(super) fn update(&mut self, path: &Path, mut object: Value) -> Answer {
        let key = path.object(&path.name);
        let Some(old) = self.objects.get(&key).cloned() else { return not_found(path) };
        if let Some(conflict) = conflict(path, &old, &object) {
            return conflict;
        }
        if path.subresource == "status" {
            let status = object.at(&["status"]).clone();
            object = old;
            object.set(&["status"], status);
        } else {
            if !path.namespace.is_empty() {
                object.set(&["metadata", "namespace"], path.namespace.as_str());
            }
            for field in ["uid", "creationTimestamp", "deletionTimestamp"] {
                let kept = old.at(&["metadata", field]);
                if !kept.is_null() {
                    object.set(&["metadata", field], kept.clone());
                }
            }
            if let Some(status) = old.get("status") {
                object.set(&["status"], status.clone());
            }
        }
        (200, self.store(&key, object))
    }

    pub(super) fn patch(&mut self, path: &Path, patch: &Value, strategic: bool) -> Answer {
        let key = path.object(&path.name);
        let Some(mut object) = self.objects.get(&key).cloned() else { return not_found(path) };
        if let Some(conflict) = conflict(path, &object, patch) {
            return conflict;
        }
        super::patch::apply(&mut object, patch, strategic);
        (200, self.store(&key, object))
    }

    /// Stores a changed state; an object that waits for its finalizers goes with the last one.
    fn store(&mut self, key: &str, object: Value) -> Value {
        let finished = object.is_deleting()
            && object.list(&["metadata", "finalizers"]).is_empty()
            && object.int(&["metadata", "deletionGracePeriodSeconds"]).unwrap_or(0) == 0;
        let stored = self.put(key, object);
        if finished {
            self.remove(key);
        }
        stored
    }

    pub(super) fn delete(&mut self, path: &Path, options: &Value) -> Answer {
        let key = path.object(&path.name);
        let Some(mut object) = self.objects.get(&key).cloned() else { return not_found(path) };
        for field in ["uid", "resourceVersion"] {
            let wanted = options.text(&["preconditions", field]);
            if !wanted.is_empty() && wanted != object.text(&["metadata", field]) {
                return failure(409, "Conflict", &format!("the {field} in the precondition does not match"));
            }
        }
        let mut grace = 0;
        if path.plural == "pods" && !object.text(&["spec", "nodeName"]).is_empty() {
            let own = object.int(&["spec", "terminationGracePeriodSeconds"]).unwrap_or(30);
            grace = options.int(&["gracePeriodSeconds"]).unwrap_or(own);
        }
        if grace == 0 && object.list(&["metadata", "finalizers"]).is_empty() {
            return (200, self.remove(&key).unwrap_or_default());
        }
        object.set_default(&["metadata", "deletionTimestamp"], NOW);
        object.set(&["metadata", "deletionGracePeriodSeconds"], grace);
        (200, self.put(&key, object))
    }
}

pub(super) fn not_found(path: &Path) -> Answer {
    failure(404, "NotFound", &format!("{} {:?} not found", path.plural, path.name))
}

fn conflict(path: &Path, old: &Value, new: &Value) -> Option<Answer> {
    for field in ["resourceVersion", "uid"] {
        let wanted = new.text(&["metadata", field]);
        if !wanted.is_empty() && wanted != old.text(&["metadata", field]) {
            let message = format!(
                "Operation cannot be fulfilled on {} {:?}: the object has been modified; please apply your changes to \
                 the latest version and try again",
                path.plural, path.name
            );
            return Some(failure(409, "Conflict", &message));
        }
    }
    None
}
