use std::borrow::Cow;

use smol_str::SmolStr;

use super::*;
use crate::resource::SelectableField;

/// An object of which only these two are known.
struct Known<'a> {
    uid: &'a str,
    namespace: &'a str,
}

impl Selectable for Known<'_> {
    fn label(&self, _: &str) -> Option<&str> {
        None
    }

    fn field(&self, _: usize) -> &str {
        ""
    }

    fn custom_field(&self, _: &SelectableField) -> SmolStr {
        SmolStr::default()
    }

    fn name(&self) -> &str {
        ""
    }

    fn namespace(&self) -> &str {
        self.namespace
    }

    fn uid(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.uid)
    }
}

const UID: &str = "object.metadata.uid";
const NAMESPACE: &str = "object.metadata.namespace";
const ZERO: &str = "0x0000000000000000";
const HALF: &str = "0x8000000000000000";
const ALL: &str = "0x10000000000000000";

fn range(field: &str, start: &str, end: &str) -> String {
    format!("shardRange({field}, '{start}', '{end}')")
}

fn why(text: &str) -> String {
    ShardSelector::parse(text).expect_err(text)
}

#[test]
fn hashes_are_fnv_1a() {
    // The first four are in the test suite of FNV's authors; the last was computed apart from this code.
    for (text, expected) in [
        ("", 0xcbf2_9ce4_8422_2325),
        ("a", 0xaf63_dc4c_8601_ec8c),
        ("fo", 0x0898_5907_b541_d342),
        ("foobar", 0x8594_4171_f739_67e8),
        ("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", 0x9375_4b72_48a0_0eb9),
    ] {
        assert_eq!(hash(text), expected, "{text}");
    }
}

#[test]
fn every_spelling_has_one_text() {
    let (low, high) = (range(UID, ZERO, HALF), range(UID, HALF, ALL));
    for (text, canonical) in [
        (low.clone(), low.clone()),
        (range(UID, ZERO, ALL), range(UID, ZERO, ALL)),
        (range(NAMESPACE, "0x00000000000000aa", "0x00000000000000ff"), String::new()),
        (format!("{low} || {high}"), format!("{low} || {high}")),
        (format!("shardRange(object.metadata.uid,'{ZERO}','{HALF}')"), low.clone()),
        (format!("  shardRange( object . metadata.uid ,\n '{ZERO}' ,  \"{HALF}\" )  "), low.clone()),
        (format!("(({low})||({high}||{low}))"), format!("{low} || {high} || {low}")),
    ] {
        let canonical = if canonical.is_empty() { text.clone() } else { canonical };
        let selector = ShardSelector::parse(&text).unwrap();
        assert_eq!(selector.to_string(), canonical, "{text}");
        assert_eq!(ShardSelector::parse(&canonical).unwrap(), selector);
        assert!(!selector.is_everything());
    }
    let everything = ShardSelector::parse("").unwrap();
    assert!(everything.is_everything() && everything.to_string().is_empty());
}

#[test]
fn errors_are_the_references() {
    let only = "only shardRange() and || are allowed";
    let field =
        "unsupported field path \"object.metadata.name\"; supported: object.metadata.uid, object.metadata.namespace";
    for (text, expected) in [
        (" ".to_owned(), "empty shard selector is not allowed; omit the parameter for unfiltered lists".to_owned()),
        (range(UID, "0000000000000000", HALF), "hexStart must have '0x' prefix, got \"0000000000000000\"".into()),
        (range(UID, ZERO, "8000000000000000"), "hexEnd must have '0x' prefix, got \"8000000000000000\"".into()),
        (range(UID, "0x", HALF), "hexStart: hex value is required after '0x'".into()),
        (range("object.metadata.name", "0x00", "0x80"), field.into()),
        (
            range(UID, "0x000000000000000000", "0x80"),
            "hexStart: hex value too long (18 chars, max 17): \"000000000000000000\"".into(),
        ),
        (range(UID, "0x0g", "0x80"), "hexStart: invalid hex character \"g\" in \"0x0g\"".into()),
        (range(UID, "0xFFFFFFFFFFFFFFFF", ALL), {
            "hexStart: invalid hex character \"F\" in \"0xFFFFFFFFFFFFFFFF\"".into()
        }),
        (
            range(UID, ZERO, "0x20000000000000000"),
            "hexEnd: 17-digit hex value must be '0x10000000000000000' (2^64), got \"0x20000000000000000\"".into(),
        ),
        (
            range(UID, "0x0", HALF),
            "hexStart must be a 0x-prefixed 16-digit hex value, got \"0x0\" (did you mean \"0x0000000000000000\"?)"
                .into(),
        ),
        (
            range(UID, ZERO, "0xff"),
            "hexEnd must be a 0x-prefixed 16-digit hex value, got \"0xff\" (did you mean \"0x00000000000000ff\"?)"
                .into(),
        ),
        (range(UID, HALF, HALF), format!("shard range start {HALF} must be less than end {HALF}")),
        (range(UID, ZERO, ZERO), format!("shard range start {ZERO} must be less than end {ZERO}")),
        (range(UID, ALL, ALL), format!("shard range start {ALL} must be less than end {ALL}")),
        (range(UID, HALF, ZERO), format!("shard range start {HALF} must be less than end {ZERO}")),
        ("shardRange(object.metadata.uid, '0x0')".into(), "shardRange() requires exactly 3 arguments, got 2".into()),
        ("shardRange()".into(), "shardRange() requires exactly 3 arguments, got 0".into()),
        ("shardRange(object.metadata.uid, 0, 8)".into(), "hexStart must be a string literal, got int64".into()),
        (
            "shardRange(object.metadata.uid, hex(0), '0x8')".into(),
            "hexStart must be a string literal (e.g. '0xff'), got expression kind call".into(),
        ),
        (
            format!("shardRange('uid', '{ZERO}', '{ALL}')"),
            "shardRange() first argument: expected field path (e.g. object.metadata.uid), got expression kind literal"
                .into(),
        ),
        ("other(object.metadata.uid, '0x0', '0x8')".into(), format!("unsupported function \"other\"; {only}")),
        (format!("{0} && {0}", range(UID, ZERO, ALL)), format!("unsupported function \"_&&_\"; {only}")),
        (format!("!{}", range(UID, ZERO, ALL)), format!("unsupported function \"!_\"; {only}")),
        ("object.metadata.uid > '0x0'".into(), format!("unsupported function \"_>_\"; {only}")),
        ("1 + 2 == 3".into(), format!("unsupported function \"_==_\"; {only}")),
        ("true".into(), "unexpected expression kind literal; expected shardRange() call or || operator".into()),
        (UID.into(), "unexpected expression kind select; expected shardRange() call or || operator".into()),
        (
            format!("{} || {}", range(UID, ZERO, HALF), range(NAMESPACE, HALF, ALL)),
            format!("all shard ranges must use the same field, got {UID:?} and {NAMESPACE:?}"),
        ),
    ] {
        assert_eq!(why(&text), expected, "{text}");
    }
}

