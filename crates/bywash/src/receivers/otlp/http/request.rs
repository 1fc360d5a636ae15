//! One HTTP request: from its head to its answer.
//!
//! In this order: path (404), method (405), content type (415), content encoding (415), credentials (401), room (429), announced length (413); only then is
//! the body read. Whatever goes wrong is answered with a `google.rpc.Status` in the request's content type, or in protobuf where that is unknown.

use super::super::intake::{Form, Packed};
use super::super::status::{Code, Status, response_json, response_protobuf};
use super::{Server, Shared};
use crate::net::body::Assembler;
use crate::net::compression::Encoding;
use bytes::Bytes;
use flow::{Permit, Refusal};
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::Full;
use hyper::body::Incoming;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use wire::Signal;

/// A client that sends nothing for this long in the middle of a body is given up.
pub const BODY_IDLE: Duration = Duration::from_secs(30);

const PROTOBUF: &str = "application/x-protobuf";
const JSON: &str = "application/json";

impl Form {
    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Form::Protobuf => PROTOBUF,
            Form::Json => JSON,
        })
    }
}

impl Server {
    /// The answer to any request but a preflight.
    pub(super) async fn answer(&self, request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
        let form = form(request.headers());
        match self.export(request, form, shared).await {
            Ok((form, body)) => respond(StatusCode::OK, form, body),
            Err(status) => self.refuse(form.unwrap_or(Form::Protobuf), &status),
        }
    }

    async fn export(
        &self,
        request: Request<Incoming>,
        form: Option<Form>,
        shared: &Shared,
    ) -> Result<(Form, Bytes), Status> {
        let (head, mut body) = request.into_parts();
        // Until it was read, so that no way out of here forgets it.
        shared.unread.store(!body.is_end_stream(), Relaxed);
        let intake = &self.intake;
        let route = self.routes.iter().find(|(path, _)| path == head.uri.path());
        let Some(signal) = route.map(|(_, s)| *s).filter(|s| intake.inlet(*s).is_connected()) else {
            return Err(Status::new(Code::Unimplemented, "nothing is served at this path"));
        };
        if head.method != Method::POST {
            return Err(
                Status::new(Code::Unimplemented, "only POST is served").with_http(StatusCode::METHOD_NOT_ALLOWED)
            );
        }
        let unsupported = |message: String| {
            intake.malformed(signal, Status::invalid(message).with_http(StatusCode::UNSUPPORTED_MEDIA_TYPE))
        };
        let form =
            form.ok_or_else(|| unsupported(format!("the content type must be {PROTOBUF} or {JSON}, in UTF-8")))?;
        let encoding =
            self.encoding(&head.headers).ok_or_else(|| unsupported("the content encoding is not supported".into()))?;
        let (mut permit, meta) = intake.admit(signal, &head.headers)?;
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|n| n > self.max_body) {
            return Err(intake.too_large(signal, "the body", self.max_body));
        }
        let body = self.read(signal, &mut body, announced, shared, &mut permit).await?;
        shared.unread.store(false, Relaxed);
        let unpacked = intake.unpack(Packed { signal, encoding, form, body, limit: self.max_body }, permit).await?;
        let accepted = intake.offer(unpacked, meta).await?;
        Ok((
            form,
            match form {
                Form::Protobuf => response_protobuf(&accepted),
                Form::Json => response_json(signal, &accepted),
            },
        ))
    }

    /// Reads the whole body, charging the permit for it.
    async fn read(
        &self,
        signal: Signal,
        body: &mut Incoming,
        announced: Option<usize>,
        shared: &Shared,
        permit: &mut Permit,
    ) -> Result<Bytes, Status> {
        let intake = &self.intake;
        let deadline = self.read_timeout.map(|limit| Instant::now() + limit);
        let mut assembler = Assembler::new(announced);
        loop {
            let piece = match next(body, deadline, &mut assembler, permit).await {
                Piece::Data(piece) => piece,
                Piece::End => return Ok(assembler.finish(&shared.buffers, permit)),
                Piece::Broken(error) => {
                    return Err(intake.malformed(signal, Status::invalid(format!("the body cannot be read: {error}"))));
                }
                Piece::Refused(refusal) => return Err(intake.refused(signal, refusal)),
                Piece::Late => {
                    let status = Status::new(Code::DeadlineExceeded, "the body did not arrive in time");
                    return Err(intake.malformed(signal, status.with_http(StatusCode::REQUEST_TIMEOUT)));
                }
            };
            if assembler.len() + piece.len() > self.max_body {
                return Err(intake.too_large(signal, "the body", self.max_body));
            }
            assembler.push(piece, permit).map_err(|refusal| intake.refused(signal, refusal))?;
        }
    }

    /// The one encoding of the body, if it is taken.
    fn encoding(&self, headers: &HeaderMap) -> Option<Encoding> {
        let mut all = headers.get_all(CONTENT_ENCODING).iter();
        let encoding = match (all.next(), all.next()) {
            (None, _) => return Some(Encoding::Identity),
            (Some(one), None) => Encoding::parse(one.to_str().ok()?)?,
            (Some(_), Some(_)) => return None,
        };
        // The framed form of snappy is taken under the same name.
        let listed = if encoding == Encoding::SnappyFramed { Encoding::Snappy } else { encoding };
        self.encodings.contains(&listed).then_some(encoding)
    }

    fn refuse(&self, form: Form, status: &Status) -> Response<Full<Bytes>> {
        let body = match form {
            Form::Protobuf => status.to_protobuf(),
            Form::Json => status.to_json(),
        };
        let http = if status.http == StatusCode::TOO_MANY_REQUESTS { self.overload } else { status.http };
        let mut response = respond(http, form, body);
        let headers = response.headers_mut();
        if let Some(seconds) = status.retry_after_seconds() {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if http == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
        }
        if let (StatusCode::UNAUTHORIZED, Some(auth)) = (http, &self.intake.authenticator) {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(auth.challenge()));
        }
        response
    }
}

