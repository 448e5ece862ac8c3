//! metadata.managedFields: who owns which fields, by which operation, through which version and subresource, since when.
//!
//! Stored objects keep it as text. A manager's fields stay text until somebody asks for them, and what did not change is
//! written as it was read.

use std::borrow::Cow;
use std::cmp::Ordering;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::element::Unreadable;
use super::set::Set;
use crate::document::{Document, Value};

/// How many managers that update an object are remembered by name.
const MAX_UPDATERS: usize = 10;
/// What the others become.
const ANCIENT: &str = "ancient-changes";

/// How a manager came to its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operation {
    /// Server-side apply.
    Apply,
    /// Everything else.
    Update,
}

/// One entry of managedFields.
#[derive(Clone, Debug)]
pub(super) struct Manager<'t> {
    pub(super) name: Cow<'t, str>,
    pub(super) operation: Operation,
    pub(super) api_version: Cow<'t, str>,
    pub(super) subresource: Cow<'t, str>,
    /// RFC 3339 to the second, empty for none.
    pub(super) time: Cow<'t, str>,
    fields: Fields<'t>,
}

#[derive(Clone, Debug)]
enum Fields<'t> {
    Text(&'t str),
    Set(Set),
}

/// All of an object's managers. No two have the same identity.
#[derive(Clone, Debug, Default)]
pub(super) struct Managers<'t>(pub(super) Vec<Manager<'t>>);

/// An entry as it is stored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored<'t> {
    #[serde(borrow, default)]
    manager: Cow<'t, str>,
    #[serde(borrow, default)]
    operation: Cow<'t, str>,
    #[serde(borrow, default)]
    api_version: Cow<'t, str>,
    #[serde(borrow, default)]
    subresource: Cow<'t, str>,
    #[serde(borrow, default)]
    time: Cow<'t, str>,
    #[serde(borrow, default)]
    fields_v1: Option<&'t RawValue>,
}

impl<'t> Manager<'t> {
    pub(super) fn new(name: &str, operation: Operation, api_version: &str, subresource: &str) -> Self {
        let name = if name.is_empty() { "unknown" } else { name };
        Self {
            name: Cow::Owned(name.to_owned()),
            operation,
            api_version: Cow::Owned(api_version.to_owned()),
            subresource: Cow::Owned(subresource.to_owned()),
            time: Cow::Borrowed(""),
            fields: Fields::Set(Set::default()),
        }
    }

    /// Whether two entries are of the same manager: who applies is one whatever the version.
    pub(super) fn is_same(&self, other: &Manager<'_>) -> bool {
        self.operation == other.operation
            && self.name == other.name
            && self.subresource == other.subresource
            && (self.operation == Operation::Apply || self.api_version == other.api_version)
    }

    /// Its fields.
    pub(super) fn set(&self) -> Cow<'_, Set> {
        match &self.fields {
            Fields::Set(set) => Cow::Borrowed(set),
            // It was read before it was stored.
            Fields::Text(text) => Cow::Owned(Set::parse(text).unwrap_or_default()),
        }
    }

    pub(super) fn own(&mut self, set: Set) {
        self.fields = Fields::Set(set);
    }

    /// The same, apart from the text that it was read from.
    pub(super) fn into_owned(self) -> Manager<'static> {
        let set = self.set().into_owned();
        let owned = |text: Cow<'t, str>| Cow::Owned(text.into_owned());
        Manager {
            name: owned(self.name),
            operation: self.operation,
            api_version: owned(self.api_version),
            subresource: owned(self.subresource),
            time: owned(self.time),
            fields: Fields::Set(set),
        }
    }

    fn owns_nothing(&self) -> bool {
        match &self.fields {
            Fields::Set(set) => set.is_empty(),
            Fields::Text(text) => *text == "{}",
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        let text = |key: &[u8], value: &str, out: &mut Vec<u8>| {
            if !value.is_empty() {
                out.extend_from_slice(key);
                serde_json::to_writer(out, value).expect("a Vec takes every byte");
            }
        };
        text(b"{\"apiVersion\":", &self.api_version, out);
        out.extend_from_slice(b",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":");
        match &self.fields {
            Fields::Text(fields) => out.extend_from_slice(fields.as_bytes()),
            Fields::Set(set) => set.write(out),
        }
        text(b",\"manager\":", &self.name, out);
        text(b",\"operation\":", self.operation.name(), out);
        text(b",\"subresource\":", &self.subresource, out);
        text(b",\"time\":", &self.time, out);
        out.push(b'}');
    }

    /// The order in which they are written.
    fn order(&self, other: &Self) -> Ordering {
        let key = |manager: &Self| (manager.operation, manager.time.clone());
        key(self)
            .cmp(&key(other))
            .then_with(|| self.name.cmp(&other.name))
            .then_with(|| self.api_version.cmp(&other.api_version))
            .then_with(|| self.subresource.cmp(&other.subresource))
    }
}

impl Operation {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "Apply" => Some(Self::Apply),
            "Update" => Some(Self::Update),
            _ => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Apply => "Apply",
            Self::Update => "Update",
        }
    }
}

