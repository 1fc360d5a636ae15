//! Templates against Go's answers.

use super::*;
use crate::entry::{Labels, Symbols, Value};
use proptest::prelude::*;

fn extracted() -> Extracted {
    let labels: Labels = [("app", "web"), ("k-1", "dash"), ("num", "5")].into_iter().collect();
    let mut extracted = Extracted::from_labels(&Arc::new(Symbols::default()), &labels);
    extracted.set_named("null".into(), Value::Null);
    extracted.set_named("n".into(), Value::Number(9.5));
    extracted
}

fn execute(source: &str) -> Result<String, String> {
    let template = Template::new(source).map_err(|e| format!("parse: {e}"))?;
    let line = Text::from("p qq r");
    let data = Data { extracted: &extracted(), value: Some("val".into()), line: Some(&line) };
    template.execute(&data).map(|out| String::from_utf8(out).unwrap()).map_err(|e| format!("exec: {e}"))
}

/// Each construct of the language prints what Go prints.
#[test]
fn the_language() {
    for (source, expected) in [
        ("plain }} text", "plain }} text"),
        ("{{ .app }}{{ .Value }}{{ .Entry }}", "webvalp qq r"),
        ("{{ .missing }}|{{ .null }}|{{ .missing.more }}", "<no value>|<no value>|<no value>"),
        ("{{ .n }}", "9.5"),
        ("a {{- \" b \" -}} c", "a b c"),
        ("a{{/* c */}}b {{- /* d */ -}} c", "abc"),
        ("{{ if .missing }}x{{ else if eq .app \"web\" }}y{{ else }}z{{ end }}", "y"),
        ("{{ with .app }}{{ . }}{{ $.num }}{{ end }}", "web5"),
        ("{{ with .missing }}x{{ else with .num }}{{ . }}{{ end }}", "5"),
        ("{{ range list 1 2 3 }}{{ if eq . 2 }}{{ continue }}{{ end }}{{ . }}{{ end }}", "13"),
        ("{{ range $i, $x := list \"a\" \"b\" \"c\" }}{{ if $i }}{{ break }}{{ end }}{{ $x }}{{ end }}", "a"),
        ("{{ range list }}x{{ else }}none{{ end }}", "none"),
        ("{{ range $k, $v := . }}{{ $k }},{{ end }}", "Entry,Value,app,k-1,n,num,"),
        ("{{ range 3 }}{{ . }}{{ end }}", "012"),
        ("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ $x := 3 }}{{ $x }}{{ end }}{{ $x }}", "32"),
        ("{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .app }}{{ template \"t\" }}", "<web><<no value>>"),
        ("{{ block \"b\" .num }}[{{ . }}]{{ end }}", "[5]"),
        ("{{ (split \",\" \"a,b\")._1 }}", "b"),
        ("{{ \"x\" | printf \"%s-%s\" \"a\" }}", "a-x"),
        ("{{ and 1 \"\" .boom }}|{{ or \"\" 2 }}|{{ and true .app }}", "|2|web"),
        ("{{ not .missing }} {{ eq .missing .null }} {{ eq .missing \"x\" }}", "true true false"),
        ("{{ print 1 2 \"a\" 3 4 }} {{ println \"x\" 1 }}", "1 2a3 4 x 1\n"),
        (
            "{{ printf \"%5.2f|%-4d|%04d|%q|%x|%v|%t|%c|%%|%e\" 3.14159 7 42 \"hi\" 255 .app true 65 1234.5 }}",
            " 3.14|7   |0042|\"hi\"|ff|web|true|A|%|1.234500e+03",
        ),
        ("{{ printf \"%d %s\" \"x\" 1 }}", "%!d(string=x) %!s(int=1)"),
        ("{{ printf \"%d\" }}{{ printf \"a\" 1 }}", "%!d(MISSING)a%!(EXTRA int=1)"),
        ("{{ index . \"k-1\" }}{{ index (list 1 2) 1 }}{{ len .app }}{{ index . \"none\" }}", "dash23<no value>"),
        ("{{ html \"<a&'>\" }} {{ urlquery \"a b&c\" }} {{ js \"it's\" }}", "&lt;a&amp;&#39;&gt; a+b%26c it\\'s"),
        ("{{ 'a' }} {{ 0x10 }} {{ 1e3 }} {{ -3 }} {{ 1_000 }} {{ `r\\n` }}", "97 16 1000 -3 1000 r\\n"),
        ("{{ list 1 \"a\" nil }} {{ dict \"a\" 1 \"b\" (list 2) }}", "[1 a <nil>] map[a:1 b:[2]]"),
        (
            "{{ coalesce \"\" 0 }} {{ first list }} {{ float64 \"1234567\" }} {{ b64dec \"a*\" }}",
            "<no value> <no value> 1.234567e+06 illegal base64 data at input byte 1",
        ),
        ("{{ lt 1.5 2.5 }} {{ ge \"b\" \"a\" }} {{ ne 1 2 }}", "true true true"),
    ] {
        assert_eq!(execute(source).as_deref(), Ok(expected), "{source}");
    }
}

