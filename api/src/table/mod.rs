//! metav1.Table: the columns that `kubectl get` shows, and the cells of an object.
//!
//! One file per API group; each lists its kinds in a table of [`Printer`]s. Columns, their types and priorities are
//! kubectl's (the reference's internal printers); what they show is specified by nothing else. Start reading at
//! [`columns`] and [`cells`]; `cell.rs` has what many kinds share.
//!
//! Invariant: a row has a cell for every column, whatever the object lacks.

mod admissionregistration;
mod apiextensions;
mod apiregistration;
mod apps;
mod autoscaling;
mod batch;
mod cell;
mod certificates;
mod coordination;
mod core;
mod discovery;
mod flowcontrol;
mod internal;
mod networking;
mod node;
mod pods;
mod policy;
mod rbac;
mod resource;
mod scheduling;
mod storage;

use std::collections::HashMap;
use std::sync::LazyLock;

use self::cell::{AGE, NAME, Row};
use crate::crd;
use crate::document::{Document, Value};
use crate::resource::{Resource, Served};

/// metav1.TableColumnDefinition
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Header.
    pub name: &'a str,
    /// `string`, `integer`, `date`, …
    pub kind: &'a str,
    /// `name` for the name's column, otherwise empty.
    pub format: &'a str,
    /// Shown by `kubectl get -h`-style tools.
    pub description: &'a str,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
}

/// A column of a built-in kind.
pub type Column = Header<'static>;

/// How one kind is shown.
struct Printer {
    /// [`Resource::id_name`]
    resource: &'static str,
    columns: &'static [Column],
    /// Puts a cell for each column.
    print: fn(&mut Row<'_>),
}

/// Kinds that nothing says more about.
static PLAIN: Printer = Printer { resource: "", columns: &[NAME, AGE], print: |row| _ = row.name().age() };

static PRINTERS: LazyLock<HashMap<&'static str, &'static Printer>> = LazyLock::new(|| {
    let groups: [&'static [Printer]; 20] = [
        pods::PRINTERS,
        core::PRINTERS,
        apps::PRINTERS,
        batch::PRINTERS,
        autoscaling::PRINTERS,
        policy::PRINTERS,
        networking::PRINTERS,
        discovery::PRINTERS,
        storage::PRINTERS,
        rbac::PRINTERS,
        scheduling::PRINTERS,
        coordination::PRINTERS,
        certificates::PRINTERS,
        admissionregistration::PRINTERS,
        flowcontrol::PRINTERS,
        node::PRINTERS,
        resource::PRINTERS,
        internal::PRINTERS,
        apiregistration::PRINTERS,
        apiextensions::PRINTERS,
    ];
    groups.into_iter().flatten().map(|printer| (printer.resource, printer)).collect()
});

fn printer(resource: &Resource) -> &'static Printer {
    PRINTERS.get(resource.id_name.as_str()).copied().unwrap_or(&PLAIN)
}

/// The columns of a kind in a served version.
pub fn columns<'a>(resource: &'a Resource, served: &'a Served) -> Vec<Header<'a>> {
    let Some(custom) = &served.custom else { return printer(resource).columns.to_vec() };
    let header = |column: &'a crd::columns::Column| Header {
        name: &column.name,
        kind: &column.kind,
        format: &column.format,
        description: &column.description,
        priority: column.priority,
    };
    std::iter::once(NAME).chain(custom.columns.iter().map(header)).collect()
}

/// The cells of one object (stored version), one for each column. `now` is in microseconds since 1970.
pub fn cells(resource: &Resource, served: &Served, object: &Value, now: i64) -> Vec<Value> {
    let Some(custom) = &served.custom else { return printer(resource).row(object, now) };
    let cells = custom.columns.iter().map(|column| column.cell(object, now));
    std::iter::once(object.name().into()).chain(cells).collect()
}

impl Printer {
    fn row(&self, object: &Value, now: i64) -> Vec<Value> {
        let mut row = Row::new(object, now);
        (self.print)(&mut row);
        row.cells
    }
}

#[cfg(test)]
mod tests;
