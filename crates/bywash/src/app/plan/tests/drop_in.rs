//! Configurations as the collector takes them: blocks that are off, words in any case, names that were removed, what is only absent.

use super::*;

/// A configuration with an `otlp` receiver, an exporter and extensions, each given as the text behind its name.
fn with(receiver: &str, exporter: &str, extensions: &str) -> &'static str {
    let names = extensions.split(" =").next().unwrap_or_default();
    let bodies = extensions.split_once("= ").map_or("", |(_, bodies)| bodies);
    format!(
        "receivers: {{{receiver}}}\nexporters: {{{exporter}}}\nextensions: {{{bodies}}}\nservice:\n  extensions: [{names}]\n  \
         pipelines: {{logs: {{receivers: [{}], exporters: [{}]}}}}\n",
        receiver.split(':').next().unwrap(),
        exporter.split(':').next().unwrap()
    )
    .leak()
}

fn messages(text: &'static str) -> (Vec<String>, Vec<String>) {
    let (_, found) = read_text(text);
    let line = |d: &Diagnostic| format!("{}: {}", d.path, d.message);
    (found.errors().map(line).collect(), found.warnings().map(line).collect())
}

const NOP: &str = "nop: ";

/// Scenario: every optional block of receivers and exporters switched off, or null. Guarantee: as if it were not there, without a word.
#[test]
fn blocks_can_be_switched_off() {
    let off = "{enabled: false}";
    for off in [off, "null", "{enabled: false, what: ever}"] {
        let grpc = format!("{{tls: {off}, auth: {off}, keepalive: {off}}}");
        let http = format!("{{tls: {off}, cors: {off}, auth: {off}}}");
        let receiver = format!("otlp: {{protocols: {{grpc: {grpc}, http: {http}}}}}");
        assert_eq!(messages(with(&receiver, NOP, "")), (vec![], vec![]), "{receiver}");
        let parts = format!(
            "otlp: {{protocols: {{grpc: {{keepalive: {{server_parameters: {off}, enforcement_policy: {off}}}}}}}}}"
        );
        assert_eq!(messages(with(&parts, NOP, "")), (vec![], vec![]), "{parts}");
        let exporter = format!("otlp_http: {{endpoint: 'http://a', auth: {off}, dialer_middleware: {off}}}");
        assert_eq!(messages(with(NOP, &exporter, "")), (vec![], vec![]), "{exporter}");
        let resolver = format!("{{dns: {{hostname: a}}, static: {off}, k8s: {off}}}");
        let balancer =
            format!("load_balancing: {{protocol: {{otlp: {{tls: {{insecure: true}}}}}}, resolver: {resolver}}}");
        assert_eq!(messages(with(NOP, &balancer, "")).0, [""; 0], "{balancer}");
        let health = format!("health_check = health_check: {{auth: {off}, cors: {off}, tls: {off}}}");
        assert_eq!(messages(with(NOP, NOP, &health)), (vec![], vec![]), "{health}");
    }
    let (errors, _) = messages(with("otlp: {protocols: {grpc: {auth: {enabled: true}}}}", NOP, ""));
    assert_eq!(errors, ["receivers.otlp.protocols.grpc.auth: the key `authenticator` is required"]);
}

/// Scenario: `keepalive` of each HTTP server, the keys that it took the place of, both. Guarantee: taken; taken with a warning that says
/// what to write; refused.
#[test]
fn keepalive_of_http_servers() {
    let http = |keys: &str| messages(with(&format!("otlp: {{protocols: {{http: {{{keys}}}}}}}"), NOP, ""));
    assert_eq!(http("keepalive: {idle_timeout: 30s}"), (vec![], vec![]));
    assert_eq!(http("keepalive: {enabled: false}"), (vec![], vec![]));
    let (errors, warnings) = http("keep_alives_enabled: false, idle_timeout: 30s");
    assert_eq!((errors.len(), warnings.len()), (0, 2), "{warnings:?}");
    assert!(warnings.iter().all(|w| w.contains("was removed from the collector; write `keepalive: {")), "{warnings:?}");
    assert_eq!(http("keepalive: {}, idle_timeout: 30s").0.len(), 1);
    let loki = messages(with("loki: {protocols: {http: {keepalive: {idle_timeout: 30s}}}}", NOP, ""));
    assert_eq!(loki, (vec![], vec![]));
    let (errors, _) = messages(with(NOP, NOP, "health_check = health_check: {keepalive: {idle_timeout: 30s}}"));
    assert_eq!(errors, [""; 0]);
    let (plan, _) = planned(with("otlp: {protocols: {http: {keepalive: {idle_timeout: 30s}}}}", NOP, ""));
    let ReceiverConfig::Otlp(config) = &plan.receivers[0].config else { panic!() };
    assert_eq!(config.protocols.http.as_ref().unwrap().keepalive.idle_timeout.0, Duration::from_secs(30));
}

