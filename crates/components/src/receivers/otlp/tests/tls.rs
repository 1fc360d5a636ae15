//! TLS on both transports: who gets in, with which certificates, and what happens when they change.

use super::grpc::{Client, LOGS};
use super::http::{PROTOBUF, read, request_to};
use super::*;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use std::path::{Path, PathBuf};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// An authority with what it signs.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        Authority { pem: cert.pem(), der: cert.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// A certificate and its key.
    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        (CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes a server's files; the settings that name them.
    fn write(&self, dir: &Path) -> ServerTls {
        let (cert, key) = self.sign("localhost");
        let file = |name: &str, text: &str| -> String {
            let path: PathBuf = dir.join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        ServerTls {
            cert_file: file("cert.pem", &cert.pem()),
            key_file: file("key.pem", &key.serialize_pem()),
            ..ServerTls::default()
        }
    }

    /// A client that trusts this authority.
    fn client(&self, identity: Option<(rcgen::Certificate, KeyPair)>, alpn: &[&[u8]]) -> TlsConnector {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let builder = builder.with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
                builder.with_client_auth_cert(vec![cert.der().clone()], key).unwrap()
            }
        };
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        TlsConnector::from(Arc::new(config))
    }
}

async fn connect(connector: &TlsConnector, addr: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await?;
    connector.connect(ServerName::try_from("localhost").unwrap(), tcp).await
}

async fn house(tls: ServerTls) -> House {
    let mut plan = Plan::default();
    (plan.grpc.tls, plan.http.tls) = (Some(tls.clone()), Some(tls));
    plan.build().await
}

/// Scenario: gRPC, HTTP/1.1 and HTTP/2 over TLS. Guarantee: each is served; ALPN decides between the two of HTTP.
#[tokio::test]
async fn both_transports_are_served() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let house = house(authority.write(dir.path())).await;
    let client = Client::over(connect(&authority.client(None, &[b"h2"]), house.grpc).await.unwrap()).await;
    client.export(LOGS, &request(Signal::Logs, 1000, 1000)).await.assert_ok();
    drop(client);

    let io = connect(&authority.client(None, &[b"http/1.1"]), house.http).await.unwrap();
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let answer =
        read(client.send_request(request_to("/v1/logs", &[("content-type", PROTOBUF)], logs(1))).await.unwrap()).await;
    assert_eq!(answer.status.as_u16(), 200);
    drop(client);

    let io = connect(&authority.client(None, &[b"h2", b"http/1.1"]), house.http).await.unwrap();
    assert_eq!(io.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let request = request_to("https://localhost/v1/logs", &[("content-type", PROTOBUF)], logs(1));
    assert_eq!(read(client.send_request(request).await.unwrap()).await.status.as_u16(), 200);
    drop(client);
    assert_eq!(house.taken().len(), 3);
    house.stop().await;
}

/// Scenario: client certificates are asked for; a client without one, one of another authority, one of the right one. Guarantee: only the last gets in.
#[tokio::test]
async fn client_certificates_are_verified() {
    let (dir, authority, other) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    let mut tls = authority.write(dir.path());
    let file = dir.path().join("clients.pem");
    std::fs::write(&file, &authority.pem).unwrap();
    tls.client_ca_file = file.to_str().unwrap().to_owned();
    let house = house(tls).await;
    for identity in [None, Some(other.sign("client"))] {
        // With TLS 1.3 the client hears of it only after its own handshake.
        if let Ok(mut io) = connect(&authority.client(identity, &[b"h2"]), house.grpc).await {
            let _ = io.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
            assert!(io.read_u8().await.is_err());
        }
    }
    let io = connect(&authority.client(Some(authority.sign("client")), &[b"h2"]), house.grpc).await.unwrap();
    let client = Client::over(io).await;
    client.export(LOGS, &logs(1)).await.assert_ok();
    drop(client);
    assert_eq!((house.stats[0].1.handshake_failed.get(), house.taken().len()), (2, 1));
    house.stop().await;
}

