//! What a tenant might write. Nothing panics, nothing overflows the stack, and everything ends soon.

use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;
use serde_json::json;

use super::{compile, declared};
use crate::{Bindings, Declared, Document, Environment, Failure, Limit, Program};

fn run(expression: &str) -> Result<String, Failure> {
    let program = Environment::kubernetes().compile(expression).map_err(|error| Failure::error(error.to_string()))?;
    program.evaluate(&Bindings::new(), Limit::per_call()).result.map(|value| format!("{value:?}"))
}

#[test]
fn nested_loops_end_at_the_limit() {
    let list = format!("[{}]", vec!["1"; 1000].join(","));
    let nested = format!("{list}.all(a, {list}.all(b, {list}.all(c, {list}.all(d, a == b && c == d))))");
    assert_eq!(run(&nested), Err(Failure::Exhausted));
}

#[test]
fn an_interrupt_is_heard() {
    let asked = AtomicU32::new(0);
    let interrupted = || asked.fetch_add(1, Ordering::Relaxed) >= 3;
    let program = compile(&Environment::kubernetes(), "lists.range(1000).all(a, lists.range(1000).all(b, a + b >= 0))");
    let limit = Limit { interrupted: Some(&interrupted), ..Limit::of(u64::MAX) };
    let result = program.evaluate(&Bindings::new(), limit).result;
    assert_eq!(result.unwrap_err(), Failure::Interrupted);
    assert_eq!(asked.into_inner(), 4);
}

#[test]
fn what_doubles_is_stopped() {
    let doubled = |start: &str, step: &str, test: &str| {
        let steps: String = (0..60).map(|_| format!(".optMap(x, {step})")).collect();
        format!("optional.of({start}){steps}.value(){test}")
    };
    // Optional chains double the tree of the reference; here they share it, and evaluation is what ends.
    for (start, step, test) in
        [("[1]", "x + x", ".size() > 1"), ("'a'", "x + x", ".size() > 1"), ("[1]", "[x, x].flatten()", ".size() > 1")]
    {
        let result = run(&doubled(start, step, test));
        assert_eq!(result, Err(Failure::Exhausted), "{step}");
    }
    let nested = "optional.of([1])".to_owned() + &".optMap(x, [x, x])".repeat(60);
    assert!(run(&nested).is_err());
    assert!(run(&("optional.of({1: 1})".to_owned() + &".optMap(x, {x: x})".repeat(60))).is_err());
}

#[test]
fn lists_as_large_as_they_say_are_not_made() {
    assert_eq!(run("lists.range(9223372036854775807).size() > 0"), Err(Failure::Exhausted));
    assert_eq!(run("lists.range(100000).all(x, lists.range(100000).size() > 0)"), Err(Failure::Exhausted));
    let long = "x".repeat(40_000);
    let blown = format!("'{long}'.replace('x', '{long}').size() > 0");
    assert_eq!(run(&blown), Err(Failure::Exhausted));
}

#[test]
fn many_patterns_are_not_compiled_for_nothing() {
    let expression = "lists.range(100000).exists(x, 'a'.matches('(\\\\pL{50}){' + string(x % 50) + ',50}b'))";
    assert!(matches!(run(expression), Err(Failure::Exhausted | Failure::Error(_))));
}

#[test]
fn a_large_map_is_made_in_time() {
    let program = compile(&Environment::kubernetes(), "lists.range(20000).transformMap(i, v, v).size() == 20000");
    assert!(program.evaluate(&Bindings::new(), Limit::per_call()).result.is_ok());
}

/// On a thread with the stack that a worker has: that of this test is as large.
#[test]
fn deep_and_long_texts_do_not_overflow() {
    for expression in [
        "(".repeat(90_000),
        "(".repeat(40_000) + "1" + &")".repeat(40_000),
        "[".repeat(45_000) + &"]".repeat(45_000),
        "!".repeat(90_000) + "true",
        "-".repeat(90_000) + "1",
        "a".to_owned() + &".b".repeat(40_000),
        "a".to_owned() + &"[0]".repeat(30_000),
        "1".to_owned() + &"+1".repeat(40_000),
        "a?b:".repeat(20_000) + "c",
        "{1:".repeat(20_000),
        "a.f(".repeat(20_000),
        "x.all(y, ".repeat(10_000),
        "#".repeat(90_000),
    ] {
        let _ = Environment::kubernetes().compile(&expression);
    }
    let long = vec!["true"; 10_000].join(" && ");
    assert_eq!(run(&long), Ok("Bool(true)".to_owned()));
    let deep = "(".repeat(240) + "1" + &")".repeat(240) + " == 1";
    assert_eq!(run(&deep), Ok("Bool(true)".to_owned()));
    let sum = format!("1{} > 0", " + 1".repeat(200));
    assert_eq!(run(&sum), Ok("Bool(true)".to_owned()));
    let loops = "[1].map(x, ".repeat(60) + "1" + &")".repeat(60);
    assert!(run(&loops).is_ok());
}

