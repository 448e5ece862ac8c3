//! What evaluations cost, to the unit.

use serde_json::{Value as Json, json};

use super::outcome;

fn values(kinds: &[Json]) -> Json {
    let fields: serde_json::Map<String, Json> =
        kinds.iter().enumerate().map(|(at, kind)| (format!("val{}", at + 1), kind.clone())).collect();
    json!({"type": "object", "properties": fields})
}

fn kind(name: &str) -> Json {
    json!({ "type": name })
}

fn formatted(format: &str) -> Json {
    json!({"type": "string", "format": format})
}

#[track_caller]
fn cost(schema: &Json, document: &Json, table: &[(&str, u64)]) {
    for (expression, expected) in table {
        let (result, found) = outcome(expression, schema, document);
        assert_eq!((result, found), (Ok(true), *expected), "{expression}");
    }
}

#[test]
fn of_scalars() {
    let schema = values(&[kind("integer"), kind("number"), kind("boolean"), kind("string")]);
    let document = json!({"val1": 5, "val2": 10.0, "val3": true, "val4": "Rook takes 👑"});
    let table = [
        ("self.val1 == self.val1", 5),
        ("type(self.val1) == int", 4),
        ("self.val1 + 1 == 5 + 1", 5),
        ("double(self.val1) < self.val2", 6),
        ("self.val1 < int(self.val2)", 6),
        ("double(5) < 10.0", 1),
        ("5 < int(10.0)", 1),
        ("double(self.val1) < 10.0", 4),
        ("self.val2 == 10.0", 3),
        ("type(self.val3) == bool", 4),
        ("self.val4.startsWith('Rook')", 4),
        ("!self.val4.startsWith('knight')", 5),
        ("self.val4.matches('^[^0-9]*$')", 8),
        ("!self.val4.matches('^[0-9]*$')", 7),
        ("size(self.val4) == 12", 4),
        ("self.val4.charAt(3) == 'k'", 4),
        ("self.val4.indexOf('o') == 1", 4),
        ("self.val4.indexOf('o', 2) == 2", 4),
        ("self.val4.replace(' ', 'x') == 'Rookxtakesx👑'", 7),
        ("self.val4.replace(' ', 'x', 1) == 'Rookxtakes 👑'", 7),
        ("self.val4.split(' ') == ['Rook', 'takes', '👑']", 6),
        ("self.val4.split(' ', 2) == ['Rook', 'takes 👑']", 6),
        ("self.val4.substring(5) == 'takes 👑'", 5),
        ("self.val4.substring(4, 10).trim() == 'takes'", 6),
        ("self.val4.upperAscii() == 'ROOK TAKES 👑'", 6),
        ("self.val4.lowerAscii() == self.val4.lowerAscii()", 10),
        (
            "'%d %s %f %s %s'.format([1, 'abc', 1.0, duration('1m'), timestamp('2000-01-01T00:00:00.000Z')]) == \
             '1 abc 1.000000 60s 2000-01-01T00:00:00Z'",
            6,
        ),
        ("'%e'.format([3.14]) == '3.140000×10⁰⁰'", 3),
        ("'%o %o %o'.format([7, 8, 9]) == '7 10 11'", 2),
        ("'%b %b %b'.format([7, 8, 9]) == '111 1000 1001'", 3),
    ];
    cost(&schema, &document, &table);
}

#[test]
fn of_formats() {
    let schema = values(&[
        formatted("byte"),
        formatted("duration"),
        formatted("date"),
        formatted("date-time"),
        kind("string"),
        kind("string"),
    ]);
    let document = json!({
        "val1": "QUI=", "val2": "1h2m3s4ms", "val3": "1997-07-16", "val4": "2011-08-18T19:03:37.010000000+01:00",
        "val5": "3723.004s", "val6": "2011-08-18T19:03:37.01+01:00",
    });
    let table = [
        ("self.val1 == b'AB'", 3),
        ("type(self.val1) == bytes", 4),
        ("size(self.val1) == 2", 4),
        ("self.val2 == duration('1h2m') + duration('3s4ms')", 4),
        ("self.val2.getHours() == 1", 4),
        ("type(self.val2) == google.protobuf.Duration", 4),
        ("self.val3.getDate() == 16", 4),
        ("self.val4 == timestamp('2011-08-18T00:00:00.000+01:00') + duration('19h3m37s10ms')", 4),
        ("self.val4.getDate('01:00') == 18", 4),
        ("type(self.val4) == google.protobuf.Timestamp", 4),
        ("duration(self.val5) == self.val2", 6),
        ("timestamp(self.val6) == self.val4", 6),
    ];
    cost(&schema, &document, &table);
}

