mod drop_in;
mod secrets;

use super::*;
use crate::app::components::KINDS;
use std::collections::HashMap;
use std::sync::Arc;

/// A world of files.
struct World(HashMap<&'static str, &'static str>);

impl Environment for World {
    fn var(&self, _: &str) -> Option<String> {
        None
    }

    fn file(&self, path: &str) -> Result<String, String> {
        self.0.get(path).map(|text| (*text).to_owned()).ok_or_else(|| "no such file".to_owned())
    }
}

pub(super) fn read_text(text: &'static str) -> (Option<Plan>, Diagnostics) {
    let sources = Sources { configs: vec!["a.yaml".to_owned()], sets: vec![], gates: vec![], kinds: KINDS };
    let mut found = Diagnostics::new();
    let plan = read(&sources, &World([("a.yaml", text)].into()), &mut found);
    (plan, found)
}

/// The plan of a text that is in order, and its warnings.
pub(super) fn planned(text: &'static str) -> (Plan, Vec<String>) {
    let (plan, found) = read_text(text);
    let warnings = found.warnings().map(|w| format!("{}: {}", w.path, w.message)).collect();
    (plan.unwrap_or_else(|| panic!("{found}")), warnings)
}

/// All that is told of a text.
fn told(text: &'static str) -> String {
    read_text(text).1.to_string()
}

/// Where the errors of a text are.
fn errors(text: &'static str) -> Vec<String> {
    let (plan, found) = read_text(text);
    assert!(plan.is_none());
    found.errors().map(|e| e.path.to_string()).collect()
}

const TYPICAL: &str = "
receivers:
  otlp:
    protocols: {grpc: , http: }
  otlp/spare:
    protocols: {grpc: {endpoint: localhost:5555}}
processors:
  memory_limiter: {check_interval: 1s, limit_mib: 400, spike_limit_mib: 100}
  batch: {timeout: 1s, send_batch_size: 100, send_batch_max_size: 200}
exporters:
  otlp: {endpoint: backend:4317, tls: {insecure: true}}
  debug:
extensions:
  health_check:
  pprof:
  zpages: {endpoint: localhost:55679}
service:
  extensions: [health_check, pprof, zpages]
  pipelines:
    traces: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp]}
    logs: {receivers: [otlp], processors: [memory_limiter, batch], exporters: [otlp, debug]}
    logs/raw: {receivers: [otlp], exporters: [debug]}
  telemetry:
    resource: {service.name: edge, service.version: null, zone: a}
    metrics: {readers: [{pull: {exporter: {prometheus: {host: '::1', port: 9999}}}}]}
";

/// Scenario: a typical collector configuration. Guarantee: what each part of it means, and that nothing in it is an error.
#[test]
fn a_typical_configuration_is_understood() {
    let (plan, warnings) = planned(TYPICAL);
    assert_eq!((plan.budget.bytes, plan.budget.soft), (375 << 20, 0.75));
    let outlets: Vec<_> = plan.outlets.iter().map(|o| (o.id.to_string(), o.signal, o.batch.is_some())).collect();
    let (otlp, debug) = ("otlp".to_owned(), "debug".to_owned());
    assert_eq!(
        outlets,
        [(otlp.clone(), Signal::Traces, true), (otlp, Signal::Logs, true), (debug, Signal::Logs, true)]
    );
    let batch = plan.outlets[0].batch.as_ref().unwrap();
    assert_eq!((batch.min_records, batch.max_records, batch.flush_interval), (100, 200, Duration::from_secs(1)));
    let pipelines: Vec<_> = plan.pipelines.iter().map(|p| (p.id.to_string(), p.outlets.clone())).collect();
    assert_eq!(pipelines, [("traces".into(), vec![0]), ("logs".into(), vec![1, 2]), ("logs/raw".into(), vec![2])]);
    let receivers: Vec<_> = plan.receivers.iter().map(|r| r.id.to_string()).collect();
    assert_eq!(receivers, ["otlp"], "the unused one does not listen");
    assert_eq!(plan.metrics.as_deref(), Some("[::1]:9999"));
    assert_eq!(plan.health.len(), 1);
    assert_eq!(plan.resource, [("service.name".into(), "edge".into()), ("zone".into(), "a".into())]);
    assert_eq!(plan.files, ["a.yaml"]);
    let about = |text: &str| warnings.iter().filter(|w| w.contains(text)).count();
    assert_eq!(about("has no effect here: the metrics page"), 2, "{warnings:?}");
    assert_eq!(about("is batched as the first pipeline"), 1, "{warnings:?}");
    assert_eq!(about("alias `otlp` is deprecated"), 1, "{warnings:?}");
    assert_eq!(about("`otlp/spare` is not used"), 1, "{warnings:?}");
    assert_eq!(warnings.len(), 5, "what the collector requires is not warned of: {warnings:?}");
}

