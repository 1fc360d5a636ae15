//! Summaries of traces: joined by minimum, maximum, sum and union, here for the spans of a transaction and in the database with what is
//! there, so that any order of arrival gives the same and a status only becomes worse.
//!
//! The span that stands for a trace, the root or else the earliest, is one `bytea` whose order is that of preference, so that the
//! database joins two by `LEAST`: 1 if it has a parent; its start, big-endian; its service, where 00 is written 00 ff and the end is
//! 00 00; its name.

use std::collections::{BTreeMap, BTreeSet};
use store::Piece;

/// Services of a trace that are kept: of more the first by name. The statement below says the same.
const MOST_SERVICES: usize = 32;
/// The longest name of an operation; what is longer is cut.
const LONGEST_NAME: usize = 256;

/// A trace, as far as one transaction knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Summary {
    pub start: u64,
    pub end: u64,
    pub spans: i64,
    pub errors: i64,
    pub status: i16,
    pub head: Vec<u8>,
    pub services: BTreeSet<Vec<u8>>,
}

/// By tenant and id, in the order in which they are written, so that two transactions never wait for each other.
pub(crate) type Summaries = BTreeMap<(String, [u8; 16]), Summary>;

impl Summary {
    /// Of one span.
    pub fn of(piece: &Piece<'_>) -> Summary {
        let facts = piece.facts;
        let name = &facts.text[..facts.text.len().min(LONGEST_NAME)];
        Summary {
            start: facts.time,
            end: facts.end.max(facts.time),
            spans: 1,
            errors: i64::from(facts.status == 2),
            status: facts.status.into(),
            head: head(facts.has_parent, facts.time, piece.service, name),
            services: BTreeSet::from([piece.service.to_vec()]),
        }
    }

    /// Takes another of the same trace in.
    pub fn join(&mut self, other: &Summary) {
        self.start = self.start.min(other.start);
        self.end = self.end.max(other.end);
        self.spans += other.spans;
        self.errors += other.errors;
        self.status = self.status.max(other.status);
        if other.head < self.head {
            self.head.clone_from(&other.head);
        }
        self.services.extend(other.services.iter().cloned());
        while self.services.len() > MOST_SERVICES {
            self.services.pop_last();
        }
    }
}

/// See the module.
fn head(has_parent: bool, start: u64, service: &[u8], name: &[u8]) -> Vec<u8> {
    let mut head = vec![u8::from(has_parent)];
    head.extend_from_slice(&start.to_be_bytes());
    for byte in service {
        head.push(*byte);
        if *byte == 0 {
            head.push(0xff);
        }
    }
    head.extend_from_slice(&[0, 0]);
    head.extend_from_slice(name);
    head
}

/// What a head says: whether it has a parent, its service, its name.
pub(crate) fn read_head(head: &[u8]) -> (bool, Vec<u8>, Vec<u8>) {
    let has_parent = head.first() == Some(&1);
    let mut rest = head.get(9..).unwrap_or_default();
    let mut service = vec![];
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte == 0 {
            let next = rest.first().copied();
            rest = rest.get(1..).unwrap_or_default();
            if next != Some(0xff) {
                break;
            }
        }
        service.push(*byte);
    }
    (has_parent, service, rest.to_vec())
}

/// Joins summaries with what is there. The numbers are whole numbers of nanoseconds beyond what `bigint` holds; services are
/// hexadecimal, each behind an `x`, divided by commas.
pub(crate) fn upsert(schema: &str) -> String {
    format!(
        "INSERT INTO {schema}.traces AS t (day, tenant, id, start, finish, spans, errors, status, head, services)
         SELECT $1::text::date, n.tenant, n.id, n.start::numeric, n.finish::numeric, n.spans, n.errors, n.status, n.head,
                ARRAY(SELECT decode(substr(s, 2), 'hex') FROM unnest(string_to_array(n.services, ',')) s ORDER BY 1)
         FROM unnest($2::text[], $3::bytea[], $4::text[], $5::text[], $6::int8[], $7::int8[], $8::int2[], $9::bytea[],
                     $10::text[])
              AS n (tenant, id, start, finish, spans, errors, status, head, services)
         ORDER BY n.tenant COLLATE \"C\", n.id
         ON CONFLICT (tenant, id, day) DO UPDATE SET
            start = LEAST(t.start, excluded.start), finish = GREATEST(t.finish, excluded.finish),
            spans = t.spans + excluded.spans, errors = t.errors + excluded.errors,
            status = GREATEST(t.status, excluded.status), head = LEAST(t.head, excluded.head),
            services = CASE WHEN t.services @> excluded.services THEN t.services
                       ELSE ARRAY(SELECT DISTINCT s FROM unnest(t.services || excluded.services) s ORDER BY s LIMIT 32)
                       END"
    )
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: heads with and without parents, of services that have NUL in them or begin alike. Guarantee: bytes sort as what they say
    /// does, and come back.
    #[test]
    fn heads_sort_as_what_they_say() {
        let mut all = vec![];
        for has_parent in [false, true] {
            for start in [0, 255, 256, u64::MAX] {
                for service in [&b""[..], b"\0", b"\0a", b"a", b"a\0", b"a\0b", b"ab", b"\xff"] {
                    for name in [&b""[..], b"\0\0x", b"GET"] {
                        all.push((has_parent, start, service.to_vec(), name.to_vec()));
                    }
                }
            }
        }
        all.sort();
        let heads: Vec<_> =
            all.iter().map(|(parent, start, service, name)| head(*parent, *start, service, name)).collect();
        assert!(heads.is_sorted());
        for (head, (has_parent, _, service, name)) in heads.iter().zip(&all) {
            assert_eq!(read_head(head), (*has_parent, service.clone(), name.clone()));
        }
    }
}