#[test]
fn of_lists() {
    let list = json!({"type": "array", "items": {"type": "integer"}});
    let set = json!({"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"});
    let schema = values(&[list.clone(), list.clone(), set.clone(), set, list]);
    let thousand: Vec<i64> = (0..1000).collect();
    let document = json!({
        "val1": [1, 2, 3], "val2": [1, 2, 3], "val3": ["a", "b", "c"], "val4": ["a", "c", "b"], "val5": thousand,
    });
    let table = [
        ("1 in self.val1", 5),
        ("self.val2[0] in self.val1", 8),
        ("!(0 in self.val1)", 6),
        ("self.val1 + self.val2 == [1, 2, 3, 1, 2, 3]", 6),
        ("self.val1 + [4, 5] == [1, 2, 3, 4, 5]", 4),
        ("has(self.val1)", 1),
        ("has(self.val1) && has(self.val2)", 2),
        ("self.val3 == ['c', 'b', 'a']", 3),
        ("self.val3 == self.val4", 5),
        ("self.val3 + ['c', 'd'] == ['a', 'b', 'c', 'd']", 4),
        ("self.val3 + self.val4 == ['a', 'b', 'c']", 6),
        ("sets.contains(self.val3, ['a'])", 6),
        ("sets.equivalent(self.val3, ['a', 'b', 'c'])", 21),
        ("sets.intersects(self.val3, ['a'])", 6),
        ("sets.contains(self.val5, [1])", 1003),
        ("!sets.equivalent(self.val5, [1, 2, 3])", 6004),
    ];
    cost(&schema, &document, &table);
}

#[test]
fn of_loops() {
    let schema = json!({"type": "object", "properties": {"array": {"type": "array", "items": {"type": "integer"}}}});
    let document = json!({"array": [1, 1, 2, 2, 3, 3, 4, 5]});
    let table = [
        ("2 in self.array", 10),
        ("self.array.all(e, e > 0)", 43),
        ("self.array.exists(e, e > 2)", 36),
        ("self.array.exists_one(e, e > 4)", 22),
        ("!self.array.all(e, e < 2)", 21),
        ("!self.array.exists(e, e < 0)", 52),
        ("!self.array.exists_one(e, e == 2)", 25),
        ("size(self.array.filter(e, e%2 == 0)) == 3", 68),
        ("self.array.map(e, e * 20).filter(e, e > 50).exists(e, e == 60)", 194),
        ("self.array.all(i, e, e > 0)", 43),
        ("self.array.exists(i, e, e > 2)", 36),
        ("self.array.existsOne(i, e, e > 4)", 22),
        ("self.array.transformList(i, e, e > 2, e * 2).size() > 0", 77),
        ("self.array.transformList(i, e, e * 2).size() > 0", 117),
    ];
    cost(&schema, &document, &table);
}

#[test]
fn of_maps() {
    let schema = json!({"type": "object", "properties": {
        "val": {"type": "object", "additionalProperties": {"type": "integer"}},
    }});
    let document = json!({"val": {"b": 1, "d": 2}});
    let table = [
        ("!('a' in self.val)", 4),
        ("'b' in self.val", 3),
        ("!has(self.val.a)", 3),
        ("has(self.val.b)", 2),
        ("self.val.all(k, self.val[k] > 0)", 17),
        ("!self.val.exists(k, self.val[k] == 3)", 20),
        ("self.val.exists_one(k, self.val[k] == 2)", 14),
        ("!self.val.exists_one(k, self.val[k] > 0)", 17),
        ("size(self.val) == 2", 4),
        ("size(self.val.filter(k, self.val[k] > 1)) == 1", 26),
        ("self.val.all(k, v, v > 0)", 13),
        ("!self.val.exists(k, v, v == 3)", 16),
        ("self.val.existsOne(k, v, v == 2)", 10),
        ("self.val.transformMap(k, v, v > 1, v + 1).size() == 1", 14),
        ("self.val.transformMap(k, v, v + 1).size() == 2", 15),
        ("self.val.transformMapEntry(k, v, v > 1, {k + '2': v + 1}).size() == 1", 45),
        ("self.val.transformMapEntry(k, v, {k + '2': v + 1}).size() == 2", 77),
    ];
    cost(&schema, &document, &table);
}

