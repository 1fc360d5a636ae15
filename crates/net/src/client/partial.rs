//! `partial_success` of an accepted request: how many records the server refused all the same, and why.
//!
//! All three `Export…ServiceResponse` messages have one shape: field 1 is the partial success, whose field 1 is the number of
//! records refused and field 2 the text. The answer may have been cut by the reader's cap, so this reads as far as it can:
//! a text that ends early is a shorter text.

use flow::{Attempt, Kind, Why};
use serde::Deserialize;

/// What `partial_success` said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// Records refused.
    pub rejected: u64,
    /// Why, tidied.
    pub message: String,
}

impl PartialSuccess {
    /// Reads the protobuf form, which may be cut short.
    #[must_use]
    pub fn from_protobuf(response: &[u8]) -> PartialSuccess {
        let mut all = PartialSuccess::default();
        each(response, |number, value| {
            if let (1, Value::Len(partial)) = (number, value) {
                each(partial, |number, value| match (number, value) {
                    // It is an int64; a negative count is nonsense and counts for none.
                    (1, Value::Varint(count)) => all.rejected = u64::try_from(count as i64).unwrap_or(0),
                    (2, Value::Len(text)) => all.message = super::tidy(&String::from_utf8_lossy(text)),
                    _ => {}
                });
            }
        });
        all
    }

    /// Reads the JSON form. What is not JSON says nothing.
    #[must_use]
    pub fn from_json(response: &[u8]) -> PartialSuccess {
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Response {
            partial_success: Option<Body>,
        }
        #[derive(Deserialize, Default)]
        #[serde(rename_all = "camelCase", default)]
        struct Body {
            #[serde(alias = "rejectedSpans", alias = "rejectedDataPoints")]
            rejected_log_records: serde_json::Value,
            error_message: String,
        }
        let body =
            serde_json::from_slice::<Response>(response).ok().and_then(|r| r.partial_success).unwrap_or_default();
        let rejected = match &body.rejected_log_records {
            serde_json::Value::String(text) => text.parse().unwrap_or(0),
            other => other.as_u64().unwrap_or(0),
        };
        PartialSuccess { rejected, message: super::tidy(&body.error_message) }
    }

    /// What the lane should do. Refused records must not be sent again (OTLP specification, "Partial Success").
    #[must_use]
    pub fn attempt(self) -> Attempt {
        if self == PartialSuccess::default() {
            return Attempt::Sent;
        }
        Attempt::Partial { rejected: self.rejected, why: Why::new(Kind::Partial, self.message) }
    }
}

enum Value<'a> {
    Varint(u64),
    Len(&'a [u8]),
}

/// Calls `see` with every varint and length-delimited field until the end or the first nonsense. A value that goes beyond the
/// end is cut there.
fn each<'a>(mut rest: &'a [u8], mut see: impl FnMut(u64, Value<'a>)) {
    while let Some(tag) = varint(&mut rest) {
        let number = tag >> 3;
        let skip = match tag & 7 {
            0 => {
                let Some(value) = varint(&mut rest) else { return };
                see(number, Value::Varint(value));
                0
            }
            1 => 8,
            2 => {
                let Some(len) = varint(&mut rest) else { return };
                let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
                see(number, Value::Len(&rest[..len]));
                len
            }
            5 => 4,
            _ => return,
        };
        rest = rest.get(skip..).unwrap_or_default();
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in 0..10 {
        let (first, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(first & 0x7f) << (7 * shift);
        if first & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use wire::field::{put_len_field, put_varint_field};

    fn protobuf(rejected: u64, message: &str) -> Vec<u8> {
        let (mut inner, mut outer) = (Vec::new(), Vec::new());
        put_varint_field(&mut inner, 1, rejected);
        put_len_field(&mut inner, 2, message.as_bytes());
        put_len_field(&mut outer, 1, &inner);
        outer
    }

    /// Scenario: nothing, a warning, a refusal. Guarantee: sent, partial with 0, partial with the count.
    #[test]
    fn an_answer_is_sent_a_warning_or_partial() {
        assert_eq!(PartialSuccess::from_protobuf(&[]).attempt(), Attempt::Sent);
        assert_eq!(PartialSuccess::from_protobuf(&[0x0a, 0]).attempt(), Attempt::Sent);
        let warning = PartialSuccess::from_protobuf(&protobuf(0, "old")).attempt();
        assert_eq!(warning, Attempt::Partial { rejected: 0, why: Why::new(Kind::Partial, "old") });
        let refused = PartialSuccess::from_protobuf(&protobuf(3, "bad")).attempt();
        assert_eq!(refused, Attempt::Partial { rejected: 3, why: Why::new(Kind::Partial, "bad") });
        assert_eq!(PartialSuccess::from_protobuf(&protobuf(u64::MAX, "x")).rejected, 0);
    }

    /// Scenario: the JSON of all signals, numbers as numbers and strings, and garbage. Guarantee: read alike; garbage says nothing.
    #[test]
    fn json_says_the_same() {
        for key in ["rejectedSpans", "rejectedLogRecords", "rejectedDataPoints"] {
            for count in ["7", "\"7\""] {
                let text = format!(r#"{{"partialSuccess": {{"{key}": {count}, "errorMessage": "m"}}, "x": 1}}"#);
                assert_eq!(
                    PartialSuccess::from_json(text.as_bytes()),
                    PartialSuccess { rejected: 7, message: "m".into() }
                );
            }
        }
        for text in ["", "{}", "[", r#"{"partialSuccess": null}"#, r#"{"partialSuccess": 5}"#] {
            assert_eq!(PartialSuccess::from_json(text.as_bytes()).attempt(), Attempt::Sent, "{text}");
        }
    }

    proptest! {
        /// Scenario: an answer cut anywhere after the count. Guarantee: the count is right and the text is a beginning of the text.
        #[test]
        fn a_cut_answer_keeps_its_count(rejected in 1u64..1 << 40, message in "[a-z]{0,300}", cut in 0usize..310) {
            let whole = protobuf(rejected, &message);
            let end = whole.len() - cut.min(message.len());
            let partial = PartialSuccess::from_protobuf(&whole[..end]);
            prop_assert_eq!(partial.rejected, rejected);
            prop_assert!(message.starts_with(&partial.message));
        }

        /// Scenario: any bytes. Guarantee: no panic, and the text is bounded.
        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(PartialSuccess::from_protobuf(&bytes).message.len() <= 600);
            prop_assert!(PartialSuccess::from_json(&bytes).message.len() <= 600);
        }
    }
}
