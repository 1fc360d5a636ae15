//! The authenticators: extensions that say who may send to a receiver, or what an exporter shows to say who sends.
//!
//! | to change | open |
//! |---|---|
//! | what receivers check | [`net::auth`] |
//! | `bearertokenauth` of exporters | [`bearer`] |
//! | `basicauth` | [`basic`] |
//! | `headers_setter` | [`headers_setter`] |
//! | `oauth2client` | [`oauth2`] |
//! | `sigv4auth` | [`sigv4`] |
//!
//! Whatever the start would refuse is refused when the configuration is read.

pub mod basic;
pub mod bearer;
pub mod headers_setter;
pub mod oauth2;
pub mod sigv4;

use basic::BasicConfig;
use config::ComponentId;
use net::auth::{AuthError, Authenticator, Basic, Bearer, BearerConfig};
use net::client::auth::{self as client, Road};
use std::sync::Arc;

/// One authenticator's configuration.
#[derive(Clone, Debug, PartialEq)]
pub enum AuthConfig {
    /// Tokens.
    Bearer(BearerConfig),
    /// Names and passwords.
    Basic(BasicConfig),
    /// Headers.
    HeadersSetter(headers_setter::Config),
    /// Tokens that are fetched.
    OAuth2(Box<oauth2::Config>),
    /// Signatures.
    SigV4(sigv4::Config),
}

impl AuthConfig {
    /// The authenticator of a receiver.
    ///
    /// # Errors
    /// There is no credential, its file cannot be read, or it is for exporters only.
    pub fn build(&self) -> Result<Authenticator, AuthError> {
        match self {
            AuthConfig::Bearer(config) => Ok(Authenticator::Bearer(Arc::new(Bearer::new(config)?))),
            AuthConfig::Basic(config) => Ok(Authenticator::Basic(Arc::new(Basic::new(config.users()?)))),
            AuthConfig::HeadersSetter(_) | AuthConfig::OAuth2(_) | AuthConfig::SigV4(_) => {
                Err(AuthError::for_exporters())
            }
        }
    }

    /// The authenticator of an exporter; what comes after it, where it has such a thing, is `next`.
    ///
    /// # Errors
    /// There is no credential, its file cannot be read, or it is for receivers only.
    pub fn client(
        &self,
        next: Option<Arc<dyn client::Authenticator>>,
    ) -> Result<Arc<dyn client::Authenticator>, AuthError> {
        Ok(match self {
            AuthConfig::Bearer(config) => Arc::new(bearer::Bearer::new(config)?),
            AuthConfig::Basic(config) => {
                let client = config.client_auth.as_ref().ok_or_else(AuthError::for_receivers)?;
                Arc::new(basic::Basic::new(client)?)
            }
            AuthConfig::HeadersSetter(config) => Arc::new(headers_setter::HeadersSetter::new(config, next)?),
            AuthConfig::OAuth2(config) => Arc::new(oauth2::OAuth2::new(config)?),
            AuthConfig::SigV4(config) => Arc::new(sigv4::SigV4::new(config)?),
        })
    }

