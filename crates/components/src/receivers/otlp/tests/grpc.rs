//! OTLP/gRPC: every status, and what a client can get wrong.

use super::*;
use ::http::{HeaderMap, Method, Request, StatusCode};
use base64::Engine;
use h2::client::SendRequest;
use net::compression::{Encoding, compress};
use std::future::poll_fn;
use tokio::net::TcpStream;

pub(super) const LOGS: &str = "/opentelemetry.proto.collector.logs.v1.LogsService/Export";
const TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

pub(super) struct Client(pub SendRequest<Bytes>);

/// What came back.
#[derive(Debug)]
pub(super) struct Answer {
    pub http: StatusCode,
    pub headers: HeaderMap,
    pub status: Option<u16>,
    pub message: String,
    pub details: Option<Vec<u8>>,
    pub body: Vec<u8>,
}

impl Answer {
    fn is_retryable(&self) -> bool {
        self.details.as_deref().is_some_and(|d| d.windows(9).any(|w| w == b"RetryInfo"))
    }

    #[track_caller]
    pub fn assert_ok(&self) {
        assert_eq!((self.http, self.status), (StatusCode::OK, Some(0)), "{self:?}");
    }

    /// A status that must not be retried.
    #[track_caller]
    pub fn assert_permanent(&self, code: u16) {
        assert_eq!((self.http, self.status, self.is_retryable()), (StatusCode::OK, Some(code), false), "{self:?}");
        assert!(!self.message.is_empty());
    }

    #[track_caller]
    fn assert_retryable(&self, code: u16) {
        assert_eq!((self.http, self.status, self.is_retryable()), (StatusCode::OK, Some(code), true), "{self:?}");
    }
}

/// The message behind its prefix.
pub(super) fn framed(flag: u8, message: &[u8]) -> Bytes {
    let mut out = vec![flag];
    out.extend_from_slice(&(message.len() as u32).to_be_bytes());
    out.extend_from_slice(message);
    out.into()
}

pub(super) fn head(path: &str, more: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(Method::POST).uri(format!("http://localhost{path}"));
    let headers = request.headers_mut().unwrap();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.insert("te", "trailers".parse().unwrap());
    for (name, value) in more {
        headers.insert(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
    }
    request.body(()).unwrap()
}

pub(super) async fn finish(response: h2::client::ResponseFuture) -> Result<Answer, h2::Error> {
    let response = response.await?;
    let (head, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        bytes.extend_from_slice(&data?);
    }
    let trailers = body.trailers().await?;
    let end = trailers.as_ref().unwrap_or(&head.headers);
    let text = |name: &str| end.get(name).map(|v| v.to_str().unwrap().to_owned());
    let details =
        text("grpc-status-details-bin").map(|d| base64::engine::general_purpose::STANDARD_NO_PAD.decode(d).unwrap());
    Ok(Answer {
        http: head.status,
        status: text("grpc-status").map(|s| s.parse().unwrap()),
        message: text("grpc-message").unwrap_or_default(),
        headers: head.headers,
        details,
        body: bytes,
    })
}

impl Client {
    pub async fn connect(addr: SocketAddr) -> Client {
        let tcp = TcpStream::connect(addr).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Client::over(tcp).await
    }

    pub async fn over<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static>(io: T) -> Client {
        // Answers are small frames, of which h2 takes only so many unread: half the window's worth.
        let mut builder = h2::client::Builder::new();
        builder.initial_max_send_streams(100).initial_connection_window_size(8 << 20);
        let (client, connection) = builder.handshake(io).await.unwrap();
        tokio::spawn(connection);
        Client(client)
    }

    pub async fn send(&self, head: Request<()>, pieces: Vec<Bytes>) -> Result<Answer, h2::Error> {
        let mut client = self.0.clone().ready().await?;
        let (response, mut stream) = client.send_request(head, pieces.is_empty())?;
        let last = pieces.len().saturating_sub(1);
        for (i, mut piece) in pieces.into_iter().enumerate() {
            // As much as flow control allows, so that the pieces arrive as they are meant.
            while !piece.is_empty() {
                stream.reserve_capacity(piece.len());
                match poll_fn(|cx| stream.poll_capacity(cx)).await {
                    Some(Ok(n)) => {
                        let part = piece.split_to(n.min(piece.len()));
                        let end = i == last && piece.is_empty();
                        if stream.send_data(part, end).is_err() {
                            return finish(response).await;
                        }
                    }
                    // The server has answered without reading on.
                    _ => return finish(response).await,
                }
            }
        }
        finish(response).await
    }

    pub async fn export(&self, path: &str, body: &[u8]) -> Answer {
        self.send(head(path, &[]), vec![framed(0, body)]).await.unwrap()
    }
}

/// Scenario: a request of each signal, small and large. Guarantee: an empty answer, and the very bytes arrive with their count.
#[tokio::test]
async fn requests_arrive_as_they_are() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    for (path, signal) in [(LOGS, Signal::Logs), (TRACES, Signal::Traces), (METRICS, Signal::Metrics)] {
        for (records, size) in [(1, 10), (500, 1000), (3, 1 << 20)] {
            let body = request(signal, records, size);
            let answer = client.export(path, &body).await;
            answer.assert_ok();
            assert_eq!(answer.body, [0; 5], "partial_success must be unset");
            let taken = house.sink.taken.lock().pop().unwrap();
            assert_eq!((taken.signal, taken.records as usize), (signal, records));
            assert_eq!(taken.body.contiguous(), body);
        }
    }
    house.stop().await;
}

