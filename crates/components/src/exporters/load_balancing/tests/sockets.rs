//! Over real sockets: the exporter as it is configured, and gRPC servers.

use super::fleet::{id, logs, trace_of};
use crate::exporters::Apart;
use crate::exporters::load_balancing::LoadBalancing;
use config::testing::decoded;
use flow::Budget;
use flow::{Ack, Outcome, Outgoing};
use net::client::testing::{Answer, Server, Setup, grpc};
use std::sync::Arc;
use wire::Signal;

async fn fleet(n: usize) -> (Vec<Server>, Vec<String>) {
    let mut servers = vec![];
    for _ in 0..n {
        servers.push(grpc(Setup::default(), |_| Answer::Ok(vec![])).await);
    }
    let names = servers.iter().map(|s| s.address.to_string()).collect();
    (servers, names)
}

fn outlet(names: &[String], yaml: &str) -> (LoadBalancing, Arc<dyn Outgoing>) {
    let list = names.iter().map(|n| format!("'{n}'")).collect::<Vec<_>>().join(", ");
    let config = decoded(&format!(
        "routing_key: traceID\nresolver: {{static: {{hostnames: [{list}]}}}}\n\
         protocol: {{otlp: {{tls: {{insecure: true}}, compression: none, \
         retry_on_failure: {{initial_interval: 10ms, max_interval: 50ms}}}}}}\n{yaml}"
    ));
    let balancer = LoadBalancing::new("lb", &config, None).unwrap();
    let outlet = balancer.outlet(Signal::Logs, Budget::of(1 << 30), None, &Apart::default(), None).unwrap();
    (balancer, outlet)
}

async fn send(outlet: &Arc<dyn Outgoing>, trace: u32) -> Outcome {
    let payload = logs(&[("x", trace)]);
    let (ack, told) = Ack::watched(None);
    let slot = outlet.reserve(&payload, false).unwrap();
    outlet.push(payload, slot, ack, true);
    told.await.unwrap()
}

/// Scenario: traces over four servers. Guarantee: every trace reaches the server that owns it, with one connection for each.
#[tokio::test]
async fn traces_reach_their_servers() {
    let (mut servers, names) = fleet(4).await;
    let (_balancer, outlet) = outlet(&names, "batcher: {enabled: true}");
    for (n, name) in names.iter().enumerate() {
        let trace = trace_of(&names, name);
        for _ in 0..5 {
            assert_eq!(send(&outlet, trace).await, Outcome::Delivered);
            let seen = servers[n].next().await;
            assert!(seen.message.windows(16).any(|w| w == id(trace)));
        }
        assert_eq!(servers[n].connections(), 1);
    }
    outlet.close(flow::clock::now()).await;
}

/// Scenario: one of four servers dies and another takes its place. Guarantee: the others keep the one connection they have, and only the lost
/// one is replaced.
#[tokio::test]
async fn item_26_one_death_costs_one_connection() {
    let (mut servers, names) = fleet(4).await;
    let (_balancer, outlet) = outlet(&names, "");
    for name in &names {
        assert_eq!(send(&outlet, trace_of(&names, name)).await, Outcome::Delivered);
    }
    let address = servers[0].address;
    drop(servers.remove(0));
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let at = Some(address);
    let back = grpc(Setup { at, ..Setup::default() }, |_| Answer::Ok(vec![])).await;
    for _ in 0..3 {
        for name in &names {
            assert_eq!(send(&outlet, trace_of(&names, name)).await, Outcome::Delivered);
        }
    }
    assert_eq!(back.connections(), 1);
    assert!(servers.iter().all(|server| server.connections() == 1));
    outlet.close(flow::clock::now()).await;
}

/// Scenario: probes of a server without a health service, of one that says it is not serving, and of nobody. Guarantee: the first is up, the
/// others are down.
#[tokio::test]
async fn health_checks_tell_the_dead_from_the_simple() {
    let simple = grpc(Setup::default(), |_| Answer::Status(12, "unknown service", None)).await;
    let away = grpc(Setup::default(), |_| Answer::Ok(vec![0x08, 2])).await;
    let well = grpc(Setup::default(), |_| Answer::Ok(vec![0x08, 1])).await;
    let nobody = net::client::testing::nowhere().await;
    let config = decoded("tls: {insecure: true}");
    let client = crate::exporters::otlp_client::OtlpGrpc::with_default_port(&config, 4317).unwrap();
    let deadline = flow::clock::now() + std::time::Duration::from_secs(5);
    for (at, is_up, connects) in
        [(simple.address, true, true), (away.address, false, true), (well.address, true, true), (nobody, false, false)]
    {
        let target = flow::Target::new(at.to_string());
        assert_eq!(client.check_health(&target, deadline).await.is_ok(), is_up, "{at}");
        assert_eq!(client.check_connect(&target).await.is_ok(), connects, "{at}");
    }
}
