//! Field selectors: `metadata.name=a,spec.nodeName!=b`.

use std::borrow::Cow;

use super::Selectable;
use crate::resource::{Resource, SelectableField, Served, Spread};

/// A parsed field selector of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    field: Field,
    equals: bool,
    value: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Name,
    Namespace,
    /// Index into [`Resource::selectable`].
    At(usize),
    /// Of a custom kind, whose fields may be declared after its objects were written: the field's name is the way to it.
    Path(SelectableField),
}

impl FieldSelector {
    /// Parses `a=b,c!=d` (and `==`) against the fields that the resource offers. The error is worded for a 400:
    /// `field label not supported: spec.foo`.
    pub fn parse(text: &str, resource: &Resource) -> Result<Self, String> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (label, equals, value) =
                split_term(part).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            let value = unescape(value)?;
            terms.push(Term { field: Field::of(label, resource)?, equals, value });
        }
        Ok(Self { terms })
    }

    /// The same for a client of one version, of which a custom kind may offer other fields than of others.
    pub fn parse_in(text: &str, resource: &Resource, served: &Served) -> Result<Self, String> {
        let parsed = Self::parse(text, resource)?;
        let offered = served.custom.as_ref().map(|custom| &custom.selectable);
        let foreign = parsed.terms.iter().find_map(|term| match &term.field {
            Field::Path(field) if offered.is_some_and(|offered| !offered.contains(&field.label)) => Some(&field.label),
            _ => None,
        });
        foreign.map_or(Ok(()), |label| Err(format!("field label not supported: {label}")))?;
        Ok(parsed)
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether it selects the object.
    pub fn matches(&self, object: &dyn Selectable) -> bool {
        self.terms.iter().all(|term| {
            let found: Cow<'_, str> = match &term.field {
                Field::Name => object.name().into(),
                Field::Namespace => object.namespace().into(),
                Field::At(at) => object.field(*at).into(),
                Field::Path(field) => object.custom_field(field).to_string().into(),
            };
            (found == term.value) == term.equals
        })
    }

    /// The selector as text that [`FieldSelector::parse`] reads as the same for that resource.
    pub fn text(&self, resource: &Resource) -> String {
        let mut text = String::new();
        for term in &self.terms {
            let label = match &term.field {
                Field::Name => "metadata.name",
                Field::Namespace => "metadata.namespace",
                Field::At(at) => &resource.selectable[*at].label,
                Field::Path(field) => &field.label,
            };
            text.push_str(if text.is_empty() { "" } else { "," });
            text.push_str(label);
            text.push_str(if term.equals { "=" } else { "!=" });
            for c in term.value.chars() {
                if matches!(c, '\\' | ',' | '=') {
                    text.push('\\');
                }
                text.push(c);
            }
        }
        text
    }

    /// The value that metadata.name must equal, if it must.
    pub fn name(&self) -> Option<&str> {
        self.value_of(&Field::Name)
    }

    /// The value that metadata.namespace must equal, if it must.
    pub fn namespace(&self) -> Option<&str> {
        self.value_of(&Field::Namespace)
    }

    /// The value that selectable field number `at` must equal, if it must.
    pub fn equals(&self, at: usize) -> Option<&str> {
        self.value_of(&Field::At(at))
    }

    fn value_of(&self, field: &Field) -> Option<&str> {
        self.terms.iter().find(|term| term.equals && term.field == *field).map(|term| term.value.as_str())
    }
}

impl Field {
    fn of(label: &str, resource: &Resource) -> Result<Self, String> {
        // The name that Pods' spec.nodeName once had is still taken.
        let label = if label == "spec.host" && resource.id_name == "pods" { "spec.nodeName" } else { label };
        match label {
            "metadata.name" => return Ok(Self::Name),
            "metadata.namespace" => return Ok(Self::Namespace),
            _ => {}
        }
        // Who only passes a selector on need not know how a custom kind is defined.
        let undefined = resource.served.is_empty() && resource.spread == Spread::Scope;
        match resource.selectable.iter().position(|field| field.label == label) {
            Some(at) if resource.spread == Spread::Scope => return Ok(Self::Path(resource.selectable[at].clone())),
            Some(at) => return Ok(Self::At(at)),
            None if undefined => return Ok(Self::Path(SelectableField::custom(label))),
            None => {}
        }
        Err(match resource.id_name.as_str() {
            "jobs.batch" => format!("field label {label:?} not supported for Job"),
            _ if resource.selectable.is_empty() => {
                format!("{label:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
            }
            _ => format!("field label not supported: {label}"),
        })
    }
}

/// Splits at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let mut escaped = false;
    let at_comma = |c: char| {
        let split = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        split
    };
    text.split(at_comma).collect()
}

