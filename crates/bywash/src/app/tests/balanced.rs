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
