//! The bytes of an open file at an offset: as they lie, or unpacked.
//!
//! What is packed cannot be read in the middle: a [`Packed`] reads on from where it was, keeps a little of what it gave
//! last, and begins anew if what is wanted lies before that. Offsets of a packed file are those of its unpacked bytes.
//! It unpacks a chunk at a time, so that a small file which gives much takes no memory, and never gives more than it is
//! told.

use flate2::bufread::GzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

/// What was given last is kept so far back.
const KEPT: usize = 1 << 20;
/// Bytes that are unpacked and thrown away at once on the way to an offset.
const SKIPPED: usize = 64 << 10;

/// See the module.
pub enum Content {
    /// As it lies.
    Plain(File),
    /// Unpacked.
    Packed(Box<Packed>),
}

impl Content {
    /// Of an open file; `limit` is what one that is packed may give.
    #[must_use]
    pub fn new(file: File, is_packed: bool, limit: u64) -> Content {
        if is_packed { Content::Packed(Box::new(Packed::new(file, limit))) } else { Content::Plain(file) }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> Option<&File> {
        match self {
            Content::Plain(file) => Some(file),
            Content::Packed(packed) => packed.file(),
        }
    }

    /// Reads from an offset on until `into` is full or there is nothing more now.
    ///
    /// # Errors
    /// The file system, or what is packed is damaged.
    pub fn read(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut len = 0;
        while len < into.len() {
            let read = match self {
                Content::Plain(file) => file.read_at(&mut into[len..], offset + len as u64),
                Content::Packed(packed) => packed.read(&mut into[len..], offset + len as u64),
            };
            match read {
                Ok(0) => break,
                Ok(n) => len += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // What was read is given; the error comes again.
                Err(_) if len > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(len)
    }
}

/// Whether a file begins as gzip does.
#[must_use]
pub fn is_gzip(head: &[u8]) -> bool {
    head.starts_with(b"\x1f\x8b\x08")
}

/// A gzip file of any number of members.
pub struct Packed {
    state: State,
    limit: u64,
    /// The unpacked bytes that were given last, and where they end.
    kept: Vec<u8>,
    at: u64,
    /// Why nothing more can be unpacked: a decoder that failed would say that it is at its end.
    damage: Option<String>,
}

#[allow(clippy::large_enum_variant, reason = "it is boxed with all of its file")]
enum State {
    /// Before a member, or at the end.
    Between(BufReader<File>),
    Within(GzDecoder<BufReader<File>>),
    /// While it changes.
    Nowhere,
}

impl Packed {
    fn new(file: File, limit: u64) -> Packed {
        Packed { state: State::Between(BufReader::new(file)), limit, kept: vec![], at: 0, damage: None }
    }

    fn file(&self) -> Option<&File> {
        match &self.state {
            State::Between(reader) => Some(reader.get_ref()),
            State::Within(decoder) => Some(decoder.get_ref().get_ref()),
            State::Nowhere => None,
        }
    }

    fn read(&mut self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let oldest = self.at - self.kept.len() as u64;
        if offset < oldest {
            self.rewind()?;
        }
        let mut waste = vec![];
        while self.at < offset {
            waste.resize(usize::try_from(offset - self.at).unwrap_or(SKIPPED).min(SKIPPED), 0);
            if self.unpack(&mut waste)? == 0 {
                return Ok(0);
            }
        }
        if offset < self.at {
            let from = self.kept.len() - usize::try_from(self.at - offset).unwrap_or(0);
            let kept = &self.kept[from..];
            let len = kept.len().min(into.len());
            into[..len].copy_from_slice(&kept[..len]);
            return Ok(len);
        }
        self.unpack(into)
    }

    fn rewind(&mut self) -> io::Result<()> {
        let mut reader = match std::mem::replace(&mut self.state, State::Nowhere) {
            State::Between(reader) => reader,
            State::Within(decoder) => decoder.into_inner(),
            State::Nowhere => return Err(broken()),
        };
        let sought = reader.seek(SeekFrom::Start(0));
        self.state = State::Between(reader);
        self.kept.clear();
        (self.at, self.damage) = (0, None);
        sought.map(drop)
    }

    /// The next bytes; none at the end.
    fn unpack(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(damage) = &self.damage {
            return Err(io::Error::other(damage.clone()));
        }
        self.unpack_on(into).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.damage = Some(error.to_string());
            }
        })
    }

