//! metav1.Table: the columns that `kubectl get` shows, and the cells of an object.

use crate::document::Value;
use crate::resource::Resource;

/// metav1.TableColumnDefinition
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Header.
    pub name: &'static str,
    /// `string`, `integer`, `date`, …
    pub kind: &'static str,
    /// `name` for the name's column, otherwise empty.
    pub format: &'static str,
    /// Shown by `kubectl get -h`-style tools.
    pub description: &'static str,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
}

/// The columns of a kind.
pub fn columns(_resource: &Resource) -> &'static [Column] {
    todo!()
}

/// The cells of one object (stored version), one for each column. `now` is in microseconds since 1970.
pub fn cells(_resource: &Resource, _object: &Value, _now: i64) -> Vec<Value> {
    todo!()
}