fn expressions() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("self".to_owned()),
        Just("self.list".to_owned()),
        Just("self.s".to_owned()),
        Just("self.map".to_owned()),
        Just("self.any".to_owned()),
        Just("x".to_owned()),
        Just("'a'".to_owned()),
        Just("''".to_owned()),
        Just("-1".to_owned()),
        Just("9223372036854775807".to_owned()),
        Just("1u".to_owned()),
        Just("0.0".to_owned()),
        Just("null".to_owned()),
        Just("[]".to_owned()),
        Just("{}".to_owned()),
        Just("b'\\xff'".to_owned()),
        Just("dyn(1)".to_owned()),
        Just("optional.none()".to_owned()),
        Just("timestamp('9999-12-31T23:59:59Z')".to_owned()),
        Just("duration('2562047h')".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        let binary = prop::sample::select(vec!["+", "-", "*", "/", "%", "==", "!=", "<", ">=", "&&", "||", "in"]);
        let unary = prop::sample::select(vec![
            "size",
            "string",
            "int",
            "uint",
            "double",
            "bytes",
            "type",
            "dyn",
            "!",
            "-",
            "bool",
            "timestamp",
            "duration",
            "ip",
            "cidr",
            "url",
            "semver",
            "lists.range",
            "optional.of",
            "has",
        ]);
        let member = prop::sample::select(vec![
            "sort",
            "sum",
            "max",
            "min",
            "reverse",
            "distinct",
            "flatten",
            "first",
            "last",
            "trim",
            "join",
            "value",
            "hasValue",
            "getHours",
            "isSorted",
            "lowerAscii",
            "unwrapOpt",
        ]);
        let member2 = prop::sample::select(vec![
            "startsWith",
            "matches",
            "find",
            "findAll",
            "split",
            "indexOf",
            "lastIndexOf",
            "substring",
            "charAt",
            "format",
            "orValue",
            "or",
            "containsIP",
            "flatten",
            "getDate",
        ]);
        let looped = prop::sample::select(vec!["all", "exists", "exists_one", "map", "filter", "sortBy", "optMap"]);
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            (unary, inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            (inner.clone(), member).prop_map(|(a, f)| format!("{a}.{f}()")),
            (inner.clone(), member2, inner.clone()).prop_map(|(a, f, b)| format!("{a}.{f}({b})")),
            (inner.clone(), looped, inner.clone()).prop_map(|(a, f, b)| format!("{a}.{f}(x, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{a}[{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("dyn({a})[?{b}]")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} ? {b} : {c})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("[dyn({a}), dyn({b})]")),
        ]
    })
}

fn environment() -> (std::sync::Arc<Declared>, Environment) {
    let of = declared(&json!({"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "integer"}},
        "s": {"type": "string"},
        "map": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {"x-kubernetes-int-or-string": true},
    }}));
    let environment = Environment::kubernetes().document("self", &of).variable("x", crate::Type::Dyn);
    (of, environment)
}

fn evaluate(program: &Program, of: &Declared) -> u64 {
    let document = json!({"list": [1, 2, 3], "s": "10.0.0.1/8", "map": {"a": "b"}, "any": "x"});
    let mut bindings = Bindings::new();
    bindings.bind_document("self", Document { json: &document, of });
    bindings.bind("x", crate::Value::Int(3));
    program.evaluate(&bindings, Limit::of(10_000)).cost
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_expression_panics_or_runs_on(expression in expressions()) {
        let (of, environment) = environment();
        if let Ok(program) = environment.compile(&expression) {
            // One call may be charged beyond the limit before it is refused.
            let _ = evaluate(&program, &of);
            let _ = program.estimate(&environment);
        }
    }

    #[test]
    fn no_text_panics(text in "[-+*/%<>=!&|?:.,()\\[\\]{}'\"`\\\\a-c0-9xurb \n_é👑]{0,60}") {
        let (_, environment) = environment();
        let _ = environment.compile(&text);
        let _ = crate::pattern::compile(&text);
        if let Some(escaped) = crate::escape(&text) {
            prop_assert!(crate::unescape(&escaped).is_some_and(|back| back == text));
        }
    }
}
