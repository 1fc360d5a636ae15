//! TLS of the client side: the collector's `tls` section of an exporter, and the rustls configuration made of it.
//!
//! Invariants: certificates are always verified unless `insecure_skip_verify` says otherwise; keys never print. When a connection is made
//! the files are looked at, and read again if they are others than before, if `reload_interval` has passed, or after a reload of the
//! configuration; broken files leave what was loaded before in use, and are warned about once.
//! It does NOT open connections. TLS 1.0 and 1.1 and TPM keys do not exist here and are clear errors.

use super::TlsError;
use super::stamp::Stamps;
use config::duration::GoDuration;
use config::secret::Secret;
use config::validate::{Report, Validate};
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The collector's `tls` section of a client (configtls).
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// No TLS at all, unless a CA is given or the endpoint says `https://`.
    pub insecure: bool,
    /// TLS without verifying the server's certificate.
    pub insecure_skip_verify: bool,
    /// The name the server's certificate must have, in place of the endpoint's host.
    pub server_name_override: String,
    /// A PEM file of the authorities to trust, in place of the system's.
    pub ca_file: String,
    /// The same as text.
    pub ca_pem: Secret,
    /// A PEM file with this client's certificate chain.
    pub cert_file: String,
    /// The same as text.
    pub cert_pem: Secret,
    /// A PEM file with this client's private key.
    pub key_file: String,
    /// The same as text.
    pub key_pem: Secret,
    /// Trust the system's authorities beside `ca_file` or `ca_pem`.
    pub include_system_ca_certs_pool: bool,
    /// The lowest version: `1.2` (default) or `1.3`.
    pub min_version: String,
    /// The highest version: `1.2` or `1.3` (default).
    pub max_version: String,
    /// Cipher suites by their IANA names; none: all that are safe.
    pub cipher_suites: Vec<String>,
    /// Key exchange groups: `X25519`, `P256`, `P384`.
    pub curve_preferences: Vec<String>,
    /// Go's switch for weak suites, which do not exist here.
    pub include_insecure_cipher_suites: bool,
    /// Read the files again at least this often. 0: only when they change.
    pub reload_interval: GoDuration,
    /// Keys in a TPM, which are not supported.
    pub tpm: Tpm,
}

/// The collector's `tls.tpm`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tpm {
    /// Must stay off.
    pub enabled: bool,
    /// Unused.
    pub path: String,
    /// Unused.
    pub owner_auth: Secret,
    /// Unused.
    pub auth: Secret,
}

impl TlsConfig {
    /// Whether an authority is configured: in the collector, that turns TLS on even where `insecure` is set.
    #[must_use]
    pub fn has_ca(&self) -> bool {
        !self.ca_file.is_empty() || !self.ca_pem.is_empty()
    }

    /// Whether anything is written that only makes sense with TLS.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        let plain = TlsConfig { insecure: self.insecure, ..TlsConfig::default() };
        *self != plain
    }

    fn reads_files(&self) -> bool {
        self.files().any(|file| !file.is_empty())
    }

    fn files(&self) -> impl Iterator<Item = &str> {
        [&self.ca_file, &self.cert_file, &self.key_file].into_iter().map(String::as_str)
    }

    /// The rustls configuration, offering `alpn`.
    ///
    /// # Errors
    /// What is wrong, with the key that says it.
    pub fn load(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = super::provider(&self.cipher_suites, &self.curve_preferences)?;
        let roots = Arc::new(self.roots()?);
        let versions = super::versions(&self.min_version, &self.max_version)?;
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions)?;
        let builder = if self.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerifier(provider)))
        } else if roots.is_empty() {
            let text = "no certificate authority is known: the system has none and none is configured";
            return Err(TlsError::setting("ca_file", text));
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            builder.with_webpki_verifier(verifier.map_err(|e| TlsError::setting("ca_file", e.to_string()))?)
        };
        let mut config = match self.identity()? {
            Some((chain, key)) => builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| TlsError::setting("cert_file", format!("does not go with the key: {e}")))?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = super::pem("ca_file", &self.ca_file, "ca_pem", self.ca_pem.expose())? {
            let key = if self.ca_file.is_empty() { "ca_pem" } else { "ca_file" };
            for certificate in super::certificates(key, &pem)? {
                roots.add(certificate).map_err(|e| TlsError::setting(key, format!("not a usable authority: {e}")))?;
            }
        }
        if (!self.has_ca() && !self.insecure_skip_verify) || self.include_system_ca_certs_pool {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Ok(roots)
    }

    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsError> {
        let cert = super::pem("cert_file", &self.cert_file, "cert_pem", self.cert_pem.expose())?;
        let key = super::pem("key_file", &self.key_file, "key_pem", self.key_pem.expose())?;
        match (cert, key) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(TlsError::setting("key_file", "a certificate is given without its key")),
            (None, Some(_)) => Err(TlsError::setting("cert_file", "a key is given without its certificate")),
            (Some(cert), Some(key)) => {
                let cert_key = if self.cert_file.is_empty() { "cert_pem" } else { "cert_file" };
                let key_key = if self.key_file.is_empty() { "key_pem" } else { "key_file" };
                Ok(Some((super::certificates(cert_key, &cert)?, super::private_key(key_key, &key)?)))
            }
        }
    }
}