/// Scenario: an empty request. Guarantee: success.
#[tokio::test]
async fn an_empty_request_is_a_success() {
    let house = House::new().await;
    Client::connect(house.grpc).await.export(LOGS, b"").await.assert_ok();
    house.stop().await;
}

/// Scenario: each encoding that is taken. Guarantee: what arrives is the plain message. Garbage is refused for good.
#[tokio::test]
async fn compressed_messages_are_taken() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    let body = request(Signal::Logs, 1000, 100);
    for (name, encoding) in [
        ("gzip", Encoding::Gzip),
        ("zstd", Encoding::Zstd),
        ("snappy", Encoding::Snappy),
        ("snappy", Encoding::SnappyFramed),
        ("deflate", Encoding::Zlib),
    ] {
        let packed = compress(encoding, None, &body.clone().into()).unwrap();
        let answer = client.send(head(LOGS, &[("grpc-encoding", name)]), vec![framed(1, &packed)]).await.unwrap();
        answer.assert_ok();
        assert_eq!(house.sink.taken.lock().pop().unwrap().body.contiguous(), body);
        // The flag says whether a message is compressed, not the header.
        client.send(head(LOGS, &[("grpc-encoding", name)]), vec![framed(0, &body)]).await.unwrap().assert_ok();
        let answer = client.send(head(LOGS, &[("grpc-encoding", name)]), vec![framed(1, b"garbage!")]).await.unwrap();
        answer.assert_permanent(3);
    }
    assert_eq!(house.malformed(), 5);
    house.stop().await;
}

/// Scenario: an encoding that is not served, and a flag without an encoding. Guarantee: UNIMPLEMENTED with what is served; INTERNAL.
#[tokio::test]
async fn unknown_encodings_are_refused() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    for name in ["br", "lz4", "gzip, gzip"] {
        let answer = client.send(head(LOGS, &[("grpc-encoding", name)]), vec![framed(1, b"x")]).await.unwrap();
        answer.assert_permanent(12);
        assert!(answer.headers["grpc-accept-encoding"].to_str().unwrap().contains("zstd"));
    }
    client.send(head(LOGS, &[]), vec![framed(1, &logs(1))]).await.unwrap().assert_permanent(13);
    client
        .send(head(LOGS, &[("grpc-encoding", "identity")]), vec![framed(1, &logs(1))])
        .await
        .unwrap()
        .assert_permanent(13);
    client.send(head(LOGS, &[]), vec![framed(2, &logs(1))]).await.unwrap().assert_permanent(13);
    house.stop().await;
}