/// Scenario: nothing is said about memory, a limit is, a limiter is, both are. Guarantee: the default; what is said; the smaller.
/// Records are shed only where no limiter is written.
#[test]
fn the_smallest_limit_that_is_written_holds() {
    let base = "
receivers: {otlp: {protocols: {grpc: }}}
exporters: {nop: }
";
    let with = |rest: &str| -> &'static str { format!("{base}{rest}").leak() };
    let pipeline = "pipelines: {logs: {receivers: [otlp], processors: [memory_limiter], exporters: [nop]}}";
    let limiter = |mib: u32| format!("processors: {{memory_limiter: {{limit_mib: {mib}}}}}");
    let (plan, _) = planned(with("service: {pipelines: {logs: {receivers: [otlp], exporters: [nop]}}}"));
    assert_eq!((plan.budget.bytes, plan.budget.soft, plan.budget.sheds), (480 << 20, 0.9, true));
    let (plan, _) = planned(with(&format!("{}\nservice: {{{pipeline}}}", limiter(2000))));
    assert_eq!((plan.budget.bytes, plan.budget.sheds), (1875 << 20, false));
    let service = format!("service: {{budget: {{limit: 1GiB}}, {pipeline}}}");
    let (plan, _) = planned(with(&format!("{}\n{service}", limiter(2000))));
    assert_eq!((plan.budget.bytes, plan.budget.soft, plan.budget.sheds), (960 << 20, 0.9, false));
    let (plan, _) = planned(with(&format!("{}\n{service}", limiter(500))));
    assert_eq!(plan.budget.bytes, (500 << 20) - (500 << 20) / 16);
}

/// Scenario: mistakes in every kind of component at once. Guarantee: all are told, each at its place.
#[test]
fn every_mistake_is_told_at_once() {
    let found = errors(
        "
receivers:
  otlp: {protocols: {grpc: {endpoint: nowhere, auth: {authenticator: bearertokenauth}}}}
processors:
  batch: {send_batch_size: 10, send_batch_max_size: 5, metadata_keys: [a, 'b c', A]}
  memory_limiter: {limit_mib: 10, spike_limit_mib: 10}
  transform: {}
exporters:
  otlp_grpc: {}
extensions:
  health_check: {path: health, endpoint: x}
  basicauth: {}
service:
  extensions: [health_check, basicauth]
  pipelines:
    logs: {receivers: [otlp], processors: [transform], exporters: [otlp_grpc, missing]}
",
    );
    for path in [
        "receivers.otlp.protocols.grpc.endpoint",
        "processors.batch.send_batch_max_size",
        "processors.batch.metadata_keys[1]",
        "processors.batch.metadata_keys[2]",
        "processors.memory_limiter.spike_limit_mib",
        "processors.transform",
        "exporters.otlp_grpc.endpoint",
        "extensions.health_check.path",
        "extensions.health_check.endpoint",
        "extensions.basicauth",
        "service.pipelines.logs.exporters[1]",
    ] {
        assert!(found.iter().any(|f| f == path), "{path} in {found:?}");
    }
}

/// Scenario: a receiver names an authenticator that exists, one that is not in the service, one that is something else. Guarantee: only the first is in order.
#[test]
fn an_authenticator_must_be_one_of_the_service() {
    let text = |auth: &str, extensions: &str| -> &'static str {
        format!(
            "
receivers: {{otlp: {{protocols: {{http: {{auth: {{authenticator: {auth}}}}}}}}}}}
exporters: {{nop: }}
extensions: {{bearertokenauth: {{token: t}}, health_check: }}
service:
  extensions: [{extensions}]
  pipelines: {{logs: {{receivers: [otlp], exporters: [nop]}}}}
"
        )
        .leak()
    };
    let (plan, _) = planned(text("bearertokenauth", "bearertokenauth"));
    assert_eq!(plan.receivers[0].authenticators.len(), 1);
    let path = ["receivers.otlp.protocols.http.auth.authenticator"];
    assert_eq!(errors(text("bearertokenauth", "health_check")), path);
    assert_eq!(errors(text("health_check", "health_check")), path);
    let near = told(text("bearertokenaut", "bearertokenauth"));
    assert!(
        near.contains("bearertokenaut") && near.contains("did you mean") && near.contains("`bearertokenauth`"),
        "{near}"
    );
}

