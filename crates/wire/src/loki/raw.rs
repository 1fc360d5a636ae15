//! Lines of text become an OTLP request: one record each, without labels, of the time of arrival.
//!
//! It is what Promtail and Alloy take at `/loki/api/v1/raw`. A carriage return before the line feed is not part of the line; empty lines
//! are left out.

use super::writer::OtlpWriter;
use super::{PushError, Received, Receiving};

/// Lines as an OTLP logs request.
///
/// # Errors
/// [`PushError::TooLarge`] only.
pub fn to_otlp(text: &[u8], how: &Receiving) -> Result<Received, PushError> {
    let mut writer = OtlpWriter::new(how, text.len());
    let entry = writer.open_stream();
    let scope = writer.open_scope();
    for line in text.split(|byte| *byte == b'\n') {
        let end = line.iter().rposition(|byte| *byte != b'\r').map_or(0, |last| last + 1);
        if end == 0 {
            continue;
        }
        let at = writer.open_record();
        writer.time(None);
        writer.line(&line[..end]);
        writer.close(at);
        if writer.is_full() {
            return Err(PushError::TooLarge { limit: how.limit });
        }
    }
    writer.close(scope);
    writer.close(entry);
    if writer.records == 0 {
        writer.undo(0);
    }
    Ok(writer.finish())
}