impl Validate for TlsConfig {
    /// Files are read, so that a bad one is found before the start.
    fn validate(&self, report: &mut Report<'_>) {
        if self.tpm.enabled {
            report.error("tpm.enabled", "keys in a TPM are not supported");
        }
        if self.include_insecure_cipher_suites {
            report.warning("include_insecure_cipher_suites", "has no effect: weak cipher suites do not exist here");
        }
        if !self.reload_interval.is_zero() && !self.reads_files() {
            report.warning("reload_interval", "has no effect: no file is configured");
        }
        if let Err(e) = self.load(&[]) {
            e.tell(report);
        }
    }
}

/// The TLS of one client, kept up to date with its files.
#[derive(Debug)]
pub struct ClientTls {
    config: TlsConfig,
    alpn: &'static [&'static [u8]],
    reloads: &'static AtomicU64,
    loaded: Mutex<Loaded>,
}

/// What is in use, and of which state of the files.
#[derive(Debug)]
struct Loaded {
    tls: Arc<ClientConfig>,
    at: Instant,
    stamps: Stamps,
    reloads: u64,
}

/// Reloads of the configuration so far.
static RELOADS: AtomicU64 = AtomicU64::new(0);

/// The configuration was reloaded: every client reads its files, and the system's authorities, once more before its next connection.
pub fn read_again() {
    RELOADS.fetch_add(1, Relaxed);
}

impl ClientTls {
    /// Loads everything the section names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(config: &TlsConfig, alpn: &'static [&'static [u8]], now: Instant) -> Result<ClientTls, TlsError> {
        ClientTls::counting(config, alpn, now, &RELOADS)
    }

    fn counting(
        config: &TlsConfig,
        alpn: &'static [&'static [u8]],
        now: Instant,
        reloads: &'static AtomicU64,
    ) -> Result<ClientTls, TlsError> {
        // The stamps are taken before the files are read, so that a change in between is seen afterwards.
        let (stamps, seen) = (Stamps::of(config.files()), reloads.load(Relaxed));
        let loaded = Loaded { tls: config.load(alpn)?, at: now, stamps, reloads: seen };
        Ok(ClientTls { loaded: Mutex::new(loaded), config: config.clone(), alpn, reloads })
    }

    /// The configuration for a new connection.
    #[must_use]
    pub fn current(&self, now: Instant) -> Arc<ClientConfig> {
        let every: Duration = self.config.reload_interval.0;
        let (stamps, reloads) = (Stamps::of(self.config.files()), self.reloads.load(Relaxed));
        let mut loaded = self.loaded.lock();
        let is_due = !every.is_zero() && now.saturating_duration_since(loaded.at) >= every;
        if is_due || loaded.stamps != stamps || loaded.reloads != reloads {
            (loaded.at, loaded.stamps, loaded.reloads) = (now, stamps, reloads);
            match self.config.load(self.alpn) {
                Ok(fresh) => loaded.tls = fresh,
                Err(error) => tracing::warn!(%error, "certificates could not be read again; those in use are kept"),
            }
        }
        loaded.tls.clone()
    }

    /// The name that the certificate of a server at `host` must have.
    ///
    /// # Errors
    /// If the name is neither a DNS name nor an address.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = if self.config.server_name_override.is_empty() { host } else { &self.config.server_name_override };
        ServerName::try_from(name.to_owned()).map_err(|_| {
            TlsError::setting("server_name_override", format!("{name:?} is not a name a certificate can have"))
        })
    }
}

/// `insecure_skip_verify`: any certificate will do, but the handshake must still be signed with it.
#[derive(Debug)]
struct NoVerifier(Arc<CryptoProvider>);

impl ServerCertVerifier for NoVerifier {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
