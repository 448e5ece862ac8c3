//! What is wrong with expressions, where, and in which words.

use serde_json::json;

use super::{declared, fails, holds};
use crate::Environment;

#[track_caller]
fn refused(expression: &str, words: &str) {
    let of = declared(&json!({"type": "object", "properties": {
        "a": {"type": "integer"}, "s": {"type": "string"}, "list": {"type": "array", "items": {"type": "integer"}},
    }}));
    match Environment::kubernetes().document("self", &of).compile(expression) {
        Err(error) => assert_eq!(error.to_string(), words, "{expression}"),
        Ok(_) => panic!("{expression} compiles"),
    }
}

#[test]
fn positions_and_words() {
    refused(
        "self.a == x",
        "ERROR: <input>:1:11: undeclared reference to 'x' (in container '')\n | self.a == x\n | ..........^",
    );
    refused("self.foo", "ERROR: <input>:1:5: undefined field 'foo'\n | self.foo\n | ....^");
    refused(
        "self.s > 1",
        "ERROR: <input>:1:8: found no matching overload for '_>_' applied to '(string, int)'\n | self.s > 1\n | .......^",
    );
    refused(
        "self.a.size()",
        "ERROR: <input>:1:12: found no matching overload for 'size' applied to 'int.()'\n | self.a.size()\n | ...........^",
    );
    refused(
        "self.list.all(x, x)",
        "ERROR: <input>:1:18: expected type 'bool' but found 'int'\n | self.list.all(x, x)\n | .................^",
    );
    refused(
        "x == Foo{a: 1}",
        "ERROR: <input>:1:1: undeclared reference to 'x' (in container '')\n | x == Foo{a: 1}\n | ^\nERROR: <input>:1:9: \
         undeclared reference to 'Foo' (in container '')\n | x == Foo{a: 1}\n | ........^",
    );
    refused(
        "[1, 'a'] == []",
        "ERROR: <input>:1:5: expected type 'int' but found 'string'\n | [1, 'a'] == []\n | ....^",
    );
    refused("has(self)", "ERROR: <input>:1:5: invalid argument to has() macro\n | has(self)\n | ....^");
    refused("\n  self.b", "ERROR: <input>:2:7: undefined field 'b'\n |   self.b\n | ......^");
    refused("'é' == self.b", "ERROR: <input>:1:12: undefined field 'b'\n | 'é' == self.b\n | .．.........^");
    refused(
        "duration('x') == duration('1s')",
        "ERROR: <input>:1:10: invalid duration argument\n | duration('x') == duration('1s')\n | .........^",
    );
    refused(
        "self.s.matches('(')",
        "ERROR: <input>:1:16: invalid matches argument\n | self.s.matches('(')\n | ...............^",
    );
}

#[test]
fn two_mistakes_are_both_told() {
    let of = declared(&json!({"type": "object", "properties": {}}));
    let error = Environment::kubernetes().document("self", &of).compile("self.b == 1 && self.c").unwrap_err();
    assert_eq!(error.to_string().matches("undefined field").count(), 2);
}

#[test]
fn syntax() {
    let operands = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, \
                    BYTES, IDENTIFIER}";
    refused(
        "self.a + ",
        &format!(
            "ERROR: <input>:1:10: Syntax error: mismatched input '<EOF>' expecting {operands}\n | self.a + \n | .........^"
        ),
    );
    refused("1 # 2", "ERROR: <input>:1:3: Syntax error: token recognition error at: '#'\n | 1 # 2\n | ..^");
    refused("a b", "ERROR: <input>:1:3: Syntax error: extraneous input 'b' expecting <EOF>\n | a b\n | ..^");
    refused("namespace == 1", "ERROR: <input>:1:1: reserved identifier: namespace\n | namespace == 1\n | ^");
    refused(
        "[1].all(1, true)",
        "ERROR: <input>:1:9: argument must be a simple name\n | [1].all(1, true)\n | ........^",
    );
    for wrong in ["", "(", "'a", "1 +", "{1:}", "[1", "a.", "f(,)", "`a`", "9223372036854775808", "'\\q'", "\"\n\""] {
        assert!(Environment::kubernetes().compile(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn literals() {
    holds("-9223372036854775808 < 0 && 0x1F == 31 && 1u == uint(1) && 1e3 == 1000.0 && .5 == 0.5");
    holds(r#"'\u00e9' == 'é' && r'\n' == '\\n' && b'\xff' == b'\377' && '''a'b''' == "a'b" && '\x41' == 'A'"#);
    holds("- -1 == 1 && !!true && 1 - -1 == 2 && -1.5 < -1.0");
    holds("1 < 2 ? true : false // and a comment");
}

#[test]
fn failures_of_evaluation() {
    fails("1 / 0 == 1", "division by zero");
    fails("1 % 0 == 1", "modulus by zero");
    fails("9223372036854775807 + 1 == 0", "integer overflow");
    fails("1u - 2u == 0u", "unsigned integer overflow");
    fails("[1, 2][5] == 1", "index out of bounds: 5");
    fails("{'a': 1}.b == 1", "no such key: b");
    fails("{'a': 1}['b'] == 1", "no such key: b");
    fails("dyn(1) + dyn('a') == dyn(2)", "no such overload");
    fails("optional.none().value() == 1", "optional.none() dereference");
    fails("int('a') == 1", "type conversion error from 'string' to 'int'");
    holds("true || 1 / 0 == 1");
    holds("1 / 0 == 1 || true");
    holds("!(1 / 0 == 1 && false)");
    holds("[1, 0].exists(x, 1 / x == 1)");
}
