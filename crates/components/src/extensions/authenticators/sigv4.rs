//! The `sigv4auth` extension: requests of HTTP exporters are signed as Amazon's services want it.
//!
//! The credentials are those of the environment, or of a profile in the shared file of credentials, which is looked at again. How a
//! request is signed is in [`net::client::sigv4`]. Roles are not assumed, and no service is asked for credentials: that is
//! refused with a reason.

use config::{Report, Secret, Validate};
use flow::Kind;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use net::auth::AuthError;
use net::client::auth::{Authenticator, Pending, Unsignable, Unsigned, secret_header};
use net::client::sigv4::{self, Request, Signer};
use net::secret_file::{SecretFile, whole};
use serde::Deserialize;
use std::fmt;
use std::future::ready;

const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// The collector's keys.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Such as `us-east-1`; without it, what the host or the environment says.
    pub region: String,
    /// Such as `aps`; without it, what the host says.
    pub service: String,
    /// A role to assume: not supported.
    pub assume_role: Option<AssumeRole>,
}

/// The collector's `assume_role`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssumeRole {
    /// The role.
    pub arn: String,
    /// Unused.
    pub session_name: String,
    /// Unused.
    pub sts_region: String,
    /// Unused.
    pub web_identity_token_file: String,
    /// Unused.
    pub external_id: String,
}

impl Validate for Config {
    fn validate(&self, report: &mut Report<'_>) {
        if self
            .assume_role
            .as_ref()
            .is_some_and(|role| !role.arn.is_empty() || !role.web_identity_token_file.is_empty())
        {
            let text = "roles are not assumed here: that needs a service that is asked for credentials again and again; put those of \
                        the role into the environment or into a profile";
            report.error("assume_role", text);
        } else if self.assume_role.is_some() {
            report.warning("assume_role", "has no effect: it names no role");
        }
        // They may only be absent from this machine.
        if let Err(why) = SigV4::new(self) {
            report.absent("", why.to_string());
        }
    }
}

/// Where the keys come from.
enum Source {
    Environment(Keys),
    /// A profile of the shared file.
    Profile(SecretFile, String),
}

/// An access key with its secret.
#[derive(Clone, Debug, PartialEq)]
struct Keys {
    access: String,
    secret: Secret,
    /// Of temporary keys.
    token: Option<Secret>,
}

impl Source {
    /// The keys that the environment gives or points at.
    fn find(var: impl Fn(&str) -> Option<String>) -> Result<Source, AuthError> {
        let wrong = |message: String| AuthError::Setting { key: "", message };
        let var = |name: &str| var(name).filter(|value| !value.is_empty());
        if let (Some(access), Some(secret)) = (var("AWS_ACCESS_KEY_ID"), var("AWS_SECRET_ACCESS_KEY")) {
            return Ok(Source::Environment(Keys {
                access,
                secret: secret.into(),
                token: var("AWS_SESSION_TOKEN").map(Secret::from),
            }));
        }
        for name in [
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        ] {
            if var(name).is_some() {
                return Err(wrong(format!(
                    "{name} points at a service that gives out credentials, and none is asked here; set AWS_ACCESS_KEY_ID and \
                     AWS_SECRET_ACCESS_KEY, or a profile"
                )));
            }
        }
        let file = var("AWS_SHARED_CREDENTIALS_FILE").or_else(|| Some(format!("{}/.aws/credentials", var("HOME")?)));
        let file = file.unwrap_or_default();
        let profile = var("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
        if file.is_empty() || !std::path::Path::new(&file).exists() {
            return Err(wrong(format!(
                "there are no credentials of AWS: neither AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY nor {file:?}"
            )));
        }
        let text = SecretFile::new("", &Secret::default(), &file, whole)?;
        if keys_of(text.current().expose(), &profile).is_none() {
            return Err(wrong(format!("the profile `{profile}` of {file:?} has no access key with its secret")));
        }
        Ok(Source::Profile(text, profile))
    }

    fn keys(&self, text: impl Fn(&SecretFile) -> std::sync::Arc<Secret>) -> Option<Keys> {
        match self {
            Source::Environment(keys) => Some(keys.clone()),
            Source::Profile(file, profile) => keys_of(text(file).expose(), profile),
        }
    }
}

/// The keys of a profile in a file of credentials.
fn keys_of(text: &str, profile: &str) -> Option<Keys> {
    let (mut is_it, mut access, mut secret, mut token) = (false, None, None, None);
    for line in text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';'])) {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            is_it = name.trim() == profile;
        } else if let (true, Some((name, value))) = (is_it, line.split_once('=')) {
            let value = Some(value.trim().to_owned()).filter(|value| !value.is_empty());
            match name.trim() {
                "aws_access_key_id" => access = value,
                "aws_secret_access_key" => secret = value.map(Secret::from),
                "aws_session_token" => token = value.map(Secret::from),
                _ => {}
            }
        }
    }
    Some(Keys { access: access?, secret: secret?, token })
}

