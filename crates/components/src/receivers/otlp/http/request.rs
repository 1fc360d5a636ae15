//! One HTTP request: from its head to its answer.
//!
//! In this order: path (404), method (405), content type (415), content encoding (415), room for the call (429), credentials (401), room for a
//! body (429), announced length (413); only then is
//! the body read. Whatever goes wrong is answered with a `google.rpc.Status` in the request's content type, or in protobuf where that is unknown.

use super::super::intake::{Admitted, Form, Packed};
use super::super::status::{Code, Status, response_json, response_protobuf};
use super::Otlp;
use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper::body::Incoming;
use net::server::body::{self, ReadError};
use net::server::{Connection, Handler};
use wire::Signal;

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

impl Handler for Otlp {
    async fn answer(&self, request: Request<Incoming>, connection: &Connection) -> Response<Full<Bytes>> {
        let form = form(request.headers());
        match self.export(request, form, connection).await {
            Ok((form, body)) => respond(StatusCode::OK, form, body),
            Err(status) => self.refuse(form.unwrap_or(Form::Protobuf), &status),
        }
    }
}

impl Otlp {
    async fn export(
        &self,
        request: Request<Incoming>,
        form: Option<Form>,
        connection: &Connection,
    ) -> Result<(Form, Bytes), Status> {
        let (head, mut body) = request.into_parts();
        // Until it was read, so that no way out of here forgets it.
        connection.set_unread(!body.is_end_stream());
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
        let encoding = body::encoding(&head.headers, &self.encodings)
            .ok_or_else(|| unsupported("the content encoding is not supported".into()))?;
        drop(head.uri);
        let admitted = intake.admit(signal, &head.headers, (connection.peer(), connection.half_open())).await;
        let Admitted { mut call, mut permit, meta } = admitted.map_err(|status| status.for_sender(&head.headers))?;
        let held = (&mut call, &mut permit);
        let body = body::read(&mut body, &head.headers, self.max_body, self.read_timeout, connection, held)
            .await
            .map_err(|error| self.unread(signal, error))?;
        let unpacked = intake.unpack(Packed { signal, encoding, form, body, limit: self.max_body }, permit).await?;
        let partial = intake.offer(unpacked, meta).await.map_err(|status| status.for_sender(&head.headers))?;
        Ok((
            form,
            match form {
                Form::Protobuf => response_protobuf(partial.as_ref()),
                Form::Json => response_json(signal, partial.as_ref()),
            },
        ))
    }

    fn unread(&self, signal: Signal, error: ReadError) -> Status {
        let intake = &self.intake;
        match error {
            ReadError::TooLarge => intake.too_large(signal, "the body", self.max_body),
            ReadError::Refused(refusal) => intake.refused(signal, refusal),
            ReadError::Broken(error) => {
                intake.malformed(signal, Status::invalid(format!("the body cannot be read: {error}")))
            }
            ReadError::Late => {
                let status = Status::new(Code::DeadlineExceeded, "the body did not arrive in time");
                intake.malformed(signal, status.with_http(StatusCode::REQUEST_TIMEOUT))
            }
        }
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