/// sprig's functions answer what sprig answers.
#[test]
fn the_functions() {
    for (source, expected) in [
        ("{{ trunc 3 \"abcdef\" }} {{ trunc -3 \"abcdef\" }} {{ trunc 9 \"ab\" }}", "abc def ab"),
        ("{{ substr 1 3 \"abcdef\" }} {{ substr 2 -1 \"abc\" }} {{ substr -1 2 \"abc\" }}", "bc c ab"),
        ("{{ abbrev 5 \"hello world\" }} {{ abbrevboth 5 10 \"1234 5678 9123\" }}", "he... ...5678..."),
        (
            "{{ title \"hello wOrld\" }} {{ untitle \"Hello World\" }} {{ swapcase \"aBc\" }} {{ initials \"First Try\" }}",
            "Hello WOrld hello world AbC FT",
        ),
        (
            "{{ snakecase \"FirstName\" }} {{ snakecase \"HTTPServer\" }} {{ kebabcase \"FirstName\" }} {{ camelcase \"http_server\" }}",
            "first_name http_server first-name HttpServer",
        ),
        (
            "{{ repeat 3 \"ab\" }} {{ nospace \"a b c\" }} {{ plural \"one\" \"many\" 2 }} {{ cat \"a\" 1 nil \"b\" }}",
            "ababab abc many a 1 b",
        ),
        ("{{ indent 2 \"a\\nb\" }}{{ nindent 1 \"c\" }}", "  a\n  b\n c"),
        ("{{ quote \"a\\\"b\" 1 }} {{ squote \"x\" }}", "\"a\\\"b\" \"1\" 'x'"),
        ("{{ wrap 5 \"aaa bbb ccc\" }}", "aaa\nbbb\nccc"),
        ("{{ contains \"b\" \"abc\" }} {{ hasPrefix \"a\" \"abc\" }} {{ hasSuffix \"b\" \"abc\" }}", "true true false"),
        (
            "{{ Replace \"aaa\" \"a\" \"b\" 2 }} {{ Hash \"s\" \"x\" | len }} {{ trimAll \"$\" \"$5$\" }} {{ trimSuffix \"-\" \"a-\" }}",
            "bba 64 5 a",
        ),
        (
            "{{ add 1 2 3 }} {{ add1 4 }} {{ div -7 2 }} {{ mod -7 3 }} {{ max 1 5 3 }} {{ min 4 2 }} {{ addf 0.1 0.2 }} {{ round 123.5555 3 }}",
            "6 5 -3 -1 5 2 0.3 123.556",
        ),
        (
            "{{ until 3 }} {{ untilStep 3 9 3 }} {{ seq 5 }} {{ seq 0 2 6 }} {{ seq 3 1 }}",
            "[0 1 2] [3 6] 1 2 3 4 5 0 2 4 6 3 2 1",
        ),
        (
            "{{ first (list 1 2) }} {{ rest (list 1 2 3) }} {{ last (list 1 2) }} {{ initial (list 1 2) }} {{ append (list 1) 2 }} {{ prepend (list 2) 1 }}",
            "1 [2 3] 2 [1] [1 2] [1 2]",
        ),
        (
            "{{ uniq (list 1 1 2) }} {{ without (list 1 2) 1 }} {{ has 2 (list 1 2) }} {{ compact (list 0 1 \"\") }} {{ reverse (list 1 2) }} {{ slice (list 1 2 3) 1 2 }} {{ chunk 2 (list 1 2 3) }} {{ concat (list 1) (list 2) }}",
            "[1 2] [2] true [1] [2 1] [2] [[1 2] [3]] [1 2]",
        ),
        (
            "{{ dict \"b\" 2 \"a\" 1 | keys | sortAlpha | join \",\" }} {{ get (dict \"a\" 1) \"a\" }} {{ hasKey (dict \"a\" 1) \"b\" }} {{ pick (dict \"a\" 1 \"b\" 2) \"a\" }} {{ omit (dict \"a\" 1 \"b\" 2) \"a\" }}",
            "a,b 1 false map[a:1] map[b:2]",
        ),
        (
            "{{ dig \"a\" \"b\" \"none\" (dict \"a\" (dict \"b\" 1)) }} {{ dig \"x\" \"none\" (dict \"a\" 1) }} {{ merge (dict \"a\" 1) (dict \"a\" 2 \"b\" 3) }} {{ pluck \"a\" (dict \"a\" 1) (dict \"a\" 2) }}",
            "1 none map[a:1 b:3] [1 2]",
        ),
        (
            "{{ default \"d\" \"\" }} {{ coalesce 0 \"\" 3 }} {{ empty .missing }} {{ all 1 2 }} {{ any 0 1 }} {{ ternary \"a\" \"b\" false }}",
            "d 3 true true true b",
        ),
        (
            "{{ toJson (dict \"a\" (list 1 \"<\")) }} {{ toRawJson \"<\" }} {{ (fromJson \"{\\\"a\\\":[1,2]}\").a }}",
            "{\"a\":[1,\"\\u003c\"]} \"<\" [1 2]",
        ),
        ("{{ toPrettyJson (dict \"a\" 1) }}", "{\n  \"a\": 1\n}"),
        (
            "{{ kindOf 1 }} {{ typeOf \"a\" }} {{ kindIs \"map\" (dict) }} {{ typeIs \"string\" .app }}",
            "int string true true",
        ),
        (
            "{{ b64enc \"hi\" }} {{ b64dec \"aGk=\" }} {{ b32enc \"hi\" }} {{ adler32sum \"abc\" }}",
            "aGk= hi NBUQ==== 38600999",
        ),
        (
            "{{ base \"/a/b.txt\" }} {{ dir \"/a/b.txt\" }} {{ ext \"b.tar.gz\" }} {{ clean \"/a/../b//c\" }} {{ isAbs \"/a\" }}",
            "b.txt /a .gz /b/c true",
        ),
        (
            "{{ regexMatch \"^a.\" \"ab\" }} {{ regexFind \"[0-9]+\" \"a12b3\" }} {{ regexFindAll \"[0-9]+\" \"a1b22c3\" 2 }} {{ regexReplaceAll \"a(x*)b\" \"-ab-axxb-\" \"${1}W\" }} {{ regexSplit \"z+\" \"pizza\" -1 }} {{ regexQuoteMeta \"1.2\" }}",
            "true 12 [1 22] -W-xxW- [pi a] 1\\.2",
        ),
        (
            "{{ toDate \"2006-01-02\" \"2024-02-29\" | date \"02/01/06\" }} {{ date \"2006\" 0 }} {{ dateInZone \"15:04\" 0 \"Asia/Tokyo\" }} {{ unixEpoch (toDate \"2006-01-02\" \"1970-01-02\") }} {{ durationRound \"2h10m5s\" }} {{ duration 95 }}",
            "29/02/24 1970 09:00 86400 2h 1m35s",
        ),
        (
            "{{ (semver \"1.2.3-beta\").Minor }} {{ semverCompare \">=1.2.0\" \"1.3.0\" }} {{ semverCompare \"^1.2\" \"2.0.0\" }}",
            "2 true false",
        ),
        (
            "{{ (urlParse \"http://u:p@h:80/p?q=1#f\").host }} {{ urlJoin (dict \"scheme\" \"http\" \"host\" \"h\" \"path\" \"/p\" \"query\" \"q=1\") }}",
            "h:80 http://h/p?q=1",
        ),
        (
            "{{ int \"1.9\" }} {{ int64 \"0x1f\" }} {{ atoi \"z\" }} {{ float64 \"1e3\" }} {{ toDecimal \"777\" }} {{ toString 5 }} {{ toStrings (list 1 2) }}",
            "1 31 0 1000 511 5 [1 2]",
        ),
        (
            "{{ splitList \",\" \"a,b\" }} {{ (splitn \",\" 2 \"a,b,c\")._1 }} {{ join \"-\" (list 1 2) }}",
            "[a b] b,c 1-2",
        ),
        (
            "{{ regexMatch \"(\" .app }} {{ regexSplit \"\" \"abc\" -1 }} {{ title \"it's o-k\" }}",
            "false [a b c] It'S O-K",
        ),
        (
            "{{ ToUpper \"straße\" }} {{ lower \"ΟΔΟΣ\" }} {{ int \"08\" }} {{ round -2.5 0 }} {{ round 2.5 0 }}",
            "STRAßE οδοσ 0 -3 3",
        ),
        ("{{ toDate \"2006\" \"bad\" | date \"2006\" }} {{ .app | }}", "0001 web"),
        ("{{ printf \"%[2]s %[1]s % x\" \"a\" \"b\" }} {{ printf \"%[1]q %[1]s\" \"a\" }}", "b a 62 \"a\" a"),
    ] {
        assert_eq!(execute(source).as_deref(), Ok(expected), "{source}");
    }
}

