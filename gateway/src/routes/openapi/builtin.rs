//! Documents about what is built in, which are the same for all clusters. Made when first asked for, and kept compressed.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api::Registry;
use hashbrown::HashMap;
use openapi::{Dialect, Form, Press};
use parking_lot::Mutex;

use super::fragment::{Document, Fragment};
use crate::routes::etag::hash;

/// The fragments of the three sections of a document.
pub(super) type Sections = [Arc<Fragment>; 3];

/// See the module.
#[derive(Default)]
pub(crate) struct Builtin {
    /// Hashes of the documents of OpenAPI 3 by their paths.
    hashes: OnceLock<BTreeMap<String, String>>,
    /// The hash of all of those, on which the hashes of custom kinds' documents are built: another program may write others.
    program: OnceLock<String>,
    documents: Mutex<HashMap<(String, Form), Document>>,
    v2: Mutex<HashMap<Form, Sections>>,
}

impl Builtin {
    /// The documents of OpenAPI 3, and a hash of each.
    pub(super) fn hashes(&self, registry: &Registry) -> &BTreeMap<String, String> {
        self.hashes.get_or_init(|| {
            let press = Press::new(registry);
            let paths = openapi::v3_paths(registry).into_iter();
            let hashed = paths.filter_map(|path| {
                let text = press.v3(&path)?.document(Dialect::V3, Form::Json);
                Some((path, hash(&text)))
            });
            hashed.collect()
        })
    }

    /// A hash of everything that this program has to say about what is built in.
    pub(super) fn program(&self, registry: &Registry) -> &str {
        self.program.get_or_init(|| {
            let all: String = self.hashes(registry).values().map(String::as_str).collect();
            hash(all.as_bytes())
        })
    }

    /// One document of OpenAPI 3.
    pub(super) fn v3(&self, registry: &Registry, path: &str, form: Form) -> Option<Document> {
        if let Some(made) = self.documents.lock().get(&(path.to_owned(), form)) {
            return Some(made.clone());
        }
        let text = Press::new(registry).v3(path)?.document(Dialect::V3, form);
        let made = Document(vec![Fragment::of(&text)]);
        self.documents.lock().insert((path.to_owned(), form), made.clone());
        Some(made)
    }

    /// What stands in OpenAPI 2.
    pub(super) fn v2(&self, registry: &Registry, form: Form) -> Sections {
        if let Some(made) = self.v2.lock().get(&form) {
            return made.clone();
        }
        let made = Press::new(registry).v2().sections(Dialect::V2, form).map(|section| Fragment::of(&section));
        self.v2.lock().insert(form, made.clone());
        made
    }
}
