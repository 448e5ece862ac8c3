//! A document: the tree of values that every codec reads and writes, and short ways to its metadata.
//!
//! Maps are ordered by key, so that equal documents have equal bytes.

pub use serde_json::{Map, Value};

/// Reading and writing the parts that every Kubernetes object has. Missing parts read as empty.
pub trait Document {
    /// The value at `path`, `Value::Null` where any step is missing.
    fn at(&self, path: &[&str]) -> &Value;
    /// The text at `path`, empty where it is missing or no text.
    fn text(&self, path: &[&str]) -> &str;
    /// The whole number at `path`.
    fn int(&self, path: &[&str]) -> Option<i64>;
    /// The list at `path`, empty where it is missing.
    fn list(&self, path: &[&str]) -> &[Value];
    /// The value at `path`, made where it is missing. Steps that are no map become one.
    fn at_mut(&mut self, path: &[&str]) -> &mut Value;
    /// Sets the value at `path`, making the maps on the way.
    fn set(&mut self, path: &[&str], value: impl Into<Value>);
    /// Sets the value at `path` only where there is none (or null).
    fn set_default(&mut self, path: &[&str], value: impl Into<Value>);
    /// Takes the value at `path` out, if there is one.
    fn remove(&mut self, path: &[&str]) -> Option<Value>;

    /// metadata.name
    fn name(&self) -> &str {
        self.text(&["metadata", "name"])
    }
    /// metadata.namespace
    fn namespace(&self) -> &str {
        self.text(&["metadata", "namespace"])
    }
    /// metadata.uid
    fn uid(&self) -> &str {
        self.text(&["metadata", "uid"])
    }
    /// Whether metadata.deletionTimestamp is set.
    fn is_deleting(&self) -> bool {
        !self.at(&["metadata", "deletionTimestamp"]).is_null()
    }
}

impl Document for Value {
    fn at(&self, path: &[&str]) -> &Value {
        static NULL: Value = Value::Null;
        path.iter().try_fold(self, |value, step| value.get(step)).unwrap_or(&NULL)
    }

    fn text(&self, path: &[&str]) -> &str {
        self.at(path).as_str().unwrap_or_default()
    }

    fn int(&self, path: &[&str]) -> Option<i64> {
        self.at(path).as_i64()
    }

    fn list(&self, path: &[&str]) -> &[Value] {
        self.at(path).as_array().map_or(&[], Vec::as_slice)
    }

    fn at_mut(&mut self, path: &[&str]) -> &mut Value {
        path.iter().fold(self, |value, step| {
            if !value.is_object() {
                *value = Value::Object(Map::new());
            }
            let Value::Object(map) = value else { unreachable!("made a map just above") };
            map.entry(*step).or_insert(Value::Null)
        })
    }

    fn set(&mut self, path: &[&str], value: impl Into<Value>) {
        *self.at_mut(path) = value.into();
    }

    fn set_default(&mut self, path: &[&str], value: impl Into<Value>) {
        let place = self.at_mut(path);
        if place.is_null() {
            *place = value.into();
        }
    }

    fn remove(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let parent = parents.iter().try_fold(self, |value, step| value.get_mut(step))?;
        parent.as_object_mut()?.remove(*last)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn missing_parts_read_as_empty() {
        let document = json!({"metadata": {"name": "a"}});
        assert_eq!((document.name(), document.namespace(), document.is_deleting()), ("a", "", false));
        assert!(document.list(&["spec", "containers"]).is_empty());
    }

    #[test]
    fn defaults_do_not_overwrite() {
        let mut document = json!({"spec": {"replicas": 0}});
        document.set_default(&["spec", "replicas"], 1);
        document.set_default(&["spec", "strategy", "type"], "RollingUpdate");
        assert_eq!(document, json!({"spec": {"replicas": 0, "strategy": {"type": "RollingUpdate"}}}));
        assert_eq!(document.remove(&["spec", "strategy", "type"]), Some(json!("RollingUpdate")));
        assert_eq!(document.remove(&["spec", "nothing", "there"]), None);
    }
}
