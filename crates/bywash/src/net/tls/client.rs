//! TLS of the client side: the collector's `tls` section of an exporter, and the rustls configuration made of it.
//!
//! Invariants: certificates are always verified unless `insecure_skip_verify` says otherwise; keys never print. With
//! `reload_interval`, files are read again when a connection is made and the interval has passed; a broken file then leaves
//! what was loaded before in use.
//! It does NOT open connections. TLS 1.0 and 1.1 and TPM keys do not exist here and are clear errors.

use crate::config::duration::GoDuration;
use crate::config::secret::Secret;
use crate::config::validate::{Report, Validate};
use parking_lot::Mutex;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use serde::Deserialize;
use std::sync::Arc;
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
    /// Read the files again this often. 0: never.
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
        !(self.ca_file.is_empty() && self.cert_file.is_empty() && self.key_file.is_empty())
    }

    /// The rustls configuration, offering `alpn`.
    ///
    /// # Errors
    /// What is wrong, with the key that says it.
    pub fn load(&self, alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = Arc::new(self.provider()?);
        let roots = Arc::new(self.roots()?);
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&self.versions()?)
            .map_err(|e| TlsError::new("min_version", e.to_string()))?;
        let builder = if self.insecure_skip_verify {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(NoVerifier(provider)))
        } else if roots.is_empty() {
            return Err(TlsError::new(
                "ca_file",
                "no certificate authority is known: the system has none and none is configured",
            ));
        } else {
            let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider)
                .build()
                .map_err(|e| TlsError::new("ca_file", e.to_string()))?;
            builder.with_webpki_verifier(verifier)
        };
        let mut config = match self.identity()? {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).map_err(|e| TlsError::new("cert_file", e.to_string()))?
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }

    fn versions(&self) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
        let number = |key: &'static str, text: &str, default: u8| match text {
            "" => Ok(default),
            "1.2" => Ok(2),
            "1.3" => Ok(3),
            "1.0" | "1.1" => Err(TlsError::new(key, format!("TLS {text} is not supported; 1.2 and 1.3 are"))),
            _ => Err(TlsError::new(key, format!("unknown TLS version {text:?}; 1.2 and 1.3 are supported"))),
        };
        let (min, max) = (number("min_version", &self.min_version, 2)?, number("max_version", &self.max_version, 3)?);
        if min > max {
            return Err(TlsError::new("min_version", "min_version is above max_version"));
        }
        let all = [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)];
        Ok(all.into_iter().filter(|(n, _)| (min..=max).contains(n)).map(|(_, v)| v).collect())
    }

    fn provider(&self) -> Result<CryptoProvider, TlsError> {
        let mut provider = rustls::crypto::ring::default_provider();
        if !self.cipher_suites.is_empty() {
            let name = |s: &rustls::SupportedCipherSuite| format!("{:?}", s.suite()).replace("TLS13_", "TLS_");
            let known: Vec<String> = provider.cipher_suites.iter().map(name).collect();
            // Go calls the ChaCha suites of TLS 1.2 by their names with and without `_SHA256`.
            let matches = |wanted: &str, known: &str| known == wanted || known.strip_suffix("_SHA256") == Some(wanted);
            if let Some(unknown) = self.cipher_suites.iter().find(|w| !known.iter().any(|k| matches(w, k))) {
                return Err(TlsError::new(
                    "cipher_suites",
                    format!("{unknown} is not supported; these are: {}", known.join(", ")),
                ));
            }
            provider.cipher_suites.retain(|s| self.cipher_suites.iter().any(|w| matches(w, &name(s))));
        }
        if !self.curve_preferences.is_empty() {
            let mut groups = Vec::new();
            for wanted in &self.curve_preferences {
                let name = match wanted.as_str() {
                    "X25519" => rustls::NamedGroup::X25519,
                    "P256" => rustls::NamedGroup::secp256r1,
                    "P384" => rustls::NamedGroup::secp384r1,
                    _ => {
                        return Err(TlsError::new(
                            "curve_preferences",
                            format!("{wanted} is not supported; X25519, P256 and P384 are"),
                        ));
                    }
                };
                groups.extend(provider.kx_groups.iter().filter(|g| g.name() == name).copied());
            }
            provider.kx_groups = groups;
        }
        Ok(provider)
    }

    fn roots(&self) -> Result<RootCertStore, TlsError> {
        let mut roots = RootCertStore::empty();
        if self.has_ca() {
            let key = if self.ca_file.is_empty() { "ca_pem" } else { "ca_file" };
            for certificate in certificates(key, &pem(key, &self.ca_file, &self.ca_pem)?)? {
                roots.add(certificate).map_err(|e| TlsError::new(key, format!("not a usable authority: {e}")))?;
            }
        }
        if (!self.has_ca() && !self.insecure_skip_verify) || self.include_system_ca_certs_pool {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Ok(roots)
    }

    fn identity(&self) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, TlsError> {
        let has_cert = !self.cert_file.is_empty() || !self.cert_pem.is_empty();
        let has_key = !self.key_file.is_empty() || !self.key_pem.is_empty();
        match (has_cert, has_key) {
            (false, false) => return Ok(None),
            (true, false) => return Err(TlsError::new("key_file", "a certificate is given without its key")),
            (false, true) => return Err(TlsError::new("cert_file", "a key is given without its certificate")),
            (true, true) => {}
        }
        let cert_key = if self.cert_file.is_empty() { "cert_pem" } else { "cert_file" };
        let key_key = if self.key_file.is_empty() { "key_pem" } else { "key_file" };
        let chain = certificates(cert_key, &pem(cert_key, &self.cert_file, &self.cert_pem)?)?;
        let text = pem(key_key, &self.key_file, &self.key_pem)?;
        // The error of the parser is not passed on: it must not quote a key.
        let key = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|_| TlsError::new(key_key, "no private key in PEM form is in it"))?;
        Ok(Some((chain, key)))
    }
}

