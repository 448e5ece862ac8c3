//! Copying one kind after another.

use std::collections::{BTreeSet, HashMap};

use client::{Client, ClientError, ListOptions};
use futures_util::{StreamExt, stream};
use serde_json::Value;

use super::ImportArgs;
use super::clean::{clean, stays};
use super::discover::Kind;
use super::report::Report;

/// Objects of a page.
const PAGE: usize = 500;
/// Objects that are created at once.
const AT_ONCE: usize = 16;
/// Kinds whose status says what outlasts the cluster, and that no controller would say again by itself.
const WITH_STATUS: [&str; 3] = ["jobs.batch", "persistentvolumeclaims", "persistentvolumes"];

/// A copy that is under way.
pub(super) struct Copying<'a> {
    args: &'a ImportArgs,
    from: Client,
    to: Client,
    report: &'a mut Report,
    /// Uids of what was created, or is there already, from there to here.
    uids: HashMap<String, String>,
    /// Namespaces that are being deleted there: nothing can be created in them.
    leaving: BTreeSet<String>,
}

/// What became of one object.
enum Outcome {
    Copied { uids: Option<(String, String)>, lost_owner: bool },
    Exists { uids: Option<(String, String)> },
    Stays(&'static str),
    Refused(String),
}

impl<'a> Copying<'a> {
    pub(super) fn new(args: &'a ImportArgs, from: Client, to: Client, report: &'a mut Report) -> Self {
        Self { args, from, to, report, uids: HashMap::new(), leaving: BTreeSet::new() }
    }

    pub(super) fn left_out(&mut self, name: &str, why: &str) {
        self.report.left_out(name, why);
    }

    /// Counts what there is of a kind that the target does not serve.
    pub(super) async fn missing(&mut self, kind: &Kind) {
        let mut options = ListOptions { limit: PAGE, ..ListOptions::default() };
        let mut count = 0;
        // What cannot be listed cannot be missed.
        while let Ok(page) = self.from.list::<Value>(&kind.api, &options).await {
            count += page.items.iter().filter(|object| self.is_wanted(kind, object)).count() as u64;
            options.continue_token = page.continue_token;
            if options.continue_token.is_empty() {
                break;
            }
        }
        self.report.missing(&kind.name, count);
    }

    /// Copies everything of a kind.
    pub(super) async fn kind(&mut self, kind: &Kind, into: &Kind) {
        let mut options = ListOptions { limit: PAGE, ..ListOptions::default() };
        loop {
            let page = match self.from.list::<Value>(&kind.api, &options).await {
                Ok(page) => page,
                Err(error) if error.is_expired() && !options.continue_token.is_empty() => {
                    // The list is taken up from its beginning: what was copied is there already.
                    options.continue_token.clear();
                    continue;
                }
                Err(error) => {
                    self.report.refused(&kind.name, "", &format!("it cannot be listed: {error}"));
                    return;
                }
            };
            let wanted: Vec<Value> = page.items.into_iter().filter(|object| self.is_wanted(kind, object)).collect();
            let this = &*self;
            let copies = wanted.into_iter().map(|object| async move {
                let at = place(&object);
                (at, this.one(kind, into, object).await)
            });
            let outcomes: Vec<_> = stream::iter(copies).buffer_unordered(AT_ONCE).collect().await;
            for (at, outcome) in outcomes {
                self.note(kind, &at, outcome);
            }
            options.continue_token = page.continue_token;
            if options.continue_token.is_empty() {
                return;
            }
        }
    }

    fn is_wanted(&mut self, kind: &Kind, object: &Value) -> bool {
        let meta = &object["metadata"];
        let own = kind.name == "namespaces";
        let namespace = meta[if own { "name" } else { "namespace" }].as_str().unwrap_or_default();
        if own && !meta["deletionTimestamp"].is_null() {
            self.leaving.insert(namespace.to_owned());
        }
        let chosen = self.args.namespaces.is_empty() || self.args.namespaces.iter().any(|name| name == namespace);
        let excluded = self.args.exclude_namespaces.iter().any(|name| name == namespace);
        namespace.is_empty() || (chosen && !excluded && (own || !self.leaving.contains(namespace)))
    }

    async fn one(&self, kind: &Kind, into: &Kind, mut object: Value) -> Outcome {
        if let Some(why) = stays(&kind.name, &object) {
            return Outcome::Stays(why);
        }
        let text = |object: &Value, field: &str| object["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (uid, namespace, name) = (text(&object, "uid"), text(&object, "namespace"), text(&object, "name"));
        let status = object["status"].clone();
        let lost_owner = clean(&kind.name, &mut object, &self.uids);
        if let Some(fields) = object.as_object_mut() {
            // In the version that the target prefers.
            fields.insert("apiVersion".to_owned(), into.api.api_version().into());
            fields.insert("kind".to_owned(), into.api.kind.into());
        }
        if self.args.dry_run {
            return Outcome::Copied { uids: Some((uid.clone(), uid)), lost_owner };
        }
        match self.to.create::<Value>(&into.api, &namespace, &object).await {
            Ok(made) => {
                let uids = Some((uid, text(&made, "uid")));
                if into.has_status && WITH_STATUS.contains(&kind.name.as_str()) && !status.is_null() {
                    let mut made = made;
                    made["status"] = status;
                    if let Err(error) = self.to.update::<Value>(&into.api, &namespace, &name, "status", &made).await {
                        tracing::debug!(kind = kind.name, name, %error, "its status stays behind");
                    }
                }
                Outcome::Copied { uids, lost_owner }
            }
            Err(error) if error.is_already_exists() => {
                let found = self.to.get::<Value>(&into.api, &namespace, &name).await.ok();
                Outcome::Exists { uids: found.map(|found| (uid, text(&found, "uid"))) }
            }
            Err(error) => Outcome::Refused(sentence(&error)),
        }
    }

    fn note(&mut self, kind: &Kind, at: &str, outcome: Outcome) {
        match outcome {
            Outcome::Copied { uids, lost_owner } => {
                self.uids.extend(uids);
                self.report.copied(&kind.name);
                if lost_owner {
                    self.report.changed(&kind.name, at, "it has come without an owner that has not");
                }
            }
            Outcome::Exists { uids } => {
                self.uids.extend(uids);
                self.report.existed(&kind.name);
            }
            Outcome::Stays(why) => self.report.stayed(&kind.name, why),
            Outcome::Refused(why) => self.report.refused(&kind.name, at, &why),
        }
    }
}

fn place(object: &Value) -> String {
    let meta = &object["metadata"];
    let name = meta["name"].as_str().unwrap_or_default();
    meta["namespace"].as_str().map_or_else(|| name.to_owned(), |namespace| format!("{namespace}/{name}"))
}

fn sentence(error: &ClientError) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
