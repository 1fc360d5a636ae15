//! The values of unknown fields: read, forgotten, and bounded in depth.

use super::cursor::Cursor;
use super::wrong::{self, Refused};

/// How deep the value of an unknown field may be nested.
const MAX_SKIP_DEPTH: usize = 128;

/// Reads a value of any shape and forgets it.
pub(super) fn value(json: &mut Cursor<'_>) -> Result<(), Refused> {
    within(json, MAX_SKIP_DEPTH)
}

/// The same, where `room` more levels may open.
fn within(json: &mut Cursor<'_>, room: usize) -> Result<(), Refused> {
    match json.token() {
        Some(b'n') => json.literal("null"),
        Some(b't') => json.literal("true"),
        Some(b'f') => json.literal("false"),
        Some(b'-' | b'0'..=b'9') => json.number().map(drop),
        Some(b'"') => {
            json.skip(1);
            json.string().map(drop)
        }
        Some(b'[') => {
            json.skip(1);
            let Some(room) = room.checked_sub(1) else { return Err(json.refused_in_array(too_deep())) };
            let mut first = true;
            while json.element_follows(first)? {
                first = false;
                within(json, room)?;
            }
            Ok(())
        }
        Some(b'{') => {
            json.skip(1);
            let Some(room) = room.checked_sub(1) else { return Err(json.refused_in_object(too_deep())) };
            let mut first = true;
            while json.key_follows(first)? {
                first = false;
                json.string()?;
                json.colon()?;
                within(json, room)?;
            }
            Ok(())
        }
        Some(_) => Err(json.refused_next(wrong::VALUE)),
        None => Err(json.refused_next(wrong::END_IN_VALUE)),
    }
}

fn too_deep() -> String {
    format!("an unknown field is nested deeper than {MAX_SKIP_DEPTH} levels")
}
