//! A set as FieldsV1, the JSON in which it is stored: `{"f:spec":{"f:replicas":{}}}`. A field that is a member and has
//! members below it says so with a `.`.

use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};

use super::element::{Element, Unreadable};
use super::set::{Node, Set};
use crate::document::Value;

impl Set {
    /// Reads FieldsV1.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))
    }

    /// Reads FieldsV1 out of a document.
    pub fn of_value(value: &Value) -> Result<Self, Unreadable> {
        Self::deserialize(value).map_err(|error| Unreadable(error.to_string()))
    }

    /// Writes FieldsV1, in the order of elements.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_below(false, out);
    }

    fn write_below(&self, member: bool, out: &mut Vec<u8>) {
        out.push(b'{');
        if member && !self.is_empty() {
            out.extend_from_slice(b"\".\":{}");
        }
        for entry in &self.0 {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            entry.element.write(out);
            out.push(b':');
            entry.node.children.write_below(entry.node.member, out);
        }
        out.push(b'}');
    }

    /// FieldsV1 as text.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).expect("names and JSON are UTF-8")
    }
}

impl<'de> Deserialize<'de> for Set {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NodeVisitor).map(|node| node.children)
    }
}

/// Reads what stands behind one key. Nothing in it: the key itself is meant.
struct NodeVisitor;

impl<'de> DeserializeSeed<'de> for NodeVisitor {
    type Value = Node;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Node, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldsV1")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut node = Node::default();
        while let Some(key) = map.next_key_seed(KeySeed)? {
            match key {
                Key::Element(element) => {
                    let below = map.next_value_seed(NodeVisitor)?;
                    node.children.put(element, below);
                }
                Key::Member => {
                    node.member = true;
                    map.next_value::<IgnoredAny>()?;
                }
                Key::Later => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        node.member |= node.children.is_empty();
        Ok(node)
    }
}

struct KeySeed;

enum Key {
    Element(Element),
    /// `.`
    Member,
    /// Of a type that a later version may know.
    Later,
}

impl<'de> DeserializeSeed<'de> for KeySeed {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of FieldsV1")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Key, E> {
        if text == "." {
            return Ok(Key::Member);
        }
        Element::parse(text).map(|element| element.map_or(Key::Later, Key::Element)).map_err(E::custom)
    }
}