fn respond(status: StatusCode, form: Form, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, form.content_type());
    response
}

enum Piece {
    Data(Bytes),
    End,
    Broken(hyper::Error),
    /// There is no room to wait.
    Refused(Refusal),
    Late,
}

/// The next piece of a body, waited for no longer than [`BODY_IDLE`] and the deadline.
async fn next(body: &mut Incoming, deadline: Option<Instant>, message: &mut Assembler, permit: &mut Permit) -> Piece {
    loop {
        // Usually it is there, and needs no timer.
        let frame = match poll_fn(|cx| Poll::Ready(Pin::new(&mut *body).poll_frame(cx))).await {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                if let Err(refusal) = message.wait(permit) {
                    return Piece::Refused(refusal);
                }
                let idle = Instant::now() + BODY_IDLE;
                let until = deadline.map_or(idle, |d| d.min(idle));
                match timeout_at(until, poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx))).await {
                    Ok(frame) => frame,
                    Err(_) => return Piece::Late,
                }
            }
        };
        return match frame.map(|f| f.map(Frame::into_data)) {
            None => Piece::End,
            Some(Err(error)) => Piece::Broken(error),
            Some(Ok(Ok(data))) => Piece::Data(data),
            // Trailers say nothing here.
            Some(Ok(Err(_))) => continue,
        };
    }
}

/// How the body is written, by its media type. Parameters are allowed, but of charsets only UTF-8.
fn form(headers: &HeaderMap) -> Option<Form> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let mut parts = value.split(';');
    let media = parts.next()?.trim();
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.trim().eq_ignore_ascii_case("charset") && !value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        {
            return None;
        }
    }
    if media.eq_ignore_ascii_case(PROTOBUF) {
        Some(Form::Protobuf)
    } else if media.eq_ignore_ascii_case(JSON) {
        Some(Form::Json)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: media types as senders write them. Guarantee: parameters and case do not matter, another charset or type does.
    #[test]
    fn the_form_is_the_media_type() {
        let form = |value: &str| form(&HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]));
        assert_eq!(form("application/x-protobuf"), Some(Form::Protobuf));
        assert_eq!(form("Application/JSON; Charset=\"UTF-8\"; q=1"), Some(Form::Json));
        for other in
            ["application/json; charset=utf-16", "text/plain", "", "application/jsonp", "application/x-protobuf2"]
        {
            assert_eq!(form(other), None, "{other}");
        }
    }
}