/// The extension at work.
pub struct SigV4 {
    source: Source,
    region: String,
    service: String,
}

impl fmt::Debug for SigV4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigV4({}, {})", self.region, self.service)
    }
}

impl SigV4 {
    /// Of a configuration, with the credentials of this process.
    ///
    /// # Errors
    /// There are none.
    pub fn new(config: &Config) -> Result<SigV4, AuthError> {
        SigV4::with(config, |name| std::env::var(name).ok())
    }

    fn with(config: &Config, var: impl Fn(&str) -> Option<String>) -> Result<SigV4, AuthError> {
        let region = Some(config.region.clone()).filter(|region| !region.is_empty());
        let region = region.or_else(|| var("AWS_REGION")).or_else(|| var("AWS_DEFAULT_REGION"));
        let source = Source::find(var)?;
        Ok(SigV4 { source, region: region.unwrap_or_default(), service: config.service.clone() })
    }

    /// The service and the region of a request: what is configured, or what its host says.
    fn scope(&self, uri: &Uri) -> Result<(String, String), Unsignable> {
        let host = uri.host().unwrap_or_default();
        let hosts = [("aps-workspaces", "aps"), ("search-", "es"), ("logs", "logs"), ("xray", "xray")];
        let guessed = hosts.iter().find(|(start, _)| host.starts_with(start)).map(|(_, service)| *service);
        let named = |configured: &str, guessed: Option<&str>| match configured {
            "" => guessed.unwrap_or_default().to_owned(),
            configured => configured.to_owned(),
        };
        let service = named(&self.service, guessed);
        let region = named(&self.region, guessed.and_then(|_| host.split('.').nth(1)));
        if service.is_empty() || region.is_empty() {
            let text = format!("neither `region` and `service` nor the host {host} say what a request is signed for");
            return Err(Unsignable::later(Kind::Auth, text));
        }
        Ok((service, region))
    }

    fn signed(
        &self,
        request: Unsigned<'_>,
        headers: &mut HeaderMap,
        now: std::time::Duration,
    ) -> Result<(), Unsignable> {
        let none = || Unsignable::later(Kind::Auth, "there are no credentials of AWS any more");
        let keys = self.source.keys(SecretFile::current).ok_or_else(none)?;
        let (service, region) = self.scope(request.uri)?;
        headers.insert(DATE, secret_header(sigv4::date(now))?);
        match &keys.token {
            Some(token) => drop(headers.insert(TOKEN, secret_header(token.expose().to_owned())?)),
            None => drop(headers.remove(TOKEN)),
        }
        let is_signed =
            |name: &HeaderName| name == CONTENT_TYPE || name == CONTENT_ENCODING || name.as_str().starts_with("x-amz-");
        let chosen = headers.iter().filter(|(name, _)| is_signed(name));
        let mut signed: HeaderMap = chosen.map(|(name, value)| (name.clone(), value.clone())).collect();
        signed.insert(HOST, host(request.uri)?);
        let body_hash = sigv4::hash(request.body.iter().map(|chunk| &chunk[..]));
        let of = Request { method: "POST", uri: request.uri, headers: &signed, body_hash: &body_hash };
        let signer = Signer { access_key: &keys.access, secret_key: &keys.secret, region: &region, service: &service };
        headers.insert(AUTHORIZATION, secret_header(signer.authorization(&of, now))?);
        Ok(())
    }
}

