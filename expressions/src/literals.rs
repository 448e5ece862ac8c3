//! What is wrong with literals although their types fit: texts that are no duration, time or pattern, and lists and maps of
//! several types (arguments of `format` may have them).

use crate::ast::{Kind, Literal, NodeId};
use crate::check::Checked;
use crate::issue::Issues;
use crate::types::Type;
use crate::{pattern, time};

/// Complains about them.
pub(crate) fn validate(checked: &Checked, issues: &mut Issues) {
    texts(checked, issues);
    let exempt = exempt(checked);
    for (_, node) in checked.ast.nodes().filter(|(id, _)| !exempt[*id as usize]) {
        match &node.kind {
            Kind::List { items, optional } => {
                let items = items.iter().copied().zip(optional.iter().copied());
                one_type(checked, items, issues);
            }
            Kind::Map(entries) => {
                one_type(checked, entries.iter().map(|(key, ..)| (*key, false)), issues);
                one_type(checked, entries.iter().map(|(_, value, optional)| (*value, *optional)), issues);
            }
            _ => {}
        }
    }
}

/// Which nodes stand within a call of `format`.
fn exempt(checked: &Checked) -> Vec<bool> {
    let mut exempt = vec![false; checked.ast.len()];
    // A node stands behind its parts.
    for id in (0..checked.ast.len() as NodeId).rev() {
        let kind = checked.ast.kind(id);
        let is_format = matches!(kind, Kind::Call { function, .. } if function == "format");
        if is_format || exempt[id as usize] {
            kind.children().for_each(|child| exempt[child as usize] = true);
        }
    }
    exempt
}

fn one_type(checked: &Checked, parts: impl Iterator<Item = (NodeId, bool)>, issues: &mut Issues) {
    let mut first: Option<&Type> = None;
    for (id, optional) in parts {
        let whole = &checked.types[id as usize];
        let of = if optional { whole.unwrap_optional().0 } else { whole };
        match first {
            None => first = Some(of),
            Some(known) if known == of => {}
            Some(known) => {
                return issues.report(checked.ast.node(id).at, format!("expected type '{known}' but found '{of}'"));
            }
        }
    }
}

fn texts(checked: &Checked, issues: &mut Issues) {
    for (_, node) in checked.ast.nodes() {
        let Kind::Call { function, target, args } = &node.kind else { continue };
        let (position, legal): (usize, fn(&str) -> bool) = match (function.as_str(), target) {
            ("duration", None) => (0, |text| time::parse_duration(text).is_some()),
            ("timestamp", None) => (0, |text| time::parse_rfc3339(text).is_some()),
            ("matches", Some(_)) => (0, |text| pattern::compile(text).is_ok()),
            ("matches", None) => (1, |text| pattern::compile(text).is_ok()),
            _ => continue,
        };
        let Some(arg) = args.get(position) else { continue };
        if let Kind::Literal(Literal::String(text)) = checked.ast.kind(*arg)
            && !legal(text)
        {
            issues.report(checked.ast.node(*arg).at, format!("invalid {function} argument"));
        }
    }
}
