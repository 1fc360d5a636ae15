use super::*;
use crate::web::routes::ROUTES;
use serde_json::json;
use std::collections::BTreeSet;

fn contract() -> Value {
    serde_json::from_str(include_str!("../../../../../docs/openapi.json")).unwrap()
}

/// Scenario: the description of the API and the table of its paths. Guarantee: they name the same paths and methods, and both kinds of answers.
#[test]
fn every_path_is_described() {
    let contract = contract();
    let described: BTreeSet<(String, String)> = contract["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            methods.as_object().unwrap().keys().map(|method| (path.clone(), method.to_uppercase()))
        })
        .collect();
    let there: BTreeSet<_> = ROUTES.iter().map(|route| (route.path.to_owned(), route.method.to_string())).collect();
    assert_eq!(described, there);
    for (path, methods) in contract["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].is_string() && operation["responses"]["200"].is_object(), "{method} {path}");
        }
    }
}

/// A schema without its reference.
fn resolved<'a>(contract: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(name) => &contract["components"]["schemas"][name.trim_start_matches("#/components/schemas/")],
        None => schema,
    }
}

/// Fails where an answer is not as its schema says.
fn check(contract: &Value, schema: &Value, answer: &Value, at: &str) {
    let schema = resolved(contract, schema);
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return,
    };
    let kind = match answer {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&kind) || kind == "integer" && kinds.contains(&"number"), "{at}: {answer} is no {kinds:?}");
    for (number, item) in answer.as_array().into_iter().flatten().enumerate() {
        check(contract, &schema["items"], item, &format!("{at}[{number}]"));
    }
    let Some(members) = answer.as_object() else { return };
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(members.contains_key(name), "{at} has no {name}: {answer}");
    }
    for (name, member) in members {
        match (&schema["properties"][name], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) => panic!("{at}.{name} is not described"),
            (Value::Null, other) => check(contract, other, member, &format!("{at}.{name}")),
            (known, _) => check(contract, known, member, &format!("{at}.{name}")),
        }
    }
}

/// Scenario: each path is asked, with every parameter that is described. Guarantee: the answers are as they are described.
#[tokio::test]
async fn answers_are_as_described() {
    let (stand, contract) = (Stand::new(false), contract());
    stand.keep("default", Signal::Logs, &logs("hello"));
    stand.keep("default", Signal::Traces, &spans());
    let row = stand.get("/api/logs", &[]).await.1["rows"][0].clone();
    let value = |name: &str| match name {
        "id" => row["id"].as_str().unwrap().to_owned(),
        "cursor" => String::new(),
        "start" => "1".to_owned(),
        "end" => "1000000000".to_owned(),
        "signal" => "logs".to_owned(),
        "format" => "jsonl".to_owned(),
        "errors" | "counts" => "false".to_owned(),
        "field" | "q" | "operation" | "exporter" => String::new(),
        "service" => "cart".to_owned(),
        "tenant" => "default".to_owned(),
        _ => "2".to_owned(),
    };
    for route in ROUTES.iter().filter(|route| route.method == Method::GET) {
        let operation = &contract["paths"][route.path]["get"];
        let content = &operation["responses"]["200"]["content"]["application/json"]["schema"];
        let parameters: Vec<String> = operation["parameters"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| resolved_parameter(&contract, parameter))
            .filter(|parameter| parameter["in"] == "query")
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .filter(|name| !value(name).is_empty())
            .map(|name| format!("{name}={}", value(&name)))
            .collect();
        let path = format!("{}?{}", route.path.replace("{id}", &"07".repeat(16)), parameters.join("&"));
        let response = stand.ask(Method::GET, &path, &[], "").await;
        if !content.is_object() {
            assert_eq!(response.status(), 200, "{path}");
            continue;
        }
        let (status, answer) = read(response).await;
        assert!(status == 200 || route.path == "/ready", "{path}: {answer}");
        check(&contract, content, &answer, route.path);
    }
    let wrong = stand.get("/api/logs?q=%22", &[]).await.1;
    check(&contract, &json!({"$ref": "#/components/schemas/Error"}), &wrong, "an error");
}

fn resolved_parameter<'a>(contract: &'a Value, parameter: &'a Value) -> &'a Value {
    match parameter["$ref"].as_str() {
        Some(name) => &contract["components"]["parameters"][name.trim_start_matches("#/components/parameters/")],
        None => parameter,
    }
}

/// Scenario: lines through stages that keep, drop and hold; stages that are wrong; stages and bodies that are refused. Guarantee: what each
/// stage did, in the form that is described; the line of an error; nothing of this machine is read.
#[tokio::test]
async fn stages_are_tried() {
    let (stand, contract) = (Stand::new(false), contract());
    let stages = "- json: {expressions: {level: , msg: }}\n- labels: {level: }\n- drop: {source: level, value: debug}\n- output: {source: msg}\n";
    let lines = [r#"{"level":"info","msg":"placed"}"#, r#"{"level":"debug","msg":"x"}"#];
    let body = json!({"stages": stages, "lines": lines, "labels": {"app": "shop"}}).to_string();
    let (status, answer) = stand.post("/api/stages/run", &[], &body).await;
    assert_eq!(status, 200, "{answer}");
    let schema =
        &contract["paths"]["/api/stages/run"]["post"]["responses"]["200"]["content"]["application/json"]["schema"];
    check(&contract, schema, &answer, "stages");
    let [kept, dropped] = &answer["entries"].as_array().unwrap()[..] else { panic!("{answer}") };
    assert_eq!((&kept["result"], &dropped["result"]), (&"kept".into(), &"dropped".into()));
    let last = kept["steps"].as_array().unwrap().last().unwrap();
    assert_eq!(
        (&last["line"], &last["labels"]["level"], &last["labels"]["app"]),
        (&"placed".into(), &"info".into(), &"shop".into())
    );
    assert_eq!(last["changed"], json!(["line"]));
    let wrong = json!({"stages": "- json: {expressions: {a: }}\n- jsn: {}\n", "lines": []}).to_string();
    let (status, told) = stand.post("/api/stages/run", &[], &wrong).await;
    assert_eq!((status.as_u16(), &told["line"]), (400, &2.into()), "{told}");
    for body in [
        json!({"stages": "- geoip: {db: /etc/passwd, source: ip, db_type: city}", "lines": ["x"]}),
        json!({"stages": stages, "lines": vec!["x"; 1001]}),
        json!({"lines": ["x"]}),
    ] {
        let (status, told) = stand.post("/api/stages/run", &[], &body.to_string()).await;
        assert_eq!(status, 400, "{told}");
    }
    let stages = "processors: {loki_stages: {stages: [{static_labels: {a: \"${env:PATH}\"}}]}}";
    let body = json!({"stages": stages, "lines": ["x"]}).to_string();
    let told = stand.post("/api/stages/run", &[], &body).await.1.to_string();
    assert!(!told.contains(&std::env::var("PATH").unwrap()), "{told}");
}