/// What Go refuses when it reads a template is refused, and what tenants must not have says so.
#[test]
fn refuses_bad_templates() {
    for bad in [
        "{{",
        "{{ }}",
        "{{ nope .x }}",
        "{{ if }}x{{ end }}",
        "{{ if .x }}",
        "{{ end }}",
        "{{ else }}",
        "{{ $x }}",
        "{{ \"a }}",
        "{{ ( .x }}",
        "{{ .x ) }}",
        "{{ break }}",
        "{{ define \"a\" }}",
        "{{ template }}",
        "{{ 1 | 2 }}",
        "{{ .a.b! }}",
        "{{ $x = 1 }}",
        "{{ /* x }}",
        "{{ 08 }}",
        "{{ range $a, $b, $c := . }}{{ end }}",
        "{{ env \"HOME\" }}",
        "{{ now }}",
        "{{ randAlpha 3 }}",
        "{{ genPrivateKey \"rsa\" }}",
        "{{ getHostByName \"x\" }}",
        "{{ uuidv4 }}",
    ] {
        assert!(Template::new(bad).is_err(), "{bad}");
    }
    assert!(Template::new("{{ env \"A\" }}").unwrap_err().to_string().contains("not available"));
    assert_eq!(Template::new("a\n\n{{ nope }}").unwrap_err().line, 3);
}

