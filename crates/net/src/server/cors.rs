//! Cross-origin requests of browsers: the collector's `cors` block.
//!
//! An origin that is allowed by name is answered by name, with credentials; `*` alone allows every origin, without credentials. An origin
//! that is not allowed gets no header at all, and its browser does the refusing: these rules protect users of browsers and are no
//! authentication.

use super::keys;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

/// Headers that a browser may always send.
const ALWAYS: [&str; 4] = ["accept", "content-type", "origin", "x-requested-with"];

/// See the module.
pub struct Cors {
    origins: Vec<String>,
    headers: Vec<String>,
    exposed: Option<HeaderValue>,
    max_age: u64,
}

impl Cors {
    /// `None` if no origin is allowed.
    pub fn new(keys: &keys::Cors) -> Option<Cors> {
        if keys.allowed_origins.is_empty() {
            return None;
        }
        let lower = |list: &[String]| list.iter().map(|s| s.to_ascii_lowercase()).collect::<Vec<_>>();
        let exposed = HeaderValue::try_from(keys.exposed_headers.join(", ")).ok().filter(|v| !v.is_empty());
        let headers = lower(&keys.allowed_headers);
        Some(Cors { origins: lower(&keys.allowed_origins), headers, exposed, max_age: keys.max_age })
    }

    /// The answer to a browser that asks whether it may send; `None` for any other request.
    pub fn preflight<B>(&self, request: &Request<B>) -> Option<Response<Full<Bytes>>> {
        let headers = request.headers();
        let asked = headers.get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method() != Method::OPTIONS {
            return None;
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let out = response.headers_mut();
        out.insert(
            VARY,
            HeaderValue::from_static("origin, access-control-request-method, access-control-request-headers"),
        );
        let wanted = headers.get(ACCESS_CONTROL_REQUEST_HEADERS);
        let allowed = asked == "POST" && wanted.is_none_or(|w| self.may_send(w));
        if let (true, Some(origin)) = (allowed, headers.get(ORIGIN).filter(|o| self.allows(o))) {
            self.allow(origin, out);
            out.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            if let Some(wanted) = wanted {
                out.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            if self.max_age > 0 {
                out.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from(self.max_age));
            }
        }
        Some(response)
    }

    /// Adds to the answer what lets a browser show it to its script.
    pub fn expose(&self, origin: &HeaderValue, out: &mut HeaderMap) {
        out.append(VARY, HeaderValue::from_static("origin"));
        if self.allows(origin) {
            self.allow(origin, out);
            if let Some(exposed) = &self.exposed {
                out.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed.clone());
            }
        }
    }

    fn allow(&self, origin: &HeaderValue, out: &mut HeaderMap) {
        if self.origins.iter().any(|o| o == "*") {
            out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else {
            out.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            out.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        self.origins.iter().any(|pattern| match pattern.split_once('*') {
            None => *pattern == origin,
            Some((from, to)) => {
                origin.len() >= from.len() + to.len() && origin.starts_with(from) && origin.ends_with(to)
            }
        })
    }

    fn may_send(&self, wanted: &HeaderValue) -> bool {
        let Ok(wanted) = wanted.to_str() else { return false };
        wanted.split(',').map(|name| name.trim().to_ascii_lowercase()).all(|name| {
            name.is_empty() || ALWAYS.contains(&name.as_str()) || self.headers.iter().any(|h| h == "*" || *h == name)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cors(origins: &[&str], headers: &[&str]) -> Cors {
        let strings = |list: &[&str]| list.iter().map(|s| s.to_string()).collect();
        let exposed_headers = vec!["x-a".to_owned(), "x-b".to_owned()];
        Cors::new(&keys::Cors {
            allowed_origins: strings(origins),
            allowed_headers: strings(headers),
            exposed_headers,
            max_age: 7200,
        })
        .unwrap()
    }

    fn preflight(cors: &Cors, origin: &str, headers: &str) -> HeaderMap {
        let request = Request::builder()
            .method(Method::OPTIONS)
            .header(ORIGIN, origin)
            .header(ACCESS_CONTROL_REQUEST_METHOD, "POST")
            .header(ACCESS_CONTROL_REQUEST_HEADERS, headers);
        let response = cors.preflight(&request.body(()).unwrap()).unwrap();
        assert_eq!(response.status(), StatusCode::NO_CONTENT);
        response.headers().clone()
    }

    /// Scenario: a browser of an allowed origin asks. Guarantee: it is allowed by name, with the headers it asked for.
    #[test]
    fn an_allowed_origin_may_send() {
        let headers =
            preflight(&cors(&["https://*.example.com"], &["X-Key"]), "https://a.example.com", "content-type, x-key");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.example.com");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_CREDENTIALS], "true");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_HEADERS], "content-type, x-key");
        assert_eq!(headers[ACCESS_CONTROL_MAX_AGE], "7200");
    }

    /// Scenario: other origins, origins that merely look alike, headers that are not allowed. Guarantee: nothing is allowed.
    #[test]
    fn others_may_not() {
        let cors = cors(&["https://*.example.com"], &[]);
        for origin in [
            "https://example.com",
            "https://evil.com",
            "https://a.example.com.evil.com",
            "http://a.example.com",
            "null",
        ] {
            assert!(!preflight(&cors, origin, "").contains_key(ACCESS_CONTROL_ALLOW_ORIGIN), "{origin}");
        }
        assert!(!preflight(&cors, "https://a.example.com", "x-key").contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    /// Scenario: every origin is allowed. Guarantee: but never together with credentials.
    #[test]
    fn a_wildcard_never_comes_with_credentials() {
        let headers = preflight(&cors(&["*"], &["*"]), "https://any", "x-any");
        assert_eq!(headers[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS));
        let mut out = HeaderMap::new();
        cors(&["*"], &[]).expose(&HeaderValue::from_static("https://any"), &mut out);
        assert_eq!(out[ACCESS_CONTROL_EXPOSE_HEADERS], "x-a, x-b");
    }
}
