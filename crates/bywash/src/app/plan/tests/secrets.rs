//! No message shows what came out of a reference, whatever key it stands under.

use super::*;
use serde_json::{Value, json};

/// A key that nobody has, far from every other.
const NOBODY: &str = "qqqqqqqq";

/// A world with one variable.
struct Secret(&'static str);

impl Environment for Secret {
    fn var(&self, name: &str) -> Option<String> {
        (name == "SECRET").then(|| self.0.to_owned())
    }

    fn file(&self, _: &str) -> Result<String, String> {
        Err("no such file".to_owned())
    }
}

/// A value at a path of keys; `0` is the element of a list.
fn nested(path: &[String], value: Value) -> Value {
    path.iter().rev().fold(value, |value, key| if key == "0" { json!([value]) } else { json!({ key: value }) })
}

/// A configuration in which this component, or the service, holds a value at a path.
fn configuration(section: &str, kind: &str, path: &[String], value: Value) -> String {
    let mut all = json!({
        "receivers": {"nop": null}, "processors": {}, "exporters": {"nop": null}, "extensions": {},
        "service": {"pipelines": {"logs": {"receivers": ["nop"], "processors": [], "exporters": ["nop"]}}},
    });
    let value = nested(path, value);
    if section == "service" {
        let pipelines = all["service"]["pipelines"].take();
        all["service"] = value;
        if all["service"].is_object() && all["service"].get("pipelines").is_none() {
            all["service"]["pipelines"] = pipelines;
        }
    } else {
        all[section][kind] = value;
        match section {
            "extensions" => all["service"]["extensions"] = json!([kind]),
            _ => all["service"]["pipelines"]["logs"][section] = json!([kind]),
        }
    }
    all.to_string()
}

fn found(text: String, secret: &'static str) -> Diagnostics {
    let sources = Sources { configs: vec![format!("yaml:{text}")], sets: vec![], gates: vec![], kinds: KINDS };
    let mut found = Diagnostics::new();
    read(&sources, &Secret(secret), &mut found);
    found
}

/// The keys that may stand at a path, as the answer to an unknown one lists them.
fn keys(section: &str, kind: &str, path: &[String]) -> Option<Vec<String>> {
    let found = found(configuration(section, kind, path, json!({ NOBODY: 1 })), "");
    let answer = format!("unknown key `{NOBODY}`; known are ");
    let list = found.errors().find_map(|d| Some(d.message.strip_prefix(&answer)?.to_owned()))?;
    Some(list.split(", ").map(str::to_owned).collect())
}

/// Every key of a component, those of blocks and of the elements of lists included.
fn every_key(section: &str, kind: &str) -> Vec<Vec<String>> {
    let mut all = vec![];
    let mut open = vec![vec![]];
    while let Some(path) = open.pop() {
        assert!(path.len() < 12, "{section}.{kind}: {path:?}");
        for key in keys(section, kind, &path).unwrap_or_default() {
            let below: Vec<String> = path.iter().cloned().chain([key]).collect();
            let element: Vec<String> = below.iter().cloned().chain(["0".to_owned()]).collect();
            open.extend([below.clone(), element.clone()]);
            all.extend([below, element]);
        }
    }
    all
}

fn components() -> Vec<(&'static str, &'static str)> {
    let sections = [
        ("receivers", KINDS.receivers),
        ("processors", KINDS.processors),
        ("exporters", KINDS.exporters),
        ("extensions", KINDS.extensions),
    ];
    let all = sections.into_iter().flat_map(|(section, kinds)| kinds.iter().map(move |kind| (section, kind.name)));
    all.chain([("service", "")]).collect()
}

/// Scenario: a secret from the environment under every key of every component and of the service, in several forms. Guarantee: it is
/// in no message, whatever is wrong with it there, and neither is a part of it in quotes.
#[test]
fn what_came_out_of_a_reference_is_in_no_message() {
    let mut tried = 0;
    for (section, kind) in components() {
        let keys = every_key(section, kind);
        tried += keys.len();
        for path in keys {
            for (secret, parts) in
                [("hunter2:sesame/☃", &["hunter2", "sesame"][..]), ("http://hunter2.sesame", &["hunter2", "sesame"])]
            {
                // Alone, within a longer text, and as a map that nobody asked for.
                for value in [json!("${env:SECRET}"), json!("x ${env:SECRET}"), json!({"a": "${env:SECRET}"})] {
                    let text = configuration(section, kind, &path, value);
                    let found = found(text.clone(), secret);
                    for shown in [found.to_string(), found.to_json().to_string()] {
                        assert!(parts.iter().all(|part| !shown.contains(part)), "{text}\n{shown}");
                    }
                }
            }
        }
    }
    assert!(tried > 600, "{tried} keys were found");
}

/// Scenario: stages that cannot be built of what a reference gave. Guarantee: the messages show none of it.
#[test]
fn stages_show_nothing_of_a_reference() {
    for stage in [
        "regex: {expression: '(${env:SECRET}'}",
        "regex: {expression: '${env:SECRET}('}",
        "template: {source: a, template: '{{ ${env:SECRET} }}'}",
        "match: {selector: '${env:SECRET}', stages: []}",
        "timestamp: {source: a, format: '${env:SECRET}', location: '${env:SECRET}'}",
        "replace: {expression: '${env:SECRET}['}",
        "json: {expressions: {a: '${env:SECRET}['}}",
        "drop: {older_than: '${env:SECRET}', longer_than: '${env:SECRET}'}",
        "${env:SECRET}: {}",
        "labels: '${env:SECRET}'",
    ] {
        let text = format!(
            "{{receivers: {{nop: }}, exporters: {{nop: }}, processors: {{loki_stages: {{stages: [{{{stage}}}]}}}}, \
             service: {{pipelines: {{logs: {{receivers: [nop], processors: [loki_stages], exporters: [nop]}}}}}}}}"
        );
        let shown = found(text, "hunter2 sesame").to_string();
        assert!(!shown.contains("hunter2") && !shown.contains("sesame"), "{stage}\n{shown}");
    }
}

/// Scenario: the list of keys of blocks that the collector 0.165 has, as its sources say. Guarantee: each of them is known here.
#[test]
fn every_key_of_the_collector_is_known() {
    const TLS: &str = "ca_file ca_pem cert_file cert_pem cipher_suites curve_preferences include_insecure_cipher_suites \
                       include_system_ca_certs_pool key_file key_pem max_version min_version reload_interval tpm";
    const GRPC_CLIENT: &str = "auth authority balancer_name compression endpoint headers keepalive dialer_middleware middlewares \
                               read_buffer_size tls user_agent wait_for_ready write_buffer_size timeout sending_queue retry_on_failure";
    const HTTP_CLIENT: &str = "dialer_middleware endpoint proxy_url tls read_buffer_size write_buffer_size timeout headers auth \
                               compression compression_params max_conns_per_host http2_read_idle_timeout http2_ping_timeout cookies \
                               force_attempt_http2 middlewares keepalive sending_queue retry_on_failure";
    const HTTP_SERVER: &str = "endpoint transport dialer tls cors auth max_request_body_size include_metadata response_headers \
                               compression_algorithms read_timeout read_header_timeout write_timeout middlewares keepalive";
    for (section, kind, path, wanted) in [
        ("receivers", "otlp", "protocols", "grpc http"),
        (
            "receivers",
            "otlp",
            "protocols.grpc",
            "auth include_metadata keepalive max_concurrent_streams max_recv_msg_size_mib middlewares read_buffer_size tls \
             write_buffer_size endpoint transport dialer",
        ),
        ("receivers", "otlp", "protocols.grpc.keepalive", "enforcement_policy server_parameters"),
        ("receivers", "otlp", "protocols.grpc.keepalive.enforcement_policy", "min_time permit_without_stream"),
        (
            "receivers",
            "otlp",
            "protocols.grpc.keepalive.server_parameters",
            "max_connection_age max_connection_age_grace max_connection_idle time timeout",
        ),
        ("receivers", "otlp", "protocols.http", HTTP_SERVER),
        ("receivers", "otlp", "protocols.http", "traces_url_path metrics_url_path logs_url_path"),
        ("receivers", "otlp", "protocols.http.keepalive", "idle_timeout"),
        ("receivers", "otlp", "protocols.http.cors", "allowed_origins allowed_headers exposed_headers max_age"),
        ("receivers", "otlp", "protocols.http.auth", "authenticator request_params"),
        ("receivers", "otlp", "protocols.http.dialer", "timeout"),
        ("receivers", "otlp", "protocols.http.tls", TLS),
        ("receivers", "otlp", "protocols.http.tls", "client_ca_file client_ca_file_reload"),
        ("receivers", "otlp", "protocols.http.tls.tpm", "auth enabled owner_auth path"),
        ("receivers", "loki", "protocols.http", HTTP_SERVER),
        ("extensions", "health_check", "", HTTP_SERVER),
        ("exporters", "otlp_grpc", "", GRPC_CLIENT),
        ("exporters", "otlp_grpc", "keepalive", "permit_without_stream time timeout"),
        ("exporters", "otlp_grpc", "tls", TLS),
        ("exporters", "otlp_grpc", "tls", "insecure insecure_skip_verify server_name_override"),
        (
            "exporters",
            "otlp_grpc",
            "sending_queue",
            "wait_for_result sizer queue_size block_on_overflow storage num_consumers batch enabled",
        ),
        ("exporters", "otlp_grpc", "sending_queue.batch", "flush_timeout sizer min_size max_size partition"),
        ("exporters", "otlp_grpc", "sending_queue.batch.partition", "metadata_keys cache_size idle_timeout"),
        (
            "exporters",
            "otlp_grpc",
            "retry_on_failure",
            "enabled initial_interval max_elapsed_time max_interval multiplier randomization_factor",
        ),
        ("exporters", "otlp_http", "", HTTP_CLIENT),
        ("exporters", "loki", "", HTTP_CLIENT),
        ("exporters", "otlp_http", "keepalive", "idle_conn_timeout max_idle_conns max_idle_conns_per_host"),
        (
            "exporters",
            "debug",
            "",
            "verbosity sampling_initial sampling_thereafter use_internal_logger output_paths sending_queue",
        ),
        (
            "extensions",
            "file_storage",
            "",
            "directory timeout max_size compaction fsync create_directory directory_permissions recreate",
        ),
        (
            "extensions",
            "file_storage",
            "compaction",
            "on_start on_rebound directory rebound_needed_threshold_mib rebound_trigger_threshold_mib max_transaction_size \
             check_interval cleanup_on_start",
        ),
        (
            "extensions",
            "bearertokenauth",
            "",
            "header scheme token tokens filename retry_on_failure wait_for_token_file",
        ),
        ("extensions", "basicauth", "", "htpasswd client_auth"),
        ("extensions", "basicauth", "htpasswd", "file inline secret_provider"),
        ("extensions", "basicauth", "client_auth", "username username_file password password_file secret_provider"),
        ("extensions", "headers_setter", "", "headers additional_auth"),
        (
            "extensions",
            "oauth2client",
            "",
            "audience claims client_certificate_key client_certificate_key_file client_certificate_key_id client_id \
             client_id_file client_secret client_secret_file endpoint_params expiry_buffer grant_type iss scopes \
             signature_algorithm timeout tls token_url",
        ),
        ("extensions", "oauth2client", "tls", TLS),
        ("extensions", "sigv4auth", "", "assume_role region service"),
        ("extensions", "sigv4auth", "assume_role", "arn external_id session_name sts_region web_identity_token_file"),
    ] {
        let path: Vec<String> = path.split('.').filter(|p| !p.is_empty()).map(str::to_owned).collect();
        let known = keys(section, kind, &path).unwrap_or_else(|| panic!("{kind} {path:?} takes no keys"));
        for key in wanted.split_whitespace() {
            assert!(known.iter().any(|k| k == key), "{section}.{kind} {path:?} does not know `{key}`");
        }
    }
}