impl Validate for TlsConfig {
    /// Files are read, so that a bad one is found before the start.
    fn validate(&self, report: &mut Report<'_>) {
        let pairs = [
            ("ca_file", !self.ca_file.is_empty(), "ca_pem", !self.ca_pem.is_empty()),
            ("cert_file", !self.cert_file.is_empty(), "cert_pem", !self.cert_pem.is_empty()),
            ("key_file", !self.key_file.is_empty(), "key_pem", !self.key_pem.is_empty()),
        ];
        let mut is_sound = !self.tpm.enabled;
        for (file, has_file, pem, has_pem) in pairs {
            if has_file && has_pem {
                report.error(file, format!("only one of {file} and {pem} may be given"));
                is_sound = false;
            }
        }
        if self.tpm.enabled {
            report.error("tpm.enabled", "keys in a TPM are not supported");
        }
        if self.include_insecure_cipher_suites {
            report.warning("include_insecure_cipher_suites", "has no effect: weak cipher suites do not exist here");
        }
        if !self.reload_interval.is_zero() && !self.reads_files() {
            report.warning("reload_interval", "has no effect: no file is configured");
        }
        if is_sound && let Err(e) = self.load(&[]) {
            report.error(e.key, e.what);
        }
    }
}

fn pem(key: &'static str, file: &str, text: &Secret) -> Result<Vec<u8>, TlsError> {
    if file.is_empty() {
        return Ok(text.expose().as_bytes().to_vec());
    }
    std::fs::read(file).map_err(|e| TlsError::new(key, format!("cannot read {file}: {e}")))
}

fn certificates(key: &'static str, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(TlsError::new(key, "no certificate in PEM form is in it")),
        Err(e) => Err(TlsError::new(key, format!("not PEM: {e}"))),
    }
}

/// What is wrong with a `tls` section.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tls.{key}: {what}")]
pub struct TlsError {
    /// The key of the section that is concerned.
    pub key: &'static str,
    /// What is wrong with it.
    pub what: String,
}

impl TlsError {
    fn new(key: &'static str, what: impl Into<String>) -> TlsError {
        TlsError { key, what: what.into() }
    }
}

/// The TLS of one client, kept up to date with its files.
#[derive(Debug)]
pub struct ClientTls {
    config: TlsConfig,
    alpn: &'static [&'static [u8]],
    loaded: Mutex<(Arc<ClientConfig>, Instant)>,
}

impl ClientTls {
    /// Loads everything the section names.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(config: &TlsConfig, alpn: &'static [&'static [u8]], now: Instant) -> Result<ClientTls, TlsError> {
        Ok(ClientTls { loaded: Mutex::new((config.load(alpn)?, now)), config: config.clone(), alpn })
    }

    /// The configuration for a new connection.
    #[must_use]
    pub fn current(&self, now: Instant) -> Arc<ClientConfig> {
        let every: Duration = self.config.reload_interval.0;
        let mut loaded = self.loaded.lock();
        if !every.is_zero() && now.saturating_duration_since(loaded.1) >= every {
            loaded.1 = now;
            match self.config.load(self.alpn) {
                Ok(fresh) => loaded.0 = fresh,
                Err(error) => tracing::warn!(%error, "certificates could not be read again; those in use are kept"),
            }
        }
        loaded.0.clone()
    }

    /// The name that the certificate of a server at `host` must have.
    ///
    /// # Errors
    /// If the name is neither a DNS name nor an address.
    pub fn server_name(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        let name = if self.config.server_name_override.is_empty() { host } else { &self.config.server_name_override };
        ServerName::try_from(name.to_owned()).map_err(|_| {
            TlsError::new("server_name_override", format!("{name:?} is not a name a certificate can have"))
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