/// Scenario: exporters that name an authenticator: of their side; of receivers only; none; one that comes after itself; bearer tokens
/// on gRPC without TLS, also behind `headers_setter`; a block that is switched off. Guarantee: only what can work is in order.
#[test]
fn an_exporter_shows_what_can_be_shown() {
    let text = |exporter: &str, auth: &str| -> &'static str {
        format!(
            "
receivers: {{otlp: {{protocols: {{http: {{include_metadata: true}}}}}}}}
exporters: {{{exporter}: {{{}, auth: {auth}}}}}
extensions:
  bearertokenauth: {{token: t}}
  basicauth/server: {{htpasswd: {{inline: 'u:p'}}}}
  headers_setter: {{headers: [{{key: a, from_context: b}}], additional_auth: bearertokenauth}}
  headers_setter/self: {{headers: [{{key: a, value: b}}], additional_auth: headers_setter/self}}
service:
  extensions: [bearertokenauth, basicauth/server, headers_setter, headers_setter/self]
  pipelines: {{logs: {{receivers: [otlp], exporters: [{exporter}]}}}}
",
            if exporter == "otlp_http" { "endpoint: 'http://a'" } else { "endpoint: 'a:1', tls: {insecure: true}" }
        )
        .leak()
    };
    let (plan, _) = planned(text("otlp_http", "{authenticator: headers_setter}"));
    let auth = plan.outlets[0].auth.as_ref().unwrap();
    assert_eq!(
        (auth.id.kind.as_str(), auth.next.as_ref().unwrap().id.kind.as_str()),
        ("headers_setter", "bearertokenauth")
    );
    assert_eq!(plan.receivers[0].wanted, plan.outlets[0].apart.names);
    assert_eq!(plan.outlets[0].apart.names, [Arc::from("metadata.b")].into());
    for (exporter, auth, text_of_error) in [
        ("otlp_http", "{authenticator: basicauth/server}", "it says who may send"),
        ("otlp_http", "{authenticator: basicauth}", "there is no authenticator `basicauth`"),
        ("otlp_http", "{authenticator: headers_setter/self}", "comes after itself"),
        ("otlp_grpc", "{authenticator: bearertokenauth}", "needs TLS on gRPC"),
        ("otlp_grpc", "{authenticator: headers_setter}", "needs TLS on gRPC"),
        ("otlp_grpc", "{}", "`authenticator` is required"),
    ] {
        let found = told(text(exporter, auth));
        assert!(found.contains(text_of_error) && found.contains(&format!("exporters.{exporter}")), "{auth}: {found}");
    }
    for off in ["null", "{enabled: false}", "{enabled: false, authenticator: nobody}"] {
        assert_eq!(planned(text("otlp_grpc", off)).0.outlets[0].auth, None);
    }
}

/// Scenario: batches by metadata of the processor and of the exporter, from a receiver that keeps headers and from one that does not.
/// Guarantee: the exporter's requests stay apart by both, within the processor's limit; what can never be there is warned of.
#[test]
fn what_divides_batches_is_planned() {
    let text = |metadata: bool| -> &'static str {
        format!(
            "
receivers: {{otlp: {{protocols: {{http: {{include_metadata: {metadata}}}}}}}}}
processors: {{batch: {{metadata_keys: [X-Team], metadata_cardinality_limit: 7}}}}
exporters: {{otlp_http: {{endpoint: 'http://a', sending_queue: {{batch: {{partition: {{metadata_keys: [x-team, X-Zone]}}}}}}}}}}
service: {{pipelines: {{logs: {{receivers: [otlp], processors: [batch], exporters: [otlp_http]}}}}}}
"
        )
        .leak()
    };
    let (plan, warnings) = planned(text(true));
    let names = ["metadata.x-team", "metadata.x-zone"].map(Arc::from);
    assert_eq!((plan.outlets[0].apart.names.to_vec(), plan.outlets[0].apart.limit), (names.to_vec(), 7));
    assert!(!warnings.iter().any(|w| w.contains("include_metadata")), "{warnings:?}");
    let (_, warnings) = planned(text(false));
    assert!(warnings.iter().any(|w| w.contains("set `include_metadata`")), "{warnings:?}");
}