/// Scenario: methods, services, signals, HTTP methods and content types that are not served. Guarantee: what the gRPC protocol says for each.
#[tokio::test]
async fn what_is_not_served_is_said() {
    let house = Plan { unconnected: vec![Signal::Traces], ..Plan::default() }.build().await;
    let client = Client::connect(house.grpc).await;
    for path in ["/x.Y/Z", "/", "/opentelemetry.proto.collector.logs.v1.LogsService/export", TRACES] {
        client.export(path, &logs(1)).await.assert_permanent(12);
    }
    for content_type in ["application/json", "application/grpc-web", "text/plain"] {
        let answer =
            client.send(head(LOGS, &[("content-type", content_type)]), vec![framed(0, &logs(1))]).await.unwrap();
        assert_eq!(answer.http, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
    let mut get = head(LOGS, &[]);
    *get.method_mut() = Method::GET;
    assert_eq!(client.send(get, vec![]).await.unwrap().http, StatusCode::METHOD_NOT_ALLOWED);
    let mut without_te = head(LOGS, &[]);
    without_te.headers_mut().remove("te");
    client.send(without_te, vec![framed(0, &logs(1))]).await.unwrap().assert_ok();
    let health = client.send(head("/grpc.health.v1.Health/Check", &[]), vec![framed(0, b"")]).await.unwrap();
    health.assert_ok();
    assert_eq!(health.body, framed(0, &[8, 1]));
    house.stop().await;
}

/// Scenario: a stop is requested, and a health check is on its way before the client hears of it. Guarantee: it is answered that this server is no
/// longer to be used.
#[tokio::test]
async fn a_server_that_is_stopping_says_so() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    let check = || client.send(head("/grpc.health.v1.Health/Check", &[]), vec![framed(0, b"")]);
    assert_eq!(check().await.unwrap().body, framed(0, &[8, 1]));
    // Nothing else runs between the two: the client has not been told yet when it asks.
    house.stopper.stop(Duration::from_secs(10));
    let answer = check().await.unwrap();
    answer.assert_ok();
    assert_eq!(answer.body, framed(0, &[8, 2]));
    house.stop().await;
}

/// Scenario: broken protobuf. Guarantee: INVALID_ARGUMENT with the place, counted, and nothing is passed on.
#[tokio::test]
async fn broken_protobuf_is_invalid() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    let answer = client.export(LOGS, b"\x0a\xff\x01x").await;
    answer.assert_permanent(3);
    assert!(answer.message.contains("byte 0"), "{}", answer.message);
    assert_eq!((house.malformed(), house.taken().len()), (1, 0));
    house.stop().await;
}

/// Scenario: messages cut in any way, and streams with too little or too much in them. Guarantee: the cuts do not matter; the others are INTERNAL.
#[tokio::test]
async fn framing_is_held_to_the_letter() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    let whole = framed(0, &request(Signal::Logs, 100, 100));
    for step in [1, 3, 4, 5, 6, 1000, 9000] {
        let pieces = whole.chunks(step).map(Bytes::copy_from_slice).collect();
        client.send(head(LOGS, &[]), pieces).await.unwrap().assert_ok();
        assert_eq!(house.sink.taken.lock().pop().unwrap().body.contiguous(), whole.slice(5..));
    }
    let two = [&whole[..], &whole[..]].concat();
    for bad in [
        vec![],
        vec![whole.slice(..4)],
        vec![whole.slice(..whole.len() - 1)],
        vec![two.into()],
        vec![whole.clone(), whole.clone()],
    ] {
        client.send(head(LOGS, &[]), bad).await.unwrap().assert_permanent(13);
    }
    house.stop().await;
}

/// Scenario: lengths beyond the limit, the largest that can be written among them, with no body behind. Guarantee: RESOURCE_EXHAUSTED without
/// RetryInfo as soon as the prefix is there; the limit itself is allowed.
#[tokio::test]
async fn oversized_messages_are_refused_by_their_prefix() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    for length in [(4u32 << 20) + 1, u32::MAX] {
        let mut ready = client.0.clone().ready().await.unwrap();
        let (response, mut stream) = ready.send_request(head(LOGS, &[]), false).unwrap();
        let prefix = [&[0][..], &length.to_be_bytes()].concat();
        stream.send_data(prefix.into(), false).unwrap();
        // The stream is left open: the answer does not wait for the message.
        finish(response).await.unwrap().assert_permanent(8);
    }
    assert_eq!(house.refused(Kind::TooLarge), 2);
    let most = request(Signal::Logs, 1, (4 << 20) - 30);
    assert!(most.len() <= 4 << 20 && most.len() > (4 << 20) - 30);
    client.export(LOGS, &most).await.assert_ok();
    house.stop().await;
}

