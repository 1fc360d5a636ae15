//! TLS of a listener: certificates, client certificates, and their exchange while running.
//!
//! An [`Acceptor`] holds the settings in force; [`Acceptor::watch`] looks at the files and exchanges them when they change. Files that
//! are bad (half-written, of different pairs) change nothing and are warned about once.
//!
//! It does not verify servers: that is a client's business.

use super::client::Tpm;
use super::stamp::Stamps;
use super::{TlsError, certificates, pem, private_key, provider, versions};
use arc_swap::ArcSwap;
use config::{GoDuration, Report, Secret, Validate};
use flow::Stop;
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How often the files are looked at.
const POLL: Duration = Duration::from_secs(5);

/// The collector's `tls` block of a server.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerTls {
    /// The certificate chain, leaf first, in PEM.
    pub cert_file: String,
    /// The same, in place.
    pub cert_pem: Secret,
    /// The private key in PEM.
    pub key_file: String,
    /// The same, in place.
    pub key_pem: Secret,
    /// Authorities of client certificates. Set: clients must present one.
    pub client_ca_file: String,
    /// Whether that file is looked at again. It always is; the key is accepted for compatibility.
    pub client_ca_file_reload: bool,
    /// "1.2" (the default) or "1.3".
    pub min_version: String,
    /// "1.2" or "1.3" (the default).
    pub max_version: String,
    /// Go's names of TLS 1.2 suites; empty: all that are secure.
    pub cipher_suites: Vec<String>,
    /// X25519, P256, P384; empty: all.
    pub curve_preferences: Vec<String>,
    /// The longest time between two loads of the files. 0: only when they change.
    pub reload_interval: GoDuration,
    /// No effect on a server.
    pub ca_file: String,
    /// No effect on a server.
    pub ca_pem: Secret,
    /// No effect on a server.
    pub include_system_ca_certs_pool: bool,
    /// No effect: there are no insecure suites here.
    pub include_insecure_cipher_suites: bool,
    /// Keys in a TPM, which are not supported.
    pub tpm: Tpm,
}

impl ServerTls {
    /// The settings as rustls wants them.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn load(&self, alpn: &[&[u8]]) -> Result<rustls::ServerConfig, TlsError> {
        let missing = |key| TlsError::setting(key, "a TLS server needs a certificate and its key");
        let cert = pem("cert_file", &self.cert_file, "cert_pem", self.cert_pem.expose())?
            .ok_or_else(|| missing("cert_file"))?;
        let key =
            pem("key_file", &self.key_file, "key_pem", self.key_pem.expose())?.ok_or_else(|| missing("key_file"))?;
        let provider = provider(&self.cipher_suites, &self.curve_preferences)?;
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(&self.min_version, &self.max_version)?)?;
        let builder = match pem("client_ca_file", &self.client_ca_file, "client_ca_pem", "")? {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in certificates("client_ca_file", &authorities)? {
                    roots.add(authority)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .build()
                    .map_err(|e| TlsError::setting("client_ca_file", e.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(certificates("cert_file", &cert)?, private_key("key_file", &key)?)?;
        config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
        Ok(config)
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        [&self.cert_file, &self.key_file, &self.client_ca_file]
            .into_iter()
            .filter(|f| !f.is_empty())
            .map(String::as_str)
    }
}

impl Validate for ServerTls {
    fn validate(&self, report: &mut Report<'_>) {
        let without_effect = [
            ("ca_file", !self.ca_file.is_empty()),
            ("ca_pem", !self.ca_pem.is_empty()),
            ("include_system_ca_certs_pool", self.include_system_ca_certs_pool),
            ("include_insecure_cipher_suites", self.include_insecure_cipher_suites),
        ];
        for (key, _) in without_effect.iter().filter(|(_, set)| *set) {
            report.warning(key, format!("`{key}` has no effect on a server"));
        }
        if self.tpm.enabled {
            report.error("tpm.enabled", "keys in a TPM are not supported");
        }
        // All that the start would find is found here: files are read.
        if let Err(e) = self.load(&[]) {
            e.tell(report);
        }
    }
}

/// The server side of handshakes, with the certificates in force.
pub struct Acceptor {
    settings: ServerTls,
    alpn: Vec<&'static [u8]>,
    current: ArcSwap<rustls::ServerConfig>,
}

impl Acceptor {
    /// Loads the files.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(settings: ServerTls, alpn: &[&'static [u8]]) -> Result<Acceptor, TlsError> {
        let current = ArcSwap::from_pointee(settings.load(alpn)?);
        Ok(Acceptor { settings, alpn: alpn.to_vec(), current })
    }

    /// The server's part of a handshake.
    ///
    /// # Errors
    /// The client does not speak TLS, or not the one that is asked for.
    pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S) -> io::Result<TlsStream<S>> {
        TlsAcceptor::from(self.current.load_full()).accept(stream).await
    }

    /// Exchanges the certificates whenever their files change, and at every `reload_interval`, until a stop is requested.
    pub async fn watch(&self, stop: &Stop) {
        let every = match self.settings.reload_interval.0 {
            Duration::ZERO => POLL,
            interval => interval.min(POLL),
        };
        let mut stamps = self.stamps();
        let mut loaded = tokio::time::Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(every) => {}
                _ = stop.requested() => return,
            }
            let now = self.stamps();
            let interval = self.settings.reload_interval.0;
            let due = !interval.is_zero() && loaded.elapsed() >= interval;
            if now == stamps && !due {
                continue;
            }
            // Bad files are told once: they are looked at again when they change or the interval ends.
            self.reload();
            stamps = now;
            loaded = tokio::time::Instant::now();
        }
    }

    /// Loads the files now; whether the new ones are in force.
    pub fn reload(&self) -> bool {
        match self.settings.load(&self.alpn) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                tracing::info!(file = self.settings.cert_file, "tls certificates loaded");
                true
            }
            Err(error) => {
                tracing::warn!(%error, "new tls certificates are bad: the old ones stay in force");
                false
            }
        }
    }

    fn stamps(&self) -> Stamps {
        Stamps::of(self.settings.files())
    }
}
