//! What calls may cost, by function and overload.

use super::estimate::{CallEstimate, Estimator};
use super::range::Range;
use super::runtime::selector;
use super::{CHECK, FORMAT_PATTERN, PATTERN, TRAVERSAL, is_nominal};
use crate::ast::NodeId;
use crate::types::Type;

fn of(cost: Range) -> Option<CallEstimate> {
    Some(CallEstimate { cost, size: None })
}

fn sized(cost: Range, size: Range) -> Option<CallEstimate> {
    Some(CallEstimate { cost, size: Some(size) })
}

/// The call alone, without its arguments.
pub(crate) fn estimate(
    estimator: &mut Estimator<'_>,
    function: &str,
    overload: &str,
    target: Option<NodeId>,
    args: &[NodeId],
) -> CallEstimate {
    let found = lists(estimator, overload, target, args)
        .or_else(|| is_nominal(function).then(|| of(Range::ONE)).flatten())
        .or_else(|| kubernetes(estimator, function, overload, target, args))
        .or_else(|| standard(estimator, overload, target, args));
    found.unwrap_or(CallEstimate { cost: Range::ONE, size: None })
}

/// The list functions of CEL's extension, and sets.
fn lists(
    estimator: &mut Estimator<'_>,
    overload: &str,
    target: Option<NodeId>,
    args: &[NodeId],
) -> Option<CallEstimate> {
    let allocating =
        |size: Range, factor: f64, result: Range| sized(size.scaled(factor).plus(Range::fixed(11)), result);
    if let Some(factor) = match overload {
        "list_sets_contains_list" | "list_sets_intersects_list" => Some(1.0),
        "list_sets_equivalent_list" => Some(2.0),
        _ => None,
    } {
        let pairs = estimator.size_or_unknown(args[0]).times(estimator.size_or_unknown(args[1]));
        return of(pairs.scaled(factor).plus(Range::ONE));
    }
    if overload == "lists_range" {
        let size = Range::fixed(estimator.whole(args[0]).unwrap_or(u64::MAX));
        return allocating(size, 1.0, size);
    }
    let target = target?;
    let size = estimator.size_or_unknown(target);
    match overload {
        "list_slice" => {
            let start = estimator.whole(args[0]).unwrap_or(0);
            let end = estimator.whole(args[1]).unwrap_or(size.max);
            let size = Range::fixed(end.saturating_sub(start));
            allocating(size, 1.0, size)
        }
        "list_reverse" | "list_flatten" => allocating(size, 1.0, size),
        "list_flatten_int" => {
            let depth = estimator.whole(args[0]).unwrap_or(u64::MAX);
            allocating(size, depth as f64, size)
        }
        "list_distinct" => allocating(size.times(size), 2.0, size.times(size)),
        _ if overload.ends_with("_sort") || overload.ends_with("_sortByAssociatedKeys") => {
            let keys = args.first().map_or(size, |keys| estimator.size_or_unknown(*keys));
            let text = overload.starts_with("list_string") || overload.starts_with("list_bytes");
            let pairs = keys.times(keys);
            allocating(pairs, if text { 2.0 + TRAVERSAL } else { 2.0 }, pairs)
        }
        _ => None,
    }
}

/// Functions of Kubernetes' libraries, and of CEL's that it estimates differently.
fn kubernetes(
    estimator: &mut Estimator<'_>,
    function: &str,
    overload: &str,
    target: Option<NodeId>,
    args: &[NodeId],
) -> Option<CallEstimate> {
    let traversed = |estimator: &mut Estimator<'_>, id: NodeId, times: f64| {
        let size = estimator.size_or_unknown(id);
        (size.scaled(times * TRAVERSAL), size)
    };
    match (function, target, args) {
        ("check", ..) => of(Range::fixed(CHECK)),
        ("fieldSelector" | "labelSelector", _, [text]) => of(selector(estimator.size_or_unknown(*text))),
        ("isSorted" | "sum" | "max" | "min" | "indexOf" | "lastIndexOf", Some(target), _) => {
            of(searched(estimator, target))
        }
        ("url" | "jsonpatch.escapeKey", _, [text]) => {
            let (cost, size) = traversed(estimator, *text, 1.0);
            sized(cost, size)
        }
        ("lowerAscii" | "upperAscii" | "substring" | "trim", Some(target), _) => {
            let (cost, size) = traversed(estimator, target, 1.0);
            sized(cost, size)
        }
        ("replace", Some(target), [from, to, ..]) => {
            let (cost, size) = traversed(estimator, target, 2.0);
            let (from, to) = (estimator.size_or_unknown(*from), estimator.size_or_unknown(*to));
            sized(cost, replaced(size, from, to))
        }
        ("split", Some(target), _) => {
            let (cost, size) = traversed(estimator, target, 2.0);
            let max = args.get(1).and_then(|most| estimator.whole(*most)).unwrap_or(size.max);
            sized(cost, Range { min: 0, max })
        }
        ("join", Some(target), _) => joined(estimator, target, args),
        ("find" | "findAll", Some(target), [pattern, ..]) => {
            let size = estimator.size_or_unknown(target);
            let text = size.plus(Range::ONE).scaled(TRAVERSAL);
            let pattern = estimator.size_or_unknown(*pattern).scaled(PATTERN);
            sized(text.times(pattern), Range { min: 0, max: size.max })
        }
        ("ip", ..) if overload == "cidr_ip" => of(Range::ONE),
        ("ip" | "cidr" | "isIP" | "isCIDR" | "quantity" | "isQuantity" | "semver" | "isSemver", _, [text, ..]) => {
            of(traversed(estimator, *text, 1.0).0)
        }
        ("ip.isCanonical", _, [text]) => of(traversed(estimator, *text, 2.0).0),
        ("containsIP" | "containsCIDR", _, [other]) => {
            let bytes = Range { min: 4, max: 16 };
            let mut cost = bytes.plus(bytes).scaled(TRAVERSAL);
            if function == "containsCIDR" {
                cost = cost.plus(bytes.scaled(TRAVERSAL)).plus(Range::ONE);
            }
            if overload.ends_with("string") {
                cost = cost.plus(traversed(estimator, *other, 1.0).0);
            }
            of(cost)
        }
        ("validate", _, [text]) => {
            let cost = estimator.size_or_unknown(*text).scaled(TRAVERSAL).scaled(FORMAT_PATTERN * PATTERN);
            of(cost)
        }
        ("_==_", _, [a, b]) => equality(estimator, *a, *b),
        _ => None,
    }
}

