//! The client side of the network: what an exporter sends with.
//!
//! | to change | open |
//! |---|---|
//! | how a name becomes addresses, and an address a (TLS) connection | [`connect`] |
//! | which connection of an endpoint a call goes to | [`pool`] |
//! | one gRPC call | [`grpc`] |
//! | what the codes of gRPC mean for a retry | [`status`] |
//! | one HTTP request | [`http`] |
//! | when an HTTP server says to come back | [`retry_after`] |
//! | how requests say who sends them | [`auth`]; Amazon's signatures: [`sigv4`] |
//! | how bodies are compressed | [`compress`], and tiny slices joined: [`join`] |
//! | what is said about records refused in an accepted request | [`partial`] |
//! | header lists in the configuration, and references to extensions | [`headers`], [`extensions`] |

pub mod auth;
pub mod compress;
pub mod connect;
pub mod extensions;
pub mod grpc;
pub mod headers;
pub mod http;
pub mod join;
pub mod keepalive;
pub mod partial;
pub mod pool;
pub mod proxy;
pub mod retry_after;
pub mod sigv4;
pub mod status;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod url;

/// What Bywash calls itself.
pub const USER_AGENT: &str = concat!("Bywash/", env!("CARGO_PKG_VERSION"));

/// The longest text of a peer that is passed on, in bytes.
const MAX_TEXT: usize = 512;

/// A peer's text, fit for a log line: of bounded length and without control characters.
pub fn tidy(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut tidy: String = text[..end].chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if end < text.len() {
        tidy.push('…');
    }
    tidy
}
