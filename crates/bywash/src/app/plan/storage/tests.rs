use super::super::tests::{planned, read_text};

/// A configuration whose exporters, extensions and service hold these lines.
fn config(exporters: &str, extensions: &str, service: &str) -> &'static str {
    let text = format!(
        "receivers: {{otlp: {{protocols: {{grpc: }}}}}}\nexporters:\n{exporters}\nextensions:\n{extensions}\nservice:\n{service}\n  \
         pipelines:\n    logs: {{receivers: [otlp], exporters: [a]}}\n"
    );
    // Tests read configurations that live as long as they do.
    Box::leak(text.replace("exporters: [a]", "exporters: [otlp_http/a]").into_boxed_str())
}

const STORED: &str = "  otlp_http/a: {endpoint: 'http://b:4318', sending_queue: {storage: file_storage/q}}";
const STORAGE: &str = "  file_storage/q: {directory: /, max_bytes: 1GiB}";

fn errors(text: &'static str) -> Vec<String> {
    let (_, found) = read_text(text);
    found.errors().map(|e| format!("{}: {}", e.path, e.message)).collect()
}

/// Scenario: an exporter names a storage that runs. Guarantee: its outlet has a directory of its own, and durable is what success means.
#[test]
fn an_exporter_with_storage_is_durable() {
    let (plan, warnings) = planned(config(STORED, STORAGE, "  extensions: [file_storage/q]"));
    assert_eq!(warnings, Vec::<String>::new());
    let storage = plan.outlets[0].storage.as_ref().unwrap();
    assert_eq!(storage.directory.to_str(), Some("/otlp_http%2Fa/logs"));
    assert_eq!(storage.max_bytes, 1 << 30);
    assert_eq!(plan.inlet.acknowledge, flow::Acknowledge::Durable);
    assert_eq!(plan.storages.len(), 1);
    let (plan, _) = planned(config(STORED, STORAGE, "  acknowledge: queued\n  extensions: [file_storage/q]"));
    assert_eq!(plan.inlet.acknowledge, flow::Acknowledge::Queued, "what is written holds");
}

/// Scenario: storage of a load balancer, at either level, and of a queue that is off. Guarantee: the first two are kept on disk.
#[test]
fn a_load_balancer_keeps_its_queue_at_either_level() {
    for (queue, is_stored) in [
        ("sending_queue: {storage: file_storage/q}", true),
        ("protocol: {otlp: {sending_queue: {storage: file_storage/q}}}", true),
        ("protocol: {otlp: {sending_queue: {enabled: false, storage: file_storage/q}}}", false),
    ] {
        let exporter = format!(
            "  otlp_http/a: {{endpoint: 'http://b:4318'}}\n  load_balancing: {{resolver: {{static: {{hostnames: [b]}}}}, {queue}}}"
        );
        let text =
            config(&exporter, STORAGE, "  extensions: [file_storage/q]").replace("[otlp_http/a]", "[load_balancing]");
        let (plan, _) = planned(Box::leak(text.into_boxed_str()));
        assert_eq!(plan.outlets[0].storage.is_some(), is_stored, "{queue}");
    }
}

/// Scenario: references to what is missing, not enabled, or no storage. Guarantee: an error at the key that says which.
#[test]
fn a_reference_must_be_to_a_storage_that_runs() {
    let at = "exporters.otlp_http/a.sending_queue.storage";
    let missing = config(STORED, "  file_storage/queue: {directory: /}", "  extensions: [file_storage/queue]");
    assert_eq!(
        errors(missing),
        [format!("{at}: references storage extension `file_storage/q` which is not configured")]
    );
    let (_, found) = read_text(missing);
    assert!(found.render(false).to_string().contains("did you mean `file_storage/queue`?"), "{found}");
    let disabled = config(STORED, STORAGE, "  extensions: []");
    assert_eq!(errors(disabled), [format!("{at}: storage extension `file_storage/q` is not in `service.extensions`")]);
    let other = STORED.replace("file_storage/q", "health_check");
    let other = config(&other, "  health_check:", "  extensions: [health_check]");
    assert_eq!(errors(other), [format!("{at}: the extension `health_check` is not a storage extension")]);
}

/// Scenario: two storages in one directory; `acknowledge: durable` with a queue in memory. Guarantee: errors that name both parties.
#[test]
fn what_cannot_be_kept_is_an_error() {
    let twice = format!("{STORAGE}\n  file_storage/r: {{directory: /.}}");
    let found = errors(config(STORED, &twice, "  extensions: [file_storage/q, file_storage/r]"));
    assert_eq!(found, ["extensions.file_storage/r.directory: `/.` is the directory of `file_storage/q` already"]);
    let memory = "  otlp_http/a: {endpoint: 'http://b:4318'}";
    let found = errors(config(memory, STORAGE, "  acknowledge: durable\n  extensions: [file_storage/q]"));
    assert!(
        found[0].starts_with("service.acknowledge: `durable` needs `sending_queue.storage` in exporter `otlp_http/a`")
    );
    let none = memory.replace("'}", "', sending_queue: {enabled: false}}");
    assert_eq!(
        errors(config(&none, STORAGE, "  acknowledge: durable\n  extensions: [file_storage/q]")),
        Vec::<String>::new()
    );
}

/// Scenario: storage under `ingest: sync`. Guarantee: a warning, because nothing is queued.
#[test]
fn sync_ingest_keeps_nothing() {
    let (_, warnings) = planned(config(STORED, STORAGE, "  ingest: sync\n  extensions: [file_storage/q]"));
    assert!(warnings.iter().any(|w| w.starts_with("service.ingest: nothing is queued")), "{warnings:?}");
}
