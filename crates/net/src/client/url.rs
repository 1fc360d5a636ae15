//! The URL of a backend, as the configuration writes it.

use base64::Engine;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

/// A URL to POST to, and the credentials that were written in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// Without the credentials.
    pub uri: Uri,
    /// The value of `authorization` that they make.
    pub authorization: Option<HeaderValue>,
}

impl Url {
    /// Reads an absolute `http` or `https` URL and appends `path`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, path: &str) -> Result<Url, String> {
        let uri: Uri = text.parse().map_err(|_| "endpoint must be a valid URL".to_owned())?;
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::HTTP,
            Some("https") => Scheme::HTTPS,
            _ => return Err("the URL must begin with http:// or https://".to_owned()),
        };
        let authority = uri.authority().map_or("", |a| a.as_str());
        let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        super::connect::HostPort::parse(host, Some(80))?;
        let target = if path.is_empty() {
            uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
        } else {
            let whole = format!("{}{path}", uri.path().trim_end_matches('/'));
            let whole = uri.query().map_or(whole.clone(), |query| format!("{whole}?{query}"));
            PathAndQuery::try_from(whole).map_err(|e| e.to_string())?
        };
        let authorization = user.map(|user| {
            let user = super::status::percent_decode(user.as_bytes());
            let user = if user.contains(':') { user } else { format!("{user}:") };
            let mut value = HeaderValue::try_from(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(user)))
                .unwrap_or_else(|_| HeaderValue::from_static(""));
            value.set_sensitive(true);
            value
        });
        let uri = Uri::builder().scheme(scheme).authority(host).path_and_query(target).build();
        Ok(Url { uri: uri.map_err(|e| e.to_string())?, authorization })
    }
}
