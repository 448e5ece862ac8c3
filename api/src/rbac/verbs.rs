//! Sets of verbs: bits for those that Kubernetes knows, names for others.

use smallvec::SmallVec;
use smol_str::SmolStr;

/// Verbs with a bit of their own.
const KNOWN: [&str; 24] = [
    "get",
    "list",
    "watch",
    "create",
    "update",
    "patch",
    "delete",
    "deletecollection",
    "use",
    "bind",
    "escalate",
    "impersonate",
    "approve",
    "sign",
    "attest",
    "proxy",
    "head",
    "post",
    "put",
    "options",
    "request-serviceaccounts-token-audience",
    "bypass",
    "associated-node:list",
    "associated-node:watch",
];
/// `*`
const ALL: u32 = 1 << 31;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Verbs {
    bits: u32,
    others: SmallVec<[SmolStr; 0]>,
}

impl Verbs {
    pub(super) fn add(&mut self, verb: &str) {
        match bit(verb) {
            Some(bit) => self.bits |= bit,
            None if self.others.iter().any(|other| other == verb) => {}
            None => self.others.push(verb.into()),
        }
    }

    /// `*` is contained in `*` alone.
    pub(super) fn contains(&self, verb: &str) -> bool {
        self.bits & ALL != 0
            || match bit(verb) {
                Some(bit) => self.bits & bit != 0,
                None => self.others.iter().any(|other| other == verb),
            }
    }

    pub(super) fn unite(&mut self, other: &Self) {
        self.bits |= other.bits;
        for verb in &other.others {
            self.add(verb);
        }
    }
}

fn bit(verb: &str) -> Option<u32> {
    if verb == "*" {
        return Some(ALL);
    }
    KNOWN.iter().position(|known| *known == verb).map(|at| 1 << at)
}
