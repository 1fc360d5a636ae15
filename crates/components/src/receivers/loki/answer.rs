//! What a Loki client is answered: a status and a line of text, as Loki words them.
//!
//! Loki's clients send a push again after 429, 5xx and broken connections, and never after another 4xx. There is no partial success, but
//! Loki has the same need when some entries of a push are invalid: it stores the others and answers 400, so that nothing comes twice. This
//! receiver does so as well when only some entries were taken. If none was, the answer is 429, and the push may come again.

use bytes::Bytes;
use flow::{Accepted, Kind, Outcome, Refusal, Why};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use net::told::told;
use std::time::Duration;

/// The longest text that is answered, in bytes.
const MAX_TEXT: usize = 1024;
/// When to come back after a push of which nothing was taken for want of memory.
const COME_BACK: Duration = Duration::from_secs(1);

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub text: String,
    pub retry_after: Option<Duration>,
}

impl Answer {
    pub fn new(status: StatusCode, text: impl Into<String>) -> Answer {
        let mut text: String = text.into();
        text.truncate(text.floor_char_boundary(MAX_TEXT));
        Answer { status, text, retry_after: None }
    }

    /// The push is broken, and will be when it comes again.
    pub fn invalid(text: impl Into<String>) -> Answer {
        Answer::new(StatusCode::BAD_REQUEST, text)
    }

    /// What becomes of a push of so many entries that was offered.
    pub fn of(result: Result<Accepted, Refusal>, entries: u32) -> Answer {
        let accepted = match result {
            Ok(accepted) => accepted,
            Err(refusal) => return refusal.into(),
        };
        let Some((lost, why)) = accepted.rejected() else { return Answer::new(StatusCode::NO_CONTENT, "") };
        let for_good = matches!(accepted.outcome, Outcome::Rejected { .. });
        if lost >= u64::from(entries) && !for_good {
            let answer = Answer::new(StatusCode::TOO_MANY_REQUESTS, told(why));
            return Answer { retry_after: Some(COME_BACK), ..answer };
        }
        Answer::invalid(format!("{lost} of {entries} entries were not taken, the others were: {}", told(why)))
    }

    pub fn response(self, challenge: Option<&'static str>) -> Response<Full<Bytes>> {
        let Answer { status, mut text, retry_after } = self;
        if !text.is_empty() {
            text.push('\n');
        }
        let is_empty = text.is_empty();
        let mut response = Response::new(Full::from(text));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        if !is_empty {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        if let Some(delay) = retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(delay.as_millis().div_ceil(1000).max(1) as u64));
        }
        match (status, challenge) {
            (StatusCode::METHOD_NOT_ALLOWED, _) => drop(headers.insert(ALLOW, HeaderValue::from_static("POST"))),
            (StatusCode::UNAUTHORIZED, Some(challenge)) => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
            }
            _ => {}
        }
        response
    }
}

/// Overload is 429, trouble further down 503, both with the delay; what will never fit is 413.
impl From<Refusal> for Answer {
    fn from(Refusal { why, retry_after }: Refusal) -> Answer {
        let status = match (retry_after, overload(&why)) {
            (None, _) => StatusCode::PAYLOAD_TOO_LARGE,
            (_, true) => StatusCode::TOO_MANY_REQUESTS,
            (_, false) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Answer { retry_after, ..Answer::new(status, told(&why)) }
    }
}

fn overload(why: &Why) -> bool {
    use Kind::{HardLimit, LaneFull, LaneLimit, QueueFull, SoftLimit, TenantShare, Throttled};
    matches!(why.kind, SoftLimit | HardLimit | TenantShare | QueueFull | LaneFull | LaneLimit | Throttled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(kind: Kind, retry_after: Option<Duration>) -> Answer {
        Refusal { why: Why::new(kind, "busy"), retry_after }.into()
    }

    /// Scenario: every way in which a push ends. Guarantee: what must come again is 429 or 503 with a delay, what must not is neither.
    #[test]
    fn answers_tell_whether_to_come_again() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(refused(Kind::HardLimit, second).status, 429);
        assert_eq!(refused(Kind::Unavailable, second).status, 503);
        assert_eq!(refused(Kind::TooLarge, None).status, 413);
        let dropped = |records| {
            let outcome = Outcome::Dropped { records, why: Why::new(Kind::SoftLimit, "x") };
            Answer::of(Ok(Accepted { outcome }), 3)
        };
        assert_eq!((dropped(3).status, dropped(3).retry_after), (StatusCode::TOO_MANY_REQUESTS, second));
        assert_eq!((dropped(2).status, dropped(2).retry_after), (StatusCode::BAD_REQUEST, None));
        assert_eq!(dropped(2).text, "2 of 3 entries were not taken, the others were: soft_limit: x");
        let rejected = Outcome::Rejected { records: 3, why: Why::new(Kind::BadData, "x") };
        assert_eq!(Answer::of(Ok(Accepted { outcome: rejected }), 3).status, 400);
        assert_eq!(Answer::of(Ok(Accepted::ALL), 3).status, 204);
        let response = refused(Kind::QueueFull, Some(Duration::from_millis(1001))).response(None);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }
}
