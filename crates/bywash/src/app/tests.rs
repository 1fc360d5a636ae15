//! The program in one process, over real sockets: start, traffic, reload, stop. Every record has an id, and every id that was
//! acknowledged must arrive, once, or be reported.

mod balanced;
mod flow_through;
mod reload;
mod sink;
mod stop;

use crate::app::components::KINDS;
use crate::app::plan::{self, Plan, Sources};
use crate::app::service::Service;
use components::exporters::otlp_http::{self, OtlpHttp};
use config::{Diagnostics, ProcessEnvironment};
use flow::{Attempt, Exporter, Payload};
use sink::request;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The plan of a text that is in order.
fn planned(text: &str) -> Plan {
    let sources = Sources { configs: vec![format!("yaml:{text}")], sets: vec![], gates: vec![], kinds: KINDS };
    let mut found = Diagnostics::new();
    plan::read(&sources, &ProcessEnvironment, &mut found).unwrap_or_else(|| panic!("{found}"))
}

/// A gateway of logs to one sink. `exporter` and `service` are further keys.
fn gateway(sink: SocketAddr, exporter: &str, service: &str) -> String {
    gateway_on("127.0.0.1:0", sink, exporter, service)
}

/// The same with HTTP on this endpoint.
fn gateway_on(http: &str, sink: SocketAddr, exporter: &str, service: &str) -> String {
    format!(
        "
receivers:
  otlp: {{protocols: {{grpc: {{endpoint: '127.0.0.1:0'}}, http: {{endpoint: '{http}'}}}}}}
exporters:
  otlp_http: {{endpoint: 'http://{sink}', compression: none, {exporter}}}
extensions:
  health_check: {{endpoint: '127.0.0.1:0'}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{readers: [{{pull: {{exporter: {{prometheus: {{host: 127.0.0.1, port: 0}}}}}}}}]}}}}
  pipelines: {{logs: {{receivers: [otlp], exporters: [otlp_http]}}}}
  {service}
"
    )
}

async fn started(text: &str) -> Service {
    Service::start(planned(text), None, false).await.unwrap()
}

fn address(service: &Service, transport: &str) -> SocketAddr {
    let addresses = &service.receivers()[0].addresses;
    addresses.iter().find(|(name, _)| *name == transport).unwrap().1
}

/// A sender by HTTP.
struct Client(OtlpHttp);

impl Client {
    fn new(to: SocketAddr) -> Client {
        let config = otlp_http::Config { endpoint: format!("http://{to}"), ..otlp_http::Config::default() };
        Client(OtlpHttp::new(&config).unwrap())
    }

    async fn send(&self, payload: Payload) -> Attempt {
        let deadline = flow::clock::now() + Duration::from_secs(20);
        self.0.send(&self.0.target(), payload, deadline).await
    }

    async fn sends(&self, ids: &[String]) -> bool {
        self.send(request(ids)).await == Attempt::Sent
    }
}

/// Status and body of a GET.
async fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
}

/// A port that was free a moment ago.
async fn free_port() -> u16 {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port()
}

fn ids(prefix: &str, range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|n| format!("{prefix}-{n}")).collect()
}