/// Scenario: the same configuration, moved about; and one with another endpoint. Guarantee: equal plans are equal, so that a reload changes only what changed.
#[test]
fn plans_can_be_compared() {
    let moved: &'static str = format!("# moved\n\n{TYPICAL}").leak();
    assert_eq!(planned(TYPICAL).0, planned(moved).0);
    let other: &'static str = TYPICAL.replace("backend:4317", "other:4317").leak();
    let (a, b) = (planned(TYPICAL).0, planned(other).0);
    assert_eq!((&a.receivers, &a.outlets[2]), (&b.receivers, &b.outlets[2]));
    assert_ne!(a.outlets[0], b.outlets[0]);
}

/// Scenario: stages in pipelines of each signal, twice in one of logs. Guarantee: logs have them in order; elsewhere they are an error at the
/// place where they are named.
#[test]
fn stages_take_logs_only() {
    let base = "
receivers: {otlp: {protocols: {grpc: }}}
processors: {loki_stages: {stages: [cri: ]}, loki_stages/b: {stages: [docker: ]}, batch: }
exporters: {nop: }
";
    let with = |rest: &str| -> &'static str { format!("{base}{rest}").leak() };
    let (plan, warnings) = planned(with(
        "service: {pipelines: {logs: {receivers: [otlp], processors: [loki_stages/b, batch, loki_stages], exporters: [nop]}}}",
    ));
    let ids: Vec<_> = plan.pipelines[0].stages.iter().map(|stage| stage.id.to_string()).collect();
    assert_eq!((ids, warnings.len()), (vec!["loki_stages/b".to_owned(), "loki_stages".to_owned()], 0), "{warnings:?}");
    let wrong = "service: {pipelines: {traces: {receivers: [otlp], processors: [batch, loki_stages], exporters: [nop]}, \
        metrics: {receivers: [otlp], processors: [loki_stages/b], exporters: [nop]}}}";
    let expected = ["service.pipelines.traces.processors[1]", "service.pipelines.metrics.processors[0]"];
    assert_eq!(errors(with(wrong)), expected);
}

/// Scenario: processors of attributes in pipelines of every signal, one of which asks for what only spans have. Guarantee: they are stages, in order;
/// what a signal does not have is an error at the place where the pipeline names the processor.
#[test]
fn attributes_change_in_every_signal() {
    let base = "
receivers: {otlp: {protocols: {grpc: }}}
processors:
  resource: {attributes: [{key: a, value: 1, action: upsert}]}
  attributes: {actions: [{key: a, action: delete}], include: {match_type: strict, span_names: [x]}}
exporters: {nop: }
";
    let with = |rest: &str| -> &'static str { format!("{base}{rest}").leak() };
    let (plan, warnings) = planned(with(
        "service: {pipelines: {traces: {receivers: [otlp], processors: [attributes, resource], exporters: [nop]}, \
         metrics: {receivers: [otlp], processors: [resource], exporters: [nop]}, \
         logs: {receivers: [otlp], processors: [resource], exporters: [nop]}}}",
    ));
    let ids = |n: usize| plan.pipelines[n].stages.iter().map(|stage| stage.id.to_string()).collect::<Vec<_>>();
    assert_eq!(
        (ids(0), ids(1).len(), ids(2).len(), warnings.len()),
        (vec!["attributes".into(), "resource".into()], 1, 1, 0)
    );
    let wrong =
        "service: {pipelines: {logs: {receivers: [otlp], processors: [resource, attributes], exporters: [nop]}}}";
    assert_eq!(errors(with(wrong)), ["service.pipelines.logs.processors[1]"]);
}

