//! What functions do.

use std::sync::Arc;

use serde_json::json;

use super::{compile, fails, holds, value_of};
use crate::{
    Authorizer, Bindings, Check, Decision, Environment, Limit, Type, Value, authorization, authorizer, json_patch,
};

#[test]
fn text() {
    holds("'tacocat'.charAt(7) == '' && 'tacocat'.lastIndexOf('a') == 5 && 'tacocat'.lastIndexOf('a', 3) == 1");
    holds("'hello mellow'.indexOf('ello', 2) == 7 && 'hello'.indexOf('') == 0 && 'a'.lastIndexOf('') == 1");
    holds("'hello hello'.replace('he', 'we', 1) == 'wello hello' && 'ab'.replace('', '_') == '_a_b_'");
    holds("'a,b,c'.split(',', 2) == ['a', 'b,c'] && 'abc'.split('') == ['a', 'b', 'c'] && 'a,b'.split(',', 0) == []");
    holds("['x', 'y'].join('-') == 'x-y' && ''.split(',') == [''] && strings.quote('a\"b\\n') == '\"a\\\\\"b\\\\n\"'");
    holds(
        "'%s, %x and %.2f'.format([{'b': [1, 'x'], 'a': null}, 255, 2.5]) == '{\"a\":null, \"b\":[1, \"x\"]}, ff and 2.50'",
    );
    fails("'a'.charAt(2) == ''", "index out of range: 2");
    fails("'abc'.substring(2, 1) == ''", "invalid substring range. start: 2, end: 1");
    fails("'%d'.format(['a']) == ''", "decimal clause can only be used on integers, was given string");
}

#[test]
fn patterns() {
    holds(
        "'abc 123'.find('[0-9]+') == '123' && 'a1b2'.findAll('[0-9]') == ['1', '2'] && 'aa'.findAll('a', 1) == ['a']",
    );
    holds("'a'.matches('^\\\\w$') && !'é'.matches('^\\\\w$') && 'x-[y'.matches('^[\\\\w-[]+$') && 'é'.matches('^.$')");
    fails("'a'.matches('(' + '(')", "error parsing regexp");
}

#[test]
fn lists() {
    holds("[1, 2, 2].isSorted() && ![2, 1].isSorted() && [1, 3].sum() == 4 && [1.5, 2.5].sum() == 4.0");
    holds(
        "['b', 'a'].min() == 'a' && [1, 3, 2].max() == 3 && [1, 2, 1].indexOf(1) == 0 && [1, 2, 1].lastIndexOf(1) == 2",
    );
    holds(
        "[1, 2, 3].slice(1, 3) == [2, 3] && [[1], [2, 3]].flatten() == [1, 2, 3] && [dyn([1]), dyn(2)].flatten(1).size() == 2",
    );
    holds(
        "[3, 1, 2].sort() == [1, 2, 3] && ['bb', 'a'].sortBy(e, size(e)) == ['a', 'bb'] && [1, 1, 2].distinct() == [1, 2]",
    );
    holds(
        "lists.range(3) == [0, 1, 2] && [1, 2].reverse() == [2, 1] && [1, 2].first() == optional.of(1) && [].last() == optional.none()",
    );
    holds("sets.contains([1, 2], [2]) && sets.equivalent([1, 1], [1]) && !sets.intersects([1], [2])");
    fails("[1].slice(0, 2) == []", "cannot slice(0, 2), list is length 1");
    fails("[0].filter(x, x > 0).min() == 0", "min called on empty list");
}

#[test]
fn optional_values() {
    holds("{'a': 1}.?a == optional.of(1) && {'a': 1}.?b.orValue(2) == 2 && !{'a': 1}.?b.hasValue()");
    holds("[1, 2][?5].or(optional.of(3)).value() == 3 && {?'a': optional.none(), 'b': 1} == {'b': 1}");
    holds("optional.of(2).optMap(x, x + 1).value() == 3 && !optional.none().optMap(x, x).hasValue()");
    holds("{'a': {'b': 1}}.?a.b.orValue(0) == 1 && {'a': {}}.?a.?b.optFlatMap(x, optional.of(x)) == optional.none()");
    holds("[?optional.of(1), ?optional.none()] == [1] && optional.ofNonZeroValue('') == optional.none()");
}

#[test]
fn numbers_and_time() {
    holds("dyn(1) == dyn(1.0) && 1 < 1.5 && 1u < 2 && {1: 'a'}[1] == 'a' && 3 in [1, 2, 3]");
    holds("string(1.5) == '1.5' && string(duration('90s')) == '90s' && int(2.9) == 2 && uint('7') == 7u");
    holds("timestamp('2023-01-14T10:30:21.123Z').getMilliseconds() == 123 && duration('1h2m').getMinutes() == 62");
    holds(
        "timestamp('2023-01-01T00:00:00Z').getDayOfWeek() == 0 && timestamp('2023-03-01T00:00:00Z').getDayOfYear() == 59",
    );
    holds(
        "timestamp('2023-07-01T00:00:00Z').getHours('Europe/Berlin') == 2 && timestamp('2023-01-01T00:00:00Z').getHours('-02:30') == 21",
    );
    holds(
        "timestamp('2023-01-10T12:00:00Z') - timestamp('2023-01-10T00:00:00Z') == duration('12h') && type(duration('1s')) == google.protobuf.Duration",
    );
}

