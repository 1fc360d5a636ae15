use super::*;
use crate::client::connect::{Dialer, HostPort};
use crate::client::grpc::{Failure, GrpcClient, GrpcConfig};
use crate::client::testing::{Answer, Authority, Names, Server, Setup, grpc};
use config::testing::{decoded, problems};
use flow::Kind;
use std::net::SocketAddr;

async fn server(ca: &Authority, clients: Option<&Authority>) -> Server {
    grpc(Setup { tls: Some(ca.server("backend.test", clients, &[b"h2"])), ..Setup::default() }, |_| Answer::Ok(vec![]))
        .await
}

async fn call(address: SocketAddr, tls: TlsConfig) -> Result<bytes::Bytes, Failure> {
    call_with(address, Arc::new(ClientTls::new(&tls, &[b"h2"], flow::clock::now()).unwrap())).await
}

async fn call_with(address: SocketAddr, tls: Arc<ClientTls>) -> Result<bytes::Bytes, Failure> {
    let tls = Some(tls);
    let at = HostPort::parse("backend.test:4317", None).unwrap();
    let client = GrpcClient::new(GrpcConfig {
        dialer: Dialer { at, tls, resolver: Arc::new(Names::of(&[address])), proxy: None, tunnel: true },
        pool: Default::default(),
        authority: "backend.test".to_owned(),
        headers: Default::default(),
        user_agent: "t".to_owned(),
        compression: Default::default(),
    })
    .unwrap();
    let deadline = flow::clock::now() + Duration::from_secs(5);
    client.call(&client.method("/a.B/C").unwrap(), &wire::Chunks::from(vec![1]), deadline).await
}

/// One that no reload of another test touches, and its count of reloads.
fn alone(config: &TlsConfig, now: Instant) -> (ClientTls, &'static AtomicU64) {
    let reloads: &AtomicU64 = Box::leak(Box::default());
    (ClientTls::counting(config, &[b"h2"], now, reloads).unwrap(), reloads)
}

fn trusting(ca: &Authority) -> TlsConfig {
    TlsConfig { ca_pem: Secret::new(ca.pem.as_str()), ..TlsConfig::default() }
}

fn unreachable(result: &Result<bytes::Bytes, Failure>) -> bool {
    matches!(result, Err(Failure::Broken(why)) if why.kind == Kind::Unreachable)
}

/// Scenario: the right authority, a wrong one, a wrong name, an overridden name, no verification. Guarantee: only sound ones are sent.
#[tokio::test]
async fn certificates_are_verified() {
    let (ca, other) = (Authority::new(), Authority::new());
    let server = server(&ca, None).await;
    assert!(call(server.address, trusting(&ca)).await.is_ok());
    assert!(unreachable(&call(server.address, trusting(&other)).await));
    let elsewhere = TlsConfig { server_name_override: "elsewhere.test".to_owned(), ..trusting(&ca) };
    assert!(unreachable(&call(server.address, elsewhere).await));
    let blind = TlsConfig { insecure_skip_verify: true, ..TlsConfig::default() };
    assert!(call(server.address, blind).await.is_ok());
    let strict = TlsConfig { min_version: "1.3".to_owned(), ..trusting(&ca) };
    assert!(call(server.address, strict).await.is_ok());
    let old = TlsConfig { max_version: "1.2".to_owned(), ..trusting(&ca) };
    assert!(call(server.address, old).await.is_ok());
}

/// Scenario: the server wants a certificate of the client. Guarantee: sent with one of the right authority, else not.
#[tokio::test]
async fn clients_show_their_certificate() {
    let (ca, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let server = server(&ca, Some(&clients)).await;
    let with = |authority: &Authority| {
        let identity = authority.sign("client");
        TlsConfig { cert_pem: Secret::new(identity.cert), key_pem: Secret::new(identity.key), ..trusting(&ca) }
    };
    assert!(call(server.address, with(&clients)).await.is_ok());
    assert!(unreachable(&call(server.address, with(&strangers)).await));
    assert!(unreachable(&call(server.address, trusting(&ca)).await));
}

/// Scenario: an interval passes over a file that stays, and one that is broken. Guarantee: it is read again; a broken one changes nothing.
#[tokio::test]
async fn files_are_read_again_after_the_interval() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write(&Authority::new().pem);
    let every = Duration::from_secs(60);
    let config = TlsConfig {
        ca_file: file.to_str().unwrap().to_owned(),
        reload_interval: GoDuration(every),
        ..TlsConfig::default()
    };
    let t0 = flow::clock::now();
    let tls = alone(&config, t0).0;
    let first = tls.current(t0);
    assert!(Arc::ptr_eq(&tls.current(t0 + every / 2), &first));
    let second = tls.current(t0 + every);
    assert!(!Arc::ptr_eq(&second, &first));
    write("garbage");
    assert!(Arc::ptr_eq(&tls.current(t0 + every * 2), &second));
}

