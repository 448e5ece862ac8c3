//! metav1.Table: what `kubectl get` shows.

use api::document::Document;
use api::resource::Served;
use api::table::{cells, columns};
use api::{Object, Resource, Value};
use serde_json::json;

use crate::media::IncludeObject;

/// How tables of one resource are made.
pub(crate) struct Tables<'a> {
    pub(crate) resource: &'a Resource,
    pub(crate) served: &'a Served,
    /// Of meta.k8s.io.
    pub(crate) version: &'static str,
    pub(crate) include: IncludeObject,
    /// Microseconds since 1970.
    pub(crate) now: i64,
}

impl Tables<'_> {
    /// A table without rows.
    pub(crate) fn empty(&self, metadata: Value) -> Value {
        let columns: Vec<Value> = columns(self.resource, self.served)
            .iter()
            .map(|column| {
                json!({
                    "name": column.name, "type": column.kind, "format": column.format,
                    "description": column.description, "priority": column.priority,
                })
            })
            .collect();
        let api_version = format!("meta.k8s.io/{}", self.version);
        json!({
            "kind": "Table", "apiVersion": api_version, "metadata": metadata, "columnDefinitions": columns, "rows": [],
        })
    }

    /// A table of one row.
    pub(crate) fn of_one(&self, object: &Object) -> Value {
        let mut table = self.empty(json!({ "resourceVersion": object.version.to_string() }));
        table["rows"] = Value::Array(vec![self.row(object)]);
        table
    }

    /// A table of one row and without columns, as watches send it after the first.
    pub(crate) fn without_columns(&self, object: &Object) -> Value {
        let mut table = self.of_one(object);
        table["columnDefinitions"] = Value::Null;
        table
    }

    /// One row.
    pub(crate) fn row(&self, object: &Object) -> Value {
        let mut document = object.document();
        let mut row = json!({ "cells": cells(self.resource, self.served, &document, self.now) });
        match self.include {
            IncludeObject::Nothing => {}
            IncludeObject::Metadata => {
                row["object"] = json!({
                    "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{}", self.version),
                    "metadata": document.remove(&["metadata"]),
                });
            }
            IncludeObject::Object => {
                if let Some(conversion) = &self.served.convert {
                    (conversion.from_stored)(&mut document);
                }
                document.set(&["kind"], self.resource.kind.as_str());
                document.set(&["apiVersion"], self.served.api_version());
                row["object"] = document;
            }
        }
        row
    }
}
