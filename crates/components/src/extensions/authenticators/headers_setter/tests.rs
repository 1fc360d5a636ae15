//! The actions and sources of headers, against the collector's.

use super::*;
use crate::extensions::authenticators::testing::shown;
use config::testing::{decoded, problems};

fn origin(pairs: &[(&str, &str)]) -> Origin {
    Origin::new(pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())))
}

fn setter(yaml: &str) -> HeadersSetter {
    HeadersSetter::new(&decoded(yaml), None).unwrap()
}

/// Scenario: each action on a header that is there and on one that is not. Guarantee: insert sets what is missing, update what is there,
/// upsert both, delete takes away.
#[tokio::test]
async fn actions_are_the_collectors() {
    for (action, there, missing) in
        [("insert", "old", "new"), ("update", "new", "-"), ("upsert", "new", "new"), ("delete", "-", "-")]
    {
        let yaml = format!(
            "headers: [{{key: X-A, value: new, action: {action}}}, {{key: X-B, value: new, action: {action}}}]"
        );
        let before = HeaderMap::from_iter([(HeaderName::from_static("x-a"), "old".parse().unwrap())]);
        let headers = shown(&setter(&yaml), &Origin::default(), before).await.unwrap();
        let value = |name: &str| headers.get(name).map_or("-", |value| value.to_str().unwrap());
        assert_eq!((value("x-a"), value("x-b")), (there, missing), "{action}");
    }
}

/// Scenario: a value from the sender, given once, never, empty and twice; with a default and without. Guarantee: that value, the default, or
/// an empty header; of several values none is chosen, and the request is refused for good.
#[tokio::test]
async fn a_value_comes_from_the_sender() {
    let yaml = "headers: [{key: X-Scope-OrgID, from_context: X-Tenant, default_value: all}, {key: X-User, from_attribute: username}]";
    let setter = setter(yaml);
    assert!(setter.varies());
    for (pairs, tenant, user) in [
        (&[("metadata.x-tenant", "acme"), ("auth.username", "u")][..], "acme", "u"),
        (&[("metadata.x-tenant", "")], "all", ""),
        (&[], "all", ""),
    ] {
        let headers = shown(&setter, &origin(pairs), HeaderMap::new()).await.unwrap();
        assert_eq!((&headers["x-scope-orgid"], &headers["x-user"]), (&tenant.parse().unwrap(), &user.parse().unwrap()));
    }
    let twice = origin(&[("metadata.x-tenant", "a"), ("metadata.x-tenant", "b")]);
    let refused = shown(&setter, &twice, HeaderMap::new()).await.unwrap_err();
    assert!(matches!(refused, Unsignable::Never(why) if why.kind == Kind::Auth && why.text.contains("several values")));
    assert_eq!(decoded::<Config>(yaml).wanted(), [Arc::from("metadata.x-tenant"), Arc::from("auth.username")]);
}

/// Scenario: what the collector refuses, and names that belong to the protocols. Guarantee: an error at the key.
#[test]
fn what_is_no_header_is_an_error() {
    for (yaml, key, text) in [
        ("{}", "", "missing headers configuration"),
        ("headers: []", "", "missing headers configuration"),
        ("headers: [{value: a}]", "headers[0].key", "missing header name"),
        ("headers: [{key: a}]", "headers[0]", "missing header source"),
        ("headers: [{key: a, value: b, from_context: c}]", "headers[0]", "only one of"),
        ("headers: [{key: content-type, value: b}]", "headers[0].key", "set by the protocol"),
        ("headers: [{key: 'a b', value: b}]", "headers[0].key", "not a valid header name"),
        ("headers: [{key: a, value: \"b\\nhunter2\"}]", "headers[0].value", "cannot have"),
        ("headers: [{key: a, value_file: /nonexistent}]", "headers[0].value_file", "cannot read"),
    ] {
        let found = problems::<Config>(yaml);
        assert_eq!(found.len(), 1, "{yaml}: {found:?}");
        assert!(found[0].0 == key && found[0].1.contains(text) && !found[0].1.contains("hunter2"), "{yaml}: {found:?}");
    }
    for fine in
        ["headers: [{key: a, action: delete}]", "headers: [{key: a, value: ''}]", "headers: [{key: a, value: 5}]"]
    {
        assert_eq!(problems::<Config>(fine), [], "{fine}");
    }
}

/// Scenario: the value is in a file that changes, and the server refuses the old one. Guarantee: the new one is there at once.
#[tokio::test(start_paused = true)]
async fn a_file_is_read_again_when_its_value_is_refused() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "one\n").unwrap();
    let setter = setter(&format!("headers: [{{key: X-Key, value_file: {}}}]", file.path().display()));
    let before = shown(&setter, &Origin::default(), HeaderMap::new()).await.unwrap();
    assert!(!setter.renew(&before).await, "nothing has changed");
    std::fs::write(file.path(), "two!\n").unwrap();
    assert!(setter.renew(&before).await);
    assert_eq!(shown(&setter, &Origin::default(), HeaderMap::new()).await.unwrap()["x-key"], "two!");
}