/// What fails on its data fails as a whole.
#[test]
fn failures_are_errors() {
    for source in ["{{ nil }}", "{{ unixEpoch 5 }}"] {
        assert!(execute(source).is_err(), "{source}");
    }
    for bad in [
        "{{ gt .num 5 }}",
        "{{ .app.more }}",
        "{{ .app \"x\" }}",
        "{{ ToUpper .missing }}",
        "{{ upper 5 }}",
        "{{ index (list 1) 5 }}",
        "{{ len 5 }}",
        "{{ div 1 0 }}",
        "{{ fail \"no\" }}",
        "{{ template \"none\" }}",
        "{{ trunc \"a\" .app }}",
        "{{ slice .app 1 2 }}",
        "{{ range .app }}{{ end }}",
        "{{ eq .app 5 }}",
        "{{ mustFromJson \"{\" }}",
        "{{ ternary 1 2 \"x\" }}",
    ] {
        assert!(matches!(execute(bad), Err(e) if e.starts_with("exec")), "{bad}: {:?}", execute(bad));
    }
}

/// Templates that would run away, blow up or never end are stopped.
#[test]
fn everything_is_bounded() {
    for bad in [
        "{{ repeat 999999999 \"x\" }}",
        "{{ until 999999999 }}",
        "{{ range until 9999 }}{{ range until 9999 }}x{{ end }}{{ end }}",
        "{{ define \"t\" }}{{ template \"t\" }}{{ end }}{{ template \"t\" }}",
        "{{ $x := \"0123456789\" }}{{ range until 40 }}{{ $x = print $x $x }}{{ end }}",
        "{{ printf \"%999999999d\" 1 }}",
        "{{ indent 999999999 \"x\" }}",
        "{{ seq 1 999999999 }}",
        "{{ $x := list 1 }}{{ range until 40 }}{{ $x = concat $x $x }}{{ end }}",
        "{{ range 999999999 }}x{{ end }}",
    ] {
        assert!(matches!(execute(bad), Err(e) if e.starts_with("exec")), "{bad}");
    }
    assert!(Template::new(&"{{ if 1 }}".repeat(500)).is_err());
    assert!(Template::new(&format!("{{{{ {}1{} }}}}", "(".repeat(500), ")".repeat(500))).is_err());
}

