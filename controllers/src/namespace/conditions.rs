//! What keeps a Namespace from going, as its status says it.

use std::collections::BTreeMap;

use smol_str::SmolStr;

use crate::views::NamespaceCondition;

/// What one round of deletion found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Groups that could not be discovered.
    pub undiscovered: Vec<String>,
    /// Resources whose content could not be deleted.
    pub failed: Vec<String>,
    /// Objects that remain, by `plural.group`.
    pub remaining: BTreeMap<String, usize>,
    /// Objects that remain, by the finalizer that they wait for.
    pub finalizers: BTreeMap<String, usize>,
}

/// type, reason and message when all is well.
const FINE: [(&str, &str, &str); 5] = [
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    ("NamespaceDeletionGroupVersionParsingFailure", "ParsedGroupVersions", "All legacy kube types successfully parsed"),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

impl Findings {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.remaining.is_empty() && self.failed.is_empty() && self.undiscovered.is_empty()
    }

    fn trouble(&self, kind: &str) -> Option<(&'static str, String)> {
        let listed = |counts: &BTreeMap<String, usize>, word: &str| {
            let parts: Vec<String> =
                counts.iter().map(|(name, count)| format!("{name} {word} {count} resource instances")).collect();
            parts.join(", ")
        };
        match kind {
            "NamespaceDeletionDiscoveryFailure" if !self.undiscovered.is_empty() => {
                let (count, all) = (self.undiscovered.len(), self.undiscovered.join(", "));
                Some(("DiscoveryFailed", format!("Discovery failed for some groups, {count} failing: {all}")))
            }
            "NamespaceDeletionContentFailure" if !self.failed.is_empty() => {
                let (count, all) = (self.failed.len(), self.failed.join(", "));
                let message = format!("Failed to delete all resource types, {count} remaining: {all}");
                Some(("ContentDeletionFailed", message))
            }
            "NamespaceContentRemaining" if !self.remaining.is_empty() => {
                let message = format!("Some resources are remaining: {}", listed(&self.remaining, "has"));
                Some(("SomeResourcesRemain", message))
            }
            "NamespaceFinalizersRemaining" if !self.finalizers.is_empty() => {
                let all = listed(&self.finalizers, "in");
                Some(("SomeFinalizersRemain", format!("Some content in the namespace has finalizers remaining: {all}")))
            }
            _ => None,
        }
    }

    /// The conditions that go with it; `None` where they say so already.
    pub fn conditions(&self, before: &[NamespaceCondition], now: &str) -> Option<Vec<NamespaceCondition>> {
        let mut after = before.to_vec();
        for (kind, fine, message) in FINE {
            let (status, reason, message) = match self.trouble(kind) {
                Some((reason, message)) => ("True", reason, message),
                None => ("False", fine, message.to_owned()),
            };
            let at = after.iter().position(|condition| condition.kind == kind).unwrap_or_else(|| {
                after.push(NamespaceCondition { kind: kind.into(), ..NamespaceCondition::default() });
                after.len() - 1
            });
            let condition = &mut after[at];
            if condition.status != status {
                condition.last_transition_time = SmolStr::from(now);
            }
            condition.status = status.into();
            condition.reason = reason.into();
            condition.message = message;
        }
        (after != before).then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_tell_what_remains_and_rest_when_nothing_changes() {
        let mut findings = Findings::default();
        findings.remaining.insert("pods.".to_owned(), 2);
        findings.finalizers.insert("example.com/hold".to_owned(), 1);
        let first = findings.conditions(&[], "t1").unwrap();
        let says = |conditions: &[NamespaceCondition], kind: &str| {
            let condition = conditions.iter().find(|condition| condition.kind == kind).unwrap();
            (condition.status.to_string(), condition.message.clone(), condition.last_transition_time.to_string())
        };
        let (status, message, at) = says(&first, "NamespaceContentRemaining");
        assert_eq!((status.as_str(), at.as_str()), ("True", "t1"));
        assert_eq!(message, "Some resources are remaining: pods. has 2 resource instances");
        let message = says(&first, "NamespaceFinalizersRemaining").1;
        let expected = "Some content in the namespace has finalizers remaining: \
                        example.com/hold in 1 resource instances";
        assert_eq!(message, expected);
        assert_eq!(says(&first, "NamespaceDeletionContentFailure").0, "False");
        assert_eq!(findings.conditions(&first, "t2"), None);
        let cleared = Findings::default().conditions(&first, "t3").unwrap();
        assert_eq!(says(&cleared, "NamespaceContentRemaining").0, "False");
        assert_eq!(says(&cleared, "NamespaceContentRemaining").2, "t3");
        assert_eq!(says(&cleared, "NamespaceDeletionContentFailure").2, "t1");
    }
}