/// Scenario: bombs of every encoding. Guarantee: RESOURCE_EXHAUSTED without RetryInfo, nothing is passed on, memory stays.
#[tokio::test]
async fn bombs_are_refused() {
    let house = Plan {
        budget: BudgetConfig { bytes: 16 << 20, request_cost: 0, ..BudgetConfig::default() },
        ..Plan::default()
    }
    .build()
    .await;
    let client = Client::connect(house.grpc).await;
    for (name, encoding) in
        [("gzip", Encoding::Gzip), ("zstd", Encoding::Zstd), ("deflate", Encoding::Zlib), ("snappy", Encoding::Snappy)]
    {
        let block = compress(encoding, None, &vec![0; 60 << 20].into()).unwrap();
        // Members and frames in a row: a gigabyte of them.
        let times = if matches!(encoding, Encoding::Gzip | Encoding::Zstd) { 17 } else { 1 };
        let bomb = block.repeat(times);
        let before = peak_rss();
        let answer = client.send(head(LOGS, &[("grpc-encoding", name)]), vec![framed(1, &bomb)]).await.unwrap();
        answer.assert_permanent(8);
        assert_memory_stays(before);
    }
    assert!(house.taken().is_empty());
    house.stop().await;
}

/// Scenario: the budget is full. Guarantee: RESOURCE_EXHAUSTED with RetryInfo from the headers alone, before any of the body is there; counted.
#[tokio::test]
async fn a_full_budget_refuses_at_the_door() {
    let house =
        Plan { budget: BudgetConfig { bytes: 100_000, request_cost: 0, ..BudgetConfig::default() }, ..Plan::default() }
            .build()
            .await;
    let mut permit = house.budget.open(None).unwrap();
    permit.grow(100_000).unwrap();
    let client = Client::connect(house.grpc).await;
    let mut ready = client.0.clone().ready().await.unwrap();
    let (response, _stream) = ready.send_request(head(LOGS, &[]), false).unwrap();
    finish(response).await.unwrap().assert_retryable(8);
    assert_eq!(house.refused(Kind::HardLimit), 1);
    drop(permit);
    client.export(LOGS, &logs(1)).await.assert_ok();
    house.stop().await;
}

/// Scenario: requests of which only the headers have come. Guarantee: they are charged from then on, no more of them wait than the budget allows, and
/// the oldest are sent away for a request that comes whole.
#[tokio::test]
async fn waiting_requests_are_charged() {
    let house =
        Plan { budget: BudgetConfig { bytes: 400_000, request_cost: 0, ..BudgetConfig::default() }, ..Plan::default() }
            .build()
            .await;
    let client = Client::connect(house.grpc).await;
    let mut calls = vec![];
    for _ in 0..90 {
        let mut ready = client.0.clone().ready().await.unwrap();
        calls.push(ready.send_request(head(LOGS, &[]), false).unwrap());
    }
    let (oldest, _stream) = calls.remove(0);
    finish(oldest).await.unwrap().assert_retryable(8);
    let room = house.budget.room();
    assert!(room < 400_000, "the connection is not charged");
    assert!(house.budget.call_bytes() >= net::calls::CALL && house.budget.bytes() <= room);
    client.export(LOGS, &logs(1)).await.assert_ok();
    assert!(house.refused(Kind::HardLimit) > 30);
    drop(calls);
    house.settled().await;
    assert_eq!(house.budget.call_bytes(), 0);
    house.stop().await;
}