#[test]
fn networks() {
    holds("ip('192.168.0.1').family() == 4 && isIP('::1') && !isIP('::ffff:1.2.3.4') && ip('::1').isLoopback()");
    holds("ip.isCanonical('127.0.0.1') && !ip.isCanonical('2001:DB8::ABCD') && string(ip('10.0.0.1')) == '10.0.0.1'");
    holds("cidr('192.168.0.0/24').containsIP('192.168.0.1') && !cidr('10.0.0.0/8').containsIP(ip('11.0.0.1'))");
    holds(
        "cidr('192.168.0.0/16').containsCIDR('192.168.10.0/24') && !cidr('192.168.1.0/24').containsCIDR('192.168.0.0/16')",
    );
    holds("cidr('192.168.1.5/24').masked() == cidr('192.168.1.0/24') && cidr('::1/128').prefixLength() == 128");
    holds(
        "cidr('10.1.2.3/8').ip() == ip('10.1.2.3') && ip('224.0.0.5').isLinkLocalMulticast() && type(ip('1.1.1.1')) == net.IP",
    );
    fails("ip('x') == ip('1.1.1.1')", "IP Address \"x\" parse error during conversion from string");
}

#[test]
fn urls_and_versions() {
    holds(
        "url('https://u@example.com:80/a%20b?k=v&k=w#f').getHost() == 'example.com:80' && isURL('/path') && !isURL('a/b')",
    );
    holds("url('https://[::1]:80/').getHostname() == '::1' && url('https://[::1]:80/').getPort() == '80'");
    holds(
        "url('http://a/x?k=v&k=w').getQuery()['k'] == ['v', 'w'] && url('http://a/b c').getEscapedPath() == '/b%20c'",
    );
    holds("semver('1.2.3').isLessThan(semver('1.2.4')) && semver('1.0.0-alpha').compareTo(semver('1.0.0')) == -1");
    holds(
        "isSemver('v1.0', true) && !isSemver('1.0') && semver('01.02', true).major() == 1 && semver('1.2.3+b') == semver('1.2.3')",
    );
}

#[test]
fn two_variables() {
    holds("[10, 20].all(i, v, v == (i + 1) * 10) && {'a': 1}.transformMap(k, v, v + 1) == {'a': 2}");
    holds("{'a': 1}.transformMapEntry(k, v, {v: k}) == {1: 'a'} && [1, 2].transformList(i, v, v > 1, i) == [1]");
    fails("[1, 1].transformMapEntry(i, v, {v: i}) == {}", "insert failed: key 1 already exists");
    fails("[1].all(x, x, true)", "duplicate variable name: x");
}

#[test]
fn keys_of_patches() {
    let environment = Environment::kubernetes().with([json_patch()]);
    let program = compile(&environment, "jsonpatch.escapeKey('a/b~c') == 'a~1b~0c'");
    assert!(matches!(program.evaluate(&Bindings::new(), Limit::per_call()).result, Ok(Value::Bool(true))));
    assert!(value_of("jsonpatch.escapeKey('a')").is_err(), "only where it is offered");
}

#[derive(Debug)]
struct OnlyGet;

impl Authorizer for OnlyGet {
    fn authorize(&self, check: &Check) -> Decision {
        let allowed = check.verb == "get" && check.resource == "pods" && check.namespace == "n";
        Decision { allowed, reason: format!("asked for {}", check.name), error: None }
    }
}

#[test]
fn authorization_is_asked_for() {
    let of = Type::object("kubernetes.authorization.Authorizer");
    let environment = Environment::kubernetes().with([authorization()]).variable("authorizer", of);
    let expression = "authorizer.group('').resource('pods').namespace('n').name('p').check('get').allowed() && \
                      !authorizer.group('').resource('pods').check('get').allowed()";
    let program = compile(&environment, expression);
    let mut bindings = Bindings::new();
    bindings.bind("authorizer", authorizer(Arc::new(OnlyGet)));
    let evaluation = program.evaluate(&bindings, Limit::per_call());
    assert!(matches!(evaluation.result, Ok(Value::Bool(true))), "{evaluation:?}");
    assert!(evaluation.cost > 700_000);
    let twice = format!("{expression} && !authorizer.path('/x').check('get').allowed()");
    let program = compile(&environment, &twice);
    assert_eq!(program.evaluate(&bindings, Limit::per_call()).result.unwrap_err(), crate::Failure::Exhausted);
}

