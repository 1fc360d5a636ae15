use super::*;
use crate::build::MessageWriter;
use crate::index::Index;
use crate::key::trace_id;
use crate::testing::{any_request, flatten, signal};
use proptest::prelude::*;

const STRICT: CheckLimits = CheckLimits { max_depth: 64, strict_utf8: true };

fn fault(signal: Signal, body: &[u8], limits: &CheckLimits) -> Option<Fault> {
    check(signal, body, limits).err().map(|malformed| malformed.what)
}

/// A log request with one record.
fn log(fill: impl FnOnce(&mut MessageWriter)) -> Vec<u8> {
    let mut request = MessageWriter::new();
    request.resource_entry(&[], "", |scope| {
        scope.message(2, fill);
    });
    request.as_slice().to_vec()
}

/// A metrics request with one metric that holds one data message.
fn metric(data: u32, fill: impl FnOnce(&mut MessageWriter)) -> Vec<u8> {
    let mut request = MessageWriter::new();
    request.resource_entry(&[], "", |scope| {
        scope.message(2, |metric| {
            metric.message(data, fill);
        });
    });
    request.as_slice().to_vec()
}

/// `depth` attribute values inside each other, in arrays or in maps.
fn nested(value: &mut MessageWriter, depth: usize, maps: bool) {
    if depth <= 1 {
        return;
    }
    if maps {
        value.message(6, |map| {
            map.message(1, |pair| {
                pair.message(2, |inner| nested(inner, depth - 1, maps));
            });
        });
    } else {
        value.message(5, |array| {
            array.message(1, |inner| nested(inner, depth - 1, maps));
        });
    }
}

/// Scenario: bodies at the depth limit and one above it, through arrays and maps.
/// Guarantee: the limit is exact.
#[test]
fn the_depth_limit_is_exact() {
    for maps in [false, true] {
        let body = |depth| {
            log(|record| {
                record.message(5, |value| nested(value, depth, maps));
            })
        };
        assert_eq!(fault(Signal::Logs, &body(64), &CheckLimits::default()), None);
        assert_eq!(fault(Signal::Logs, &body(65), &CheckLimits::default()), Some(Fault::Depth));
    }
}

/// Scenario: a hundred thousand nested values, and a configuration that would allow them.
/// Guarantee: the stack holds; the request is refused at the depth that can be afforded.
#[test]
fn hostile_nesting_is_refused_whatever_is_configured() {
    let mut value: Vec<u8> = Vec::new();
    for _ in 0..2000 {
        let mut outer = MessageWriter::new();
        outer.message(5, |array| {
            array.bytes(1, &value);
        });
        value = outer.as_slice().to_vec();
    }
    let body = log(|record| {
        record.bytes(5, &value);
    });
    let limits = CheckLimits { max_depth: usize::MAX, strict_utf8: true };
    assert_eq!(fault(Signal::Logs, &body, &limits), Some(Fault::Depth));
}

/// Scenario: known fields with a wire type that is not theirs, above, at and below the records.
/// Guarantee: refused by name.
#[test]
fn wrong_wire_types_are_refused() {
    let wrong = |message, field| Some(Fault::WrongType { message, field });
    let default = CheckLimits::default();
    assert_eq!(fault(Signal::Logs, &[0x08, 1], &default), wrong("ExportLogsServiceRequest", "resourceLogs"));
    assert_eq!(fault(Signal::Traces, &[0x0a, 2, 0x10, 1], &default), wrong("ResourceSpans", "scopeSpans"));
    let text_as_number = log(|record| {
        record.varint(3, 5);
    });
    assert_eq!(fault(Signal::Logs, &text_as_number, &default), wrong("LogRecord", "severityText"));
    let time_as_varint = log(|record| {
        record.varint(1, 5);
    });
    assert_eq!(fault(Signal::Logs, &time_as_varint, &default), wrong("LogRecord", "timeUnixNano"));
    let attribute_key_as_number = log(|record| {
        record.message(6, |pair| {
            pair.varint(1, 5);
        });
    });
    assert_eq!(fault(Signal::Logs, &attribute_key_as_number, &default), wrong("KeyValue", "key"));
}

