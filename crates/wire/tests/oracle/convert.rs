//! OTLP/JSON against prost and against the hand-written JSON.

use crate::{Request, any_request, checked, encoded, through_prost};
use fastrand::Rng;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use wire::json::{to_json, to_protobuf};
use wire::schema;

const LIMIT: usize = 16 << 20;

/// The same request in another legal spelling: keys in another order and in snake_case, unknown keys and nulls among them, 64-bit integers as
/// numbers, ids in upper case, integers as floats and in strings.
fn respelled(value: Value, rng: &mut Rng) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(|value| respelled(value, rng)).collect(),
        Value::Object(fields) => {
            let mut fields: Vec<(String, Value)> = fields.into_iter().collect();
            let any_value = fields.iter().any(|(key, _)| key.ends_with("Value"));
            for (key, value) in &mut fields {
                *value = respell_field(key, std::mem::take(value), rng);
                if rng.u8(..) < 60 {
                    *key = snake_case(key);
                }
            }
            if rng.u8(..) < 80 {
                let unknown = json!([{ "a": [1, -2, 0.5, null, true, "x"] }, {}, []]);
                fields.push((["resource_log", "x", "", "Scope"][rng.usize(..4)].to_owned(), unknown));
            }
            if rng.u8(..) < 40
                && !any_value
                && !fields.iter().any(|(key, _)| ["schemaUrl", "schema_url"].contains(&key.as_str()))
            {
                fields.push(("schemaUrl".to_owned(), Value::Null));
            }
            rng.shuffle(&mut fields);
            Value::Object(fields.into_iter().collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn snake_case(key: &str) -> String {
    let of = |c: char| if c.is_uppercase() { format!("_{}", c.to_lowercase()) } else { c.to_string() };
    key.chars().map(of).collect()
}

fn respell_field(key: &str, value: Value, rng: &mut Rng) -> Value {
    let text = value.as_str().map(str::to_owned);
    match (key, text) {
        ("traceId" | "spanId" | "parentSpanId", Some(text)) if rng.bool() => json!(text.to_uppercase()),
        ("timeUnixNano" | "startTimeUnixNano" | "observedTimeUnixNano" | "count" | "zeroCount", Some(text)) => {
            match rng.u8(..3) {
                0 => json!(text.parse::<u64>().unwrap()),
                1 if text.parse::<u64>().unwrap() < 1 << 53 => json!(text.parse::<f64>().unwrap()),
                _ => json!(text),
            }
        }
        ("intValue" | "asInt", Some(text)) if rng.bool() => json!(text.parse::<i64>().unwrap()),
        ("flags" | "droppedAttributesCount" | "scale", None) => match rng.u8(..3) {
            0 => json!(value.to_string()),
            1 => json!(value.as_f64().unwrap()),
            _ => value,
        },
        ("asDouble" | "doubleValue" | "sum" | "min" | "max" | "value", None) if value.is_number() && rng.bool() => {
            json!(value.to_string())
        }
        _ => respelled(value, rng),
    }
}

proptest! {
    /// What is written is what the hand-written JSON says, from every encoding of the request.
    #[test]
    fn json_equals_the_hand_written((request, bytes) in encoded()) {
        let json = to_json(schema::request(request.signal()), &bytes).unwrap();
        let json: Value = serde_json::from_slice(&json).unwrap();
        prop_assert_eq!(json, request.json());
    }

    /// From protobuf to JSON and back is the same request, it passes the check, and a second round changes nothing.
    #[test]
    fn json_comes_back((request, bytes) in encoded()) {
        let (signal, message) = (request.signal(), schema::request(request.signal()));
        let json = to_json(message, &bytes).unwrap();
        let back = to_protobuf(message, &json, LIMIT).unwrap();
        prop_assert_eq!(through_prost(signal, &back), request.encode());
        prop_assert_eq!(checked(signal, &back), request.census());
        prop_assert_eq!(to_json(message, &back).unwrap(), json);
    }

    /// Every legal spelling of a request is read as that request.
    #[test]
    fn other_spellings_are_read(request in any_request(), seed in any::<u64>()) {
        let spelled = respelled(request.json(), &mut Rng::with_seed(seed)).to_string();
        let message = schema::request(request.signal());
        let protobuf = to_protobuf(message, spelled.as_bytes(), LIMIT);
        prop_assert!(protobuf.is_ok(), "{:?} for {}", protobuf, spelled);
        prop_assert_eq!(through_prost(request.signal(), &protobuf.unwrap()), request.encode());
    }

    /// Damaged JSON never panics, and whatever is accepted passes the check.
    #[test]
    fn damaged_json_is_refused_or_sound(
        request in any_request(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut json = request.json().to_string().into_bytes();
        for (at, byte) in damage {
            let at = at.index(json.len());
            json[at] = byte;
        }
        if let Ok(protobuf) = to_protobuf(schema::request(request.signal()), &json, LIMIT) {
            checked(request.signal(), &protobuf);
            Request::decode(request.signal(), &protobuf);
        }
    }
}