#[test]
fn what_is_no_expression_is_said_to_be_none() {
    let whole = range(UID, ZERO, ALL);
    for text in [
        "shardRange(".to_owned(),
        format!("{whole} ||"),
        format!("|| {whole}"),
        format!("{whole}, {whole}"),
        format!("{whole} {whole}"),
        format!("({whole}"),
        format!("{whole})"),
        format!("{whole} | {whole}"),
        format!("shardRange(object.metadata.uid, '{ZERO}', '{ALL})"),
        format!("shardRange(object.metadata.uid, '{ZERO}', '\\x30')"),
        format!("shardRange(object..uid, '{ZERO}', '{ALL}')"),
        format!("shardRange(object['metadata'].uid, '{ZERO}', '{ALL}')"),
        format!("x.{whole}"),
        format!("{whole} ? true : false"),
        "in".to_owned(),
        "é".to_owned(),
        format!("{}{whole}{}", "(".repeat(10_000), ")".repeat(10_000)),
        "!".repeat(10_000),
    ] {
        assert!(why(&text).starts_with("CEL parse error: "), "{text}: {}", why(&text));
    }
    let deep = format!("{}{whole}{}", "(".repeat(200), ")".repeat(200));
    assert_eq!(ShardSelector::parse(&deep).unwrap().to_string(), whole);
}

#[test]
fn a_range_holds_its_start_and_not_its_end() {
    let (object, of) = (Known { uid: "a", namespace: "foobar" }, |text: &str| ShardSelector::parse(text).unwrap());
    for (start, end, expected) in [
        ("0xaf63dc4c8601ec8c", "0xaf63dc4c8601ec8d", true),
        ("0xaf63dc4c8601ec8d", ALL, false),
        (ZERO, "0xaf63dc4c8601ec8c", false),
        (ZERO, ALL, true),
    ] {
        assert_eq!(of(&range(UID, start, end)).matches(&object), expected, "{start} {end}");
    }
    // foobar hashes to 0x8594…, and the last hash of all is in a range that ends at 2^64.
    assert!(of(&range(NAMESPACE, HALF, "0x9000000000000000")).matches(&object));
    assert!(!of(&range(NAMESPACE, "0xaf00000000000000", ALL)).matches(&object));
    let either = format!("{} || {}", range(UID, ZERO, HALF), range(UID, "0xaf00000000000000", ALL));
    assert!(of(&either).matches(&object), "any of the ranges selects");
    assert_eq!(of(&range(UID, "0xffffffffffffffff", ALL)).ranges, [HashRange { first: u64::MAX, last: u64::MAX }]);
    // Objects without a namespace hash the empty text.
    let node = Known { uid: "a", namespace: "" };
    assert!(of(&range(NAMESPACE, "0xcbf29ce484222325", "0xcbf29ce484222326")).matches(&node));
}

#[test]
fn shards_are_disjoint_and_leave_nothing_out() {
    for count in [1_u128, 2, 3, 7, 16] {
        let bound = |at: u128| format!("0x{:016x}", (at << 64) / count);
        let shards: Vec<ShardSelector> =
            (0..count).map(|at| ShardSelector::parse(&range(UID, &bound(at), &bound(at + 1))).unwrap()).collect();
        for at in 0..500 {
            let uid = format!("uid-{at}");
            let object = Known { uid: &uid, namespace: "" };
            assert_eq!(shards.iter().filter(|shard| shard.matches(&object)).count(), 1, "{uid} of {count}");
        }
    }
}
