//! What is estimated beforehand.

use serde_json::{Value as Json, json};

use super::{compile, declared, outcome};
use crate::Environment;

fn most(expression: &str, schema: &Json) -> u64 {
    let environment = Environment::kubernetes().document("self", &declared(schema));
    compile(&environment, expression).estimate(&environment).max
}

#[test]
fn limits_bound_loops() {
    let list = |limits: Json| {
        let mut list = json!({"type": "array", "items": {"type": "integer"}});
        list.as_object_mut().unwrap().extend(limits.as_object().unwrap().clone());
        json!({"type": "object", "properties": {"list": list}})
    };
    // Two accesses, the result, and five for each turn.
    assert_eq!(most("self.list.all(x, x > 0)", &list(json!({"maxItems": 10}))), 2 + 1 + 10 * 5);
    let unbounded = (3 * 1024 * 1024 - 2) / 2;
    assert_eq!(most("self.list.all(x, x > 0)", &list(json!({}))), 3 + unbounded * 5);
    let nested = "self.list.all(x, self.list.all(y, x == y))";
    assert!(most(nested, &list(json!({}))) > 10_000_000_000);
    assert!(most(nested, &list(json!({"maxItems": 10}))) < 1_000);
}

#[test]
fn text_counts_by_its_length() {
    let schema = json!({"type": "object", "properties": {"s": {"type": "string", "maxLength": 100}}});
    // Each character may take four bytes.
    assert_eq!(most("self.s.contains('abcdefghij')", &schema), 2 + 40);
    assert_eq!(most("self.s == self.s", &schema), 4 + 40);
    assert_eq!(most("has(self.s)", &schema), 1);
}

#[test]
fn no_evaluation_costs_more_than_was_estimated() {
    let schema = json!({"type": "object", "properties": {
        "list": {"type": "array", "maxItems": 20, "items": {"type": "integer"}},
        "s": {"type": "string", "maxLength": 30},
        "map": {"type": "object", "maxProperties": 5, "additionalProperties": {"type": "string", "maxLength": 5}},
    }});
    let items: Vec<i64> = (0..20).collect();
    let document = json!({"list": items, "s": "a".repeat(30), "map": {"a": "b", "c": "d"}});
    for expression in [
        "self.list.all(x, self.list.exists(y, x == y))",
        "self.list.map(x, x * 2).filter(x, x > 3).size() == 18",
        "self.s.matches('^a+$') && self.s.replace('a', 'bb').size() == 60",
        "self.map.all(k, self.map[k].size() < 5)",
        "self.list.map(x, string(x)).join(',').size() > 3",
        "self.list.sort().distinct().reverse().slice(0, 3).size() == 3",
        "[self.s].exists(x, x.contains('a') ? self.list.sum() > 1 : false)",
    ] {
        let (result, cost) = outcome(expression, &schema, &document);
        assert_eq!(result, Ok(true), "{expression}");
        assert!(cost <= most(expression, &schema), "{expression}: {cost} > {}", most(expression, &schema));
    }
}
