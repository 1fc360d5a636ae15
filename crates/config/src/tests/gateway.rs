//! A gateway's configuration as it is found in the field, whole.

use super::*;
use crate::service::{LogEncoding, LogLevel};

const GATEWAY: &str = r#"
# A gateway: OTLP in, two backends out.
receivers:
  otlp:
    protocols:
      grpc:
        endpoint: ${env:POD_IP:-0.0.0.0}:4317
        max_recv_msg_size_mib: 16
        keepalive:
          server_parameters:
            max_connection_age: 2m
            max_connection_age_grace: 10s
      http:

processors:
  memory_limiter:
    check_interval: 1s
    limit_percentage: 80
    spike_limit_percentage: 20
  batch: {}

exporters:
  otlp_grpc/primary:
    endpoint: ${env:BACKEND}
    tls: &tls
      ca_file: /etc/ssl/ca.pem
      min_version: 1.3
    headers:
      Authorization: "Bearer ${file:/run/secrets/token}"
      X-Scope-OrgID: 42
    compression: zstd
    sending_queue:
      num_consumers: 4
      queue_size: ${env:QUEUE_SIZE}
      batch:
  otlp_http/archive:
    endpoint: https://archive.example.com:4318
    tls:
      <<: *tls
      insecure: false
    timeout: 1m30s
  debug:

extensions:
  health_check:

service:
  extensions: [health_check]
  telemetry:
    logs:
      level: ${env:LOG_LEVEL:-INFO}
      encoding: json
      initial_fields: {service: gateway}
    metrics:
      level: detailed
      readers:
        - pull:
            exporter:
              prometheus: {host: 0.0.0.0, port: 8888, without_units: true}
    resource:
      service.name: gateway
      service.instance.id:
  budget:
    limit: 1GiB
    tenant: {header: X-Scope-OrgID, share: 0.25}
  acknowledge: delivered
  pipelines:
    traces:
      receivers: [otlp]
      processors: [memory_limiter, batch]
      exporters: [otlp_grpc/primary, otlp_http/archive]
    metrics: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp_grpc/primary]}
    logs/app:
      receivers: [otlp]
      exporters:
        - otlp_grpc/primary
        - debug
"#;

/// A gateway's configuration loads without a word, and its values are what they say.
#[test]
fn a_gateway_configuration_loads() {
    let world = World::default()
        .file("gateway.yaml", GATEWAY)
        .file("/run/secrets/token", "s3cret\n")
        .var("BACKEND", "backend:4317")
        .var("QUEUE_SIZE", "20000");
    let mut diagnostics = Diagnostics::new();
    let loaded = load(&["gateway.yaml".to_owned()], &[], &world, &mut diagnostics).unwrap();
    let document = Document::read(&loaded.root, &KINDS, &mut diagnostics);
    let exporters: Vec<Option<Exporter>> =
        document.exporters[..2].iter().map(|e| decode_valid(&e.at, &mut diagnostics)).collect();
    assert_eq!(diagnostics.to_string(), "");

    let primary = exporters[0].as_ref().unwrap();
    assert_eq!(primary.endpoint, "backend:4317");
    assert_eq!((primary.compression, primary.timeout), (Compression::Zstd, GoDuration::from_secs(5)));
    assert_eq!(primary.tls.min_version, "1.3");
    assert_eq!(primary.headers["Authorization"].expose(), "Bearer s3cret");
    assert_eq!(primary.headers["X-Scope-OrgID"].expose(), "42");
    let queue = &primary.sending_queue;
    assert_eq!((queue.num_consumers, queue.queue_size, queue.batch.clone()), (4, 20000, Some(Batch::default())));
    let archive = exporters[1].as_ref().unwrap();
    assert_eq!(archive.tls, primary.tls);
    assert_eq!(archive.timeout, GoDuration::from_secs(90));

    let ids = |components: &[Component<'_>]| components.iter().map(|c| c.id.to_string()).collect::<Vec<_>>();
    assert_eq!(ids(&document.exporters), ["otlp_grpc/primary", "otlp_http/archive", "debug"]);
    assert_eq!(ids(&document.processors), ["memory_limiter", "batch"]);
    let service = &document.service;
    let pipelines: Vec<String> = service.pipelines.0.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(pipelines, ["traces", "metrics", "logs/app"]);
    assert_eq!(service.pipelines.0[2].1.exporters[1], ComponentId::unnamed("debug"));
    assert_eq!((service.telemetry.logs.level, service.telemetry.logs.encoding), (LogLevel::Info, LogEncoding::Json));
    let reader = service.telemetry.metrics.prometheus().unwrap();
    assert_eq!((reader.host.as_str(), reader.port), ("0.0.0.0", 8888));
    assert_eq!(service.budget.limit, ByteSize::from_mib(1024));
    assert_eq!(service.budget.tenant.header.as_deref(), Some("X-Scope-OrgID"));
    assert_eq!((service.budget.soft_limit, service.budget.tenant.max_tenants), (0.9, 10_000));
}

/// Metrics are offered at localhost:8888 unless told otherwise; the old `address` still counts, with a warning.
#[test]
fn metrics_are_offered_where_the_configuration_says() {
    for (metrics, place) in [
        ("", Some("localhost:8888")),
        ("metrics:", Some("localhost:8888")),
        ("metrics: {level: none}", None),
        ("metrics: {readers: []}", None),
        ("metrics: {address: ':9999'}", Some("0.0.0.0:9999")),
        ("metrics: {address: '[::1]:9999'}", Some("::1:9999")),
        ("metrics: {readers: [{pull: {exporter: {prometheus: {port: 1}}}}]}", Some("localhost:1")),
        ("metrics: {readers: [{pull: {exporter: {prometheus: }}}]}", Some("localhost:8888")),
    ] {
        let root = tree(&format!(
            "receivers: {{nop: }}\nexporters: {{nop: }}\nservice:\n  pipelines: {{logs: {{receivers: [nop], exporters: [nop]}}}}\n  telemetry:\n    {metrics}\n"
        ));
        let mut diagnostics = Diagnostics::new();
        let document = Document::read(&root, &KINDS, &mut diagnostics);
        assert!(!diagnostics.has_errors(), "{diagnostics}");
        assert_eq!(diagnostics.warnings().count(), usize::from(metrics.contains("address")), "{metrics}");
        let found = document.service.telemetry.metrics.prometheus().map(|r| format!("{}:{}", r.host, r.port));
        assert_eq!(found.as_deref(), place, "{metrics}");
    }
}

/// What the real environment gives is what the process has.
#[test]
fn the_process_environment_reads_files_within_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("ok"), "a: 1\n").unwrap();
    std::fs::write(path("latin"), b"a: \xff\n").unwrap();
    std::fs::File::create(path("huge")).unwrap().set_len(5 << 20).unwrap();
    let real = ProcessEnvironment;
    assert_eq!(real.file(&path("ok")), Ok("a: 1\n".to_owned()));
    assert_eq!(real.file(&path("latin")), Err("not UTF-8 from byte 3 on".to_owned()));
    assert_eq!(real.file(&path("huge")), Err("larger than 4 MiB".to_owned()));
    assert!(real.file(&path("missing")).is_err());
    assert!(real.var("PATH").is_some());
    assert_eq!(real.var("BYWASH_SURELY_UNSET"), None);
}
