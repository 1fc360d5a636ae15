//! TLS by rustls with the ring provider: the collector's `configtls`, for both sides.
//!
//! | to change | open |
//! |---|---|
//! | certificates, keys and their errors | this file |
//! | the server's settings, handshake and reload | [`server`] |
//! | the client's settings and reload | [`client`] |
//! | when files count as changed | [`stamp`] |
//!
//! Only TLS 1.2 and 1.3 exist here. A setting that rustls cannot honour is an error that says so, never a silent default.

pub mod client;
pub mod server;
pub mod stamp;

pub use server::{Acceptor, ServerTls};

use config::Report;
use rustls::crypto::CryptoProvider;
use rustls::{SupportedCipherSuite, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::io;
use std::sync::Arc;

/// TLS settings that cannot be put to use.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A setting is missing, contradicts another or names something that does not exist.
    #[error("{key}: {message}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// What is wrong with it.
        message: String,
    },
    /// A file cannot be read.
    #[error("{key}: cannot read {file}: {source}")]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        file: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The material does not fit together.
    #[error("tls: {0}")]
    Rustls(#[from] rustls::Error),
}

impl TlsError {
    /// Tells a report: a file that is not there may only be absent from this machine.
    pub fn tell(self, report: &mut Report<'_>) {
        let text = self.to_string();
        match self {
            TlsError::Setting { key, message } => report.error(key, message),
            TlsError::File { key, file, source } => {
                let text = format!("cannot read {file}: {source}");
                if source.kind() == io::ErrorKind::NotFound {
                    report.absent(key, text)
                } else {
                    report.error(key, text)
                }
            }
            TlsError::Rustls(_) => report.error("", text),
        }
    }

    fn setting(key: &'static str, message: impl Into<String>) -> TlsError {
        TlsError::Setting { key, message: message.into() }
    }
}

/// PEM text from a file or from the configuration itself.
///
/// # Errors
/// Both are set, or the file cannot be read.
pub fn pem(
    file_key: &'static str,
    file: &str,
    inline_key: &'static str,
    inline: &str,
) -> Result<Option<Vec<u8>>, TlsError> {
    match (file.is_empty(), inline.is_empty()) {
        (true, true) => Ok(None),
        (true, false) => Ok(Some(inline.as_bytes().to_vec())),
        (false, true) => match std::fs::read(file) {
            Ok(text) => Ok(Some(text)),
            Err(source) => Err(TlsError::File { key: file_key, file: file.to_owned(), source }),
        },
        (false, false) => Err(TlsError::setting(inline_key, format!("cannot be set together with {file_key}"))),
    }
}

/// The certificates in a PEM text.
///
/// # Errors
/// It is not PEM, or holds none.
pub fn certificates(key: &'static str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| TlsError::setting(key, format!("not a PEM certificate: {e}")))?;
    if all.is_empty() { Err(TlsError::setting(key, "holds no certificate")) } else { Ok(all) }
}

/// The private key in a PEM text: PKCS#1, PKCS#8 or SEC1.
///
/// # Errors
/// It is not PEM, or holds none. The text is never part of the error.
pub fn private_key(key: &'static str, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::setting(key, "holds no private key in PEM"))
}

/// The protocol versions between two settings, each "1.2", "1.3" or empty.
///
/// # Errors
/// A version does not exist here, or the two cross.
pub fn versions(min: &str, max: &str) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    const ALL: [(&str, &SupportedProtocolVersion); 2] =
        [("1.2", &rustls::version::TLS12), ("1.3", &rustls::version::TLS13)];
    let position = |key, text: &str, default| match text {
        "" => Ok(default),
        "1.0" | "1.1" => {
            Err(TlsError::setting(key, format!("TLS {text} is not supported: it is broken; use 1.2 or 1.3")))
        }
        _ => ALL
            .iter()
            .position(|(name, _)| *name == text)
            .ok_or_else(|| TlsError::setting(key, format!("{text:?} is not a TLS version; use 1.2 or 1.3"))),
    };
    let (from, to) = (position("min_version", min, 0)?, position("max_version", max, ALL.len() - 1)?);
    if from > to {
        return Err(TlsError::setting("max_version", "is below min_version"));
    }
    Ok(ALL[from..=to].iter().map(|(_, version)| *version).collect())
}

/// The ring provider with only these cipher suites (Go's names) and curves; empty lists are the defaults. As in Go, `cipher_suites` chooses
/// among those of TLS 1.2, and those of TLS 1.3 are always on.
///
/// # Errors
/// A name is not available.
pub fn provider(cipher_suites: &[String], curves: &[String]) -> Result<Arc<CryptoProvider>, TlsError> {
    let mut provider = rustls::crypto::ring::default_provider();
    if !cipher_suites.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        let is_tls13 = |s: &SupportedCipherSuite| s.tls13().is_some();
        let mut chosen: Vec<_> = all.iter().copied().filter(is_tls13).collect();
        for name in cipher_suites {
            let tls13 = name.strip_prefix("TLS_").map(|n| format!("TLS13_{n}"));
            let sha256 = format!("{name}_SHA256");
            let found = all.iter().find(|s| {
                let own = s.suite();
                let own = own.as_str().unwrap_or_default();
                own == name || own == sha256 || Some(own) == tls13.as_deref()
            });
            match found {
                Some(s) if is_tls13(s) => {}
                Some(s) => chosen.push(*s),
                None => {
                    let names: Vec<_> =
                        all.iter().filter_map(|s| s.suite().as_str()).filter(|n| !n.starts_with("TLS13_")).collect();
                    return Err(TlsError::setting(
                        "cipher_suites",
                        format!("{name:?} is not available; available are {}", names.join(", ")),
                    ));
                }
            }
        }
        provider.cipher_suites = chosen;
    }
    if !curves.is_empty() {
        let all = std::mem::take(&mut provider.kx_groups);
        for curve in curves {
            let group = match curve.as_str() {
                "X25519" => rustls::NamedGroup::X25519,
                "P256" => rustls::NamedGroup::secp256r1,
                "P384" => rustls::NamedGroup::secp384r1,
                _ => {
                    return Err(TlsError::setting(
                        "curve_preferences",
                        format!("{curve:?} is not available; use X25519, P256 or P384"),
                    ));
                }
            };
            provider.kx_groups.extend(all.iter().copied().filter(|g| g.name() == group));
        }
    }
    Ok(Arc::new(provider))
}
