//! Lists: of values, of a document, one behind another. What a schema calls a set or a map is compared as one.

use std::borrow::Cow;
use std::sync::Arc;

use super::Value;
use crate::declared::{Declared, DeclaredKind, Document, ListKind};
use crate::escape::escape;
use crate::evaluate::{Failure, Meter};

/// A list.
#[derive(Clone, Debug)]
pub enum List<'d> {
    /// Of values.
    Values(Arc<Vec<Value<'d>>>),
    /// Of a document: items are converted when they are looked at.
    Json(Document<'d>),
    /// Of values that a set or map of a document became with more in it.
    Merged(Arc<Vec<Value<'d>>>, &'d ListKind),
    /// One behind another.
    Joined(Arc<(List<'d>, List<'d>)>, usize),
}

impl<'d> List<'d> {
    /// How many items there are.
    pub fn len(&self) -> usize {
        match self {
            List::Values(items) | List::Merged(items, _) => items.len(),
            List::Json(document) => document.json.as_array().map_or(0, Vec::len),
            List::Joined(_, length) => *length,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// One behind the other. A list of a document that is a set or map stays one.
    pub fn join(self, other: List<'d>, meter: &mut Meter<'_>) -> Result<List<'d>, Failure> {
        if let Some(kind) = self.kind() {
            return self.merge(kind, other, meter);
        }
        if self.is_empty() || other.is_empty() {
            return Ok(if self.is_empty() { other } else { self });
        }
        let length = self.len().saturating_add(other.len());
        Ok(List::Joined(Arc::new((self, other)), length))
    }

    /// Set or map; `None` for lists that are neither.
    fn kind(&self) -> Option<&'d ListKind> {
        let kind = match self {
            List::Json(Document { of: Declared { kind: DeclaredKind::List(_, kind), .. }, .. }) => kind,
            List::Merged(_, kind) => kind,
            _ => return None,
        };
        (*kind != ListKind::Atomic).then_some(kind)
    }

    /// What `+` makes of a set (what is there stays) and of a map (what has the same keys is replaced).
    fn merge(&self, kind: &'d ListKind, other: List<'d>, meter: &mut Meter<'_>) -> Result<List<'d>, Failure> {
        let mut items = self.items(meter)?;
        for item in other.items(meter)? {
            let mut place = None;
            for (at, known) in items.iter().enumerate() {
                if same_key(kind, known, &item, meter)? {
                    place = Some(at);
                    break;
                }
            }
            match (place, kind) {
                (Some(at), ListKind::Map(_)) => items[at] = item,
                (Some(_), _) => {}
                (None, _) => items.push(item),
            }
        }
        Ok(List::Merged(Arc::new(items), kind))
    }

    /// The item at an index, `None` beyond the end.
    pub fn get(&self, mut index: usize) -> Option<Result<Value<'d>, Failure>> {
        let mut list = self;
        loop {
            match list {
                List::Values(items) | List::Merged(items, _) => return items.get(index).cloned().map(Ok),
                List::Json(document) => {
                    let json = document.json.as_array()?.get(index)?;
                    let of = match &document.of.kind {
                        DeclaredKind::List(of, _) => of,
                        _ => document.of,
                    };
                    return Some(Value::of(Document { json, of }));
                }
                List::Joined(parts, _) => {
                    let left = parts.0.len();
                    if index < left {
                        list = &parts.0;
                    } else {
                        index -= left;
                        list = &parts.1;
                    }
                }
            }
        }
    }

    /// All items, each counted as work.
    pub fn items(&self, meter: &mut Meter<'_>) -> Result<Vec<Value<'d>>, Failure> {
        meter.work(self.len() as u64)?;
        let mut items = Vec::with_capacity(self.len());
        let mut open = vec![self];
        while let Some(list) = open.pop() {
            match list {
                List::Values(values) | List::Merged(values, _) => items.extend(values.iter().cloned()),
                List::Json(_) => {
                    for index in 0..list.len() {
                        items.extend(list.get(index).transpose()?);
                    }
                }
                List::Joined(parts, _) => open.extend([&parts.1, &parts.0]),
            }
        }
        Ok(items)
    }

    /// Whether a value is in it.
    pub fn contains(&self, value: &Value<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
        for item in self.items(meter)? {
            if item.equals(value, meter)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn equals(&self, other: &List<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
        if self.len() != other.len() {
            return Ok(false);
        }
        let (left, right) = (self.items(meter)?, other.items(meter)?);
        if let Some(kind) = self.kind() {
            for item in &right {
                let mut found = false;
                for known in &left {
                    if same_key(kind, known, item, meter)? {
                        found = *kind == ListKind::Set || known.equals(item, meter)?;
                        break;
                    }
                }
                if !found {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        for (a, b) in left.iter().zip(&right) {
            if !a.equals(b, meter)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether two items of a set are the same, or have the same keys in a map.
fn same_key<'d>(kind: &ListKind, a: &Value<'d>, b: &Value<'d>, meter: &mut Meter<'_>) -> Result<bool, Failure> {
    let ListKind::Map(keys) = kind else { return a.equals(b, meter) };
    let (Value::Map(a), Value::Map(b)) = (a, b) else { return Ok(false) };
    for key in keys {
        let name = escape(key).unwrap_or(Cow::Borrowed(key));
        let same = match (a.get_text(&name).transpose()?, b.get_text(&name).transpose()?) {
            (Some(a), Some(b)) => a.equals(&b, meter)?,
            (a, b) => a.is_none() && b.is_none(),
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}
