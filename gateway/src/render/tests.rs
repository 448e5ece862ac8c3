use super::indent;

#[test]
fn indenting_keeps_order_and_text() {
    let text = br#"{"kind":"A","list":[1,{"b":"x{,}: \"y\" \\"},[]],"empty":{},"n":null}"#;
    let indented = String::from_utf8(indent(text).to_vec()).unwrap();
    let expected = "{\n  \"kind\": \"A\",\n  \"list\": [\n    1,\n    {\n      \"b\": \"x{,}: \\\"y\\\" \\\\\"\n    },\n    []\n  ],\n  \"empty\": {},\n  \"n\": null\n}\n";
    assert_eq!(indented, expected);
}
