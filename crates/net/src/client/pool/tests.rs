use super::*;
use crate::client::connect::HostPort;
use crate::client::grpc::{Failure, GrpcClient, GrpcConfig};
use crate::client::testing::{Answer, Names, Server, Setup, grpc, nowhere};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use wire::Chunks;

struct Caller {
    client: GrpcClient,
    method: Uri,
}

impl Caller {
    fn new(names: &Names, config: PoolConfig) -> Caller {
        let client = GrpcClient::new(GrpcConfig {
            dialer: Dialer {
                at: HostPort::parse("x:1", None).unwrap(),
                tls: None,
                resolver: Arc::new(names.clone()),
                proxy: None,
                tunnel: true,
            },
            pool: config,
            authority: "x:1".to_owned(),
            headers: HeaderMap::new(),
            user_agent: "t".to_owned(),
            compression: Default::default(),
        })
        .unwrap();
        let method = client.method("/a.B/C").unwrap();
        Caller { client, method }
    }

    async fn call(&self) -> Result<Bytes, Failure> {
        let deadline = flow::clock::now() + Duration::from_secs(5);
        self.client.call(&self.method, &Chunks::from(vec![1]), deadline).await
    }
}

async fn server() -> Server {
    grpc(Setup::default(), |_| Answer::Ok(vec![])).await
}

/// Calls until both connections are there.
async fn warm_up(caller: &Caller, connections: usize) {
    caller.call().await.unwrap();
    while caller.client.pool().ready() < connections {
        tokio::task::yield_now().await;
    }
}

/// Scenario: a name with two addresses. Guarantee: calls go to both in turn; with `pick_first` only to the first.
#[tokio::test]
async fn calls_go_to_all_addresses_in_turn() {
    let (mut a, mut b) = (server().await, server().await);
    let names = Names::of(&[a.address, b.address, a.address]);
    let caller = Caller::new(&names, PoolConfig::default());
    warm_up(&caller, 2).await;
    for _ in 0..10 {
        caller.call().await.unwrap();
    }
    let count = |s: &mut Server| std::iter::from_fn(|| s.seen.try_recv().ok()).count();
    let counts = (count(&mut a), count(&mut b));
    assert!(counts.0 >= 5 && counts.1 >= 5 && counts.0 + counts.1 == 11, "{counts:?}");
    let first = Caller::new(&names, PoolConfig { balancer: Balancer::PickFirst, ..PoolConfig::default() });
    for _ in 0..4 {
        first.call().await.unwrap();
    }
    assert_eq!((count(&mut a), count(&mut b), first.client.pool().ready()), (4, 0, 1));
}

/// Scenario: one of two addresses is dead. Guarantee: every call is served, in both modes.
#[tokio::test]
async fn a_dead_address_does_not_fail_calls() {
    let live = server().await;
    let names = Names::of(&[nowhere().await, live.address]);
    for balancer in [Balancer::RoundRobin, Balancer::PickFirst] {
        let caller = Caller::new(&names, PoolConfig { balancer, ..PoolConfig::default() });
        for _ in 0..5 {
            caller.call().await.unwrap();
        }
    }
}

/// Scenario: more addresses than are used. Guarantee: the number of connections is bounded.
#[tokio::test]
async fn connections_are_bounded() {
    let mut servers = Vec::new();
    for _ in 0..20 {
        servers.push(server().await);
    }
    let addresses: Vec<SocketAddr> = servers.iter().map(|s| s.address).collect();
    let caller = Caller::new(&Names::of(&addresses), PoolConfig::default());
    warm_up(&caller, crate::client::connect::MAX_ADDRESSES).await;
    for _ in 0..100 {
        caller.call().await.unwrap();
    }
    let used = servers.iter().filter(|s| s.connections() > 0).count();
    assert_eq!(used, crate::client::connect::MAX_ADDRESSES);
    assert!(servers.iter().all(|s| s.connections() <= 1));
}

/// Scenario: ten calls at once, without a connection, to a live and to a dead name. Guarantee: they share one connection, and one failure.
#[tokio::test]
async fn calls_share_a_round() {
    let live = server().await;
    let caller = Arc::new(Caller::new(&Names::of(&[live.address]), PoolConfig::default()));
    let all = (0..10).map(|_| {
        let caller = caller.clone();
        async move { caller.call().await }
    });
    let results = all.collect::<tokio::task::JoinSet<_>>().join_all().await;
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(live.connections(), 1);
    let caller = Arc::new(Caller::new(&Names::of(&[]), PoolConfig::default()));
    for _ in 0..3 {
        let why = caller.call().await.unwrap_err();
        assert!(
            matches!(why, Failure::Broken(why) if why.kind == Kind::Unreachable && why.text.contains("no addresses"))
        );
    }
}

