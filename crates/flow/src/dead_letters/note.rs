//! What is written beside the payload of a dead letter: JSON, because people and other programs read it.
//!
//! Invariant: any bytes can be read back; what is not understood is `other` without a text.

use super::Letter;
use crate::Kind;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Bytes of the text that are kept.
pub const LONGEST: usize = 4096;

/// The note of a letter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Note {
    pub(super) reason: String,
    pub(super) text: String,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) attempts: u32,
}

impl Note {
    pub(super) fn of(letter: &Letter) -> Note {
        let end = letter.text.floor_char_boundary(LONGEST);
        Note {
            reason: letter.reason.as_str().to_owned(),
            text: letter.text[..end].to_owned(),
            first: letter.first,
            last: letter.last,
            attempts: letter.attempts,
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        // Strings and numbers: nothing that could not be written.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Note {
        serde_json::from_slice(bytes).unwrap_or_default()
    }

    pub(super) fn reason(&self) -> Kind {
        Kind::named(&self.reason).unwrap_or(Kind::Other)
    }
}