impl<'t> Managers<'t> {
    /// Reads what [`Managers::text`] wrote.
    pub(super) fn parse(text: &'t str) -> Result<Self, Unreadable> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let stored: Vec<Stored<'t>> = serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
        let managers = stored.into_iter().map(|stored| {
            let malformed = || Unreadable("operation must be `Apply` or `Update`".to_owned());
            Ok(Manager {
                operation: Operation::parse(&stored.operation).ok_or_else(malformed)?,
                name: stored.manager,
                api_version: stored.api_version,
                subresource: stored.subresource,
                time: stored.time,
                fields: Fields::Text(stored.fields_v1.map_or("{}", RawValue::get)),
            })
        });
        Ok(Self(managers.collect::<Result<_, _>>()?))
    }

    /// Reads a client's managedFields.
    pub(super) fn of_value(list: &Value) -> Result<Managers<'static>, Unreadable> {
        let mut managers = Managers::default();
        for (at, entry) in list.as_array().into_iter().flatten().enumerate() {
            let refuse = |why: String| Err(Unreadable(why));
            let Some(operation) = Operation::parse(entry.text(&["operation"])) else {
                return refuse("operation must be `Apply` or `Update`".to_owned());
            };
            match (entry.text(&["apiVersion"]), entry.text(&["fieldsType"])) {
                ("", _) => return refuse("apiVersion must not be empty".to_owned()),
                (_, "FieldsV1") => {}
                (_, "") => return refuse(format!("missing fieldsType in managed fields entry {at}")),
                (_, other) => return refuse(format!("invalid fieldsType {other:?} in managed fields entry {at}")),
            }
            let text = |field: &str| Cow::Owned(entry.text(&[field]).to_owned());
            let fields = match entry.at(&["fieldsV1"]) {
                Value::Null => Set::default(),
                fields => Set::of_value(fields)?,
            };
            managers.insert(Manager {
                operation,
                name: text("manager"),
                api_version: text("apiVersion"),
                subresource: text("subresource"),
                time: text("time"),
                fields: Fields::Set(fields),
            });
        }
        Ok(managers)
    }

    /// managedFields as JSON, empty where there are no managers.
    pub(super) fn text(mut self) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        self.0.sort_by(Manager::order);
        let mut out = Vec::with_capacity(256 * self.0.len());
        for manager in &self.0 {
            out.push(if out.is_empty() { b'[' } else { b',' });
            manager.write(&mut out);
        }
        out.push(b']');
        String::from_utf8(out).expect("names and JSON are UTF-8")
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The entry of the same manager.
    pub(super) fn find(&self, manager: &Manager<'_>) -> Option<&Manager<'t>> {
        self.0.iter().find(|other| other.is_same(manager))
    }

    /// Puts an entry in the place of the same manager's.
    pub(super) fn insert(&mut self, manager: Manager<'t>) {
        match self.0.iter_mut().find(|other| other.is_same(&manager)) {
            Some(other) => *other = manager,
            None => self.0.push(manager),
        }
    }

    /// Who owns nothing is no manager.
    pub(super) fn drop_idle(&mut self) {
        self.0.retain(|manager| !manager.owns_nothing());
    }

    /// Joins the oldest updates until there are no more than [`MAX_UPDATERS`].
    pub(super) fn cap(&mut self) {
        let mut surplus = self.updaters().saturating_sub(MAX_UPDATERS);
        if surplus == 0 {
            return;
        }
        self.0.sort_by(Manager::order);
        let mut joined: Vec<Manager<'t>> = Vec::new();
        let mut kept = Vec::with_capacity(self.0.len());
        for manager in std::mem::take(&mut self.0) {
            if manager.operation == Operation::Apply || surplus == 0 {
                kept.push(manager);
                continue;
            }
            match joined.iter_mut().find(|first| first.api_version == manager.api_version) {
                Some(first) => {
                    let set = first.set().union(&manager.set());
                    // What was merged last is what changed last.
                    *first = Manager {
                        time: manager.time,
                        ..Manager::new(ANCIENT, Operation::Update, &manager.api_version, "")
                    };
                    first.own(set);
                    surplus -= 1;
                }
                None => joined.push(manager),
            }
        }
        self.0 = kept;
        for manager in joined {
            // Later changes may stand under the same name.
            let manager = match self.find(&manager) {
                Some(other) => {
                    let set = other.set().union(&manager.set());
                    let mut both = other.clone();
                    both.own(set);
                    both
                }
                None => manager,
            };
            self.insert(manager);
        }
    }

    fn updaters(&self) -> usize {
        self.0.iter().filter(|manager| manager.operation == Operation::Update).count()
    }
}

/// managedFields in a form for [`crate::object::Draft`]: the text of a list that a document holds. `None` where it is none
/// that could be stored.
pub(crate) fn text_of(list: &Value) -> Option<String> {
    Managers::of_value(list).ok().map(Managers::text)
}

/// Whether two texts of managedFields differ in nothing but times.
pub fn is_same_but_for_times(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let (Ok(one), Ok(other)) = (Managers::parse(one), Managers::parse(other)) else { return false };
    let timeless = |Managers(managers): Managers<'_>| {
        let managers = managers.into_iter().map(|manager| Manager { time: Cow::Borrowed(""), ..manager });
        Managers(managers.collect()).text()
    };
    timeless(one) == timeless(other)
}