/// Scenario: the name has no address at first. Guarantee: a call that waits for readiness is served once it has; others fail at once.
#[tokio::test]
async fn a_call_may_wait_for_a_connection() {
    let live = server().await;
    let names = Names::default();
    assert!(Caller::new(&names, PoolConfig::default()).call().await.is_err());
    let caller = Caller::new(&names, PoolConfig { wait_for_ready: true, ..PoolConfig::default() });
    tokio::time::pause();
    let call = async { caller.call().await };
    let appear = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        names.change(&[live.address]);
    };
    assert!(tokio::join!(call, appear).0.is_ok());
}

/// Scenario: a peer vanishes without a word, and the caller gives up. Guarantee: the connection is given up for the lack of a
/// sign of life, and the next call is served on a new one.
#[tokio::test]
async fn a_vanished_peer_is_noticed() {
    let server = grpc(Setup::default(), |n| if n == 1 { Answer::Vanish } else { Answer::Ok(vec![]) }).await;
    let caller = Caller::new(&Names::of(&[server.address]), PoolConfig::default());
    caller.call().await.unwrap();
    tokio::time::pause();
    assert!(tokio::time::timeout(Duration::from_secs(1), caller.call()).await.is_err());
    tokio::time::sleep(SIGN_OF_LIFE * 2).await;
    assert_eq!(caller.client.pool().ready(), 0);
    tokio::time::resume();
    caller.call().await.unwrap();
    assert_eq!(server.connections(), 2);
}

/// Scenario: a peer that is slow but there, and a caller that gives up. Guarantee: the connection is kept.
#[tokio::test]
async fn a_slow_peer_is_not_taken_for_a_vanished_one() {
    let mut server = grpc(Setup::default(), |n| if n == 1 { Answer::Stall } else { Answer::Ok(vec![]) }).await;
    let caller = Arc::new(Caller::new(&Names::of(&[server.address]), PoolConfig::default()));
    caller.call().await.unwrap();
    let slow = tokio::spawn({
        let caller = caller.clone();
        async move { caller.call().await }
    });
    server.next().await;
    server.next().await;
    slow.abort();
    assert!(slow.await.is_err());
    for _ in 0..5 {
        caller.call().await.unwrap();
        server.next().await;
    }
    assert_eq!(server.connections(), 1);
}

/// Scenario: keepalive is on and the peer vanishes in the middle of a call. Guarantee: the call fails by itself, without the caller giving up.
#[tokio::test]
async fn keepalive_ends_calls_to_a_vanished_peer() {
    let server = grpc(Setup::default(), |n| if n == 1 { Answer::Vanish } else { Answer::Ok(vec![]) }).await;
    let ten = Duration::from_secs(10);
    let keepalive = Some(Keepalive { every: ten, timeout: ten, when_idle: false });
    let caller = Caller::new(&Names::of(&[server.address]), PoolConfig { keepalive, ..PoolConfig::default() });
    caller.call().await.unwrap();
    tokio::time::pause();
    let failure = tokio::time::timeout(ten * 3, caller.call()).await.unwrap().unwrap_err();
    assert!(matches!(&failure, Failure::Broken(why) if why.kind == Kind::Unreachable), "{failure:?}");
}

/// Scenario: an address leaves the name while others stay. Guarantee: after the next round it is not used any more.
#[tokio::test]
async fn an_address_that_leaves_the_name_is_not_used() {
    let (gone, dead) = (server().await, server().await);
    let mut stays = server().await;
    let names = Names::of(&[gone.address, stays.address, dead.address]);
    let caller = Caller::new(&names, PoolConfig::default());
    warm_up(&caller, 3).await;
    names.change(&[stays.address]);
    drop(dead);
    while caller.client.pool().ready() > 2 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    tokio::time::sleep(REFRESH).await;
    tokio::time::resume();
    caller.call().await.unwrap();
    while caller.client.pool().ready() > 1 {
        tokio::task::yield_now().await;
    }
    while stays.seen.try_recv().is_ok() {}
    for _ in 0..4 {
        caller.call().await.unwrap();
    }
    assert_eq!(std::iter::from_fn(|| stays.seen.try_recv().ok()).count(), 4);
}

/// Scenario: the client is dropped. Guarantee: its connections end.
#[tokio::test]
async fn dropping_the_client_closes_its_connections() {
    let (io, closed) = tokio::sync::oneshot::channel();
    let io = parking_lot::Mutex::new(Some(io));
    let (address, _) = crate::client::testing::raw(move |tcp, _| {
        let io = io.lock().take();
        async move {
            let mut connection = h2::server::handshake(tcp).await.unwrap();
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let head = http::Response::builder().header("grpc-status", "0").body(()).unwrap();
            respond.send_response(head, true).unwrap();
            while connection.accept().await.is_some() {}
            io.unwrap().send(()).unwrap();
        }
    })
    .await;
    let caller = Caller::new(&Names::of(&[address]), PoolConfig::default());
    caller.call().await.unwrap();
    drop(caller);
    closed.await.unwrap();
}