proptest! {
    /// No template panics, however it is put together.
    #[test]
    fn never_panics(parts in prop::collection::vec(prop::sample::select(vec![
        "{{", "}}", " ", "-", "if", "else", "end", "range", "with", ".app", ".", "$x", ":=", "=", "|", "(", ")", "\"s\"", "1", "-2", "1.5", "'a'", "nil",
        "printf", "trunc", "substr", "index", "list", "dict", "slice", "join", "toJson", "date", "wrap", "abbrevboth", "splitn", "round", "é", "define",
        "template", "break", "regexSplit", "semverCompare", "`r`", ",", "/*", "*/", "\n",
    ]), 0..24)) {
        let _ = execute(&parts.join(""));
        let _ = execute(&parts.join(" "));
    }

    /// Functions given arguments of any kind answer or fail.
    #[test]
    fn functions_never_panic(name in prop::sample::select(vec![
        "trunc", "substr", "abbrev", "abbrevboth", "wrap", "wrapWith", "repeat", "indent", "splitn", "split", "slice", "chunk", "round", "seq", "untilStep",
        "printf", "index", "b32dec", "dateInZone", "toDate", "durationRound", "semver", "semverCompare", "urlParse", "regexReplaceAll", "regexSplit",
        "regexFindAll", "div", "mod", "toDecimal", "snakecase", "camelcase", "plural", "ternary", "dig", "merge", "fromJson", "clean", "Replace",
    ]), args in prop::collection::vec(prop::sample::select(vec!["1", "-1", "99999999999", "\"é x\"", "\"\"", "nil", "(list 1 \"a\")", "(dict \"a\" 1)", "1.5", "true", ".missing", "\"%d%s%q\""]), 0..5)) {
        let _ = execute(&format!("{{{{ {name} {} }}}}", args.join(" ")));
    }
}
