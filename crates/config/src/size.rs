//! Byte sizes: `512MiB`, `1GB`, `16kib`, or a plain number of bytes.
//!
//! `KB` is 1000 and `KiB` is 1024 bytes, in any case, as the OpenTelemetry Collector's log library has it. Invariant: a
//! fraction is allowed with a unit only, and is cut to whole bytes. It does NOT count memory.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A number of bytes in a configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ByteSize(pub u64);

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Not of the form.
    #[error("`{0}` is not a size such as `512MiB`, `1GB` or `1048576`")]
    Form(String),
    /// More than 64 bits of bytes.
    #[error("the size `{0}` is too large")]
    Large(String),
}

const UNITS: [(&str, u64); 13] = [
    ("", 1),
    ("b", 1),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("pb", 1_000_000_000_000_000),
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("pib", 1 << 50),
    ("eib", 1 << 60),
];

impl ByteSize {
    /// A size of whole mebibytes.
    pub const fn from_mib(mib: u64) -> Self {
        ByteSize(mib << 20)
    }

    /// The size as a count of bytes in memory.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let form = || SizeError::Form(text.to_owned());
        let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(number_end);
        let unit = unit.trim().to_ascii_lowercase();
        let (_, scale) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(form)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.contains('.') || (*scale == 1 && !fraction.is_empty()) {
            return Err(form());
        }
        let large = || SizeError::Large(text.to_owned());
        let whole = whole.parse::<u128>().map_err(|_| large())?.checked_mul(u128::from(*scale)).ok_or_else(large)?;
        // Places beyond the 18th are less than a byte of any unit.
        let fraction = &fraction[..fraction.len().min(18)];
        let part = fraction.parse::<u128>().unwrap_or(0) * u128::from(*scale) / 10u128.pow(fraction.len() as u32);
        let bytes = whole.checked_add(part).ok_or_else(large)?;
        u64::try_from(bytes).map(ByteSize).map_err(|_| large())
    }
}

impl fmt::Display for ByteSize {
    /// In the largest binary unit that divides it: `512MiB`, `1000B`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, scale) in [("GiB", 1u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 > 0 && self.0.is_multiple_of(scale) {
                return write!(f, "{}{unit}", self.0 / scale);
            }
        }
        write!(f, "{}B", self.0)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as `512MiB`, `1GB` or `1048576`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(bytes))
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                u64::try_from(bytes).map(ByteSize).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }
        }
        deserializer.deserialize_any(Text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sizes are read with decimal and binary units, in any case, and printed in the largest unit that fits.
    #[test]
    fn sizes_have_decimal_and_binary_units() {
        for (text, bytes, printed) in [
            ("0", 0, "0B"),
            ("1000", 1000, "1000B"),
            ("1b", 1, "1B"),
            ("1KB", 1000, "1000B"),
            ("1KiB", 1024, "1KiB"),
            ("1kib", 1024, "1KiB"),
            ("512 MiB", 512 << 20, "512MiB"),
            ("1.5GiB", 3 << 29, "1536MiB"),
            ("2GB", 2_000_000_000, "1953125KiB"),
            ("0.1kb", 100, "100B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, printed), "{text}");
        }
    }

    /// What is no size is refused.
    #[test]
    fn what_is_no_size_is_refused() {
        for text in ["", "MiB", "1.5", "1.5b", "-1", "1XB", "1..5kb", ".5kb", "1 0kb", "0x10"] {
            assert_eq!(text.parse::<ByteSize>(), Err(SizeError::Form(text.to_owned())), "{text}");
        }
        assert_eq!("17eib".parse::<ByteSize>(), Err(SizeError::Large("17eib".to_owned())));
    }

    proptest! {
        /// Any text is a size or an error, never a panic.
        #[test]
        fn no_text_panics(text in "\\PC*|[0-9.]{0,60}[kKmMgGiI]{0,2}[bB]?") {
            let _ = text.parse::<ByteSize>();
        }

        /// What is printed reads back as what it was.
        #[test]
        fn printing_and_parsing_are_inverse(bytes: u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
    }
}