    /// Why a receiver cannot ask it, if that is so.
    #[must_use]
    pub fn refuses_receivers(&self) -> Option<&'static str> {
        match self {
            AuthConfig::Bearer(_) => None,
            AuthConfig::Basic(config) if config.htpasswd.is_some() => None,
            AuthConfig::Basic(_) => Some("has no `htpasswd`: it says what to send, not who may"),
            AuthConfig::HeadersSetter(_) | AuthConfig::OAuth2(_) | AuthConfig::SigV4(_) => {
                Some("is for exporters: it says what to send, not who may")
            }
        }
    }

    /// Why an exporter whose requests go this way cannot show what it gives, if that is so. The rule for plain gRPC is gRPC's own: it
    /// refuses to send such credentials where everybody can read them.
    #[must_use]
    pub fn refuses_exporters(&self, road: Road) -> Option<&'static str> {
        match self {
            AuthConfig::Basic(config) if config.client_auth.is_none() => {
                Some("has no `client_auth`: it says who may send, not what to send")
            }
            AuthConfig::SigV4(_) if road != Road::Http => Some("signs HTTP requests only, not gRPC"),
            AuthConfig::Bearer(_) | AuthConfig::Basic(_) | AuthConfig::OAuth2(_) if road == Road::PlainGrpc => {
                Some("needs TLS on gRPC: without it everybody on the way can read the credential")
            }
            _ => None,
        }
    }

    /// What it asks of the origin of requests, for exporters.
    #[must_use]
    pub fn wanted(&self) -> Vec<Arc<str>> {
        match self {
            AuthConfig::HeadersSetter(config) => config.wanted(),
            _ => vec![],
        }
    }

    /// The authenticator that comes after it, for exporters.
    #[must_use]
    pub fn next(&self) -> Option<&ComponentId> {
        match self {
            AuthConfig::HeadersSetter(config) => config.additional_auth.as_ref(),
            _ => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! What an authenticator shows.

    use flow::Origin;
    use http::{HeaderMap, Uri};
    use net::client::auth::{Authenticator, Unsignable, Unsigned};
    use wire::Chunks;

    /// The headers of a request of this origin that had these before.
    pub async fn shown(
        authenticator: &dyn Authenticator,
        origin: &Origin,
        mut headers: HeaderMap,
    ) -> Result<HeaderMap, Unsignable> {
        let (uri, body) = (Uri::from_static("https://backend.example/v1/logs"), Chunks::new());
        let deadline = flow::clock::now() + std::time::Duration::from_secs(5);
        authenticator.sign(Unsigned { uri: &uri, body: &body, origin, deadline }, &mut headers).await?;
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::basic::{ClientAuth, HtpasswdConfig};
    use super::testing::shown;
    use super::*;
    use base64::Engine;
    use config::Secret;
    use config::testing::{decoded, problems};
    use flow::Origin;
    use http::HeaderMap;

    fn basic(inline: &str, file: &str) -> Result<Authenticator, AuthError> {
        let htpasswd =
            HtpasswdConfig { inline: Secret::new(inline), file: file.to_owned(), ..HtpasswdConfig::default() };
        AuthConfig::Basic(BasicConfig { htpasswd: Some(htpasswd), client_auth: None }).build()
    }

    async fn opens(auth: &Authenticator, pair: &str) -> bool {
        let value = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(pair));
        auth.allows(&http::HeaderMap::from_iter([(http::header::AUTHORIZATION, value.parse().unwrap())])).await
    }

    /// Scenario: users in the configuration, in a file, in both. Guarantee: all of them open; of one user the configuration's password.
    #[tokio::test]
    async fn users_come_from_the_configuration_and_from_a_file() {
        let auth = basic("# who\nu:p:q\n", "").unwrap();
        assert!(opens(&auth, "u:p:q").await && !opens(&auth, "u:p").await);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "u:theirs\nv:w").unwrap();
        let auth = basic("u:ours", file.path().to_str().unwrap()).unwrap();
        assert!(opens(&auth, "u:ours").await && opens(&auth, "v:w").await && !opens(&auth, "u:theirs").await);
    }

    /// Scenario: what cannot be checked, read before a start and at it. Guarantee: both refuse the same, at the key, and never show the
    /// password.
    #[test]
    fn what_the_start_refuses_the_check_refuses() {
        for (text, key) in [
            ("htpasswd: {inline: hunter2}", "htpasswd.inline"),
            ("htpasswd: {inline: 'u:$apr1$hunter2'}", "htpasswd.inline"),
            ("htpasswd: {inline: 'u:hunter2', file: /nonexistent}", "htpasswd.file"),
            ("htpasswd: {file: /nonexistent}", "htpasswd.file"),
            ("htpasswd: {}", "htpasswd"),
            ("{}", ""),
            ("{htpasswd: {inline: 'u:hunter2'}, client_auth: {username: a, password: hunter2}}", "client_auth"),
        ] {
            let found = problems::<BasicConfig>(text);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert!(found[0].0 == key && !found[0].1.contains("hunter2"), "{text}: {found:?}");
        }
        assert_eq!(problems::<BasicConfig>("htpasswd: {inline: \"u:p\\nv:w\"}"), []);
        assert_eq!(problems::<BasicConfig>("client_auth: {username: a, password: b}"), []);
        for (text, key) in [
            ("client_auth: {username: 'a:b'}", "client_auth.username"),
            ("client_auth: {username_file: /nonexistent}", "client_auth.username_file"),
            ("client_auth: {username: a, password_file: /nonexistent}", "client_auth.password_file"),
            ("client_auth: {secret_provider: x}", "client_auth.secret_provider"),
        ] {
            assert_eq!(problems::<BasicConfig>(text).iter().map(|(at, _)| at.as_str()).collect::<Vec<_>>(), [key]);
        }
        assert!(problems::<BearerConfig>("{}")[0].1.contains("no bearer token"));
        assert_eq!(problems::<BearerConfig>("filename: /nonexistent")[0].0, "filename");
        assert_eq!(problems::<BearerConfig>("token: a"), []);
    }

    /// Scenario: the credentials of exporters: a token with and without a scheme, in another header, the first of several; a name and a
    /// password. Guarantee: the header is what the collector sends, whatever `headers` said of it.
    #[tokio::test]
    async fn exporters_show_credentials() {
        let bearer = |yaml: &str| AuthConfig::Bearer(decoded(yaml)).client(None).unwrap();
        let basic = ClientAuth { username: "u".into(), password: Secret::new("p:q"), ..ClientAuth::default() };
        let basic = AuthConfig::Basic(BasicConfig { htpasswd: None, client_auth: Some(basic) });
        for (auth, name, value) in [
            (bearer("token: t"), "authorization", "Bearer t"),
            (bearer("tokens: [a, b]"), "authorization", "Bearer a"),
            (bearer("{token: t, scheme: '', header: X-Key}"), "x-key", "t"),
            (basic.client(None).unwrap(), "authorization", "Basic dTpwOnE="),
        ] {
            let before = HeaderMap::from_iter([(http::header::AUTHORIZATION, "old".parse().unwrap())]);
            let headers = shown(&*auth, &Origin::default(), before).await.unwrap();
            assert_eq!((headers[name].to_str().unwrap(), headers[name].is_sensitive()), (value, true));
            assert!(!auth.renew(&headers).await, "there is nothing newer");
        }
    }

    /// Scenario: the token file changes. Guarantee: the new token is shown after the pause, and at once after a refusal of the old one.
    #[tokio::test(start_paused = true)]
    async fn a_changed_token_file_is_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one").unwrap();
        let auth = AuthConfig::Bearer(decoded(&format!("filename: {}", file.path().display()))).client(None).unwrap();
        let first = shown(&*auth, &Origin::default(), HeaderMap::new()).await.unwrap();
        std::fs::write(file.path(), "three").unwrap();
        assert_eq!(shown(&*auth, &Origin::default(), HeaderMap::new()).await.unwrap(), first);
        assert!(auth.renew(&first).await);
        let second = shown(&*auth, &Origin::default(), HeaderMap::new()).await.unwrap();
        assert!(second["authorization"] == "Bearer three" && !auth.renew(&second).await);
    }

    /// Scenario: each authenticator on each side and way. Guarantee: what receivers check is none of exporters' and the other way round;
    /// credentials need TLS on gRPC, as in the collector, and headers do not.
    #[test]
    fn each_side_has_its_authenticators() {
        let bearer = AuthConfig::Bearer(decoded("token: t"));
        let server = AuthConfig::Basic(decoded("htpasswd: {inline: 'u:p'}"));
        let client = AuthConfig::Basic(decoded("client_auth: {username: u}"));
        let headers = AuthConfig::HeadersSetter(decoded("headers: [{key: a, value: b}]"));
        let oauth2 = AuthConfig::OAuth2(Box::default());
        let sigv4 = AuthConfig::SigV4(sigv4::Config::default());
        let all = [&bearer, &server, &client, &headers, &oauth2, &sigv4];
        let receivers = all.map(|auth| auth.refuses_receivers().is_none());
        assert_eq!(receivers, [true, true, false, false, false, false]);
        for (road, expected) in [
            (Road::Http, [true, false, true, true, true, true]),
            (Road::Grpc, [true, false, true, true, true, false]),
            (Road::PlainGrpc, [false, false, false, true, false, false]),
        ] {
            let exporters = all.map(|auth| auth.refuses_exporters(road).is_none());
            assert_eq!(exporters, expected, "{road:?}");
        }
        assert!(headers.build().is_err() && server.client(None).is_err());
    }
}
