//! Two tiers: a load balancer before gateways before a backend, as `examples/two-tiers` has them.

use super::sink::{Mode, Sink};
use super::*;

const METRICS: &str = "telemetry: {metrics: {readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: 0}}}}]}}";

fn second_tier(grpc: &str, sink: SocketAddr) -> String {
    format!(
        "
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: '{grpc}'}}}}}}}}
exporters: {{otlp_http: {{endpoint: 'http://{sink}', compression: none}}}}
service:
  {METRICS}
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http]}}}}
"
    )
}

fn first_tier(backends: &[SocketAddr], exporter: &str) -> String {
    let list = backends.iter().map(|at| format!("'{at}'")).collect::<Vec<_>>().join(", ");
    format!(
        "
receivers: {{otlp: {{protocols: {{http: {{endpoint: '127.0.0.1:0'}}}}}}}}
exporters:
  loadbalancing:
    routing_key: traceID
    protocol: {{otlp: {{tls: {{insecure: true}}, retry_on_failure: {{initial_interval: 20ms, max_interval: 100ms}}}}}}
    resolver: {{static: {{hostnames: [{list}]}}}}
    {exporter}
service:
  {METRICS}
  pipelines: {{logs: {{receivers: [otlp], exporters: [loadbalancing]}}}}
"
    )
}

/// Scenario: three gateways are stopped and started one after the other while logs flow. Guarantee: every id that was acknowledged arrives; the
/// page of the first tier shows three backends and all of the records.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_the_second_tier_loses_nothing() {
    let sink = Sink::start(Mode::Take).await;
    let mut gateways = vec![];
    for _ in 0..3 {
        gateways.push(started(&second_tier("127.0.0.1:0", sink.address)).await);
    }
    let backends: Vec<SocketAddr> = gateways.iter().map(|gateway| address(gateway, "grpc")).collect();
    let exporter = "batcher: {enabled: true, flush_interval: 5ms}\n    \
                    endpoint_health: {enabled: true, quarantine_duration: 200ms, reroute_on_failure: true}";
    let balancer = started(&first_tier(&backends, exporter)).await;
    let client = Client::new(address(&balancer, "http"));
    let mut sent = vec![];
    for (n, backend) in backends.iter().enumerate() {
        let (mut all, grace) = (vec![], Duration::from_secs(10));
        for round in 0..40 {
            all.extend(ids(&format!("{n}-{round}"), 0..5));
        }
        let stopping = tokio::spawn(gateways.remove(0).stop(grace));
        for some in all[..100].chunks(5) {
            assert!(client.sends(some).await);
        }
        assert_eq!(stopping.await.unwrap().given_up, 0);
        gateways.push(started(&second_tier(&backend.to_string(), sink.address)).await);
        for some in all[100..].chunks(5) {
            assert!(client.sends(some).await);
        }
        sent.extend(all);
    }
    sink.took(sent.len()).await;
    let (_, page) = get(balancer.pages().address("metrics").unwrap(), "/metrics").await;
    for line in [
        "otelcol_loadbalancer_num_backends{exporter=\"loadbalancing\",resolver=\"static\"} 3",
        "otelcol_receiver_accepted_log_records{receiver=\"otlp\",transport=\"http\"} 600",
    ] {
        assert!(page.contains(line), "{line} in\n{page}");
    }
    assert_eq!(balancer.stop(Duration::from_secs(10)).await.given_up, 0);
    for gateway in gateways {
        assert_eq!(gateway.stop(Duration::from_secs(10)).await.given_up, 0);
    }
    let mut taken = sink.taken();
    taken.dedup();
    sent.sort();
    assert_eq!(taken, sent);
}

/// Scenario: an exporter balances logs and traces; a reload changes the batches of the traces' pipeline only, twice. Guarantee: the outlet of the
/// logs stays, and the page shows one generation: each series once, with what was counted before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_of_one_signal_keeps_the_backends() {
    let sink = Sink::start(Mode::Take).await;
    let gateway = started(&second_tier("127.0.0.1:0", sink.address)).await;
    let both = |batch: u32| {
        let logs = first_tier(&[address(&gateway, "grpc")], "sending_queue: {wait_for_result: true}");
        let traces = "traces: {receivers: [otlp], processors: [batch], exporters: [loadbalancing]}";
        let pipelines =
            logs.replace("exporters: [loadbalancing]}}", &format!("exporters: [loadbalancing]}}, {traces}}}"));
        format!("{pipelines}processors: {{batch: {{send_batch_size: {batch}}}}}\n")
    };
    let mut balancer = started(&both(10)).await;
    let client = Client::new(address(&balancer, "http"));
    assert!(client.sends(&ids("before", 0..5)).await);
    let logs = balancer.outlets.iter().find(|o| o.plan.signal == wire::Signal::Logs).unwrap().outgoing.clone();
    for batch in [20, 30] {
        balancer.reload(planned(&both(batch))).await.unwrap();
        let traces = balancer.outlets.iter().find(|o| o.plan.signal == wire::Signal::Traces).unwrap();
        assert_eq!(traces.plan.batch.as_ref().unwrap().min_records, u64::from(batch));
        assert!(balancer.outlets.iter().any(|o| std::sync::Arc::ptr_eq(&o.outgoing, &logs)));
    }
    assert!(client.sends(&ids("after", 0..5)).await);
    let (_, page) = get(balancer.pages().address("metrics").unwrap(), "/metrics").await;
    let items = |l: &str| l.starts_with("otelcol_loadbalancer_backend_request_items") && l.ends_with(" 10");
    assert!(page.lines().any(items), "{page}");
    let mut series: Vec<&str> =
        page.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.rsplit_once(' ')).map(|(s, _)| s).collect();
    let all = series.len();
    series.sort_unstable();
    series.dedup();
    assert_eq!(series.len(), all);
    assert_eq!(page.matches("\notelcol_loadbalancer_num_backends{").count(), 1);
    drop(logs);
    balancer.stop(Duration::from_secs(10)).await;
    gateway.stop(Duration::from_secs(10)).await;
}