/// Splits at the first operator; says whether it asks for equality.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let at = term.char_indices().find(|(at, c)| *c == '=' || term[*at..].starts_with("!="))?.0;
    let (label, rest) = term.split_at(at);
    let value = ["!=", "==", "="].iter().find_map(|operator| rest.strip_prefix(operator))?;
    Some((label, !rest.starts_with('!'), value))
}

/// Takes the backslashes from `\\`, `\,` and `\=`.
fn unescape(text: &str) -> Result<String, String> {
    let mut value = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => value.push(c),
                other => {
                    let rest = other.map(String::from).unwrap_or_default();
                    return Err(format!("invalid field selector: invalid escape sequence: \\{rest}"));
                }
            },
            // The reference prints the rune's number.
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c))),
            c => value.push(c),
        }
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::Bare;
    use super::*;
    use smol_str::SmolStr;

    use crate::resource::{ResourceId, Rules};
    use crate::schema::Schema;

    fn resource(id_name: &'static str, labels: &[&'static str]) -> Resource {
        let field = |label: &&'static str| SelectableField {
            label: SmolStr::new_static(label),
            path: label.split('.').map(SmolStr::new_static).collect(),
            absent: "",
        };
        Resource {
            id: ResourceId(0),
            id_name: id_name.into(),
            group: "".into(),
            plural: "pods".into(),
            singular: "pod".into(),
            kind: "Pod".into(),
            namespaced: true,
            short_names: Vec::new(),
            categories: Vec::new(),
            spread: Spread::Namespace,
            relaxed: false,
            selectable: labels.iter().map(field).collect(),
            indexed: None,
            generation: false,
            has_status: true,
            create_on_update: false,
            served: Vec::new(),
            definition: None,
            strategy: Rules::Builtin(crate::strategy::of("", "Pod")),
            schema: Arc::new(Schema::new(Vec::new())),
        }
    }

    #[test]
    fn fields_select() {
        let pods = resource("pods", &["spec.nodeName", "status.phase"]);
        let pod = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": {"nodeName": "n=1"}});
        let pod = Bare::new(&pods, &pod);
        let parse = |text| FieldSelector::parse(text, &pods).unwrap();
        for text in [
            "",
            ",",
            "metadata.name=a",
            "metadata.name==a,metadata.namespace=b",
            "spec.nodeName=n\\=1",
            "spec.host!=x",
            "status.phase=",
            "status.phase!=Running",
        ] {
            assert!(parse(text).matches(&pod), "{text}");
        }
        let all = FieldSelector::parse("metadata.name!=a,spec.nodeName=n\\=1\\,\\\\", &pods).unwrap();
        assert_eq!(FieldSelector::parse(&all.text(&pods), &pods).unwrap(), all);
        for text in ["metadata.name!=a", "metadata.name=b", "spec.nodeName=", "metadata.name=a,metadata.name=b"] {
            assert!(!parse(text).matches(&pod), "{text}");
        }
        let selector = parse("spec.nodeName=x,metadata.namespace=b,metadata.name!=a");
        assert_eq!((selector.name(), selector.namespace(), selector.equals(0)), (None, Some("b"), Some("x")));
        assert!(parse("").is_everything() && !selector.is_everything());
    }

    #[test]
    fn fields_of_custom_kinds_are_read_when_they_are_asked_for() {
        let undefined = Resource::undefined(ResourceId(0), "widgets.example.com");
        let widget = json!({"metadata": {"name": "a"}, "spec": {"color": "red", "size": 3, "on": true}});
        let widget = Bare::new(&undefined, &widget);
        let parse = |text: &str| FieldSelector::parse(text, &undefined).unwrap();
        for text in ["spec.color=red", "spec.size=3,spec.on=true", "spec.other=", "metadata.name=a,spec.color!=blue"] {
            assert!(parse(text).matches(&widget), "{text}");
            let passed_on = parse(text).text(&undefined);
            assert_eq!(FieldSelector::parse(&passed_on, &undefined), Ok(parse(text)));
        }
        assert!(!parse("spec.color=blue").matches(&widget));
    }

    #[test]
    fn errors_are_the_references() {
        let pods = resource("pods", &["spec.nodeName"]);
        let why = |text| FieldSelector::parse(text, &pods).unwrap_err();
        assert_eq!(why("spec.foo=1"), "field label not supported: spec.foo");
        assert_eq!(why("metadata.name"), "invalid selector: 'metadata.name'; can't understand 'metadata.name'");
        assert_eq!(why("metadata.name=a\\b"), "invalid field selector: invalid escape sequence: \\b");
        assert_eq!(why("metadata.name=a=b"), "invalid field selector: unescaped character in value: 61");
        let other = FieldSelector::parse("a=b", &resource("leases.coordination.k8s.io", &[])).unwrap_err();
        assert_eq!(other, "\"a\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"");
    }
}