#[test]
fn of_lists_that_are_maps() {
    let item = json!({"type": "object", "properties": {
        "k": {"type": "string"}, "v": {"type": "string"}, "v2": {"type": "string"},
    }});
    let list = json!({
        "type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
    });
    let schema = json!({"type": "object", "properties": {
        "objs": {"type": "array", "items": list.clone()}, "listMap": list,
    }});
    let document = json!({
        "listMap": [{"k": "a1", "v": "b1"}, {"k": "a2", "v": "b2"}, {"k": "a3", "v": "b3", "v2": "z"}],
        "objs": [
            [{"k": "a", "v": "1"}, {"k": "b", "v": "2"}],
            [{"k": "b", "v": "2"}, {"k": "a", "v": "1"}],
            [{"k": "b", "v": "3"}, {"k": "a", "v": "1"}],
            [{"k": "c", "v": "4"}],
        ],
    });
    let table = [
        ("self.objs[0] == self.objs[1]", 7),
        ("self.objs[0] + self.objs[2] == self.objs[2]", 11),
        ("self.objs[2] + self.objs[0] == self.objs[0]", 11),
        ("self.objs[0] == [self.objs[0][0], self.objs[0][1]]", 22),
        ("self.objs[0] == [self.objs[0][1], self.objs[0][0]]", 22),
        ("self.objs[2] + [self.objs[0][0], self.objs[0][1]] == self.objs[0]", 26),
        ("size(self.objs[0] + [self.objs[3][0]]) == 3", 20),
        ("has(self.listMap[0].v)", 3),
        ("self.listMap.all(m, m.k.startsWith('a'))", 21),
        ("self.listMap.all(m, !has(m.v2) || m.v2 == 'z')", 21),
        ("self.listMap.exists(m, m.k.endsWith('1'))", 13),
        ("self.listMap.exists_one(m, m.k == 'a3')", 15),
        ("!self.listMap.all(m, m.k.endsWith('1'))", 18),
        ("!self.listMap.exists(m, m.v == 'x')", 25),
        ("size(self.listMap.filter(m, m.k == 'a1')) == 1", 27),
        ("self.listMap.exists(m, m.k == 'a1' && m.v == 'b1')", 16),
        ("self.listMap.map(m, m.v).exists(v, v == 'b1')", 55),
        ("self.listMap.exists(m, has(m.v2) && m.v2 == 'z')", 21),
        ("!self.listMap.all(m, has(m.v2) && m.v2 != 'z')", 10),
        ("self.listMap.map(m, has(m.v2) && m.v2 == 'z', m.v2).size() == 1", 25),
        ("self.listMap.filter(m, has(m.v2) && m.v2 == 'z').map(m, m.v2).size() == 1", 39),
        ("self.listMap.exists(m, m.v2 == 'z')", 24),
        ("!self.listMap.all(m, m.v2 != 'z')", 22),
        ("self.listMap.transformList(i, m, m.v).size() == 3", 47),
    ];
    cost(&schema, &document, &table);
}

#[test]
fn of_objects() {
    let schema = json!({"type": "object", "properties": {
        "a1": {"type": "object", "properties": {
            "b1": {"type": "object", "properties": {"c1": {"type": "integer"}}},
            "d2": {"type": "object", "properties": {"e2": {"type": "integer"}}},
        }},
        "enumStr": {"type": "string", "enum": ["Pending", "Available"]},
        "a-b": {"type": "integer"},
        "namespace": {"type": "string"},
    }});
    let document = json!({"a1": {"b1": {"c1": 4}}, "enumStr": "Pending", "a-b": 1, "namespace": "n"});
    let table = [
        ("has(self.a1.b1.c1)", 3),
        ("!(has(self.a1.d2) && has(self.a1.d2.e2))", 3),
        ("!has(self.a1.d2)", 3),
        ("self.enumStr == 'Pending'", 3),
        ("self.enumStr in ['Pending', 'Available']", 2),
        ("self.a__dash__b == 1", 3),
        ("self.__namespace__ == 'n'", 3),
        ("self.namespace == 'n'", 3),
    ];
    cost(&schema, &document, &table);
    assert_eq!(outcome("has(self.a1.d2.e2)", &schema, &document).0, Err("no such key: d2".to_owned()));
}
