//! Shard selectors: the objects whose uid, or namespace, hashes into one of some ranges. Many clients split a list or a
//! watch among themselves with them. Alpha in Kubernetes v1.36 (KEP-5866, the gate ShardedListAndWatch).

mod syntax;

use std::fmt;

use self::syntax::Expression;
use super::Selectable;

/// A parsed shard selector: `shardRange(object.metadata.uid, '0x…', '0x…') || …`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardSelector {
    field: Field,
    /// In the order of the text; any of them selects. Empty selects everything.
    ranges: Vec<HashRange>,
}

/// What is hashed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Uid,
    Namespace,
}

const FIELDS: [(Field, &str); 2] =
    [(Field::Uid, "object.metadata.uid"), (Field::Namespace, "object.metadata.namespace")];

impl Field {
    fn path(self) -> &'static str {
        FIELDS.iter().find(|(field, _)| *field == self).map_or("", |(_, path)| path)
    }
}

/// Never empty. The text's end is the first hash that is not in it, up to 2^64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HashRange {
    first: u64,
    last: u64,
}

impl ShardSelector {
    /// Parses it as the reference does: of CEL, calls of `shardRange` joined by `||` and nothing else. Empty text selects
    /// everything. The error is what the reference says behind `invalid shard selector: `.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let text = text.trim();
        if text.is_empty() {
            return Err("empty shard selector is not allowed; omit the parameter for unfiltered lists".to_owned());
        }
        let expression = syntax::parse(text).map_err(|error| format!("CEL parse error: {error}"))?;
        let mut found = Vec::new();
        collect(&expression, &mut found)?;
        let field = found.first().map_or(Field::default(), |(field, _)| *field);
        if let Some((other, _)) = found.iter().find(|(other, _)| *other != field) {
            let (field, other) = (field.path(), other.path());
            return Err(format!("all shard ranges must use the same field, got {field:?} and {other:?}"));
        }
        Ok(Self { field, ranges: found.into_iter().map(|(_, range)| range).collect() })
    }

    /// Whether it selects everything. A range over all hashes does too, but is not that: its lists say that they are a
    /// shard.
    pub fn is_everything(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Whether it selects the object.
    pub fn matches(&self, object: &dyn Selectable) -> bool {
        if self.is_everything() {
            return true;
        }
        let hash = match self.field {
            Field::Uid => hash(&object.uid()),
            Field::Namespace => hash(object.namespace()),
        };
        self.ranges.iter().any(|range| (range.first..=range.last).contains(&hash))
    }
}

/// The canonical text, which parses back to the same; empty for everything.
impl fmt::Display for ShardSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, range) in self.ranges.iter().enumerate() {
            let (or, path) = (if at == 0 { "" } else { " || " }, self.field.path());
            let (start, end) = (range.first, u128::from(range.last) + 1);
            write!(f, "{or}shardRange({path}, '0x{start:016x}', '0x{end:016x}')")?;
        }
        Ok(())
    }
}

/// FNV-1a, 64 bits wide (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn hash(text: &str) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    text.bytes().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}

/// The ranges of an expression, from left to right.
fn collect(expression: &Expression<'_>, found: &mut Vec<(Field, HashRange)>) -> Result<(), String> {
    match expression {
        Expression::Call { function: syntax::OR, arguments } => {
            arguments.iter().try_for_each(|side| collect(side, found))
        }
        Expression::Call { function: "shardRange", arguments } => {
            found.push(range_of(arguments)?);
            Ok(())
        }
        Expression::Call { function, .. } => {
            Err(format!("unsupported function {function:?}; only shardRange() and || are allowed"))
        }
        other => Err(format!("unexpected expression kind {}; expected shardRange() call or || operator", other.kind())),
    }
}

fn range_of(arguments: &[Expression<'_>]) -> Result<(Field, HashRange), String> {
    let [field, start, end] = arguments else {
        return Err(format!("shardRange() requires exactly 3 arguments, got {}", arguments.len()));
    };
    let Expression::Path(path) = field else {
        let kind = field.kind();
        return Err(format!(
            "shardRange() first argument: expected field path (e.g. object.metadata.uid), got expression kind {kind}"
        ));
    };
    let Some((field, _)) = FIELDS.iter().find(|(_, known)| known == path) else {
        let supported = FIELDS.map(|(_, path)| path).join(", ");
        return Err(format!("unsupported field path {path:?}; supported: {supported}"));
    };
    let (from, to) = (bound(start, "hexStart")?, bound(end, "hexEnd")?);
    match (u64::try_from(from), to.checked_sub(1).map(u64::try_from)) {
        (Ok(first), Some(Ok(last))) if first <= last => Ok((*field, HashRange { first, last })),
        _ => Err(format!("shard range start 0x{from:016x} must be less than end 0x{to:016x}")),
    }
}

/// One end of a range: 16 digits, or 2^64.
fn bound(argument: &Expression<'_>, name: &str) -> Result<u128, String> {
    let text = match argument {
        Expression::Text(text) => *text,
        Expression::Literal(kind) => return Err(format!("{name} must be a string literal, got {kind}")),
        other => {
            let kind = other.kind();
            return Err(format!("{name} must be a string literal (e.g. '0xff'), got expression kind {kind}"));
        }
    };
    let Some(digits) = text.strip_prefix("0x") else {
        return Err(format!("{name} must have '0x' prefix, got {text:?}"));
    };
    match digits.len() {
        0 => return Err(format!("{name}: hex value is required after '0x'")),
        1..=17 => {}
        length => return Err(format!("{name}: hex value too long ({length} chars, max 17): {digits:?}")),
    }
    if let Some(wrong) = digits.chars().find(|c| !matches!(c, '0'..='9' | 'a'..='f')) {
        return Err(format!("{name}: invalid hex character {:?} in {text:?}", wrong.to_string()));
    }
    let value = u128::from_str_radix(digits, 16).map_err(|error| format!("{name}: {error}"))?;
    match digits.len() {
        16 => Ok(value),
        17 if value == 1 << 64 => Ok(value),
        17 => Err(format!("{name}: 17-digit hex value must be '0x10000000000000000' (2^64), got {text:?}")),
        _ => {
            let meant = format!("0x{value:016x}");
            Err(format!("{name} must be a 0x-prefixed 16-digit hex value, got {text:?} (did you mean {meant:?}?)"))
        }
    }
}

#[cfg(test)]
mod tests;
