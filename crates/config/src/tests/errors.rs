//! Bad configurations and what is printed about them: every error at once, each with its place.

use super::*;

fn printed(text: &str) -> String {
    check(&["bad.yaml"], &[], &World::default().file("bad.yaml", text)).to_string()
}

/// The rest of a configuration whose exporters are under test.
fn with_exporters(exporters: &str) -> String {
    format!(
        "receivers:\n  nop:\nexporters:\n{exporters}\nservice:\n  pipelines:\n    traces:\n      receivers: [nop]\n      exporters: [otlp_grpc]\n"
    )
}

/// Misspelt keys, wrong types and bad values of one component are all reported in one run, with the key that was meant.
#[test]
fn all_errors_of_a_component_are_told_at_once() {
    insta::assert_snapshot!(printed(&with_exporters(
        "  otlp_grpc:
    endpont: localhost:4317
    tls:
      insecure: yes
      insecure_skip_verify: true
      reload_interval: 5
    compression: gzpi
    timeout: 5 seconds
    sending_queue:
      num_consumers: 70000
      queue_size: many
      batch:
        flush_timeout: -1s
"
    )));
}

/// Semantic checks find their place in the text from the key alone.
#[test]
fn semantic_errors_point_at_their_key() {
    insta::assert_snapshot!(printed(&with_exporters(
        "  otlp_grpc:
    endpoint: ''
    tls: {min_version: 1.1}
    sending_queue:
      queue_size: 10
      batch:
"
    )));
}

/// Pipelines that refer to nothing, components that nothing refers to, and pipelines without an end.
#[test]
fn dangling_references_are_found() {
    insta::assert_snapshot!(printed(
        "receivers:
  otlp:
  nop/unused:
processors:
  batch:
exporters:
  debug:
  nop:
extensions:
  health_check:
  zpages:
service:
  extensions: [health_check, helth_check]
  pipelines:
    traces:
      receivers: [otlp]
      processors: [batch, batch]
      exporters: [debug, nop/2]
    metrics:
      receivers: [otlp]
    logs/audit:
      receivers: [otpl]
      exporters: [nop, nop]
    profiles:
      receivers: [otlp]
      exporters: [nop]
    trace:
      receivers: [otlp]
      exporters: [nop]
"
    ));
}

/// Unknown sections and component types are answered with what there is; connectors with a clear no.
#[test]
fn unknown_sections_and_types_are_answered_with_what_there_is() {
    insta::assert_snapshot!(printed(
        "recievers:
  otlp:
receivers:
  otlp:
  kafka:
  ot lp:
processors: [batch]
exporters:
  otlp:
    endpoint: a:1
  otlphttp/:
  loki:
connectors:
  spanmetrics:
service:
  pipelines:
    traces:
      receivers: [otlp]
      exporters: [otlp, spanmetrics]
    metrics:
      receivers: [spanmetrics, kafka]
      exporters: [loki]
"
    ));
}

/// A duplicate key is an error that shows both places, and does not hide the errors after it.
#[test]
fn duplicate_keys_show_both_places() {
    insta::assert_snapshot!(printed(&with_exporters(
        "  otlp_grpc:
    endpoint: one:4317
    timeout: soon
    endpoint: two:4317
"
    )));
}

/// A tab for indentation is told with its place.
#[test]
fn tabs_are_told_with_their_place() {
    insta::assert_snapshot!(printed("receivers:\n\totlp:\n"));
}

/// Secrets do not show: neither as the value in error, nor beside it, nor in text that is no YAML.
#[test]
fn secrets_do_not_show_in_messages() {
    let text = with_exporters(
        "  otlp_grpc:
    endpoint: https://user:hunter2@example.com
    headers:
      authorization: Bearer hunter2
      x-scope: {nested: hunter2}
    tls:
      key_pem: |
        hunter2
      api_token: hunter2
      insecure: ${env:PASSPHRASE}
    timeout: ${env:PASSPHRASE}
    compression: ${env:PASSPHRASE}
    sending_queue: amqp://user:hunter2@host/
",
    );
    let world = World::default().file("bad.yaml", &text).var("PASSPHRASE", "hunter2");
    let printed = check(&["bad.yaml"], &[], &world).to_string();
    assert!(!printed.contains("hunter2"), "{printed}");
    insta::assert_snapshot!(printed);

    let broken = format!("{text}\n  broken: [\n");
    let world = World::default().file("bad.yaml", &broken);
    let printed = check(&["bad.yaml"], &["exporters.otlp_grpc.headers.token=hunter2: {"], &world).to_string();
    assert!(!printed.contains("hunter2"), "{printed}");
    insta::assert_snapshot!(printed);
}

/// References that cannot be resolved, and only those, are told; what depends on them is not.
#[test]
fn failed_references_are_told_once() {
    insta::assert_snapshot!(printed(&with_exporters(
        "  otlp_grpc:
    endpoint: ${vault:secret/endpoint}
    compression: ${COMPRESSION:-zstd}
    timeout: ${env:2FAST}
    tls:
      ca_file: ${file:/nowhere/ca.pem}
      insecure: ${env:UNSET}
"
    )));
}

