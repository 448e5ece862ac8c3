//! Node selector terms: what `nodeAffinity` asks of a node's labels and name.

use serde::Deserialize;
use smol_str::SmolStr;

use super::NodeView;

/// The field that terms may look at.
const NAME_FIELD: &str = "metadata.name";

/// How a requirement looks at the value of its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// There, and one of these.
    In(Vec<SmolStr>),
    /// Absent, or none of these.
    NotIn(Vec<SmolStr>),
    /// There.
    Exists,
    /// Absent.
    DoesNotExist,
    /// There, a whole number, and above this.
    Gt(i64),
    /// There, a whole number, and below this.
    Lt(i64),
}

impl Operator {
    /// Whether a label's value (`None` where the node lacks the label) is what is asked for.
    pub fn matches(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(values) => value.is_some_and(|value| values.iter().any(|one| one == value)),
            Self::NotIn(values) => value.is_none_or(|value| values.iter().all(|one| one != value)),
            Self::Exists => value.is_some(),
            Self::DoesNotExist => value.is_none(),
            Self::Gt(bound) => number().is_some_and(|value| value > *bound),
            Self::Lt(bound) => number().is_some_and(|value| value < *bound),
        }
    }
}

/// One of a term's matchExpressions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// Label key.
    pub key: SmolStr,
    /// What is asked of it.
    pub operator: Operator,
}

/// One of a term's matchFields.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FieldRequirement {
    /// Whether the field is metadata.name; any other reads as empty.
    pub is_name: bool,
    /// In (equal) or NotIn (different).
    pub equal: bool,
    /// The one value.
    pub value: SmolStr,
}

/// A term: all of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Term {
    /// Requirements on labels.
    pub labels: Vec<Requirement>,
    /// Requirements on fields.
    pub fields: Vec<FieldRequirement>,
}

impl FieldRequirement {
    /// Whether a node of this name is what is asked for.
    pub fn matches(&self, name: &str) -> bool {
        (self.value == if self.is_name { name } else { "" }) == self.equal
    }
}

impl Term {
    /// Whether the node is what the term asks for.
    pub fn matches(&self, node: &NodeView) -> bool {
        let label = |key: &str| node.meta.labels.get(key).map(SmolStr::as_str);
        self.labels.iter().all(|one| one.operator.matches(label(&one.key)))
            && self.fields.iter().all(|one| one.matches(&node.meta.name))
    }
}

/// core/v1 NodeSelectorTerm.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct RawTerm {
    match_expressions: Vec<RawRequirement>,
    match_fields: Vec<RawRequirement>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct RawRequirement {
    key: SmolStr,
    operator: SmolStr,
    values: Vec<SmolStr>,
}

impl RawTerm {
    /// The term, or `None` where it selects nothing: an empty one, and one that validation should have refused.
    pub(super) fn parse(&self) -> Option<Term> {
        if self.match_expressions.is_empty() && self.match_fields.is_empty() {
            return None;
        }
        let labels = self.match_expressions.iter().map(RawRequirement::label).collect::<Option<_>>()?;
        let fields = self.match_fields.iter().map(RawRequirement::field).collect::<Option<_>>()?;
        Some(Term { labels, fields })
    }

    /// The node names that matchFields leaves, `None` for all of them.
    fn names(&self) -> Option<Vec<SmolStr>> {
        let mut lists = self.match_fields.iter().filter(|one| one.key == NAME_FIELD && one.operator == "In");
        let first = lists.next()?.values.clone();
        Some(lists.fold(first, |mut names, one| {
            names.retain(|name| one.values.contains(name));
            names
        }))
    }
}

impl RawRequirement {
    fn label(&self) -> Option<Requirement> {
        let one = || match self.values.as_slice() {
            [value] => value.parse::<i64>().ok(),
            _ => None,
        };
        let operator = match self.operator.as_str() {
            "In" if !self.values.is_empty() => Operator::In(self.values.clone()),
            "NotIn" if !self.values.is_empty() => Operator::NotIn(self.values.clone()),
            "Exists" if self.values.is_empty() => Operator::Exists,
            "DoesNotExist" if self.values.is_empty() => Operator::DoesNotExist,
            "Gt" => Operator::Gt(one()?),
            "Lt" => Operator::Lt(one()?),
            _ => return None,
        };
        Some(Requirement { key: self.key.clone(), operator })
    }

    fn field(&self) -> Option<FieldRequirement> {
        let [value] = self.values.as_slice() else { return None };
        let equal = match self.operator.as_str() {
            "In" => true,
            "NotIn" => false,
            _ => return None,
        };
        Some(FieldRequirement { is_name: self.key == NAME_FIELD, equal, value: value.clone() })
    }
}

/// The only nodes that a required node affinity can be met by, where every one of its terms names some; sorted.
pub(super) fn only_names(terms: &[RawTerm]) -> Option<Vec<SmolStr>> {
    if terms.is_empty() {
        return None;
    }
    let mut names = terms.iter().map(RawTerm::names).collect::<Option<Vec<_>>>()?.concat();
    names.sort_unstable();
    names.dedup();
    Some(names)
}
