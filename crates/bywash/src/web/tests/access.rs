use super::*;
use http::header::{ALLOW, CONTENT_SECURITY_POLICY, WWW_AUTHENTICATE};

const ALPHA: (&str, &str) = ("authorization", "Bearer alpha");
const OMEGA: (&str, &str) = ("authorization", "Bearer omega");

/// Scenario: questions by other names than the loopback's, and for what is not there, and by other methods. Guarantee: each is refused, and
/// says so; every answer forbids what the page does not need.
#[tokio::test]
async fn only_this_machine_is_answered() {
    let stand = Stand::new(false);
    for (host, status) in [("localhost:4319", 200), ("[::1]", 200), ("evil.example", 403), ("10.0.0.1:4319", 403)] {
        for path in ["/api/logs", "/", "/live"] {
            let answer = stand.ask(Method::GET, path, &[("host", host)], "").await;
            assert_eq!(answer.status().as_u16(), status, "{host} {path}");
            assert!(answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
            assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
            assert_eq!(answer.headers()["referrer-policy"], "no-referrer");
        }
    }
    let wrong = stand.ask(Method::POST, "/api/logs", &[], "").await;
    assert_eq!((wrong.status().as_u16(), wrong.headers()[ALLOW].to_str().unwrap()), (405, "GET"));
    assert_eq!(stand.ask(Method::DELETE, "/", &[], "").await.status(), 405);
    assert_eq!(stand.get("/api/nothing", &[]).await.0, 404);
    assert_eq!(stand.get("/nothing.js", &[]).await.0, 404);
    assert_eq!((stand.get("/live", &[]).await.0.as_u16(), stand.get("/ready", &[]).await.0.as_u16()), (200, 503));
}

/// Scenario: something is to be changed without a type, as a form would, from another page, by a body that is too large, broken, or asks for
/// nothing. Guarantee: each is refused, and nothing is changed; a page of ours and a program may.
#[tokio::test]
async fn what_changes_something_is_looked_at_twice() {
    let stand = Stand::new(false);
    let path = "/api/dead-letters/discard";
    let ids = r#"{"ids": ["otlp_grpc/vendor/logs/1"]}"#;
    let as_form = [("content-type", "text/plain")];
    assert_eq!(stand.ask(Method::POST, path, &as_form, ids).await.status(), 415);
    assert_eq!(stand.ask(Method::POST, path, &[], ids).await.status(), 415);
    for origin in ["http://evil.example", "null", "http://localhost:4320", "localhost:4319"] {
        assert_eq!(stand.post(path, &[("origin", origin)], ids).await.0, 403, "{origin}");
    }
    let large = format!("{{\"ids\": [\"{}\"]}}", "x".repeat(server::MAX_BODY));
    assert_eq!(stand.post(path, &[], &large).await.0, 413);
    for body in ["", "{", "{}", "[]", r#"{"ids": [], "all": true}"#, r#"{"colour": 1}"#, r#"{"exporter": "a"}"#] {
        assert_eq!(stand.post(path, &[], body).await.0, 400, "{body}");
    }
    assert_eq!(stand.post(&format!("{path}?x=1"), &[], ids).await.0, 400);
    assert_eq!(stand.get("/api/dead-letters", &[]).await.1["total"], 2);
    let (status, done) = stand.post(path, &[("origin", "http://localhost:4319")], ids).await;
    assert_eq!((status.as_u16(), &done["done"]), (200, &1.into()));
    let (_, again) = stand.post(path, &[], ids).await;
    assert_eq!((&again["done"], &again["failed"][0]["error"]), (&0.into(), &"there is no such letter".into()));
    let (_, rest) =
        stand.post("/api/dead-letters/replay", &[], r#"{"exporter": "otlp_grpc/vendor", "all": true}"#).await;
    assert_eq!(rest["done"], 1, "{rest}");
}

/// Scenario: no token, a wrong one, that of a tenant and that of all. Guarantee: 401 that says what is wanted; a tenant's token opens its own
/// data, by default and by name, and no other's, whatever is asked; files and health need none.
#[tokio::test]
async fn a_token_opens_its_tenants_data() {
    let stand = Stand::new(true);
    stand.keep("acme", Signal::Logs, &logs("of acme"));
    stand.keep("default", Signal::Logs, &logs("of default"));
    for headers in [&[][..], &[("authorization", "Bearer alph")], &[("authorization", "Basic alpha")]] {
        let refused = stand.ask(Method::GET, "/api/logs", headers, "").await;
        let wanted = refused.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert_eq!((refused.status().as_u16(), wanted), (401, "Bearer"));
    }
    let of = async |path: &str, token| stand.get(path, &[token, ("host", "logs.example")]).await;
    let (_, own) = of("/api/logs", ALPHA).await;
    assert_eq!((own["rows"].as_array().unwrap().len(), &own["rows"][0]["body"]), (1, &"of acme".into()));
    assert_eq!(of("/api/logs?tenant=acme", ALPHA).await.1["rows"], own["rows"]);
    assert_eq!(of("/api/logs", OMEGA).await.1["rows"][0]["body"], "of default");
    assert_eq!(of("/api/logs?tenant=acme", OMEGA).await.1["rows"], own["rows"]);
    let paths = ["logs", "spans", "traces", "histogram", "fields", "services", "tail", "export", "me", "pipeline"];
    for path in paths.iter().chain(&["logs/around", "pipeline/live", "losses", "dead-letters", "traces/00"]) {
        assert_eq!(of(&format!("/api/{path}?tenant=default"), ALPHA).await.0, 403, "{path}");
        assert_eq!(stand.get(&format!("/api/{path}"), &[]).await.0, 401, "{path}");
    }
    let id = own["rows"][0]["id"].as_str().unwrap();
    assert_eq!(of(&format!("/api/logs/around?id={id}"), OMEGA).await.0, 404, "another tenant's row");
    let (_, me) = of("/api/me", ALPHA).await;
    assert_eq!(
        (&me["tenant"], &me["tenants"], &me["needs_token"]),
        (&"acme".into(), &serde_json::json!(["acme"]), &true.into())
    );
    assert_eq!(of("/api/me", OMEGA).await.1["tenants"], serde_json::json!(["acme", "default"]));
    assert!(
        of("/api/pipeline", ALPHA).await.1["store"].is_null() && !of("/api/pipeline", OMEGA).await.1["store"].is_null()
    );
    for path in ["/", "/live", "/src/app.js"] {
        assert_eq!(stand.ask(Method::GET, path, &[], "").await.status(), 200, "{path}");
    }
}

/// Scenario: letters of a tenant and of nobody; the tenant lists them, and wants all of them gone, and the other's by name. Guarantee: its own
/// are listed and gone, and nobody else's.
#[tokio::test]
async fn a_tenant_has_its_own_letters() {
    let stand = Stand::new(true);
    let (_, own) = stand.get("/api/dead-letters", &[ALPHA]).await;
    assert_eq!((&own["total"], &own["letters"][0]["preview"][0]["body"]), (&1.into(), &"of acme".into()), "{own}");
    assert_eq!(own["letters"][0]["reason"], "expired: no time left");
    let by_name = r#"{"ids": ["otlp_grpc/vendor/logs/2"]}"#;
    assert_eq!(stand.post("/api/dead-letters/discard", &[ALPHA], by_name).await.1["done"], 0);
    assert_eq!(stand.post("/api/dead-letters/discard", &[ALPHA], r#"{"all": true}"#).await.1["done"], 1);
    let (_, all) = stand.get("/api/dead-letters", &[OMEGA]).await;
    assert_eq!((&all["total"], &all["letters"][0]["preview"][0]["body"]), (&1.into(), &"of nobody".into()));
}
