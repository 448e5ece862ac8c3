//! Semantic versions.

use std::any::Any;
use std::cmp::Ordering;
use std::sync::Arc;

use smol_str::SmolStr;

use super::{Evaluated, text};
use crate::environment::{Library, Overload};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::{Opaque, Value};

const NAME: &str = "kubernetes.Semver";

/// A version.
#[derive(Clone, Debug)]
struct Semver {
    numbers: [u64; 3],
    /// What stands behind the dash, in parts.
    pre: Vec<SmolStr>,
}

impl Opaque for Semver {
    fn of(&self) -> Type {
        Type::object(NAME)
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Semver>().is_some_and(|other| self.compare(other) == Ordering::Equal)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(super) fn library() -> Library {
    use Type::{Bool, Int, String};
    let of = || Type::object(NAME);
    let two = || [of(), of()];
    let overloads = vec![
        Overload::global("semver", "string_to_semver", &[String], of(), make),
        Overload::global("semver", "string_bool_to_semver", &[String, Bool], of(), make),
        Overload::global("isSemver", "is_semver_string", &[String], Bool, is),
        Overload::global("isSemver", "is_semver_string_bool", &[String, Bool], Bool, is),
        Overload::member("isGreaterThan", "semver_is_greater_than", &two(), Bool, greater),
        Overload::member("isLessThan", "semver_is_less_than", &two(), Bool, less),
        Overload::member("compareTo", "semver_compare_to", &two(), Int, compare),
        Overload::member("major", "semver_major", &[of()], Int, major),
        Overload::member("minor", "semver_minor", &[of()], Int, minor),
        Overload::member("patch", "semver_patch", &[of()], Int, patch),
    ];
    Library { overloads, types: vec![of()] }
}

impl Semver {
    fn parse(version: &str) -> Result<Self, String> {
        if version.is_empty() {
            return Err("Version string empty".to_owned());
        }
        let (version, build) =
            version.split_once('+').map_or((version, None), |(version, build)| (version, Some(build)));
        let (numbers, pre) = version.split_once('-').map_or((version, None), |(numbers, pre)| (numbers, Some(pre)));
        let parts: Vec<&str> = numbers.splitn(3, '.').collect();
        let [major, minor, patch] = parts.as_slice() else {
            return Err("No Major.Minor.Patch elements found".to_owned());
        };
        let mut parsed = [0; 3];
        for (slot, (name, digits)) in parsed.iter_mut().zip([("major", major), ("minor", minor), ("patch", patch)]) {
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(format!("Invalid character(s) found in {name} number {digits:?}"));
            }
            if digits.len() > 1 && digits.starts_with('0') {
                return Err(format!("{name} number must not contain leading zeroes {digits:?}"));
            }
            *slot = digits.parse().map_err(|_| format!("{name} number is too large: {digits:?}"))?;
        }
        let legal =
            |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        let pre: Vec<SmolStr> = pre.map_or_else(Vec::new, |pre| pre.split('.').map(SmolStr::new).collect());
        for part in &pre {
            let number = part.bytes().all(|byte| byte.is_ascii_digit());
            if !legal(part) || (number && part.len() > 1 && part.starts_with('0')) {
                return Err(format!("Invalid character(s) found in prerelease {part:?}"));
            }
        }
        if build.is_some_and(|build| !build.split('.').all(legal)) {
            return Err("Invalid character(s) found in build meta data".to_owned());
        }
        Ok(Self { numbers: parsed, pre })
    }

    /// With a `v`, leading zeros and missing parts put right.
    fn normalised(version: &str) -> Result<Self, String> {
        let version = version.strip_prefix('v').unwrap_or(version);
        let mut parts: Vec<String> = version.splitn(3, '.').map(str::to_owned).collect();
        for part in &mut parts {
            if part.len() > 1 {
                let trimmed = part.trim_start_matches('0');
                let number = trimmed.starts_with(|first: char| first.is_ascii_digit());
                *part = if number { trimmed.to_owned() } else { format!("0{trimmed}") };
            }
        }
        if parts.len() < 3 {
            if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
                return Err("short version cannot contain PreRelease/Build meta data".to_owned());
            }
            parts.resize(3, "0".to_owned());
        }
        Self::parse(&parts.join("."))
    }

    fn compare(&self, other: &Semver) -> Ordering {
        let numbers = self.numbers.cmp(&other.numbers);
        numbers.then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            _ => {
                let parts = self.pre.iter().zip(&other.pre).map(|(a, b)| compare_part(a, b));
                parts.fold(Ordering::Equal, Ordering::then).then(self.pre.len().cmp(&other.pre.len()))
            }
        })
    }
}

/// Numbers come before words.
fn compare_part(a: &str, b: &str) -> Ordering {
    match (a.parse::<u64>(), b.parse::<u64>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        (Ok(_), Err(_)) => Ordering::Less,
        (Err(_), Ok(_)) => Ordering::Greater,
        _ => a.cmp(b),
    }
}

fn read(args: &[Value<'_>]) -> Result<Result<Semver, String>, Failure> {
    let version = text(args, 0)?;
    Ok(match args.get(1) {
        Some(Value::Bool(true)) => Semver::normalised(version),
        _ => Semver::parse(version),
    })
}

fn make<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    read(args)?.map(|version| Value::Opaque(Arc::new(version))).map_err(Failure::error)
}

fn is<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(read(args)?.is_ok()))
}

fn semver<'a>(args: &'a [Value<'_>], at: usize) -> Result<&'a Semver, Failure> {
    match args.get(at) {
        Some(Value::Opaque(value)) => value.as_any().downcast_ref().ok_or_else(Failure::no_such_overload),
        _ => Err(Failure::no_such_overload()),
    }
}

fn order(args: &[Value<'_>]) -> Result<Ordering, Failure> {
    Ok(semver(args, 0)?.compare(semver(args, 1)?))
}

fn greater<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    order(args).map(|order| Value::Bool(order.is_gt()))
}

fn less<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    order(args).map(|order| Value::Bool(order.is_lt()))
}

fn compare<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    order(args).map(|order| Value::Int(order as i64))
}

fn part<'d>(args: &[Value<'d>], at: usize) -> Evaluated<'d> {
    Ok(Value::Int(i64::try_from(semver(args, 0)?.numbers[at]).unwrap_or(i64::MAX)))
}

fn major<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    part(args, 0)
}

fn minor<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    part(args, 1)
}

fn patch<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    part(args, 2)
}