/// Scenario: words in capitals and mixed. Guarantee: they mean what they mean in small letters.
#[test]
fn words_have_no_case() {
    let text = "
receivers: {nop: }
exporters: {debug: {verbosity: DETAILED}, logging: {loglevel: debug}, otlp_http: {endpoint: 'http://a', compression: GZip, encoding: JSON}}
service:
  telemetry: {logs: {level: warning, encoding: JSON}, metrics: {level: Detailed}}
  pipelines: {logs: {receivers: [nop], exporters: [debug, logging, otlp_http]}}
";
    let (plan, warnings) = planned(text);
    assert_eq!(plan.logs.level, config::service::LogLevel::Warn);
    let about = |text: &str| warnings.iter().filter(|w| w.contains(text)).count();
    assert_eq!(about("the alias `logging` is deprecated; use `debug`"), 1, "{warnings:?}");
    assert_eq!(about("write `verbosity`"), 1, "{warnings:?}");
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    let (errors, _) = messages(with(NOP, "debug: {verbosity: loud}", ""));
    assert!(errors[0].contains("expected one of `basic`, `normal`, `detailed`"), "{errors:?}");
}

/// Scenario: what the start would refuse: TLS without a key, without anything, tokens that are none, users that cannot be checked.
/// Guarantee: it is refused when it is read, once, at its key.
#[test]
fn what_the_start_would_refuse_is_refused() {
    for (receiver, extensions, path) in [
        ("otlp: {protocols: {grpc: {tls: {}}}}", "", "receivers.otlp.protocols.grpc.tls"),
        ("otlp: {protocols: {http: {tls: {cert_pem: x}}}}", "", "receivers.otlp.protocols.http.tls"),
        ("loki: {protocols: {http: {tls: {}}}}", "", "receivers.loki.protocols.http.tls"),
        (NOP, "health_check = health_check: {tls: {}}", "extensions.health_check.tls"),
        (NOP, "bearertokenauth = bearertokenauth: {}", "extensions.bearertokenauth"),
        (NOP, "basicauth = basicauth: {htpasswd: {inline: 'u:$apr1$x'}}", "extensions.basicauth.htpasswd.inline"),
    ] {
        let (errors, _) = messages(with(receiver, NOP, extensions));
        assert!(errors.len() == 1 && errors[0].starts_with(path), "{receiver} {extensions}: {errors:?}");
    }
    let named = "otlp: {protocols: {grpc: {auth: {authenticator: basicauth}}}}";
    let (errors, _) = messages(with(named, NOP, "basicauth = basicauth: {client_auth: {username: a, password: b}}"));
    assert!(errors.len() == 1 && errors[0].contains("it says what to send, not who may"), "{errors:?}");
    let exporter = "otlp_http: {endpoint: 'http://a', auth: {authenticator: basicauth}}";
    let (errors, _) = messages(with(NOP, exporter, "basicauth = basicauth: {client_auth: {username: a, password: b}}"));
    assert!(errors.len() <= 1, "one fault is one error: {errors:?}");
}

/// Scenario: files that are not on this machine: certificates of both sides, tokens, users, a value. Guarantee: errors; warnings for
/// who checks a configuration that is meant for another machine; and a file that is there but wrong stays an error.
#[test]
fn what_is_only_absent_can_be_forgiven() {
    for (receiver, exporter, extensions) in [
        ("otlp: {protocols: {grpc: {tls: {cert_file: /no/c, key_file: /no/k}}}}", NOP, ""),
        (NOP, "otlp_grpc: {endpoint: 'a:1', tls: {ca_file: /no/ca}}", ""),
        (NOP, NOP, "bearertokenauth = bearertokenauth: {filename: /no/token}"),
        (NOP, NOP, "basicauth = basicauth: {htpasswd: {file: /no/users}}"),
        (NOP, "otlp_http: {endpoint: 'http://a', headers: {a: '${file:/no/value}'}}", ""),
    ] {
        let text = with(receiver, exporter, extensions);
        assert_eq!(messages(text).0.len(), 1, "{text}: {:?}", messages(text));
        let sources = Sources { configs: vec!["a.yaml".to_owned()], sets: vec![], gates: vec![], kinds: KINDS };
        let mut found = Diagnostics::new();
        found.absent_files_are_warnings();
        let plan = read(&sources, &World([("a.yaml", text)].into()), &mut found);
        assert!(plan.is_some() && found.warnings().count() == 1, "{text}: {found}");
    }
}