/// Scenario: exporters in pipelines of signals that they cannot send: `load_balancing` by a key that the signal does not have, for each pair of
/// key and signal, and `otlp_http` with a URL for traces only. Guarantee: an error where the pipeline names the exporter, in the
/// collector's words; what fits is in order.
#[test]
fn an_exporter_must_fit_the_signal() {
    const KEYS: [(&str, &str); 6] = [
        ("traceID", "logs traces"),
        ("service", "logs traces metrics"),
        ("resource", "logs metrics"),
        ("metric", "metrics"),
        ("streamID", "metrics"),
        ("attributes, routing_attributes: [a]", "logs traces metrics"),
    ];
    let lb = |key: &str| format!("load_balancing: {{routing_key: {key}, resolver: {{static: {{hostnames: [a]}}}}}}");
    let mut cases: Vec<(String, &str, Option<String>)> = vec![];
    for (key, fits) in KEYS {
        for signal in ["logs", "traces", "metrics"] {
            let name = key.split(',').next().unwrap();
            let why = format!(
                "exporter `load_balancing` does not take {signal}: unsupported routing_key: {name:?} for {signal}"
            );
            cases.push((lb(key), signal, (!fits.split(' ').any(|fit| fit == signal)).then_some(why)));
        }
    }
    let http = "otlp_http: {traces_endpoint: 'http://x/t'}".to_owned();
    let why =
        "exporter `otlp_http` does not take logs: either `endpoint` or `logs_endpoint` must be specified to send logs";
    cases.extend([(http.clone(), "traces", None), (http, "logs", Some(why.to_owned()))]);
    for (exporter, signal, expected) in cases {
        let id = exporter.split(':').next().unwrap();
        let service = format!("service: {{pipelines: {{{signal}: {{receivers: [otlp], exporters: [{id}]}}}}}}");
        let text = format!("receivers: {{otlp: {{protocols: {{grpc: }}}}}}\nexporters: {{{exporter}}}\n{service}");
        let (plan, found) = read_text(text.leak());
        let messages: Vec<_> = found.errors().map(|error| (error.path.to_string(), error.message.clone())).collect();
        let expected: Vec<_> =
            expected.into_iter().map(|why| (format!("service.pipelines.{signal}.exporters"), why)).collect();
        assert_eq!(messages, expected, "{exporter}");
        assert_eq!(plan.is_some(), expected.is_empty());
    }
}

/// Scenario: `loki` at both ends of a pipeline of traces. Guarantee: two errors, where they are named; a pipeline of logs is in order.
#[test]
fn loki_is_for_logs() {
    const PARTS: &str = "receivers: {loki: {protocols: {http: }}}\nexporters: {loki: {endpoint: 'http://x/push'}}\n";
    let text = format!("{PARTS}service: {{pipelines: {{traces: {{receivers: [loki], exporters: [loki]}}}}}}");
    let found = errors(text.leak());
    assert_eq!(found, ["service.pipelines.traces.receivers", "service.pipelines.traces.exporters"]);
    let text = format!("{PARTS}service: {{pipelines: {{logs: {{receivers: [loki], exporters: [loki]}}}}}}");
    let (plan, warnings) = planned(text.leak());
    assert_eq!((plan.outlets.len(), warnings.len()), (1, 0));
}

/// Scenario: the configurations on the pages of the authenticators, completed by what a page leaves out. Guarantee: each is in order, but for
/// files and variables that are not on this machine, and the exporter shows what the page says.
#[test]
fn the_pages_of_authenticators_are_right() {
    let service = |extensions: &str, exporter: &str| {
        format!(
            "{{receivers: {{nop: }}, service: {{extensions: [{extensions}], pipelines: {{traces: {{receivers: [nop], exporters: \
             [{exporter}]}}}}}}}}"
        )
    };
    for (page, block, extensions, exporter) in [
        (
            include_str!("../../../../../docs/extensions/headers_setter.md"),
            0,
            "headers_setter, bearertokenauth",
            "otlp_http",
        ),
        (include_str!("../../../../../docs/extensions/oauth2client.md"), 0, "oauth2client", "otlp_grpc"),
        (include_str!("../../../../../docs/extensions/sigv4auth.md"), 0, "sigv4auth", "otlp_http"),
        (include_str!("../../../../../docs/extensions/basicauth.md"), 1, "basicauth/backend", "otlp_http"),
    ] {
        let text = page.split("```yaml\n").nth(block + 1).unwrap().split("```").next().unwrap();
        let rest: &'static str = service(extensions, exporter).leak();
        let configs = ["page.yaml", "rest.yaml"].map(str::to_owned).to_vec();
        let sources = Sources { configs, sets: vec![], gates: vec![], kinds: KINDS };
        let mut found = Diagnostics::new();
        found.absent_files_are_warnings();
        read(&sources, &World([("page.yaml", text), ("rest.yaml", rest)].into()), &mut found);
        let errors: Vec<_> = found.errors().map(|e| format!("{}: {}", e.path, e.message)).collect();
        assert!(errors.is_empty(), "{text}\n{errors:?}");
    }
}