/// Scenario: a message that does not fit into what is left of the budget, and one that never would. Guarantee: retryable; permanent.
#[tokio::test]
async fn a_message_without_room_is_refused() {
    let house =
        Plan { budget: BudgetConfig { bytes: 100_000, request_cost: 0, ..BudgetConfig::default() }, ..Plan::default() }
            .build()
            .await;
    let client = Client::connect(house.grpc).await;
    let mut permit = house.budget.open(None).unwrap();
    permit.grow(60_000).unwrap();
    client.export(LOGS, &request(Signal::Logs, 1, 50_000)).await.assert_retryable(8);
    drop(permit);
    client.export(LOGS, &request(Signal::Logs, 1, 200_000)).await.assert_permanent(8);
    client.export(LOGS, &request(Signal::Logs, 1, 50_000)).await.assert_ok();
    house.stop().await;
}

/// Scenario: the destination refuses the data, is down, and takes only some. Guarantee: a partial success, UNAVAILABLE with RetryInfo, a partial success.
#[tokio::test]
async fn the_fate_downstream_is_answered() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    house.set(Mode::Answer(Attempt::Reject { why: why(Kind::BadData) }));
    let answer = client.export(LOGS, &logs(3)).await;
    answer.assert_ok();
    assert_eq!(&answer.body[5..9], [0x0a, answer.body.len() as u8 - 7, 0x08, 3]);
    assert!(answer.body.ends_with(b"said the sink"));
    house.set(Mode::Answer(Attempt::Retry { after: None, why: why(Kind::Unavailable), scope: flow::Scope::Target }));
    client.export(LOGS, &logs(3)).await.assert_retryable(14);
    house.stop().await;
}

/// Scenario: timeouts of the sender: absurd, zero, malformed, and one that passes while the destination stalls. Guarantee: the request, DEADLINE_EXCEEDED,
/// INTERNAL, DEADLINE_EXCEEDED; nothing is left behind.
#[tokio::test]
async fn the_senders_deadline_is_honoured() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    let send = async |timeout: &str| {
        client.send(head(LOGS, &[("grpc-timeout", timeout)]), vec![framed(0, &logs(1))]).await.unwrap()
    };
    send("99999999H").await.assert_ok();
    send("0n").await.assert_permanent(4);
    send("1x").await.assert_permanent(13);
    house.set(Mode::Stall);
    send("5m").await.assert_permanent(4);
    house.settled().await;
    house.stop().await;
}

/// Scenario: the sender cancels in the middle of the body, and while it waits for delivery. Guarantee: what the request held is given back, and the
/// connection serves on.
#[tokio::test]
async fn cancelled_calls_leave_nothing_behind() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    house.set(Mode::Stall);
    for body in [framed(0, &logs(100)).slice(..100), framed(0, &logs(100))] {
        let end = body.len() > 100;
        let mut ready = client.0.clone().ready().await.unwrap();
        let (response, mut stream) = ready.send_request(head(LOGS, &[]), false).unwrap();
        stream.send_data(body, end).unwrap();
        while house.budget.bytes() == 0 {
            tokio::task::yield_now().await;
        }
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        house.settled().await;
    }
    house.set(Mode::Take);
    client.export(LOGS, &logs(1)).await.assert_ok();
    house.stop().await;
}

/// Scenario: the sender stalls in the middle of the body. Guarantee: after 30 s it is given up with DEADLINE_EXCEEDED, and what it held is given back.
#[tokio::test(start_paused = true)]
async fn a_stalled_body_is_given_up() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    let mut ready = client.0.clone().ready().await.unwrap();
    let (response, mut stream) = ready.send_request(head(LOGS, &[]), false).unwrap();
    stream.send_data(framed(0, &logs(100)).slice(..100), false).unwrap();
    let start = tokio::time::Instant::now();
    finish(response).await.unwrap().assert_permanent(4);
    assert_eq!(start.elapsed().as_secs(), 30);
    house.stop().await;
}

/// Scenario: a tenant's name, and names that are none: too long, with control characters, empty. Guarantee: only the first is kept.
#[tokio::test]
async fn tenants_are_named_or_nobody() {
    let house = House::new().await;
    let client = Client::connect(house.grpc).await;
    let long = "x".repeat(129);
    for (name, kept) in [("acme", Some("acme")), (long.as_str(), None), ("a\tb", None), ("", None)] {
        client.send(head(LOGS, &[("x-scope-orgid", name)]), vec![framed(0, &logs(1))]).await.unwrap().assert_ok();
        let taken = house.sink.taken.lock().pop().unwrap();
        assert_eq!(taken.meta.tenant.as_deref(), kept);
    }
    assert_eq!(house.budget.tenants(), 1);
    house.stop().await;
}

