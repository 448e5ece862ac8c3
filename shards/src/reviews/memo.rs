//! What has been said so far to one request.

use std::sync::Arc;

use api::{Value, Version};
use parking_lot::Mutex;

use super::{Again, Pass, Reviewers};
use crate::authorization::Settled;

/// See the module.
#[derive(Default)]
pub(crate) struct Memo(Mutex<Said>);

#[derive(Default)]
struct Said {
    /// `None`: there is nobody, which is found out once.
    reviewers: Option<Arc<Reviewers>>,
    /// By the pass, and for the version that it was derived from.
    mutated: [Option<(Option<Version>, Value, Again)>; 2],
    validated: Option<(Option<Version>, Value)>,
    /// About what the client sent.
    noted: Vec<String>,
    /// Of webhooks, which are asked once.
    warnings: Vec<String>,
    /// Of policies, which are run by each derivation of the decision: those of the last one.
    advice: Vec<String>,
    rounds: u32,
}

impl Memo {
    pub(super) fn begin(&self, reviewers: Option<Arc<Reviewers>>) {
        self.0.lock().reviewers = reviewers;
    }

    pub(super) fn reviewers(&self) -> Option<Arc<Reviewers>> {
        self.0.lock().reviewers.clone()
    }

    /// Whether there is anybody.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.lock().reviewers.is_some()
    }

    /// Who may what, where expressions ask.
    pub(super) fn authority(&self) -> Option<Settled> {
        self.0.lock().reviewers.as_ref().and_then(|reviewers| reviewers.authority.clone())
    }

    /// Counts a round; whether it is one too many.
    pub(super) fn may_ask(&self, most: u32) -> bool {
        let mut said = self.0.lock();
        said.rounds += 1;
        said.rounds <= most
    }

    pub(super) fn mutated(&self, pass: Pass, base: Option<Version>) -> Option<(Value, Again)> {
        let said = self.0.lock();
        let (_, document, again) = said.mutated[pass as usize].as_ref().filter(|(of, ..)| *of == base)?;
        Some((document.clone(), again.clone()))
    }

    pub(super) fn remember_mutated(&self, pass: Pass, base: Option<Version>, document: Value, again: Again) {
        let mut said = self.0.lock();
        said.mutated[pass as usize] = Some((base, document, again));
        // A second pass belongs to the first one that it followed.
        if pass == Pass::First {
            said.mutated[Pass::Again as usize] = None;
        }
    }

    pub(super) fn validated(&self, base: Option<Version>) -> Option<Value> {
        let said = self.0.lock();
        said.validated.as_ref().filter(|(of, _)| *of == base).map(|(_, document)| document.clone())
    }

    pub(super) fn remember_validated(&self, base: Option<Version>, document: Value) {
        self.0.lock().validated = Some((base, document));
    }

    /// Takes note of what is to be warned of, whatever becomes of the request.
    pub(crate) fn note(&self, warnings: Vec<String>) {
        if !warnings.is_empty() {
            self.0.lock().noted.extend(warnings);
        }
    }

    /// Takes note of what webhooks, or about them, is to be warned of.
    pub(crate) fn warn(&self, warnings: Vec<String>) {
        self.0.lock().warnings.extend(warnings);
    }

    pub(super) fn advise(&self, warnings: Vec<String>) {
        self.0.lock().advice = warnings;
    }

    /// All warnings, each once, which are the caller's from now on.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        let mut said = self.0.lock();
        let Said { noted, advice, warnings, .. } = &mut *said;
        let mut all: Vec<String> = Vec::new();
        for warning in noted.drain(..).chain(advice.drain(..)).chain(warnings.drain(..)) {
            if !all.contains(&warning) {
                all.push(warning);
            }
        }
        all
    }
}
