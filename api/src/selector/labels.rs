//! Label selectors: `a=b,c!=d,e in (f,g),h,!i,j>1`, and metav1.LabelSelector.

use std::fmt;

use serde_json::json;

use super::Selectable;
use super::parse::Parser;
use crate::document::{Document, Map, Value};
use crate::names::{is_qualified_name, is_valid_label_value};
use crate::status::Causes;

/// A parsed label selector: all of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Whether it selects nothing, whatever the requirements.
    nothing: bool,
    /// Sorted by key.
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Requirement {
    key: String,
    operator: Operator,
    /// Sorted; one for the operators that compare with one.
    values: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    In,
    NotIn,
    Equals,
    DoubleEquals,
    NotEquals,
    GreaterThan,
    LessThan,
    Exists,
    DoesNotExist,
}

impl LabelSelector {
    /// Parses `a=b,c!=d,e in (f,g),h,!i`. The error is worded for a 400.
    pub fn parse(text: &str) -> Result<Self, String> {
        Parser::new(text).parse().map(Self::of)
    }

    /// Reads a metav1.LabelSelector (`matchLabels`, `matchExpressions`). An absent or null one selects nothing, an
    /// empty one everything.
    pub fn from_value(value: &Value) -> Result<Self, String> {
        if value.is_null() {
            return Ok(Self::nothing());
        }
        let mut requirements = Vec::new();
        for (key, value) in value.at(&["matchLabels"]).as_object().into_iter().flat_map(Map::iter) {
            let value = value.as_str().unwrap_or_default().to_owned();
            requirements.push(Requirement::new(key, Operator::Equals, vec![value])?);
        }
        for expression in value.list(&["matchExpressions"]) {
            let operator = match expression.text(&["operator"]) {
                "In" => Operator::In,
                "NotIn" => Operator::NotIn,
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::DoesNotExist,
                other => return Err(format!("{other:?} is not a valid label selector operator")),
            };
            let values = expression.list(&["values"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
            requirements.push(Requirement::new(expression.text(&["key"]), operator, values)?);
        }
        Ok(Self::of(requirements))
    }

    /// Selects what has all of those labels, as `spec.selector` of Services and ReplicationControllers. An absent or
    /// null map selects nothing, an empty one everything. Nothing is validated.
    pub fn from_map(labels: &Value) -> Self {
        let Value::Object(labels) = labels else { return Self::nothing() };
        let requirement = |(key, value): (&String, &Value)| Requirement {
            key: key.clone(),
            operator: Operator::Equals,
            values: vec![value.as_str().unwrap_or_default().to_owned()],
        };
        Self::of(labels.iter().map(requirement).collect())
    }

    /// Selects nothing at all.
    pub fn nothing() -> Self {
        Self { nothing: true, requirements: Vec::new() }
    }

    fn of(mut requirements: Vec<Requirement>) -> Self {
        requirements.sort_by(|a, b| a.key.cmp(&b.key));
        Self { nothing: false, requirements }
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        !self.nothing && self.requirements.is_empty()
    }

    /// Whether it was made to select nothing. A selector that contradicts itself is not looked through.
    pub fn is_nothing(&self) -> bool {
        self.nothing
    }

    /// Whether it selects the object.
    pub fn matches(&self, object: &dyn Selectable) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.holds(object.label(&requirement.key)))
    }

    /// Whether it selects labels given by a look-up.
    pub fn matches_with<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        !self.nothing && self.requirements.iter().all(|requirement| requirement.holds(label(&requirement.key)))
    }

    /// Whether it selects a map of labels (`metadata.labels`; null for none).
    pub fn matches_labels(&self, labels: &Value) -> bool {
        self.matches_with(|key| labels.get(key).and_then(Value::as_str))
    }

    /// The one value that it demands of a label, if it does.
    pub fn equals(&self, key: &str) -> Option<&str> {
        let requirement = self.requirements.iter().find(|requirement| requirement.key == key)?;
        match (requirement.operator, requirement.values.as_slice()) {
            (Operator::Equals | Operator::DoubleEquals | Operator::In, [value]) => Some(value),
            _ => None,
        }
    }
}