/// Scenario: credentials are asked for; none, a wrong one, the right one. Guarantee: UNAUTHENTICATED before the body is there, with a challenge; counted.
#[tokio::test]
async fn credentials_are_asked_for() {
    let id = ComponentId::unnamed("bearertokenauth");
    let config = net::auth::BearerConfig { token: "s3cret".to_owned().into(), ..Default::default() };
    let auth = Authenticator::Bearer(Arc::new(net::auth::Bearer::new(&config).unwrap()));
    let mut plan = Plan { authenticators: HashMap::from([(id.clone(), auth)]), ..Plan::default() };
    plan.grpc.auth = Some(AuthRef { authenticator: id, request_params: vec![] });
    let house = plan.build().await;
    let client = Client::connect(house.grpc).await;
    for wrong in [&[][..], &[("authorization", "Bearer other")], &[("authorization", "s3cret")]] {
        let mut ready = client.0.clone().ready().await.unwrap();
        let (response, _stream) = ready.send_request(head(LOGS, wrong), false).unwrap();
        let answer = finish(response).await.unwrap();
        answer.assert_permanent(16);
        assert_eq!(answer.headers["www-authenticate"], "Bearer");
    }
    assert_eq!(house.refused(Kind::Auth), 3);
    client
        .send(head(LOGS, &[("authorization", "Bearer s3cret")]), vec![framed(0, &logs(1))])
        .await
        .unwrap()
        .assert_ok();
    house.stop().await;
}

/// Scenario: an authenticator that does not exist. Guarantee: an error at the start, not an open door.
#[tokio::test]
async fn a_missing_authenticator_is_an_error() {
    let mut grpc = Plan::default().grpc;
    grpc.auth = Some(AuthRef { authenticator: ComponentId::unnamed("nobody"), request_params: vec![] });
    let house = House::new().await;
    let config = Config { protocols: Protocols { grpc: Some(grpc), http: None } };
    let setup = Setup {
        grpc: house.inlets.clone(),
        http: house.inlets.clone(),
        seats: Seats::new(house.budget.clone()),
        authenticators: &HashMap::new(),
        tenant_header: None,
        wanted: Arc::new([]),
    };
    let result = Otlp::bind(ComponentId::unnamed("otlp"), &config, setup).await;
    assert!(matches!(result, Err(BindError::Authenticator { .. })));
    house.stop().await;
}

/// Scenario: a stop while a request waits for delivery and another connection is idle. Guarantee: the request is answered, nothing new is accepted, all ends.
#[tokio::test]
async fn a_stop_finishes_what_is_under_way() {
    let house = House::new().await;
    house.set(Mode::Stall);
    let (busy, _idle) = (Client::connect(house.grpc).await, Client::connect(house.grpc).await);
    let waiting =
        tokio::spawn(
            async move { busy.send(head(LOGS, &[("grpc-timeout", "300m")]), vec![framed(0, &logs(1))]).await },
        );
    while house.budget.records() == 0 {
        tokio::task::yield_now().await;
    }
    let grpc = house.grpc;
    house.stop().await;
    waiting.await.unwrap().unwrap().assert_permanent(4);
    assert!(TcpStream::connect(grpc).await.is_err());
}

/// Scenario: a stop whose deadline passes while a request still waits. Guarantee: everything ends at the deadline.
#[tokio::test(start_paused = true)]
async fn a_stop_ends_by_its_deadline() {
    let house = House::new().await;
    house.set(Mode::Stall);
    let client = Client::connect(house.grpc).await;
    let waiting = tokio::spawn(async move { client.send(head(LOGS, &[]), vec![framed(0, &logs(1))]).await });
    while house.budget.records() == 0 {
        tokio::task::yield_now().await;
    }
    let start = tokio::time::Instant::now();
    house.stop().await;
    assert_eq!(start.elapsed().as_secs(), 10);
    assert!(waiting.await.unwrap().is_err());
}