/// Scenario: the files are replaced by others, then by garbage, then by a key of another certificate. Guarantee: new connections see the new certificate within seconds; bad files
/// change nothing.
#[tokio::test(start_paused = true)]
async fn changed_files_are_taken_over() {
    let (dir, old, new) = (tempfile::tempdir().unwrap(), Authority::new(), Authority::new());
    let tls = old.write(dir.path());
    let house = house(tls.clone()).await;
    let serves = async |authority: &Authority| connect(&authority.client(None, &[b"h2"]), house.grpc).await.is_ok();
    assert!(serves(&old).await && !serves(&new).await);
    // The length tells the files apart even where their times are too coarse to.
    let (cert, key) = new.sign("localhost");
    std::fs::write(&tls.cert_file, format!("# new\n{}", cert.pem())).unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(serves(&old).await, "the key is still the old one");
    std::fs::write(&tls.key_file, format!("# new\n{}", key.serialize_pem())).unwrap();
    while !serves(&new).await {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!serves(&old).await);
    std::fs::write(&tls.cert_file, "garbage").unwrap();
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(serves(&new).await);
    house.stop().await;
}

/// Scenario: clients that do not speak TLS, or begin and fall silent. Guarantee: closed, the silent one after 10 s; counted.
#[tokio::test(start_paused = true)]
async fn failed_handshakes_are_closed() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let house = house(authority.write(dir.path())).await;
    for (bytes, seconds) in [(&b"POST /v1/logs HTTP/1.1\r\n\r\n"[..], 0), (b"\x16\x03\x01", 10), (b"", 10)] {
        let mut tcp = TcpStream::connect(house.http).await.unwrap();
        let start = tokio::time::Instant::now();
        tcp.write_all(bytes).await.unwrap();
        let _ = tcp.read_to_end(&mut Vec::new()).await;
        assert_eq!(start.elapsed().as_secs(), seconds);
    }
    assert_eq!(house.stats[1].1.handshake_failed.get(), 3);
    house.stop().await;
}

/// Scenario: settings that cannot be honoured. Guarantee: an error that names the key and says what there is.
#[tokio::test]
async fn impossible_settings_are_errors() {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let good = authority.write(dir.path());
    let (other, _) = authority.sign("localhost");
    let cases = [
        (ServerTls::default(), "cert_file: a TLS server needs"),
        (ServerTls { key_file: "/nowhere".into(), ..good.clone() }, "key_file: cannot read /nowhere"),
        (ServerTls { cert_pem: "x".to_owned().into(), ..good.clone() }, "cert_pem: cannot be set together"),
        (ServerTls { min_version: "1.1".into(), ..good.clone() }, "min_version: TLS 1.1 is not supported"),
        (ServerTls { min_version: "1.3".into(), max_version: "1.2".into(), ..good.clone() }, "max_version: is below"),
        (
            ServerTls { cipher_suites: vec!["TLS_RSA_WITH_AES_128_CBC_SHA".into()], ..good.clone() },
            "cipher_suites: \"TLS_RSA",
        ),
        (ServerTls { curve_preferences: vec!["P521".into()], ..good.clone() }, "curve_preferences: \"P521\""),
        (ServerTls { cert_file: String::new(), cert_pem: other.pem().into(), ..good.clone() }, "tls: "),
        (ServerTls { key_file: good.cert_file.clone(), ..good.clone() }, "key_file: holds no private key"),
    ];
    for (settings, expected) in cases {
        let error = settings.load(&[b"h2"]).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let named = ServerTls {
        cipher_suites: vec!["TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305".into(), "TLS_AES_128_GCM_SHA256".into()],
        curve_preferences: vec!["P256".into()],
        ..good
    };
    let loaded = named.load(&[b"h2"]).unwrap();
    assert_eq!(loaded.crypto_provider().cipher_suites.len(), 4);
    assert_eq!(loaded.crypto_provider().kx_groups.len(), 1);
}
