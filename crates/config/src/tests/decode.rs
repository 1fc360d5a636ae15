//! Decoding: conversions, empty values, and what is reported once.

use std::collections::BTreeMap;

use super::*;

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Grpc {
    endpoint: Option<String>,
    max: Option<u32>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Off,
    Level(u8),
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Everything {
    grpc: Option<Grpc>,
    boxed: Option<Box<Grpc>>,
    plain: Grpc,
    text: String,
    maybe: Option<String>,
    number: u16,
    float: f64,
    flag: bool,
    list: Vec<String>,
    sizes: Vec<ByteSize>,
    map: BTreeMap<String, u32>,
    maybe_map: Option<BTreeMap<String, u32>>,
    maybe_list: Option<Vec<u32>>,
    wait: Option<GoDuration>,
    mode: Option<Mode>,
    id: Option<ComponentId>,
    any: Option<serde_json::Value>,
    #[serde(alias = "old_name")]
    new_name: u8,
}

fn read(text: &str) -> (Option<Everything>, Vec<String>) {
    let mut root = tree(text);
    let mut diagnostics = Diagnostics::new();
    let world = World::default().var("NUMBER", "0123").var("LIST", "a,b");
    crate::expand::expand(&mut root, &world, &mut diagnostics);
    let at = Located { node: &root, path: Path::root().key("x") };
    let value = decode(&at, &mut diagnostics);
    let messages = diagnostics.errors().map(|d| format!("{}: {}", d.path, d.message)).collect();
    (value, messages)
}

fn expect(text: &str, change: impl FnOnce(&mut Everything)) {
    let mut expected = Everything::default();
    change(&mut expected);
    assert_eq!(read(text), (Some(expected), vec![]), "{text}");
}

/// A written empty value is the defaults for a struct, and as good as absent for everything else.
#[test]
fn empty_values_enable_structs_and_nothing_else() {
    expect("", |_| {});
    expect("grpc:", |e| e.grpc = Some(Grpc::default()));
    expect("grpc: {}", |e| e.grpc = Some(Grpc::default()));
    expect("boxed: ~", |e| e.boxed = Some(Box::default()));
    expect("grpc: {endpoint: , max: }", |e| e.grpc = Some(Grpc::default()));
    for key in ["plain", "text", "maybe", "number", "float", "flag", "list", "sizes", "map", "maybe_map", "maybe_list"]
    {
        expect(&format!("{key}:"), |_| {});
    }
    expect("{wait: , mode: , id: }", |_| {});
    expect("map: {a: , b: 1}", |e| e.map = [("b".to_owned(), 1)].into());
    expect("grpc: ${env:UNSET}", |_| {});
    expect("maybe: ${env:UNSET}", |_| {});
    expect("{text: '${env:UNSET}', number: '${env:UNSET}', mode: '${env:UNSET}'}", |_| {});
}

/// Text fields take numbers as they were written, number fields take whole floats, lists take commas.
#[test]
fn scalars_convert_as_in_the_collector() {
    expect("text: 1.10", |e| e.text = "1.10".to_owned());
    expect("text: 0x10", |e| e.text = "0x10".to_owned());
    expect("text: ${env:NUMBER}", |e| e.text = "0123".to_owned());
    expect("number: ${env:NUMBER}", |e| e.number = 83);
    expect("maybe: 5", |e| e.maybe = Some("5".to_owned()));
    expect("number: 1e3", |e| e.number = 1000);
    expect("number: 0x10", |e| e.number = 16);
    expect("float: 3", |e| e.float = 3.0);
    expect("flag: TRUE", |e| e.flag = true);
    expect("list: a,b", |e| e.list = vec!["a".to_owned(), "b".to_owned()]);
    expect("list: ${env:LIST}", |e| e.list = vec!["a".to_owned(), "b".to_owned()]);
    expect("list: ''", |_| {});
    expect("sizes: [1KiB, 5]", |e| e.sizes = vec![ByteSize(1024), ByteSize(5)]);
    expect("wait: 0", |e| e.wait = Some(GoDuration::default()));
    expect("mode: off", |e| e.mode = Some(Mode::Off));
    expect("mode: {level: 3}", |e| e.mode = Some(Mode::Level(3)));
    expect("id: otlp/a", |e| e.id = Some("otlp/a".parse().unwrap()));
    expect("any: {a: [1, x]}", |e| e.any = Some(serde_json::json!({"a": [1, "x"]})));
    expect("old_name: 5", |e| e.new_name = 5);
}

/// What does not fit is refused in words of the configuration, however much of it there is.
#[test]
fn what_does_not_fit_is_refused() {
    for (text, messages) in [
        ("text: true", vec!["x.text: expected a text, found the boolean `true`"]),
        ("text: [a]", vec!["x.text: expected a text, found a list"]),
        ("flag: 1", vec!["x.flag: expected true or false, found the number `1`"]),
        ("number: '5'", vec!["x.number: expected a whole number from 0 to 65535, found the text `5`"]),
        ("number: 1.5", vec!["x.number: expected a whole number from 0 to 65535, found the number `1.5`"]),
        ("number: -1", vec!["x.number: expected a whole number from 0 to 65535, found the number `-1`"]),
        ("list: {a: 1}", vec!["x.list: expected a list, found a map"]),
        ("list: [a, ]", vec![]),
        ("list: [a, ~]", vec!["x.list[1]: expected a text, found nothing"]),
        (
            "sizes: [1, x, 2, y]",
            vec![
                "x.sizes[1]: `x` is not a size such as `512MiB`, `1GB` or `1048576`",
                "x.sizes[3]: `y` is not a size such as `512MiB`, `1GB` or `1048576`",
            ],
        ),
        ("mode: of", vec!["x.mode: expected one of `off`, `level`, found `of`"]),
        ("mode: {level: 300}", vec!["x.mode.level: expected a whole number from 0 to 255, found the number `300`"]),
        (
            "map: {a: x, b: 1, c: y}",
            vec![
                "x.map.a: expected a whole number from 0 to 4294967295, found the text `x`",
                "x.map.c: expected a whole number from 0 to 4294967295, found the text `y`",
            ],
        ),
        ("id: /a", vec!["x.id: the part before the / is empty in the id `/a`"]),
        ("{new_name: 1, old_name: 2}", vec!["x.old_name: `new_name` is set twice, under two of its names"]),
        (
            "grpc: {endpoint: [], max: x, extra: 1}",
            vec![
                "x.grpc.endpoint: expected a text, found a list",
                "x.grpc.max: expected a whole number from 0 to 4294967295, found the text `x`",
                "x.grpc.extra: unknown key `extra`; known are endpoint, max",
            ],
        ),
    ] {
        let (value, mut found) = read(text);
        assert_eq!(value.is_none(), !messages.is_empty(), "{text}");
        let mut messages: Vec<String> = messages.into_iter().map(str::to_owned).collect();
        found.sort();
        messages.sort();
        assert_eq!(found, messages, "{text}");
    }
}

#[derive(Debug, PartialEq, Deserialize)]
struct Inner {
    needed: String,
    also: u8,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Outer {
    inner: Inner,
    #[serde(default)]
    optional: Option<Inner>,
    #[serde(default)]
    other: u8,
}

/// A required key that is wrong, misspelt or unresolvable is reported once; one that is missing or empty is missed.
#[test]
fn consequences_are_not_reported() {
    for (text, messages) in [
        ("inner: {needed: a, also: 1}", vec![]),
        ("inner: {also: 1}", vec!["x.inner: the key `needed` is required"]),
        ("inner: {needed: , also: 1}", vec!["x.inner: the key `needed` is required"]),
        ("inner: {needed: [], also: 1}", vec!["x.inner.needed: expected a text, found a list"]),
        ("inner: {neded: a, also: 1}", vec!["x.inner.neded: unknown key `neded`"]),
        (
            "inner: {needed: '${env:-}', also: 1}",
            vec!["inner.needed: `-` is no name of an environment variable: letters, digits and _ only"],
        ),
        (
            "inner: {needed: [], also: x}\nother: y",
            vec![
                "x.inner.also: expected a whole number from 0 to 255, found the text `x`",
                "x.inner.needed: expected a text, found a list",
                "x.other: expected a whole number from 0 to 255, found the text `y`",
            ],
        ),
        (
            "other: y",
            vec![
                "x.other: expected a whole number from 0 to 255, found the text `y`",
                "x: the key `inner` is required",
            ],
        ),
        ("inner: {needed: a, also: 1}\noptional:", vec!["x.optional: the key `needed` is required"]),
    ] {
        let mut root = tree(text);
        let mut diagnostics = Diagnostics::new();
        crate::expand::expand(&mut root, &World::default(), &mut diagnostics);
        let at = Located { node: &root, path: Path::root().key("x") };
        let value: Option<Outer> = decode(&at, &mut diagnostics);
        let mut found: Vec<String> = diagnostics.errors().map(|d| format!("{}: {}", d.path, d.message)).collect();
        found.sort();
        assert_eq!(
            (found, value.is_some()),
            (messages.iter().map(|m| (*m).to_owned()).collect(), messages.is_empty()),
            "{text}"
        );
    }
}

/// More errors than there are runs still end, and never without a word.
#[test]
fn there_is_an_end_to_errors() {
    let many: String = (0..3000).map(|i| format!("k{i}: ,")).collect();
    let (value, messages) = read(&format!("map: {{{many}}}"));
    assert_eq!((value, messages), (None, vec!["x: too many empty values".to_owned()]));
    let many: String = (0..3000).map(|i| format!("k{i}: x,")).collect();
    let (value, messages) = read(&format!("map: {{{many}}}"));
    assert!(value.is_none() && messages.len() == 1000);
}