/// Scenario: a known field with a wrong wire type whose framing is broken as well.
/// Guarantee: the broken framing is what is reported.
#[test]
fn groups_are_refused_everywhere() {
    let group = log(|record| {
        record.raw(&[0x33, 0x34]);
    });
    assert_eq!(fault(Signal::Logs, &group, &CheckLimits::default()), Some(Fault::Group));
    let unknown_group = log(|record| {
        record.raw(&[0xa3, 0x06]);
    });
    assert_eq!(fault(Signal::Logs, &unknown_group, &CheckLimits::default()), Some(Fault::Group));
}

/// Scenario: trace ids of every length. Guarantee: only 0 and 16 are taken.
#[test]
fn ids_are_empty_or_whole() {
    for len in 0..33 {
        let body = log(|record| {
            record.bytes(9, vec![1; len]);
        });
        let expected = (len != 0 && len != 16).then_some(Fault::IdLength { message: "LogRecord", field: "traceId" });
        assert_eq!(fault(Signal::Logs, &body, &CheckLimits::default()), expected);
    }
}

/// Scenario: bucket counts packed, one by one, mixed, and packed with a broken tail.
/// Guarantee: all but the last are taken.
#[test]
fn repeated_scalars_may_be_packed() {
    let body = metric(9, |data| {
        data.message(1, |point| {
            point.bytes(6, [0; 16]).fixed64(6, 1).bytes(7, [0; 8]).double(7, 0.5).bytes(6, []);
        });
    });
    assert_eq!(check(Signal::Metrics, &body, &STRICT).map(|census| census.records), Ok(1));
    let broken = metric(9, |data| {
        data.message(1, |point| {
            point.bytes(6, [0; 15]);
        });
    });
    let what = Fault::Packed { message: "HistogramDataPoint", field: "bucketCounts" };
    assert_eq!(fault(Signal::Metrics, &broken, &STRICT), Some(what));
    for (packed, sound) in [(&[1, 0x80, 1][..], true), (&[1, 0x80], false)] {
        let body = metric(10, |data| {
            data.message(1, |point| {
                point.message(8, |buckets| {
                    buckets.bytes(2, packed);
                });
            });
        });
        assert_eq!(check(Signal::Metrics, &body, &STRICT).is_ok(), sound);
    }
}

/// Scenario: a string that is not UTF-8. Guarantee: refused only when asked for; `bytes` fields are never looked at.
#[test]
fn utf8_is_checked_on_demand() {
    let text = log(|record| {
        record.bytes(3, [0xff]);
    });
    assert_eq!(fault(Signal::Logs, &text, &CheckLimits::default()), None);
    let what = Fault::Utf8 { message: "LogRecord", field: "severityText" };
    assert_eq!(fault(Signal::Logs, &text, &STRICT), Some(what));
    let bytes = log(|record| {
        record.message(5, |value| {
            value.bytes(7, [0xff]);
        });
    });
    assert_eq!(fault(Signal::Logs, &bytes, &STRICT), None);
}

/// Scenario: a span with a link to another trace behind its own id; ids that come twice, and the last time empty; notes of another
/// request. Guarantee: only the record's own id counts, its last occurrence, and notes that do not fit are not used.
#[test]
fn only_the_records_own_trace_is_noted() {
    let span = |fill: &dyn Fn(&mut MessageWriter)| {
        let mut request = MessageWriter::new();
        request.resource_entry(&[], "", |scope| {
            scope.message(2, |span| fill(span));
        });
        let body = request.as_slice().to_vec();
        let mut traces = vec![];
        check_and_note(Signal::Traces, &body, &STRICT, &mut traces).expect("sound");
        let mut index = Index::new();
        index.build_noted(Signal::Traces, &body, Some(&traces.clone().into())).expect("sound");
        let found = index.records(&body).next().and_then(|record| trace_id(&record)).map(<[u8]>::to_vec);
        index.build_noted(Signal::Traces, &body, Some(&[0, 0].into())).expect("sound");
        assert_eq!(index.records(&body).next().and_then(|record| trace_id(&record)).map(<[u8]>::to_vec), found);
        (traces[0] != 0, found)
    };
    let linked = span(&|span| {
        span.bytes(1, [1; 16]).message(13, |link| {
            link.bytes(1, [2; 16]);
        });
    });
    assert_eq!(linked, (true, Some(vec![1; 16])));
    assert_eq!(
        span(&|span| {
            span.bytes(1, [1; 16]).bytes(1, [3; 16]);
        }),
        (true, Some(vec![3; 16]))
    );
    assert_eq!(
        span(&|span| {
            span.bytes(1, [1; 16]).bytes(1, []);
        }),
        (false, None)
    );
    assert_eq!(
        span(&|span| {
            span.bytes(5, "name");
        }),
        (false, None)
    );
}

