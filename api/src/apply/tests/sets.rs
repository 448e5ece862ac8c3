//! Sets: text, order and operations.

use super::super::element::{Element, Unreadable};
use super::super::named::reconciled;
use super::super::place::Place;
use super::super::set::Set;
use super::*;

fn set(text: &str) -> Set {
    Set::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

#[test]
fn text_is_read_and_written_in_the_order_of_elements() {
    for (text, wanted) in [
        ("{}", "{}"),
        (r#"{"f:b":{},"f:a":{"f:c":{},".":{}}}"#, r#"{"f:a":{".":{},"f:c":{}},"f:b":{}}"#),
        (r#"{"v:\"b\"":{},"v:\"a\"":{},"v:2":{},"v:10":{}}"#, r#"{"v:2":{},"v:10":{},"v:\"a\"":{},"v:\"b\"":{}}"#),
        (
            r#"{"k:{\"port\":443}":{},"k:{\"port\":80}":{},"f:z":{},"i:1":{}}"#,
            r#"{"f:z":{},"k:{\"port\":80}":{},"k:{\"port\":443}":{},"i:1":{}}"#,
        ),
        (r#"{"k:{\"b\":1,\"a\":\"<x>\"}":{}}"#, r#"{"k:{\"a\":\"\\u003cx\\u003e\",\"b\":1}":{}}"#),
        (r#"{"f:a\"b":{},"x:later":{},"f:c":{"f:d":{}}}"#, r#"{"f:a\"b":{},"f:c":{"f:d":{}}}"#),
    ] {
        assert_eq!(set(text).text(), wanted);
        assert_eq!(set(wanted), set(text));
        assert_eq!(Set::of_value(&serde_json::from_str(text).unwrap()).unwrap().text(), wanted);
    }
    for text in ["[]", "{\"f\":{}}", "{\"fa\":{}}", "{\"k:[]\":{}}", "{\"i:x\":{}}", "{\"v:\":{}}", "{\"f:a\":1}"] {
        assert!(Set::parse(text).is_err(), "{text}");
    }
    assert_eq!(Element::parse(""), Err(Unreadable("key must be 2 characters long: ".to_owned())));
}

#[test]
fn operations_follow_members_and_what_lies_below_them() {
    let (a, b) = (r#"{"f:a":{".":{},"f:x":{}},"f:b":{"f:y":{}},"f:d":{}}"#, r#"{"f:a":{},"f:b":{"f:y":{},"f:z":{}}}"#);
    type Operation = fn(&Set, &Set) -> Set;
    let cases: [(&str, Operation, &str, &str); 4] = [
        ("union", Set::union, r#"{"f:a":{".":{},"f:x":{}},"f:b":{"f:y":{},"f:z":{}},"f:d":{}}"#, ""),
        ("intersection", Set::intersection, r#"{"f:a":{},"f:b":{"f:y":{}}}"#, ""),
        ("difference", Set::difference, r#"{"f:a":{"f:x":{}},"f:d":{}}"#, r#"{"f:b":{"f:z":{}}}"#),
        ("recursive difference", Set::recursive_difference, r#"{"f:d":{}}"#, r#"{"f:b":{"f:z":{}}}"#),
    ];
    for (name, operation, there, back) in cases {
        assert_eq!(operation(&set(a), &set(b)).text(), there, "{name}");
        let back = if back.is_empty() { there } else { back };
        assert_eq!(operation(&set(b), &set(a)).text(), back, "{name}, the other way");
    }
    assert!(!set(a).is_disjoint(&set(b)) && set("{\"f:a\":{}}").is_disjoint(&set("{\"f:a\":{\"f:x\":{}}}")));
    assert!(set("{\"f:a\":{\"f:x\":{}}}").is_subset(&set(a)) && !set(b).is_subset(&set(a)));
    assert_eq!(set(a).leaves().text(), r#"{"f:a":{"f:x":{}},"f:b":{"f:y":{}},"f:d":{}}"#);
    assert_eq!(set(a).len(), 4);
    let only = set(r#"{"f:s":{"f:c":{"k:{\"n\":1}":{".":{},"f:r":{"f:q":{}},"f:i":{}}}},"f:m":{}}"#);
    let only = only.only(&[&[Some("s"), Some("c"), None, Some("r")]]);
    assert_eq!(only.text(), r#"{"f:s":{"f:c":{"k:{\"n\":1}":{".":{},"f:r":{"f:q":{}}}}}}"#);
}

#[test]
fn paths_are_worded_as_conflicts_show_them() {
    let set =
        set(r#"{"f:spec":{"f:ports":{"k:{\"port\":80,\"protocol\":\"TCP\"}":{"f:name":{}}},"f:a":{"v:\"x\"":{}}}}"#);
    let mut paths = Vec::new();
    set.each(&mut |path| paths.push(super::super::element::path_text(path)));
    assert_eq!(paths, [r#".spec.a[="x"]"#, r#".spec.ports[port=80,protocol="TCP"].name"#]);
    assert!(set.has(&[&Element::Field("spec".into()), &Element::Field("a".into()), &Element::Item(json!("x"))]));
}

#[test]
fn what_became_atomic_is_owned_as_a_whole() {
    let deployments = resource("deployments.apps");
    let place = Place::root(deployments.stored_shape());
    let old = set(r#"{"f:spec":{"f:selector":{"f:matchLabels":{"f:app":{}}},"f:replicas":{}}}"#);
    assert_eq!(reconciled(place, &old).unwrap().text(), r#"{"f:spec":{"f:replicas":{},"f:selector":{}}}"#);
    assert!(reconciled(place, &set(r#"{"f:spec":{"f:selector":{},"f:unknown":{"f:x":{}}}}"#)).is_none());
}
