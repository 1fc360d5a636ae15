//! Credentials of a client: what every request shows to say who sends it.
//!
//! An [`Authenticator`] is asked for each request, and once more if a server refuses what it gave: if it has something newer by
//! then, the request is sent again, once. A client without one does nothing of this.
//!
//! Invariant: why a request cannot be signed never holds a secret. It does NOT know which authenticators there are: those are the
//! extensions, and the program puts them in place.

use bytes::Bytes;
use flow::{Attempt, Kind, Origin, Scope, Target, Why};
use http::{HeaderMap, Uri};
use std::fmt;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;
use wire::Chunks;

/// What is waited for.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A request that is about to be sent with POST.
#[derive(Clone, Copy)]
pub struct Unsigned<'a> {
    /// Where to.
    pub uri: &'a Uri,
    /// The body as it is on the wire.
    pub body: &'a Chunks,
    /// What is known of where its data came from.
    pub origin: &'a Origin,
    /// When it must be over.
    pub deadline: Instant,
}

/// Why a request cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsignable {
    /// The credential cannot be had now.
    Later(Why),
    /// This request cannot be signed at all.
    Never(Why),
}

impl Unsignable {
    /// For now, by a fault that has nothing to do with the data.
    pub fn later(kind: Kind, text: impl AsRef<str>) -> Unsignable {
        Unsignable::Later(Why::new(kind, super::tidy(text.as_ref())))
    }

    /// What the lane should do, where the credential is this scope.
    #[must_use]
    pub fn attempt(self, scope: Scope) -> Attempt {
        match self {
            Unsignable::Later(why) => Attempt::Retry { after: None, why, scope },
            Unsignable::Never(why) => Attempt::Reject { why },
        }
    }
}

/// How credentials travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Road {
    /// In HTTP headers.
    Http,
    /// In gRPC metadata, under TLS.
    Grpc,
    /// In gRPC metadata, for everybody to read.
    PlainGrpc,
}

/// A source of credentials.
pub trait Authenticator: Send + Sync + 'static {
    /// Adds to the headers what the request needs.
    ///
    /// # Errors
    /// Why it cannot.
    fn sign<'a>(&'a self, request: Unsigned<'a>, headers: &'a mut HeaderMap) -> Pending<'a, Result<(), Unsignable>>;

    /// A server refused what a request showed in these headers: whether there is something newer to show now.
    fn renew<'a>(&'a self, _shown: &'a HeaderMap) -> Pending<'a, bool> {
        Box::pin(ready(false))
    }

    /// Whether what it gives depends on where the data came from.
    fn varies(&self) -> bool {
        false
    }
}

/// An authenticator and what it is called.
#[derive(Clone)]
pub struct Credentials {
    name: Arc<str>,
    authenticator: Arc<dyn Authenticator>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.name)
    }
}

impl Credentials {
    /// Those of an authenticator.
    pub fn new(name: impl Into<Arc<str>>, authenticator: Arc<dyn Authenticator>) -> Credentials {
        Credentials { name: name.into(), authenticator }
    }

    /// What all targets wait for together if the credential is refused; of credentials that depend on the origin, all targets of one.
    #[must_use]
    pub fn scope(&self, target: &Target) -> Scope {
        let origin = target.origin();
        if self.authenticator.varies() && !origin.is_empty() {
            return Scope::Credential(format!("{}{{{origin}}}", self.name).into());
        }
        Scope::Credential(self.name.clone())
    }

    /// These headers with what the request needs.
    ///
    /// # Errors
    /// Why it cannot be signed.
    pub async fn signed(&self, request: Unsigned<'_>, headers: &HeaderMap) -> Result<HeaderMap, Unsignable> {
        let mut headers = headers.clone();
        match in_time(request.deadline, self.authenticator.sign(request, &mut headers)).await {
            Some(signed) => signed.map(|()| headers),
            None => Err(Unsignable::later(Kind::Timeout, format!("no credential of {} in time", self.name))),
        }
    }

    /// See [`Authenticator::renew`].
    pub async fn renew(&self, shown: &HeaderMap, deadline: Instant) -> bool {
        in_time(deadline, self.authenticator.renew(shown)).await.unwrap_or_default()
    }
}

/// Waits for a part of the time that is left: if it all went by, the lane would blame the backend, who was not asked.
async fn in_time<T>(deadline: Instant, work: Pending<'_, T>) -> Option<T> {
    let left = deadline.saturating_duration_since(flow::clock::now());
    tokio::time::timeout(left - left / 10, work).await.ok()
}

/// The scope of a credential: that of an authenticator if there is one, else what is written in `headers` for this name.
#[must_use]
pub fn scope(credentials: Option<&Credentials>, target: &Target, otherwise: &str) -> Scope {
    credentials.map_or_else(|| Scope::Credential(otherwise.into()), |credentials| credentials.scope(target))
}

/// A header that holds a secret.
///
/// # Errors
/// It has characters that a header cannot have.
pub fn secret_header(text: String) -> Result<http::HeaderValue, Unsignable> {
    let mut value = http::HeaderValue::from_maybe_shared(Bytes::from(text))
        .map_err(|_| Unsignable::later(Kind::Auth, "the credential has characters that a header cannot have"))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// It has no answer.
    struct Mute;

    impl Authenticator for Mute {
        fn sign<'a>(&'a self, _: Unsigned<'a>, _: &'a mut HeaderMap) -> Pending<'a, Result<(), Unsignable>> {
            Box::pin(std::future::pending())
        }

        fn renew<'a>(&'a self, _: &'a HeaderMap) -> Pending<'a, bool> {
            Box::pin(std::future::pending())
        }
    }

    /// Scenario: a credential that never comes. Guarantee: before the request's time is over that is said, and blamed on the credential.
    #[tokio::test(start_paused = true)]
    async fn a_credential_that_does_not_come_is_to_blame() {
        let (now, limit) = (flow::clock::now(), Duration::from_secs(5));
        let (uri, body, origin, deadline) = (Uri::from_static("/"), Chunks::new(), Origin::default(), now + limit);
        let credentials = Credentials::new("mute", Arc::new(Mute));
        let request = Unsigned { uri: &uri, body: &body, origin: &origin, deadline };
        let why = credentials.signed(request, &HeaderMap::new()).await.unwrap_err();
        assert!(flow::clock::now() < deadline);
        let attempt = why.attempt(credentials.scope(&Target::new("a:1")));
        let Attempt::Retry { why, scope, .. } = attempt else { panic!("{attempt:?}") };
        assert_eq!((why.kind, scope), (Kind::Timeout, Scope::Credential("mute".into())));
        assert!(!credentials.renew(&HeaderMap::new(), deadline).await && flow::clock::now() < deadline);
    }
}
