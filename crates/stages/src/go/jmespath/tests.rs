//! Answers as the peer gives them, refusals, and bounds.

use super::*;
use proptest::prelude::*;

fn search(source: &str, document: &str) -> Option<Value> {
    let tree = crate::json::tree(document.as_bytes(), 64).unwrap();
    Expression::new(source).unwrap().search(&Document::new(tree))
}

/// Plain paths are told apart; both kinds answer as JMESPath does.
#[test]
fn answers() {
    assert!(matches!(Expression::new("a.\"b c\"._1"), Ok(Expression::Fields(f)) if f == ["a", "b c", "_1"]));
    assert!(matches!(Expression::new("a[0]"), Ok(Expression::Compiled(_))));
    let doc = r#"{"a":[{"n":1,"s":"x"},{"n":2.5,"s":"y"}],"o":{"k":true}}"#;
    let text = |t: &str| Some(Value::Text(t.into()));
    assert_eq!(search("a[?n > `1`].s | [0]", doc), text("y"));
    assert_eq!(search("a[].n", doc), text("[1,2.5]"));
    assert_eq!(search("o.k", doc), Some(Value::Bool(true)));
    assert_eq!(search("o.k.z", doc), Some(Value::Null));
    assert_eq!(search("length(a)", doc), Some(Value::Number(2.0)));
    assert_eq!(search("join(',', a)", doc), None);
    assert_eq!(search("{x: o, y: a[-1].s}", doc), text(r#"{"x":{"k":true},"y":"y"}"#));
}

/// What [`DOCUMENT`] answers, as the peer's library does: JSON, or `-` where the expression fails and the key stays absent.
#[rustfmt::skip]
const ANSWERS: &[(&str, &str)] = &[
    ("a", "\"[{\\\"n\\\":1,\\\"v\\\":\\\"x\\\"},{\\\"n\\\":2,\\\"v\\\":\\\"y\\\"}]\""),
    ("a.b", "null"),
    ("a[*].n", "\"[1,2]\""),
    ("a[].n", "\"[1,2]\""),
    ("a[?n>`1`].v", "\"[\\\"y\\\"]\""),
    ("a[?v=='x'].n | [0]", "1"),
    ("length(a)", "2"),
    ("length(@)", "11"),
    ("to_string(a)", "\"[{\\\"n\\\":1,\\\"v\\\":\\\"x\\\"},{\\\"n\\\":2,\\\"v\\\":\\\"y\\\"}]\""),
    ("to_string(n)", "\"7\""),
    ("to_number(s)", "null"),
    ("to_number('1e3')", "1000"),
    ("to_number('0x1')", "null"),
    ("to_number('abc')", "null"),
    ("type(a)", "\"array\""),
    ("type(n)", "\"number\""),
    ("type(zz)", "\"null\""),
    ("abs(n)", "7"),
    ("ceil(f)", "-1"),
    ("floor(f)", "-2"),
    ("avg(l)", "2"),
    ("sum(l)", "6"),
    ("max(l)", "3"),
    ("min(l)", "1"),
    ("join(',',ls)", "\"p,q\""),
    ("join(',',l)", "-"),
    ("contains(ls,'p')", "true"),
    ("contains(s,'o')", "true"),
    ("starts_with(s,'f')", "true"),
    ("ends_with(s,'o')", "true"),
    ("reverse(l)", "\"[2,1,3]\""),
    ("reverse(s)", "\"oof\""),
    ("sort(l)", "\"[1,2,3]\""),
    ("sort(ls)", "\"[\\\"p\\\",\\\"q\\\"]\""),
    ("sort_by(a,&n)", "\"[{\\\"n\\\":1,\\\"v\\\":\\\"x\\\"},{\\\"n\\\":2,\\\"v\\\":\\\"y\\\"}]\""),
    ("sort_by(a,&v)[].n", "\"[1,2]\""),
    ("max_by(a,&n).v", "\"y\""),
    ("min_by(a,&n).v", "\"x\""),
    ("map(&n,a)", "\"[1,2]\""),
    ("not_null(zz,s)", "\"foo\""),
    ("to_array(s)", "\"[\\\"foo\\\"]\""),
    ("items(o)", "\"[[\\\"p\\\",1]]\""),
    ("from_items(items(o))", "\"{\\\"p\\\":1}\""),
    ("zip(l,ls)", "\"[[3,\\\"p\\\"],[1,\\\"q\\\"]]\""),
    ("find_first(s,'o')", "1"),
    ("find_last(s,'o')", "2"),
    ("replace(s,'o','0')", "\"f00\""),
    ("split(s,'o')", "\"[\\\"f\\\",\\\"\\\",\\\"\\\"]\""),
    ("trim(s)", "\"foo\""),
    ("upper(s)", "\"FOO\""),
    ("lower(s)", "\"foo\""),
    ("pad_left(s,`5`)", "\"  foo\""),
    ("pad_right(s,`5`,'-')", "\"foo--\""),
    ("n + `1`", "8"),
    ("n - `1`", "6"),
    ("n * `2`", "14"),
    ("n / `2`", "3.5"),
    ("n // `2`", "3"),
    ("n % `2`", "1"),
    ("-n", "-7"),
    ("let $x = n in $x", "7"),
    ("[n,s]", "\"[7,\\\"foo\\\"]\""),
    ("{x:n}.x", "7"),
    ("o.*", "\"[1]\""),
    ("*.p", "\"[1]\""),
    ("@.n", "7"),
    ("n == `7`", "true"),
    ("n != `7`", "false"),
    ("n > `5`", "true"),
    ("n >= `7`", "true"),
    ("n < s", "null"),
    ("s == 'foo'", "true"),
    ("s == \"foo\"", "false"),
    ("!zz", "true"),
    ("!s", "false"),
    ("n && s", "\"foo\""),
    ("zz || s", "\"foo\""),
    ("zz && s", "null"),
    ("a[0:1]", "\"[{\\\"n\\\":1,\\\"v\\\":\\\"x\\\"}]\""),
    ("a[::2]", "\"[{\\\"n\\\":1,\\\"v\\\":\\\"x\\\"}]\""),
    ("l[::-1]", "\"[2,1,3]\""),
    ("l[1:]", "\"[1,2]\""),
    ("l[:-1]", "\"[3,1]\""),
    ("l[5]", "null"),
    ("l[5:]", "\"[]\""),
    ("\"n\"", "7"),
    ("\"a\"[0].n", "1"),
    ("a[0].n", "1"),
    ("a[0].\"n\"", "1"),
    ("`5`", "5"),
    ("`\"x\"`", "\"x\""),
    ("`{\"a\":1}`", "\"{\\\"a\\\":1}\""),
    ("`[1,2]`", "\"[1,2]\""),
    ("`null`", "null"),
    ("'raw'", "\"raw\""),
    ("'it\\'s'", "\"it's\""),
    ("foo(@)", "-"),
    ("  n", "7"),
    ("n ", "7"),
    ("a[?n]", "\"[{\\\"n\\\":1,\\\"v\\\":\\\"x\\\"},{\\\"n\\\":2,\\\"v\\\":\\\"y\\\"}]\""),
    ("a[?n && v]", "\"[{\\\"n\\\":1,\\\"v\\\":\\\"x\\\"},{\\\"n\\\":2,\\\"v\\\":\\\"y\\\"}]\""),
    ("a[?contains(v,'x')]", "\"[{\\\"n\\\":1,\\\"v\\\":\\\"x\\\"}]\""),
    ("length(n)", "-"),
    ("length(zz)", "-"),
    ("abs(s)", "-"),
    ("sum(ls)", "-"),
    ("avg(`[]`)", "null"),
    ("max(`[]`)", "null"),
    ("sum(`[]`)", "0"),
    ("o.p.q.r", "null"),
    ("nested.deep[0].x", "\"y\""),
    ("a[*].[n,v]", "\"[[1,\\\"x\\\"],[2,\\\"y\\\"]]\""),
    ("a[*].{n:n}", "\"[{\\\"n\\\":1},{\\\"n\\\":2}]\""),
    ("a[*].n | [1]", "2"),
    ("l | [0]", "3"),
    ("(n)", "7"),
    ("(n || s).x", "null"),
    ("l[*]", "\"[3,1,2]\""),
    ("l[]", "\"[3,1,2]\""),
    ("ll[]", "\"[1,[2],3]\""),
    ("ll[][]", "\"[1,2,3]\""),
    ("ll[*][0]", "\"[1,3]\""),
    ("s[0]", "null"),
    ("s[0:2]", "\"fo\""),
    ("n[0]", "null"),
    ("o[0]", "null"),
    ("to_string(o)", "\"{\\\"p\\\":1}\""),
    ("to_string(l)", "\"[3,1,2]\""),
    ("to_string(s)", "\"foo\""),
    ("to_string(b)", "\"true\""),
    ("to_string(zz)", "\"null\""),
    ("b", "true"),
    ("zz", "null"),
    ("f", "-1.5"),
    ("n.x", "null"),
    ("max(ls)", "\"q\""),
    ("length(s)", "3"),
    ("length(u)", "2"),
    ("reverse(u)", "\"àé\""),
    ("a[?n==`1`] | [0].v", "\"x\""),
    ("a[?@.n==`2`].v", "\"[\\\"y\\\"]\""),
    ("l[?@ > `1`]", "\"[3,2]\""),
    ("l[?@>`1`]|length(@)", "2"),
    ("$.n", "7"),
    ("root", "null"),
    ("n==s", "false"),
    ("[]", "null"),
    ("[0]", "null"),
    ("[*]", "null"),
    ("[?n]", "null"),
    ("not_null()", "-"),
    ("join()", "-"),
    ("to_array(l)", "\"[3,1,2]\""),
    ("merge()", "-"),
    ("sort_by(a,&zz)", "-"),
    ("sort_by(a,n)", "-"),
    ("map(n,a)", "-"),
    ("contains(n,`7`)", "-"),
    ("contains(l,`2`)", "true"),
    ("starts_with(n,'7')", "-"),
    ("n = `7`", "-"),
    ("a[1:2:0]", "-"),
    ("\"\\u006e\"", "7"),
    ("`1`==`1.0`", "true"),
    ("`[1]`==`[1]`", "true"),
    ("`\"a\"` < `\"b\"`", "null"),
    ("o == `{\"p\":1}`", "true"),
];

/// What the peer's library refuses.
#[rustfmt::skip]
const REFUSED: &[&str] = &[
    "`x`",
    "foo(",
    "a[",
    "a]",
    "a..b",
    "a.",
    ".a",
    "a b",
    "%",
    "{n}",
    "n <> `7`",
    "a[1e0]",
    "\"n",
    "'x",
    "`{`",
    "n|",
    "|n",
    "n||",
];

const DOCUMENT: &str = r#"{"n":7,"s":"foo","f":-1.5,"b":true,"u":"éà","l":[3,1,2],"ls":["p","q"],"ll":[[1,[2]],[3]],"o":{"p":1},"a":[{"n":1,"v":"x"},{"n":2,"v":"y"}],"nested":{"deep":[{"x":"y"}]}}"#;

/// Each kind of expression and each function, with wrong arguments too, answers as the peer does.
#[test]
fn answers_as_the_peer() {
    for (source, expected) in ANSWERS {
        let expected: Option<serde_json::Value> = (*expected != "-").then(|| serde_json::from_str(expected).unwrap());
        let found = search(source, DOCUMENT).map(|found| match found {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Number(value) => value.into(),
            Value::Integer(text) | Value::Text(text) => text.to_string().into(),
        });
        let expected = expected.map(|mut value| {
            floats(&mut value);
            value
        });
        assert_eq!(found, expected, "{source}");
    }
    for source in REFUSED {
        assert!(Expression::new(source).is_err(), "{source}");
    }
}

/// What would recurse too deep, or is too long, is refused.
#[test]
fn refuses() {
    let deep = "[".repeat(300) + &"]".repeat(300);
    let long = "!".repeat(2000) + "a";
    for bad in [deep.as_str(), long.as_str(), &format!("a[{}]", "9".repeat(20))] {
        assert!(Expression::new(bad).is_err(), "{bad}");
    }
}

/// Expressions as long and as nested as they may be are read, run and dropped without a deep stack; those that double what
/// they are given end by running out of what they may use.
#[test]
fn recursion_and_work_are_bounded() {
    let tree = serde_json::json!({"a": [[[1]]], "s": "x".repeat(1000)});
    for source in [
        "!".repeat(200) + "a",
        "a|".repeat(100) + "a",
        "[]".repeat(100),
        "a".to_owned() + &"[*]".repeat(80),
        "[".repeat(100) + "a" + &"]".repeat(100),
        "& ".repeat(200) + "a",
        "a.*".to_owned() + &".*".repeat(100),
        "a||".repeat(100) + "a",
        "(".repeat(120) + "a" + &")".repeat(120),
        "a[1::2147483647][9223372036854775807:-9223372036854775808:9223372036854775807]".to_owned(),
    ] {
        Expression::new(&source).unwrap().search(&Document::new(tree.clone()));
    }
    for source in ["[@,@]|".repeat(40) + "@", "replace(s,'x',s)|".to_owned() + &"replace(@,'x',@)|".repeat(5) + "@"] {
        assert_eq!(Expression::new(&source).unwrap().search(&Document::new(tree.clone())), None, "{source}");
    }
}

proptest! {
    /// No expression panics, whatever it is given.
    #[test]
    fn never_panics(source in "([]\\[a-c.*?@!<=>|&,:{}()`'\"0-9 $+/%-]|sort_by|length|zip|let |in ){0,20}") {
        if let Ok(expression) = Expression::new(&source) {
            let tree = crate::json::tree(br#"{"a":[1,[2,3],{"b":"c"}],"b":{"a":null}}"#, 8).unwrap();
            expression.search(&Document::new(tree));
        }
    }
}