#[test]
fn variables_are_composed_of_programs() {
    let environment = Environment::kubernetes().variable("object", Type::Dyn);
    let replicas = compile(&environment, "object.spec.replicas * 2");
    let environment = environment
        .object("kubernetes.variables", [("twice".into(), Type::Dyn)])
        .variable("variables", Type::object("kubernetes.variables"));
    let program = compile(&environment, "variables.twice == 6 && variables.twice > 5");
    assert!(program.selected("variables").contains("twice"));
    let document = json!({"spec": {"replicas": 3}});
    let of = crate::Declared::anything();
    let mut bindings = Bindings::new();
    bindings.bind_document("object", crate::Document { json: &document, of: &of });
    bindings.compose("variables", vec![("twice".into(), &replicas)]);
    let evaluation = program.evaluate(&bindings, Limit::per_call());
    assert!(matches!(evaluation.result, Ok(Value::Bool(true))), "{evaluation:?}");
}

#[test]
fn variables_have_a_limit_of_their_own_and_their_mistakes_are_named() {
    let base = Environment::kubernetes().variable("object", Type::Dyn);
    let sum = compile(&base, "[1, 2, 3].map(x, x + 1).size()");
    let wrong = compile(&base, "object.nothing");
    let environment = base
        .object("kubernetes.variables", [("sum".into(), Type::Int), ("wrong".into(), Type::Dyn)])
        .variable("variables", Type::object("kubernetes.variables"));
    let program = compile(&environment, "variables.sum == 3 && variables.sum < 4");
    let document = json!({});
    let of = crate::Declared::anything();
    let mut bindings = Bindings::new();
    bindings.bind_document("object", crate::Document { json: &document, of: &of });
    bindings.compose("variables", vec![("sum".into(), &sum), ("wrong".into(), &wrong)]);
    let mut meter = crate::Meter::new(Limit::per_call());
    assert!(matches!(program.run(&bindings, &mut meter), Ok(Value::Bool(true))));
    let alone = sum.evaluate(&Bindings::new(), Limit::per_call()).cost;
    assert_eq!((meter.cost(), meter.cost_of_variables()), (6, alone), "it ran once");

    let program = compile(&environment, "variables.wrong");
    let failure = program.evaluate(&bindings, Limit::per_call()).result.unwrap_err();
    assert_eq!(failure.to_string(), "composited variable \"wrong\" fails to evaluate: no such key: nothing");
    let many: Vec<_> = (0..20).map(|at| (smol_str::format_smolstr!("v{at}"), &sum)).collect();
    let names: Vec<_> = many.iter().map(|(name, _)| (name.clone(), Type::Int)).collect();
    let all: Vec<String> = names.iter().map(|(name, _)| format!("variables.{name} > 0")).collect();
    let environment = environment.object("kubernetes.variables", names);
    let program = compile(&environment, &all.join(" && "));
    let mut bindings = Bindings::new();
    bindings.compose("variables", many);
    let mut meter = crate::Meter::new(Limit { variables: 10 * alone, ..Limit::per_call() });
    let failure = program.run(&bindings, &mut meter).unwrap_err();
    assert!(failure.to_string().ends_with("actual cost limit exceeded"), "{failure}");
    assert!((10 * alone..12 * alone).contains(&meter.cost_of_variables()), "only half of them ran");
}

#[test]
fn mistakes_of_variables_are_values() {
    let base = Environment::kubernetes();
    let wrong = compile(&base, "1 / 0 == 1");
    let environment = base
        .object("kubernetes.variables", [("wrong".into(), Type::Bool)])
        .variable("variables", Type::object("kubernetes.variables"));
    let mut bindings = Bindings::new();
    bindings.compose("variables", vec![("wrong".into(), &wrong)]);
    let program = compile(&environment, "variables.wrong || true");
    let result = program.evaluate(&bindings, Limit::per_call()).result;
    assert!(matches!(result, Ok(Value::Bool(true))), "{result:?}");
}

#[test]
fn values_become_json() {
    let expression = "{'a': dyn([dyn(1), dyn(2.5), dyn(3.0), dyn(4u)]), \
                      'b': dyn({'c': dyn(b'hi'), 'd': dyn(duration('90s'))}), 'e': dyn(null)}";
    let program = compile(&Environment::kubernetes(), expression);
    let value = program.evaluate(&Bindings::new(), Limit::per_call()).result.unwrap();
    let mut meter = crate::Meter::new(Limit::per_call());
    assert_eq!(
        value.to_json(&mut meter).unwrap(),
        json!({"a": [1, 2.5, 3, 4], "b": {"c": "aGk=", "d": "90s"}, "e": null})
    );
    let program = compile(&Environment::kubernetes(), "{1: 'x'}");
    let value = program.evaluate(&Bindings::new(), Limit::per_call()).result.unwrap();
    assert!(value.to_json(&mut meter).is_err());
}
