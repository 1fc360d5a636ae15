//! One push: from its head to its answer.
//!
//! In this order: path (404), method (405), content type and encoding (415), room for the call (429), credentials (401), tenant (400), room
//! for a body (429), announced length
//! (413); only then is the body read, decompressed, transcoded to OTLP and offered. Every byte is charged before it is kept, and every step
//! that turns a push away counts it, once.

use super::answer::Answer;
use bytes::Bytes;
use flow::{Inlet, Kind, Meta, Payload, Permit, Refusal};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use net::auth::Authenticator;
use net::compression::{DecompressError, Encoding, decompress};
use net::heavy::heavy;
use net::origin::Kept;
use net::seats::Seats;
use net::server::body::{self, ReadError};
use net::server::{Connection, Handler};
use std::sync::Arc;
use std::time::Duration;
use wire::json::JsonError;
use wire::loki::{MAX_TENANT, PushError, Received, Receiving, check_tenant, json, raw, receive};
use wire::{CheckLimits, Signal};

/// The paths, and what is pushed there: that of Loki, that of old clients, and what Promtail and Alloy serve beside them.
const PATHS: [(&str, Kinds); 6] = [
    ("/loki/api/v1/push", Kinds::Push),
    ("/api/prom/push", Kinds::Push),
    ("/api/v1/push", Kinds::Push),
    ("/loki/api/v1/raw", Kinds::Raw),
    ("/api/v1/raw", Kinds::Raw),
    ("/otlp/v1/logs", Kinds::Otlp),
];
const READY: &str = "/ready";
/// The header that names the tenant.
const TENANT: HeaderName = HeaderName::from_static("x-scope-orgid");
/// A push larger than this is unpacked away from the runtime's workers.
const HEAVY: usize = 64 << 10;
/// What a JSON push may become as OTLP, as a multiple of its size: `[1,""],` becomes 36 bytes.
const JSON_GROWTH: usize = 5;
/// The same of lines of text: a letter and a line feed become 34 bytes.
const RAW_GROWTH: usize = 20;

/// What all requests of one listener share.
pub(super) struct Push {
    pub inlet: Inlet,
    pub seats: Seats,
    pub authenticator: Option<Authenticator>,
    /// The header whose tenants have shares of the budget.
    pub share_header: Option<HeaderName>,
    /// What is kept of who sends.
    pub kept: Kept,
    pub encodings: Vec<Encoding>,
    pub max_body: usize,
    pub read_timeout: Option<Duration>,
    pub keep_time: bool,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// In a block of snappy, whatever is around that.
    Protobuf,
    Json,
    /// Lines of text without labels.
    Raw,
    OtlpProtobuf,
    OtlpJson,
}

/// What comes to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kinds {
    Push,
    Raw,
    Otlp,
}

/// What a server answers with: its work goes on elsewhere, so it is shared.
pub(super) struct Handle(pub Arc<Push>);

impl Handler for Handle {
    async fn answer(&self, request: Request<Incoming>, connection: &Connection) -> Response<Full<Bytes>> {
        let answer = self.0.take(request, connection).await.unwrap_or_else(|answer| answer);
        answer.response(self.0.authenticator.as_ref().map(Authenticator::challenge))
    }
}