/// The `host` that the client sends: without a port that goes without saying.
fn host(uri: &Uri) -> Result<HeaderValue, Unsignable> {
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let name = uri.host().unwrap_or_default();
    let text = match uri.port_u16().filter(|port| *port != usual) {
        Some(port) => format!("{name}:{port}"),
        None => name.to_owned(),
    };
    HeaderValue::try_from(text).map_err(|_| Unsignable::later(Kind::Other, "the host cannot be a header"))
}

impl Authenticator for SigV4 {
    fn sign<'a>(&'a self, request: Unsigned<'a>, headers: &'a mut HeaderMap) -> Pending<'a, Result<(), Unsignable>> {
        Box::pin(ready(self.signed(request, headers, flow::clock::since_epoch())))
    }

    /// The file of the profile may have changed since it was looked at.
    fn renew<'a>(&'a self, shown: &'a HeaderMap) -> Pending<'a, bool> {
        let keys = self.source.keys(SecretFile::fresh);
        let shown = shown.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        Box::pin(ready(keys.is_some_and(|keys| !shown.contains(&format!("Credential={}/", keys.access)))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use config::testing::{decoded, problems};
    use flow::Origin;
    use std::time::Duration;
    use wire::Chunks;

    /// 2015-08-30 12:36:00.
    const WHEN: Duration = Duration::from_secs(1_440_938_160);

    fn environment(pairs: &[(&'static str, &str)]) -> impl Fn(&str) -> Option<String> {
        let pairs: Vec<(&str, String)> = pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        move |wanted| pairs.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone())
    }

    fn signed(auth: &SigV4, uri: &str, body: &'static [u8]) -> Result<HeaderMap, Unsignable> {
        let (uri, body, origin) =
            (uri.parse().unwrap(), Chunks::from(bytes::Bytes::from_static(body)), Origin::default());
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let mut headers =
            HeaderMap::from_iter([(CONTENT_TYPE, form), (HeaderName::from_static("x-other"), "1".parse().unwrap())]);
        auth.signed(
            Unsigned { uri: &uri, body: &body, origin: &origin, deadline: flow::clock::now() },
            &mut headers,
            WHEN,
        )
        .map(|()| headers)
    }

    const KEYS: [(&str, &str); 2] =
        [("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"), ("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")];

    /// Scenario: the request of Amazon's test suite that has a body, with another header beside; then with temporary keys. Guarantee: the
    /// signature is Amazon's; the token goes along and is signed.
    #[test]
    fn a_request_is_signed() {
        let config = decoded("{region: us-east-1, service: service}");
        let headers = signed(
            &SigV4::with(&config, environment(&KEYS)).unwrap(),
            "https://example.amazonaws.com/",
            b"Param1=value1",
        );
        let headers = headers.unwrap();
        assert_eq!(headers[DATE], "20150830T123600Z");
        let expected = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                        SignedHeaders=content-type;host;x-amz-date, \
                        Signature=ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a";
        assert_eq!(headers[AUTHORIZATION].to_str().unwrap(), expected);
        let temporary = [KEYS[0], KEYS[1], ("AWS_SESSION_TOKEN", "token")];
        let headers = signed(&SigV4::with(&config, environment(&temporary)).unwrap(), "https://a:8443/", b"").unwrap();
        assert!(headers[TOKEN] == "token" && headers[TOKEN].is_sensitive());
        assert!(
            headers[AUTHORIZATION].to_str().unwrap().contains("=content-type;host;x-amz-date;x-amz-security-token,")
        );
    }

    /// Scenario: hosts that say what they are, and one that does not; region from the environment. Guarantee: as the collector guesses;
    /// what is configured comes first; without either the credential is halted, and nothing is sent unsigned.
    #[test]
    fn region_and_service_are_guessed_as_the_collector_does() {
        let scope = |yaml: &str, uri: &str| {
            SigV4::with(&decoded(yaml), environment(&KEYS)).unwrap().scope(&uri.parse().unwrap())
        };
        for (yaml, host, service, region) in [
            ("{}", "aps-workspaces.eu-west-1.amazonaws.com", "aps", "eu-west-1"),
            ("{}", "search-mine.us-west-2.es.amazonaws.com", "es", "us-west-2"),
            ("{}", "logs.us-east-1.amazonaws.com", "logs", "us-east-1"),
            ("{}", "xray.us-east-1.amazonaws.com", "xray", "us-east-1"),
            ("{region: r}", "xray.us-east-1.amazonaws.com", "xray", "r"),
            ("{region: r, service: s}", "a.example", "s", "r"),
        ] {
            assert_eq!(scope(yaml, &format!("https://{host}/")), Ok((service.to_owned(), region.to_owned())), "{host}");
        }
        assert!(
            matches!(scope("{region: r}", "https://a.example/"), Err(Unsignable::Later(why)) if why.kind == Kind::Auth)
        );
        let region = [KEYS[0], KEYS[1], ("AWS_REGION", "of-environment")];
        let auth = SigV4::with(&decoded("{service: s}"), environment(&region)).unwrap();
        assert_eq!(auth.scope(&Uri::from_static("https://a/")), Ok(("s".to_owned(), "of-environment".to_owned())));
    }

    /// Scenario: profiles in a shared file, which changes. Guarantee: the keys of the profile that is meant, of temporary ones with their token;
    /// the new ones after the change; a profile that is not there is an error.
    #[test]
    fn keys_come_from_a_profile() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let write = |access: &str| {
            let text = format!(
                "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key=s\n[ other ]\naws_access_key_id={access}\n\
                 aws_secret_access_key = t=\naws_session_token = u\n"
            );
            std::fs::write(file.path(), text).unwrap();
        };
        write("B");
        let path = file.path().to_str().unwrap();
        let config = decoded("{region: r, service: s}");
        let with = |profile: &str| {
            SigV4::with(&config, environment(&[("AWS_SHARED_CREDENTIALS_FILE", path), ("AWS_PROFILE", profile)]))
        };
        let keys = |auth: &SigV4| auth.source.keys(SecretFile::fresh).unwrap();
        assert_eq!((keys(&with("").unwrap()).access, keys(&with("").unwrap()).token), ("A".to_owned(), None));
        let other = with("other").unwrap();
        assert_eq!(
            keys(&other),
            Keys { access: "B".to_owned(), secret: Secret::new("t="), token: Some(Secret::new("u")) }
        );
        write("CHANGED");
        assert_eq!(keys(&other).access, "CHANGED");
        assert!(with("nobody").unwrap_err().to_string().contains("`nobody`"));
    }

    /// Scenario: what is not built, and no credentials at all. Guarantee: each is named, with what to do.
    #[test]
    fn what_is_not_there_is_named() {
        let error = |pairs: &[(&'static str, &str)]| {
            SigV4::with(&Config::default(), environment(pairs)).unwrap_err().to_string()
        };
        assert!(error(&[]).contains("no credentials of AWS"));
        assert!(error(&[("HOME", "/nonexistent")]).contains("/nonexistent/.aws/credentials"));
        assert!(error(&[("AWS_WEB_IDENTITY_TOKEN_FILE", "/t")]).contains("AWS_WEB_IDENTITY_TOKEN_FILE"));
        let found = problems::<Config>("{region: r, service: s, assume_role: {arn: 'arn:aws:iam::1:role/x'}}");
        assert!(found.iter().any(|(key, why)| key == "assume_role" && why.contains("not assumed")), "{found:?}");
    }
}
