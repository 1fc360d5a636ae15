//! What is kept of the sender of a request: what something in the configuration asks for, and nothing else.
//!
//! | name | value |
//! |---|---|
//! | `metadata.KEY` | the header, if the receiver has `include_metadata` |
//! | `client.address` | the address of the sender, without its port |
//! | `auth.ATTRIBUTE` | what its credential said: `username` and `raw`, of `basicauth` |
//!
//! Invariants: of one request at most [`MAX_BYTES`] are kept, whole values only; a receiver that nothing asks keeps nothing.

use crate::auth::Authenticator;
use flow::Origin;
use http::{HeaderMap, HeaderName};
use std::net::IpAddr;
use std::sync::Arc;

/// The most that is kept of a request, in bytes.
const MAX_BYTES: usize = 16 << 10;

/// The name of the sender's address.
const ADDRESS: &str = "client.address";
const METADATA: &str = "metadata.";
const AUTH: &str = "auth.";

/// What a header of the sender is called.
#[must_use]
pub fn header(key: &str) -> Arc<str> {
    format!("{METADATA}{}", key.to_ascii_lowercase()).into()
}

/// What an attribute of the sender's credential is called.
#[must_use]
pub fn attribute(key: &str) -> Arc<str> {
    format!("{AUTH}{key}").into()
}

/// What a `from_context` of a processor means: one of the names of the module, or a header by its bare name.
#[must_use]
pub fn named(text: &str) -> Arc<str> {
    match text.split_once('.') {
        _ if text == ADDRESS => ADDRESS.into(),
        Some(("metadata", key)) => header(key),
        Some(("auth", key)) => attribute(key),
        _ => header(text),
    }
}

/// What is wrong with a list of `metadata_keys`: which of them, and why.
pub fn check_keys(keys: &[String]) -> impl Iterator<Item = (usize, String)> {
    keys.iter().enumerate().filter_map(|(n, key)| {
        let is_again = keys[..n].iter().any(|other| other.eq_ignore_ascii_case(key));
        match HeaderName::try_from(key) {
            Err(_) => Some((n, format!("`{key}` is no header name"))),
            Ok(_) if is_again => Some((n, format!("duplicate entry in metadata_keys: {key:?} (case-insensitive)"))),
            Ok(_) => None,
        }
    })
}

/// Whether a name is that of a header, which a receiver only keeps with `include_metadata`.
#[must_use]
pub fn is_header(name: &str) -> bool {
    name.starts_with(METADATA)
}

/// What a receiver keeps.
#[derive(Clone, Debug, Default)]
pub struct Kept(Vec<(Arc<str>, What)>);

#[derive(Clone, Debug)]
enum What {
    Header(HeaderName),
    Address,
    Attribute(String),
}

impl Kept {
    /// Of what is asked for, what this receiver may keep.
    #[must_use]
    pub fn new(wanted: &[Arc<str>], include_metadata: bool) -> Kept {
        let what = |name: &Arc<str>| {
            let what = match (name.strip_prefix(METADATA), name.strip_prefix(AUTH)) {
                (Some(key), _) if include_metadata => What::Header(HeaderName::try_from(key).ok()?),
                (None, Some(key)) => What::Attribute(key.to_owned()),
                (None, None) if **name == *ADDRESS => What::Address,
                _ => return None,
            };
            Some((name.clone(), what))
        };
        Kept(wanted.iter().filter_map(what).collect())
    }

    /// What is kept of a request with these headers, from this address, let in by this authenticator.
    #[must_use]
    pub fn of(&self, headers: &HeaderMap, peer: IpAddr, auth: Option<&Authenticator>) -> Origin {
        if self.0.is_empty() {
            return Origin::default();
        }
        let mut left = MAX_BYTES;
        let mut pairs = vec![];
        for (name, what) in &self.0 {
            let mut keep = |value: &str| {
                if let Some(rest) = left.checked_sub(name.len() + value.len()) {
                    left = rest;
                    pairs.push((name.clone(), value.into()));
                }
            };
            match what {
                What::Header(header) => {
                    let values = headers.get_all(header).iter();
                    values.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok()).for_each(keep);
                }
                What::Address => {
                    // The other end of a Unix socket has no address.
                    if !peer.is_unspecified() {
                        keep(&peer.to_canonical().to_string());
                    }
                }
                What::Attribute(key) => {
                    auth.and_then(|auth| auth.attribute(headers, key)).iter().for_each(|value| keep(value));
                }
            }
        }
        Origin::new(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Basic;
    use crate::htpasswd::Htpasswd;

    const NOWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    fn values(origin: &Origin, name: &str) -> Vec<String> {
        origin.values(name).map(str::to_owned).collect()
    }

    /// Scenario: everything is asked for, with `include_metadata` and without. Guarantee: headers (all their values) only with it; address
    /// and user in any case; what nobody asks for never.
    #[test]
    fn what_is_asked_for_is_kept() {
        let wanted = ["metadata.X-Team", "client.address", "auth.username", "auth.password"].map(named);
        let sent = headers(&[("x-team", "red"), ("x-team", "blue"), ("x-other", "1"), ("authorization", "Basic dTpw")]);
        let auth = Authenticator::Basic(Arc::new(Basic::new(Htpasswd::parse("u:p").unwrap())));
        let peer = "::ffff:10.0.0.1".parse().unwrap();
        let kept = Kept::new(&wanted, true).of(&sent, peer, Some(&auth));
        assert_eq!(values(&kept, "metadata.x-team"), ["red", "blue"]);
        assert_eq!(values(&kept, "client.address"), ["10.0.0.1"]);
        assert_eq!((values(&kept, "auth.username"), values(&kept, "auth.password")), (vec!["u".to_owned()], vec![]));
        let kept = Kept::new(&wanted, false).of(&sent, peer, None);
        assert_eq!((values(&kept, "metadata.x-team"), values(&kept, "client.address").len()), (vec![], 1));
        assert!(Kept::new(&[], true).of(&sent, peer, Some(&auth)).is_empty());
    }

    /// Scenario: headers of more bytes than are kept. Guarantee: whole values as far as there is room.
    #[test]
    fn what_is_kept_has_a_bound() {
        let long = "x".repeat(MAX_BYTES - 20);
        let sent = headers(&[("x-a", &long), ("x-a", &long), ("x-b", "1")]);
        let kept = Kept::new(&[header("x-a"), header("x-b")], true).of(&sent, NOWHERE, None);
        assert_eq!((values(&kept, "metadata.x-a").len(), values(&kept, "metadata.x-b").len()), (1, 0));
        assert_eq!(values(&Kept::new(&[header("x-b")], true).of(&sent, NOWHERE, None), "metadata.x-b"), ["1"]);
    }

    /// Scenario: the notations of `from_context`. Guarantee: each has one name, whatever its case.
    #[test]
    fn every_notation_has_one_name() {
        for (text, name) in [
            ("metadata.X-Team", "metadata.x-team"),
            ("X-Team", "metadata.x-team"),
            ("client.address", "client.address"),
            ("auth.username", "auth.username"),
            ("x.y", "metadata.x.y"),
        ] {
            assert_eq!(&*named(text), name);
        }
    }
}