/// Values of the wrong shape: a list for a map, a map for a text, nothing where something is required.
#[test]
fn wrong_shapes_are_named_in_words_of_the_configuration() {
    insta::assert_snapshot!(printed(&with_exporters(
        "  otlp_grpc:
    endpoint:
    tls: true
    headers: [a, b]
    timeout: {seconds: 5}
    sending_queue: 7
  otlp_http:
    - endpoint: a
  debug: {verbosity: detailed}
  nop: text
"
    )));
}

/// The service section is checked like a component, down to its own keys.
#[test]
fn errors_of_the_service_section() {
    insta::assert_snapshot!(printed(
        "receivers: {nop: }
exporters: {nop: }
service:
  pipeline: {}
  ingest: asynchronous
  acknowledge: deliverd
  shutdown_timeout: 30
  budget:
    limit: 512 MB/s
    soft_limit: 1.5
    tenant: {header: 'X Scope', share: 0, weights: {acme: 0}}
  telemetry:
    logs: {level: verbose, encoding: xml, colour: true}
    metrics:
      level: some
      address: 8888
      readers:
        - pull: {exporter: {prometheus: {host: 0.0.0.0, port: 88888}}}
        - periodic: {exporter: {otlp: {}}}
  pipelines:
    traces: {receivers: [nop], exporters: [nop], connectors: []}
"
    ));
}

/// Errors in several files and arguments keep their own places.
#[test]
fn errors_name_the_source_that_they_are_in() {
    let world = World::default()
        .file("base.yaml", &with_exporters("  otlp_grpc:\n    endpoint: a\n    timeot: 1s\n"))
        .file("over.yaml", "exporters:\n  otlp_grpc:\n    compression: best\n");
    let sets = ["exporters.otlp_grpc.timeout=never", "exporters::otlp_grpc::tls::insecure=maybe", "oops"];
    let all =
        check(&["base.yaml", "over.yaml", "yaml:exporters::nop::x: 1", "missing.yaml", "http://x/"], &sets, &world);
    let found = check(&["base.yaml", "over.yaml", "yaml:exporters::nop::x: 1"], &sets[..2], &world);
    insta::assert_snapshot!(format!("{all}----------\n{found}"));
}

/// Nothing at all is an error that says what is missing.
#[test]
fn an_empty_configuration_lacks_a_pipeline() {
    insta::assert_snapshot!(printed("# nothing\n"));
}

/// Colour is for terminals only, and control characters of a file never reach one.
#[test]
fn terminals_get_colour_but_no_control_characters() {
    let world = World::default().file("bad.yaml", "\"a\\e[2Jb\": 1\nservice: {\"\u{85}x\": 2}\n");
    let found = check(&["bad.yaml"], &[], &world);
    let plain = found.render(false).to_string();
    assert!(!plain.contains(|c: char| c.is_control() && c != '\n'), "{plain:?}");
    assert!(found.render(true).to_string().contains("\x1b[1;31merror"));
}

/// A document on one very long line is shown around the error only.
#[test]
fn long_lines_are_cut_around_the_error() {
    let filler = (0..100).map(|i| format!("nop/{i}: , ")).collect::<String>();
    let pipeline = "service: {pipelines: {logs: {receivers: [nop], exporters: [nop/1]}}}";
    let text = format!("{{receivers: {{nop: }}, exporters: {{debgu: , {filler} nopp: }}, {pipeline}}}");
    let found = check(&["long.yaml"], &[], &World::default().file("long.yaml", &text));
    assert_eq!(found.errors().count(), 2, "{found}");
    let printed = found.to_string();
    assert!(printed.contains("… and 1 more"), "{printed}");
    assert!(found.to_string().lines().all(|line| line.chars().count() < 200), "{found}");
}

/// Scenario: secrets under a key that is there twice (as a value, in a map, by `<<`), under keys that nobody knows, and beside them.
/// Guarantee: no message shows them, neither as its own line nor as the line before another.
#[test]
fn values_that_come_into_no_tree_do_not_show() {
    for exporters in [
        "  otlp_grpc:\n    headers: {token: a}\n    headers: {token: hunter2}\n",
        "  otlp_grpc:\n    headers:\n      token: a\n      token: hunter2\n",
        "  otlp_grpc:\n    tls: {key_pem: a}\n    tls:\n      key_pem: |\n        hunter2\n    endpoint: 1: 2\n",
        "  otlp_grpc: {headers: {token: a, <<: {token: hunter2}}, endpoint: []}\n",
        "  otlp_grpc:\n    user: admin:hunter2\n    timeout: soon\n",
        "  otlp_grpc:\n    login:\n      name: hunter2\n      pin: [hunter2]\n    compression: best\n",
        "  otlp_grpc:\n    tls:\n      pass: hunter2\n      min_version: 1.0\n",
    ] {
        let printed = printed(&with_exporters(exporters));
        assert!(printed.contains("error") && !printed.contains("hunter2"), "{exporters}\n{printed}");
    }
}

/// Scenario: unknown keys that are near a known one, or boolean. Guarantee: their values show: they are what was meant.
#[test]
fn values_of_misspelt_keys_show() {
    let printed = printed(&with_exporters("  otlp_grpc:\n    endpont: backend:4317\n    tls: {insecur: true}\n"));
    assert!(printed.contains("endpont: backend:4317") && printed.contains("insecur: true"), "{printed}");
}