/// As the query parameter and `status.selector` write it.
impl fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, requirement) in self.requirements.iter().enumerate() {
            let Requirement { key, operator, values } = requirement;
            let values = values.join(",");
            f.write_str(if at > 0 { "," } else { "" })?;
            match operator {
                Operator::In => write!(f, "{key} in ({values})"),
                Operator::NotIn => write!(f, "{key} notin ({values})"),
                Operator::Equals => write!(f, "{key}={values}"),
                Operator::DoubleEquals => write!(f, "{key}=={values}"),
                Operator::NotEquals => write!(f, "{key}!={values}"),
                Operator::GreaterThan => write!(f, "{key}>{values}"),
                Operator::LessThan => write!(f, "{key}<{values}"),
                Operator::Exists => f.write_str(key),
                Operator::DoesNotExist => write!(f, "!{key}"),
            }?;
        }
        Ok(())
    }
}

impl Requirement {
    pub(super) fn new(key: &str, operator: Operator, mut values: Vec<String>) -> Result<Self, String> {
        let mut causes = Causes::default();
        let wrong = is_qualified_name(key);
        if !wrong.is_empty() {
            causes.invalid("key", &key.into(), &wrong.join("; "));
        }
        let empty = Value::Null;
        match operator {
            Operator::In | Operator::NotIn if values.is_empty() => {
                causes.invalid("values", &empty, "for 'in', 'notin' operators, values set can't be empty");
            }
            Operator::Exists | Operator::DoesNotExist if !values.is_empty() => {
                causes.invalid("values", &json!(values), "values set must be empty for exists and does not exist");
            }
            Operator::GreaterThan | Operator::LessThan => {
                for (at, value) in values.iter().enumerate().filter(|(_, value)| value.parse::<i64>().is_err()) {
                    let why = "for 'Gt', 'Lt' operators, the value must be an integer";
                    causes.invalid(format!("values[{at}]"), &value.as_str().into(), why);
                }
            }
            _ => {}
        }
        for (at, value) in values.iter().enumerate() {
            let wrong = is_valid_label_value(value);
            if !wrong.is_empty() {
                causes.invalid(format!("values[{at}][{key}]"), &value.as_str().into(), &wrong.join("; "));
            }
        }
        if let Some(words) = aggregate(&causes) {
            return Err(words);
        }
        values.sort();
        values.dedup();
        Ok(Self { key: key.to_owned(), operator, values })
    }

    fn holds(&self, label: Option<&str>) -> bool {
        let has = |label: &str| self.values.iter().any(|value| value == label);
        let compare = |label: &str| {
            let label: i64 = label.parse().ok()?;
            Some(label.cmp(&self.values.first()?.parse().ok()?))
        };
        match self.operator {
            Operator::In | Operator::Equals | Operator::DoubleEquals => label.is_some_and(has),
            Operator::NotIn | Operator::NotEquals => !label.is_some_and(has),
            Operator::Exists => label.is_some(),
            Operator::DoesNotExist => label.is_none(),
            Operator::GreaterThan => label.and_then(compare).is_some_and(|order| order.is_gt()),
            Operator::LessThan => label.and_then(compare).is_some_and(|order| order.is_lt()),
        }
    }
}

