//! Whole zstd frames (RFC 8878).
//!
//! Frames that stand one behind the other stand for what is in all of them, and that is how zstd bodies are joined. It is no
//! single frame, though, and cannot be made one without compressing again: a block refers to what its frame has done before. Readers that
//! take only the first frame would lose the rest without a word, so whoever joins frames must know the reader.

const FRAME: [u8; 4] = 0xfd2f_b528u32.to_le_bytes();
/// Of the sixteen magic numbers of frames that are skipped, but for the lowest byte.
const SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// How many frames a body is made of, with nothing between or behind them; `None` if it is not, or if one of them needs a dictionary.
/// Frames that are skipped do not count. What is in the blocks is not looked at.
#[must_use]
pub fn frames(mut body: &[u8]) -> Option<usize> {
    let mut count = 0;
    while let Some((magic, rest)) = body.split_first_chunk::<4>() {
        if *magic == FRAME {
            body = behind_frame(rest)?;
            count += 1;
        } else if magic[1..] == SKIPPABLE && magic[0] >> 4 == 5 {
            let (size, rest) = rest.split_first_chunk::<4>()?;
            body = rest.get(u32::from_le_bytes(*size) as usize..)?;
        } else {
            return None;
        }
    }
    body.is_empty().then_some(count)
}

/// What follows a frame whose magic number was read.
fn behind_frame(frame: &[u8]) -> Option<&[u8]> {
    let (head, rest) = frame.split_first()?;
    let (is_single, has_reserved, has_checksum) = (head & 32 != 0, head & 8 != 0, head & 4 != 0);
    let has_dictionary = head & 3 != 0;
    if has_reserved || has_dictionary {
        return None;
    }
    let content_size = match head >> 6 {
        0 => usize::from(is_single),
        bits => 1 << bits,
    };
    let mut rest = rest.get(usize::from(!is_single) + content_size..)?;
    loop {
        let ([a, b, c], behind) = rest.split_first_chunk::<3>()?;
        let header = u32::from_le_bytes([*a, *b, *c, 0]);
        let size = match header >> 1 & 3 {
            // One byte that is repeated.
            1 => 1,
            3 => return None,
            _ => (header >> 3) as usize,
        };
        rest = behind.get(size..)?;
        if header & 1 == 1 {
            return rest.get(if has_checksum { 4 } else { 0 }..);
        }
    }
}