/// What is compared in one step, whatever its size.
fn equality(estimator: &Estimator<'_>, a: NodeId, b: NodeId) -> Option<CallEstimate> {
    let (a, b) = (estimator.type_of(a), estimator.type_of(b));
    match a {
        _ if a != b => None,
        Type::Opaque(name) if name == "net.IP" || name == "net.CIDR" => of(Range::ONE),
        Type::Object(name) if name == "kubernetes.NamedFormat" => of(Range { min: 1, max: 64 }.scaled(TRAVERSAL)),
        Type::Object(name) if name == "kubernetes.URL" => of(Range::ONE.scaled(TRAVERSAL)),
        Type::Object(name) if name.starts_with("kubernetes.") => of(Range::ONE),
        _ => None,
    }
}

fn searched(estimator: &mut Estimator<'_>, target: NodeId) -> Range {
    let size = estimator.size_or_unknown(target);
    match estimator.items(target) {
        Some((Type::String | Type::Bytes, item)) => size.times(Range::ONE.plus(item.scaled(TRAVERSAL))),
        Some(_) => size,
        None => size.scaled(TRAVERSAL),
    }
}

/// The size of a text in which something was replaced.
fn replaced(text: Range, from: Range, to: Range) -> Range {
    let (mut count, mut kept) = (Range::ZERO, Range::ZERO);
    let quotient = |text: u64, by: u64| (text as f64 / by as f64).ceil() as u64;
    if from.min == 0 {
        count.max = text.max.saturating_add(1);
        kept.max = text.max;
    } else if to.max <= from.min {
        kept.max = text.max;
    } else {
        count.max = quotient(text.max, from.min);
    }
    if from.max == 0 {
        count.min = text.min.saturating_add(1);
        kept.min = text.min;
    } else if from.max <= to.min {
        kept.min = text.min;
    } else {
        count.min = quotient(text.min, from.max);
    }
    count.times(to).plus(kept)
}

fn joined(estimator: &mut Estimator<'_>, target: NodeId, args: &[NodeId]) -> Option<CallEstimate> {
    let list = estimator.size_or_unknown(target);
    let mut size = estimator.items(target).map_or(Range::ZERO, |(_, item)| list.times(item));
    if let Some(separator) = args.first() {
        let between = Range { min: list.min.saturating_sub(1), max: list.max.saturating_sub(1) };
        size = size.plus(estimator.size_or_unknown(*separator).times(between));
    }
    sized(size.scaled(TRAVERSAL), size)
}

/// CEL's own functions.
fn standard(
    estimator: &mut Estimator<'_>,
    overload: &str,
    target: Option<NodeId>,
    args: &[NodeId],
) -> Option<CallEstimate> {
    let first = |estimator: &mut Estimator<'_>| args.first().map(|arg| estimator.size_or_unknown(*arg));
    match overload {
        "string_format" => of(estimator.size_or_unknown(target?).scaled(TRAVERSAL)),
        "string_to_bytes" => {
            let size = first(estimator)?;
            sized(size.scaled(TRAVERSAL), Range { min: size.min, max: size.max.saturating_mul(4) })
        }
        "bytes_to_string" => {
            let size = first(estimator)?;
            sized(size.scaled(TRAVERSAL), Range { min: size.min / 4, max: size.max })
        }
        "strings_quote" => {
            let size = first(estimator)?;
            let max = size.max.saturating_mul(2).saturating_add(2);
            sized(size.scaled(TRAVERSAL), Range { min: size.min.saturating_add(2), max })
        }
        "starts_with_string" | "ends_with_string" => of(first(estimator)?.scaled(TRAVERSAL)),
        "in_list" => of(estimator.size_or_unknown(args[1])),
        "matches_string" => {
            let text = estimator.size_or_unknown(target?).plus(Range::ONE).scaled(TRAVERSAL);
            of(text.times(first(estimator)?.scaled(PATTERN)))
        }
        "contains_string" => {
            let text = estimator.size_or_unknown(target?).scaled(TRAVERSAL);
            of(text.times(first(estimator)?.scaled(TRAVERSAL)))
        }
        "less_string"
        | "greater_string"
        | "less_equals_string"
        | "greater_equals_string"
        | "less_bytes"
        | "greater_bytes"
        | "less_equals_bytes"
        | "greater_equals_bytes"
        | "equals"
        | "not_equals" => {
            let max = estimator.size_or_unknown(args[0]).max.min(estimator.size_or_unknown(args[1]).max);
            of(Range { min: max.min(1), max }.scaled(TRAVERSAL))
        }
        _ => None,
    }
}