/// Scenario: components that the collector has removed, has, or that are planned here, and a typing error. Guarantee: each reads as what
/// it is, and the summary counts them.
#[test]
fn missing_components_read_as_what_they_are() {
    let text = "
receivers: {jaeger: , podlogs: , opencensus: , otlpp: , nop: }
processors: {queued_retry: , transform: }
exporters: {jaeger: , prometheusremotewrite: , nop: }
extensions: {memory_ballast: {size_mib: 100}}
service:
  extensions: [memory_ballast]
  pipelines: {logs: {receivers: [nop], exporters: [nop]}}
";
    let (errors, warnings) = messages(text);
    let has = |text: &str| assert!(errors.iter().any(|e| e.contains(text)), "{text}: {errors:?}");
    has("the receiver type `jaeger` is a component of the collector");
    has("the receiver type `podlogs` is planned");
    has("the receiver type `opencensus` was removed from the collector");
    has("unknown receiver type `otlpp`");
    has("the processor type `queued_retry` was removed from the collector: every exporter has `sending_queue`");
    has("the exporter type `jaeger` was removed from the collector: Jaeger takes OTLP");
    assert!(warnings.iter().any(|w| w.contains("`memory_ballast` has no effect")), "{warnings:?}");
    let (_, found) = read_text(text);
    assert_eq!(found.errors().count(), 8, "{found}");
    assert!(
        found.summary().starts_with("8 errors, ")
            && found.summary().contains(": 8 missing components (jaeger, opencensus, "),
        "{}",
        found.summary()
    );
}

/// Scenario: metrics that are only sent, sent and fetched, fetched nowhere. Guarantee: the page is where the collector has it, and that is
/// said; where it is written; there is none.
#[test]
fn metrics_that_would_be_sent_can_be_fetched() {
    let text = |readers: &str| -> &'static str {
        format!(
            "receivers: {{nop: }}\nexporters: {{nop: }}\nservice: {{telemetry: {{metrics: {{readers: [{readers}]}}}}, \
             pipelines: {{logs: {{receivers: [nop], exporters: [nop]}}}}}}"
        )
        .leak()
    };
    let periodic = "{periodic: {exporter: {otlp: {endpoint: a}}}}";
    let (plan, warnings) = planned(text(periodic));
    assert_eq!(plan.metrics.as_deref(), Some("localhost:8888"));
    assert!(
        warnings[0].contains("metrics are not sent yet; they can be fetched at http://localhost:8888/metrics"),
        "{warnings:?}"
    );
    let (plan, _) = planned(text(&format!("{periodic}, {{pull: {{exporter: {{prometheus: {{port: 9}}}}}}}}")));
    assert_eq!(plan.metrics.as_deref(), Some("localhost:9"));
    assert_eq!(planned(text("")).0.metrics, None);
}

/// Scenario: keys at their old place, a variable without braces, the sizer `bytes` without a size. Guarantee: each is answered with what
/// to write.
#[test]
fn hints_say_what_to_write() {
    let (errors, _) = messages(with(NOP, "otlp_grpc: {endpoint: 'a:1', insecure: true}", ""));
    assert_eq!(errors, ["exporters.otlp_grpc.insecure: unknown key `insecure`; it belongs into `tls`"]);
    let (_, warnings) = messages(with(NOP, "otlp_http: {endpoint: 'http://$HOST:1/$x'}", ""));
    assert!(warnings.iter().any(|w| w.contains("for the variable write `${env:HOST}`")), "{warnings:?}");
    let queue = |batch: &str| {
        let exporter = format!(
            "otlp_http: {{endpoint: 'http://a', sending_queue: {{sizer: bytes, queue_size: 100000, batch: {batch}}}}}"
        );
        messages(with(NOP, &exporter, ""))
    };
    assert!(queue("{}").1.iter().any(|w| w.contains("the default `min_size` is 8192 bytes")), "{:?}", queue("{}"));
    assert_eq!(queue("{min_size: 8192}"), (vec![], vec![]));
    let (_, warnings) = messages(with("otlp: {protocols: {grpc: {transport: unix, endpoint: /tmp/a}}}", NOP, ""));
    assert_eq!(warnings, [""; 0]);
}

/// Scenario: text that looks like a number, out of a variable, where text is asked for. Guarantee: it stays as it is.
#[test]
fn a_text_field_takes_the_text_of_a_variable() {
    let text = "receivers: {nop: }\nexporters: {otlp_http: {endpoint: 'http://a', headers: {x: '${env:X}'}}}\n\
                service: {pipelines: {logs: {receivers: [nop], exporters: [otlp_http]}}, budget: {tenant: {header: '${env:X}'}}}";
    struct Numbers;
    impl Environment for Numbers {
        fn var(&self, _: &str) -> Option<String> {
            Some("0123".to_owned())
        }
        fn file(&self, _: &str) -> Result<String, String> {
            Err("none".to_owned())
        }
    }
    let sources = Sources { configs: vec![format!("yaml:{text}")], sets: vec![], gates: vec![], kinds: KINDS };
    let plan = read(&sources, &Numbers, &mut Diagnostics::new()).unwrap();
    let DestinationConfig::Exporter(components::exporters::ExporterConfig::OtlpHttp(config)) = &plan.outlets[0].config
    else {
        panic!()
    };
    assert_eq!(config.headers.to_map()["x"], "0123");
}