/// All complaints in one sentence.
pub(super) fn aggregate(causes: &Causes) -> Option<String> {
    let lines: Vec<String> = causes.0.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    match lines.as_slice() {
        [] => None,
        [line] => Some(line.clone()),
        _ => Some(format!("[{}]", lines.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selects(text: &str, labels: Value) -> bool {
        LabelSelector::parse(text).unwrap_or_else(|why| panic!("{text}: {why}")).matches_labels(&labels)
    }

    #[test]
    fn the_grammar_selects() {
        let labels = || json!({"a": "b", "n": "5", "in": "notin", "empty": ""});
        for text in [
            "",
            " ",
            "a",
            "a=b",
            "a==b",
            "a = b",
            "a in (b)",
            "a in (x,b)",
            "a in (x, b ),n",
            "a notin (x)",
            "c notin (b)",
            "c!=b",
            "a!=c",
            "!c",
            "n>4",
            "n<6",
            "in=notin",
            "in in (notin)",
            "in",
            "empty=",
            "empty in ()",
            "empty in (,)",
            "empty in (x,)",
            "empty in (,x)",
            "a=b,!c,n>4",
            "empty=,a",
            "a in (b,,c)",
        ] {
            assert!(selects(text, labels()), "{text:?}");
        }
        for text in
            ["a=c", "c", "a!=b", "a in (c)", "a notin (b)", "!a", "n>5", "n<5", "a>1", "c>1", "a=b,c", "c in ()"]
        {
            assert!(!selects(text, labels()), "{text:?}");
        }
    }

    #[test]
    fn errors_are_the_references() {
        let cases = [
            ("a=b=c", "found '=', expected: ',' or 'end of string'"),
            ("a,", "found '', expected: identifier after ','"),
            (",a", "found ',', expected: !, identifier, or 'end of string'"),
            ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
            ("a in b", "unable to parse requirement: found 'b' expected: '('"),
            ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
            ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
            ("a=(", "unable to parse requirement: found '(', expected: identifier"),
            ("!", "unable to parse requirement: found '', expected: identifier"),
            (
                "a>x",
                "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(LabelSelector::parse(text).unwrap_err(), wanted, "{text:?}");
        }
        let why = LabelSelector::parse("-a=b").unwrap_err();
        assert!(
            why.starts_with("unable to parse requirement: <nil>: Invalid value: \"-a\": name part must consist"),
            "{why}"
        );
        let why = LabelSelector::parse("a=-b").unwrap_err();
        assert!(
            why.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"-b\": a valid label"),
            "{why}"
        );
    }

    #[test]
    fn text_survives() {
        for text in ["a", "!a", "a=b,c!=d", "a in (b,c),d notin (e),f>1,g<2", "a==b"] {
            assert_eq!(LabelSelector::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(LabelSelector::parse("b, a in ( z , y )").unwrap().to_string(), "a in (y,z),b");
    }

    #[test]
    fn selectors_of_objects() {
        let none = LabelSelector::from_value(&Value::Null).unwrap();
        assert!(!none.matches_labels(&json!({})) && !none.is_everything() && none.is_nothing());
        assert!(LabelSelector::from_value(&json!({})).unwrap().is_everything());
        let selector = LabelSelector::from_value(&json!({
            "matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c", "operator": "NotIn", "values": ["d", "e"]}],
        }));
        let selector = selector.unwrap();
        assert_eq!((selector.to_string().as_str(), selector.equals("a")), ("a=b,c notin (d,e)", Some("b")));
        assert!(selector.matches_labels(&json!({"a": "b"})) && !selector.matches_labels(&json!({"a": "b", "c": "d"})));
        let bad = |value| LabelSelector::from_value(&json!({"matchExpressions": [value]})).unwrap_err();
        assert_eq!(bad(json!({"key": "a", "operator": "is"})), "\"is\" is not a valid label selector operator");
        assert!(bad(json!({"key": "a", "operator": "In"})).starts_with("values: Invalid value: null: for 'in'"));
        assert!(bad(json!({"key": "a", "operator": "Exists", "values": ["b"]})).starts_with("values: Invalid value"));
        assert!(LabelSelector::from_map(&json!({"a": "b"})).matches_labels(&json!({"a": "b", "c": "d"})));
        assert!(LabelSelector::from_map(&Value::Null).is_nothing());
    }
}