/// Scenario: without any interval, the CA file is rewritten, its folder's symbolic link is switched as Kubernetes does it, it is broken,
/// and mended. Guarantee: the next connection has what is there; what is broken changes nothing, and is not read again and again.
#[tokio::test]
async fn files_that_change_are_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["..1", "..2"] {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("ca.pem"), Authority::new().pem).unwrap();
    }
    std::os::unix::fs::symlink("..1", at("..data")).unwrap();
    std::os::unix::fs::symlink("..data/ca.pem", at("ca.pem")).unwrap();
    let config = TlsConfig { ca_file: at("ca.pem").to_str().unwrap().to_owned(), ..TlsConfig::default() };
    let t0 = flow::clock::now();
    let tls = alone(&config, t0).0;
    let first = tls.current(t0);
    assert!(Arc::ptr_eq(&tls.current(t0), &first));
    std::os::unix::fs::symlink("..2", at("..new")).unwrap();
    std::fs::rename(at("..new"), at("..data")).unwrap();
    let second = tls.current(t0);
    assert!(!Arc::ptr_eq(&second, &first));
    std::fs::write(at("..2").join("ca.pem"), "garbage").unwrap();
    assert!(Arc::ptr_eq(&tls.current(t0), &second));
    std::fs::write(at("..2").join("ca.pem"), Authority::new().pem).unwrap();
    assert!(!Arc::ptr_eq(&tls.current(t0), &second));
}

/// Scenario: a backend's certificate and authority are renewed while an exporter is connected, and the connection ends. Guarantee: the
/// next call is answered, with nothing but the file exchanged.
#[tokio::test]
async fn a_renewed_authority_is_trusted_by_the_next_connection() {
    let (old, new) = (Authority::new(), Authority::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.pem");
    std::fs::write(&file, &old.pem).unwrap();
    let config = TlsConfig { ca_file: file.to_str().unwrap().to_owned(), ..TlsConfig::default() };
    let tls = Arc::new(ClientTls::new(&config, &[b"h2"], flow::clock::now()).unwrap());
    let (before, after) = (server(&old, None).await, server(&new, None).await);
    let ask = |address: SocketAddr| call_with(address, tls.clone());
    assert!(ask(before.address).await.is_ok());
    assert!(unreachable(&ask(after.address).await));
    std::fs::write(&file, &new.pem).unwrap();
    assert!(ask(after.address).await.is_ok());
}

/// Scenario: the configuration is reloaded. Guarantee: the next connection reads everything again, also the system's authorities.
#[tokio::test]
async fn a_reload_reads_everything_again() {
    let t0 = flow::clock::now();
    let (tls, reloads) = alone(&trusting(&Authority::new()), t0);
    let first = tls.current(t0);
    reloads.fetch_add(1, Relaxed);
    assert!(!Arc::ptr_eq(&tls.current(t0), &first));
}

/// Scenario: settings that cannot be honoured. Guarantee: an error at the key, and keys never print.
#[test]
fn what_cannot_be_honoured_is_an_error_at_its_key() {
    let identity = Authority::new().sign("x");
    let indent = |pem: &str| pem.trim_end().replace('\n', "\n  ");
    let (cert, key) = (indent(&identity.cert), indent(&identity.key));
    for (yaml, path) in [
        ("min_version: '1.1'".to_owned(), "min_version"),
        ("max_version: '1.4'".to_owned(), "max_version"),
        ("{min_version: '1.3', max_version: '1.2'}".to_owned(), "max_version"),
        ("cipher_suites: [TLS_RSA_WITH_AES_128_CBC_SHA]".to_owned(), "cipher_suites"),
        ("curve_preferences: [P521]".to_owned(), "curve_preferences"),
        ("ca_file: /nowhere/ca.pem".to_owned(), "ca_file"),
        ("ca_pem: nothing".to_owned(), "ca_pem"),
        ("tpm: {enabled: true}".to_owned(), "tpm.enabled"),
        (format!("insecure_skip_verify: true\ncert_pem: |\n  {cert}"), "key_file"),
        (format!("insecure_skip_verify: true\nkey_pem: |\n  {key}"), "cert_file"),
        (format!("insecure_skip_verify: true\ncert_pem: |\n  {key}\nkey_pem: |\n  {key}"), "cert_pem"),
        (format!("insecure_skip_verify: true\ncert_pem: |\n  {cert}\nkey_pem: hunter2"), "key_pem"),
    ] {
        let found = problems::<TlsConfig>(&yaml);
        assert_eq!(found.len(), 1, "{yaml}: {found:?}");
        assert_eq!(found[0].0, path, "{yaml}");
        assert!(!found[0].1.contains("hunter2"));
    }
    let secret: TlsConfig = decoded("key_pem: hunter2");
    assert!(!format!("{secret:?}").contains("hunter2"));
}

/// Scenario: suites and groups by Go's names. Guarantee: of TLS 1.2 exactly those are offered, of TLS 1.3 all, as Go has it.
#[test]
fn suites_and_groups_are_chosen_by_name() {
    let yaml = "{insecure_skip_verify: true, curve_preferences: [P384], \
                cipher_suites: [TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305]}";
    let config = decoded::<TlsConfig>(yaml).load(&[]).unwrap();
    let provider = config.crypto_provider();
    let tls12: Vec<_> = provider.cipher_suites.iter().filter(|s| s.tls13().is_none()).map(|s| s.suite()).collect();
    assert_eq!(tls12, [rustls::CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]);
    assert_eq!(provider.kx_groups.len(), 1);
}
