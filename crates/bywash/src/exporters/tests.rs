use super::*;
use crate::config::{parse, path::Path, source::Source};

fn decode(kind: &str, yaml: &str) -> (Option<ExporterConfig>, Diagnostics) {
    let node = parse::parse(&Source::new("test.yaml", yaml), &mut Diagnostics::new()).unwrap();
    let mut found = Diagnostics::new();
    let at = Located { node: &node, path: Path::root().key("exporters").key(kind) };
    (ExporterConfig::decode(kind, &at, &mut found), found)
}

/// Scenario: every type of the table, with the least that it needs. Guarantee: it decodes, builds, and has an outlet for every signal.
#[tokio::test]
async fn every_type_of_the_table_can_be_built() {
    for kind in KINDS {
        let yaml = match kind.name {
            "otlp_grpc" => "{endpoint: 'localhost:4317', tls: {insecure: true}}",
            "load_balancing" => "{resolver: {static: {hostnames: [a]}}, protocol: {otlp: {tls: {insecure: true}}}}",
            "otlp_http" => "endpoint: http://localhost:4318",
            _ => "{}",
        };
        let (config, found) = decode(kind.name, yaml);
        assert!(!found.has_errors(), "{}", found.render(false));
        let built = build(kind.name, &config.unwrap()).unwrap();
        for signal in Signal::ALL {
            assert_eq!(built.outlet(signal, 1 << 20, None).unwrap().name(), kind.name);
        }
    }
}

/// Scenario: `otlp_http` with a URL for traces only. Guarantee: logs cannot be sent by it, and it says why.
#[tokio::test]
async fn a_signal_without_an_endpoint_is_refused() {
    let (config, _) = decode("otlp_http", "traces_endpoint: http://localhost/x");
    let built = build("otlp_http", &config.unwrap()).unwrap();
    assert!(built.outlet(Signal::Traces, 1, None).is_ok());
    assert!(built.outlet(Signal::Logs, 1, None).is_err_and(|e| e.0.contains("logs_endpoint")));
}

/// Scenario: an unknown key in each type. Guarantee: an error with the dotted path of the key.
#[test]
fn unknown_keys_are_errors_with_their_path() {
    for kind in KINDS {
        let (config, found) = decode(kind.name, "nonsense: 1");
        assert!(config.is_none());
        let paths: Vec<String> = found.errors().map(|d| d.path.to_string()).collect();
        assert!(paths.contains(&format!("exporters.{}.nonsense", kind.name)), "{paths:?}");
    }
}