/// Scenario: an error deep inside. Guarantee: its offset is that in the whole request.
#[test]
fn offsets_are_those_of_the_request() {
    let body = log(|record| {
        record.varint(2, 9).bytes(9, [1; 3]);
    });
    let at = body.len() - 5;
    assert_eq!(check(Signal::Logs, &body, &STRICT).map_err(|malformed| malformed.offset), Err(at));
}

proptest! {
    /// Scenario: sound requests of every shape. Guarantee: accepted, and the records are counted right.
    #[test]
    fn sound_requests_are_counted((signal, body) in any_request()) {
        let census = check(signal, &body, &STRICT);
        prop_assert_eq!(census.map(|census| census.records), Ok(flatten(signal, &body).len()));
    }

    /// Scenario: requests of every shape, checked with and without notes. Guarantee: the answer is the same; each record's trace id is
    /// where it was noted, and whoever asks with the notes is told what he is told without them.
    #[test]
    fn what_is_noted_is_what_is_found((signal, body) in any_request()) {
        let mut traces = vec![9];
        prop_assert_eq!(check_and_note(signal, &body, &STRICT, &mut traces), check(signal, &body, &STRICT));
        let (mut plain, mut noted) = (Index::new(), Index::new());
        plain.build(signal, &body).expect("sound");
        noted.build_noted(signal, &body, Some(&traces.clone().into())).expect("sound");
        let found: Vec<_> = plain.records(&body).map(|record| trace_id(&record)).collect();
        prop_assert_eq!(noted.records(&body).map(|record| trace_id(&record)).collect::<Vec<_>>(), found.clone());
        if signal != Signal::Metrics {
            let at = |found: Option<&[u8]>| found.map_or(0, |id| id.as_ptr() as usize - body.as_ptr() as usize);
            prop_assert_eq!(traces, found.into_iter().map(|id| at(id) as u32).collect::<Vec<_>>());
        }
    }

    /// Scenario: a sound request cut off at every offset.
    /// Guarantee: no panic, and refused unless the cut lies between two fields of the request itself.
    #[test]
    fn truncations_are_refused((signal, body) in any_request()) {
        let whole: Vec<usize> = crate::field::Fields::new(&body).filter_map(|field| field.ok()).map(|field| field.end).collect();
        for at in 0..body.len() {
            let sound = at == 0 || whole.contains(&at);
            prop_assert_eq!(check(signal, &body[..at], &STRICT).is_ok(), sound);
        }
    }

    /// Scenario: a request of one signal offered as another, with some bytes changed; and arbitrary bytes.
    /// Guarantee: no panic.
    #[test]
    fn damage_never_panics((_, body) in any_request(), signal in signal(), changes: Vec<(prop::sample::Index, u8)>, any: Vec<u8>) {
        let mut damaged = body.to_vec();
        for (at, byte) in changes {
            if !damaged.is_empty() {
                let at = at.index(damaged.len());
                damaged[at] = byte;
            }
        }
        for bytes in [&damaged, &any] {
            let strict = check(signal, bytes, &STRICT);
            if strict.is_ok() {
                prop_assert_eq!(strict, check(signal, bytes, &CheckLimits::default()));
            }
        }
    }
}