impl Push {
    async fn take(self: &Arc<Self>, request: Request<Incoming>, connection: &Connection) -> Result<Answer, Answer> {
        let (head, mut body) = request.into_parts();
        // Until it was read, so that no way out of here forgets it.
        connection.set_unread(!body.is_end_stream());
        if head.uri.path() == READY {
            return Ok(Answer::new(StatusCode::OK, "ready"));
        }
        let known = PATHS.iter().find(|(path, _)| *path == head.uri.path());
        let Some((_, kinds)) = known.filter(|_| self.inlet.is_connected()) else {
            return Err(Answer::new(StatusCode::NOT_FOUND, "404 page not found"));
        };
        if head.method != Method::POST {
            return Err(Answer::new(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed, supported: [POST]"));
        }
        let unsupported = |text: &str| self.malformed(Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text));
        let form = form(*kinds, &head.headers).ok_or_else(|| {
            unsupported("415 unsupported media type, supported: [application/json, application/x-protobuf]")
        })?;
        let encoding = body::encoding(&head.headers, &self.encodings)
            .ok_or_else(|| unsupported("the content encoding is not supported"))?;
        let (mut call, mut permit) =
            self.seats.open_call(&head.headers, connection.half_open()).map_err(|refusal| self.refused(refusal))?;
        drop(head.uri);
        if let Some(auth) = &self.authenticator
            && !auth.allows(&head.headers).await
        {
            self.inlet.count_refused(Kind::Auth);
            return Err(Answer::new(StatusCode::UNAUTHORIZED, "missing or wrong credentials"));
        }
        let tenant = tenant(&head.headers).map_err(|text| self.malformed(Answer::invalid(text)))?;
        let origin = self.kept.of(&head.headers, connection.peer(), self.authenticator.as_ref());
        let share = self.share_header.as_ref().and_then(|name| head.headers.get(name)?.to_str().ok());
        let share = share.map(str::trim).filter(|name| !name.is_empty() && name.len() <= MAX_TENANT);
        share
            .map_or(Ok(()), |share| permit.of_tenant(share))
            .and_then(|()| permit.burden(origin.size()))
            .map_err(|refusal| self.refused(refusal))?;
        let meta = Meta::of(tenant, origin);
        let held = (&mut call, &mut permit);
        let body = body::read(&mut body, &head.headers, self.max_body, self.read_timeout, connection, held)
            .await
            .map_err(|error| self.unread(error))?;
        let (received, permit) = self.unpack(form, encoding, body, permit).await?;
        let Ok(records) = u32::try_from(received.records) else {
            return Err(self.too_large("the push", u32::MAX as usize));
        };
        let payload = Payload { signal: Signal::Logs, body: received.body.into(), records, meta };
        Ok(Answer::of(self.inlet.offer(payload, permit).await, records))
    }

    async fn unpack(
        self: &Arc<Self>,
        form: Form,
        encoding: Encoding,
        body: Bytes,
        permit: Permit,
    ) -> Result<(Received, Permit), Answer> {
        if body.len() <= HEAVY {
            return self.unpack_now(form, encoding, body, permit);
        }
        let push = self.clone();
        heavy(move || push.unpack_now(form, encoding, body, permit)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "unpacking a push failed");
            Err(Answer::new(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
        })
    }

    fn unpack_now(
        &self,
        form: Form,
        encoding: Encoding,
        mut body: Bytes,
        mut permit: Permit,
    ) -> Result<(Received, Permit), Answer> {
        // Go's `deflate` is without the header that HTTP means by it; whether there is one can be seen.
        let encoding = match encoding {
            Encoding::Zlib if !is_zlib(&body) => Encoding::Deflate,
            other => other,
        };
        let is_snappy = matches!(encoding, Encoding::Snappy | Encoding::SnappyFramed);
        body = self.decompressed(encoding, body, &mut permit)?;
        // As in Loki: a protobuf push is always in snappy, also without a word about it, also within gzip.
        if form == Form::Protobuf && !is_snappy {
            body = self.decompressed(Encoding::Snappy, body, &mut permit)?;
        }
        let now = u64::try_from(flow::clock::since_epoch().as_nanos()).unwrap_or(u64::MAX);
        let mut how = Receiving { now, keep_time: self.keep_time, limit: usize::MAX };
        let invalid = |error: PushError| self.malformed(Answer::invalid(error.to_string()));
        let received = match form {
            Form::Protobuf => {
                let census = receive::check(&body).map_err(|error| invalid(error.into()))?;
                permit.grow(census.otlp_bytes).map_err(|refusal| self.refused(refusal))?;
                receive::to_otlp(&body, &how, census.otlp_bytes)
            }
            Form::Raw => {
                how.limit = body.len().saturating_mul(RAW_GROWTH);
                permit.grow(how.limit).map_err(|refusal| self.refused(refusal))?;
                raw::to_otlp(&body, &how)
            }
            Form::OtlpProtobuf => self.otlp(std::mem::take(&mut body)),
            Form::OtlpJson => {
                permit
                    .grow(body.len().saturating_mul(4).min(self.max_body))
                    .map_err(|refusal| self.refused(refusal))?;
                let request = wire::schema::request(Signal::Logs);
                match wire::json::to_protobuf(request, &body, self.max_body) {
                    Ok(body) => self.otlp(body.into()),
                    Err(JsonError::TooLarge { limit }) => Err(PushError::TooLarge { limit }),
                    Err(error) => Err(PushError::Json(error)),
                }
            }
            Form::Json => {
                how.limit = body.len().saturating_mul(JSON_GROWTH);
                permit.grow(how.limit).map_err(|refusal| self.refused(refusal))?;
                json::to_otlp(&body, &how)
            }
        };
        drop(body);
        match received {
            Ok(mut received) => {
                received.body.shrink_to_fit();
                permit.shrink(received.body.len());
                Ok((received, permit))
            }
            Err(PushError::TooLarge { limit }) => Err(self.too_large("the push as OTLP", limit)),
            Err(error) => Err(invalid(error)),
        }
    }

    /// What came in as OTLP stays what it is.
    fn otlp(&self, body: Bytes) -> Result<Received, PushError> {
        let census = wire::check(Signal::Logs, &body, &CheckLimits::default())?;
        Ok(Received { body: body.into(), records: census.records })
    }

    fn decompressed(&self, encoding: Encoding, body: Bytes, permit: &mut Permit) -> Result<Bytes, Answer> {
        if encoding == Encoding::Identity {
            return Ok(body);
        }
        let out = decompress(encoding, &body, self.max_body, |n| permit.grow(n)).map_err(|error| match error {
            DecompressError::TooLarge(limit) => self.too_large("the decompressed push", limit),
            DecompressError::Corrupt(_) => self.malformed(Answer::invalid(format!("the body {error}"))),
            DecompressError::Refused(refusal) => self.refused(refusal),
        })?;
        permit.shrink(out.len());
        Ok(out)
    }

    fn unread(&self, error: ReadError) -> Answer {
        match error {
            ReadError::TooLarge => self.too_large("the body", self.max_body),
            ReadError::Refused(refusal) => self.refused(refusal),
            ReadError::Broken(error) => self.malformed(Answer::invalid(format!("the body cannot be read: {error}"))),
            ReadError::Late => {
                self.malformed(Answer::new(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"))
            }
        }
    }

    /// Counts a push that is broken.
    fn malformed(&self, answer: Answer) -> Answer {
        self.inlet.count_malformed();
        answer
    }

    fn too_large(&self, what: &str, limit: usize) -> Answer {
        self.inlet.count_refused(Kind::TooLarge);
        Answer::new(StatusCode::PAYLOAD_TOO_LARGE, format!("{what} is larger than the limit of {limit} bytes"))
    }

    /// The answer to a refusal that happened before the inlet knew the push.
    fn refused(&self, refusal: Refusal) -> Answer {
        self.inlet.count_refused(refusal.why.kind);
        refusal.into()
    }
}

/// How the body is written, by its media type; without one it is protobuf, as old clients send it.
fn form(kinds: Kinds, headers: &HeaderMap) -> Option<Form> {
    if kinds == Kinds::Raw {
        return Some(Form::Raw);
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Some(Form::Protobuf).filter(|_| kinds == Kinds::Push);
    };
    let media = value.to_str().ok()?.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media.as_str() {
        "application/json" if kinds == Kinds::Otlp => Some(Form::OtlpJson),
        "application/x-protobuf" if kinds == Kinds::Otlp => Some(Form::OtlpProtobuf),
        _ if kinds == Kinds::Otlp => None,
        "application/json" => Some(Form::Json),
        "" | "application/x-protobuf" | "application/protobuf" | "application/octet-stream" => Some(Form::Protobuf),
        _ => None,
    }
}

/// The tenant that the sender names, by Loki's rules for names.
fn tenant(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let Some(value) = headers.get(TENANT) else { return Ok(None) };
    // What is no text has no legal character either.
    let name = value.to_str().unwrap_or("/");
    check_tenant(name).map(|()| Some(name).filter(|name| !name.is_empty()))
}

/// Whether bytes begin with the header of RFC 1950.
fn is_zlib(body: &[u8]) -> bool {
    matches!(body, [a, b, ..] if a & 15 == 8 && a >> 4 <= 7 && (u16::from(*a) << 8 | u16::from(*b)).is_multiple_of(31))
}
