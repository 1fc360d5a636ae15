//! Header lists in the configuration: the collector's map of names to values, or its list of `name` and `value` pairs.
//!
//! Values are secret. Names and values are checked when the configuration is, so that sending cannot fail because of them.

use config::secret::Secret;
use config::validate::{Report, Validate};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

/// Headers added to every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, Secret)>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    name: String,
    value: Secret,
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MapOrList;
        impl<'de> Visitor<'de> for MapOrList {
            type Value = Headers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of header names to values")
            }

            fn visit_unit<E: de::Error>(self) -> Result<Headers, E> {
                Ok(Headers::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Headers, A::Error> {
                let mut list = Vec::new();
                while let Some(entry) = map.next_entry::<String, Secret>()? {
                    list.push(entry);
                }
                Ok(Headers(list))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Headers, A::Error> {
                let mut list = Vec::new();
                while let Some(Pair { name, value }) = seq.next_element()? {
                    list.push((name, value));
                }
                Ok(Headers(list))
            }
        }
        deserializer.deserialize_any(MapOrList)
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Headers(pairs.into_iter().map(|(n, v)| (n.into(), Secret::new(v.into()))).collect())
    }
}

/// Headers that belong to the protocols: setting them would break the framing of the request.
const RESERVED: [&str; 11] = [
    "connection",
    "content-length",
    "content-encoding",
    "content-type",
    "grpc-encoding",
    "grpc-timeout",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

impl Validate for Headers {
    fn validate(&self, report: &mut Report<'_>) {
        for (name, value) in &self.0 {
            if let Err(why) = pair(name, value) {
                report.error(name, why);
            }
        }
    }
}

impl Headers {
    /// The headers as they are sent. Invalid ones, which validation reports, are left out.
    #[must_use]
    pub fn to_map(&self) -> HeaderMap {
        self.0.iter().filter_map(|(name, value)| pair(name, value).ok()).collect()
    }
}

/// The header of this name, if it may be set.
///
/// # Errors
/// Why not.
pub fn check_name(name: &str) -> Result<HeaderName, String> {
    let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "not a valid header name".to_owned())?;
    if RESERVED.contains(&header.as_str()) || header.as_str().starts_with("grpc-") {
        return Err(format!("{header} is set by the protocol and cannot be configured"));
    }
    Ok(header)
}

fn pair(name: &str, value: &Secret) -> Result<(HeaderName, HeaderValue), String> {
    let header = check_name(name)?;
    let mut value = HeaderValue::from_bytes(value.expose().as_bytes())
        .map_err(|_| "the value has characters that a header cannot have".to_owned())?;
    value.set_sensitive(true);
    Ok((header, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: both notations of the collector. Guarantee: they mean the same.
    #[test]
    fn a_map_and_a_list_mean_the_same() {
        let map: Headers = serde_json::from_str(r#"{"x-a": "1", "x-b": "2"}"#).unwrap();
        let list: Headers =
            serde_json::from_str(r#"[{"name": "x-a", "value": "1"}, {"name": "x-b", "value": "2"}]"#).unwrap();
        assert_eq!(map, list);
        assert_eq!(map.to_map()["x-b"], "2");
        assert!(!format!("{map:?}").contains('1'));
    }

    /// Scenario: names and values that HTTP forbids, and headers of the framing. Guarantee: each is an error, none is sent.
    #[test]
    fn what_would_break_a_request_is_refused() {
        for (name, value) in
            [("a b", "x"), ("x", "a\nb"), ("Content-Length", "3"), ("grpc-status", "0"), ("TE", "x"), ("", "x")]
        {
            let headers: Headers = [(name, value)].into_iter().collect();
            assert_eq!(config::testing::errors(&headers).len(), 1, "{name}");
            assert!(headers.to_map().is_empty(), "{name}");
        }
    }
}