    fn unpack_on(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.limit.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let most = into.len().min(left);
        if most == 0 {
            return Err(io::Error::other("it gives more bytes than one file may"));
        }
        loop {
            match std::mem::replace(&mut self.state, State::Nowhere) {
                State::Between(mut reader) => {
                    // Zeros between members, and behind the last one, are padding.
                    let is_member = loop {
                        let zeros = match reader.fill_buf()? {
                            [] => break false,
                            buffer => buffer.iter().take_while(|b| **b == 0).count(),
                        };
                        if zeros == 0 {
                            break true;
                        }
                        reader.consume(zeros);
                    };
                    if !is_member {
                        self.state = State::Between(reader);
                        return Ok(0);
                    }
                    self.state = State::Within(GzDecoder::new(reader));
                }
                State::Within(mut decoder) => {
                    let read = decoder.read(&mut into[..most]);
                    match read {
                        Ok(0) => self.state = State::Between(decoder.into_inner()),
                        Ok(n) => {
                            self.state = State::Within(decoder);
                            self.keep(&into[..n]);
                            return Ok(n);
                        }
                        Err(error) => {
                            self.state = State::Within(decoder);
                            return Err(error);
                        }
                    }
                }
                State::Nowhere => return Err(broken()),
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.at += bytes.len() as u64;
        self.kept.extend(bytes);
        if self.kept.len() > 2 * KEPT {
            self.kept.drain(..self.kept.len() - KEPT);
        }
    }
}

fn broken() -> io::Error {
    io::Error::other("it could not be read before")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(vec![], Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn packed(bytes: &[u8], limit: u64) -> Content {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        Content::new(file, true, limit)
    }

    /// Scenario: two members with zeros between and behind them, read on, back a little, back to the beginning.
    /// Guarantee: the bytes at the offset.
    #[test]
    fn members_are_one_file() {
        let plain: Vec<u8> = (0..5_000_000u32).map(|n| (n % 251) as u8).collect();
        let (a, b) = plain.split_at(3_000_000);
        let mut content = packed(&[&gzip(a)[..], &[0; 9], &gzip(b), &[0; 5]].concat(), u64::MAX);
        for offset in [0, 2_999_990, 4_999_000, 4_990_000, 10, 5_000_000] {
            let mut into = vec![0; 100];
            let len = content.read(&mut into, offset as u64).unwrap();
            assert_eq!(into[..len], plain[offset..plain.len().min(offset + 100)], "{offset}");
        }
    }

    /// Scenario: 100 MB of zeros in 100 KB, with a limit of 1 MB. Guarantee: no more than the limit is given, then an
    /// error.
    #[test]
    fn what_a_file_may_give_is_bounded() {
        let mut content = packed(&gzip(&vec![0; 100_000_000]), 1 << 20);
        let mut into = vec![1; 2 << 20];
        assert_eq!(content.read(&mut into, 0).unwrap(), 1 << 20);
        assert!(content.read(&mut into, 1 << 20).unwrap_err().to_string().contains("more bytes"));
    }

    /// Scenario: a gzip file that is cut, and one whose checksum is wrong. Guarantee: what can be unpacked is given,
    /// then an error.
    #[test]
    fn a_damaged_file_gives_what_it_can() {
        let plain = b"some text ".repeat(10_000);
        let whole = gzip(&plain);
        let mut wrong = whole.clone();
        let last = wrong.len() - 5;
        wrong[last] ^= 1;
        for bytes in [whole[..whole.len() / 2].to_vec(), wrong] {
            let mut content = packed(&bytes, u64::MAX);
            let mut into = vec![0; plain.len() + 1];
            let len = content.read(&mut into, 0).unwrap();
            assert!(len > 0 && plain.starts_with(&into[..len]));
            assert!(content.read(&mut into, len as u64).is_err());
        }
    }
}
