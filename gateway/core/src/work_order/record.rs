//! What an order's record holds of the repair: what was found and done, with which parts, and photos of it.
//!
//! A photo itself is never here, only what is known of it: core sees no bytes and no files.

use crate::time::Timestamp;

/// What was found and done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Repair {
    /// What was seen.
    pub problem: Option<String>,
    /// Why it happened.
    pub cause: Option<String>,
    /// What was done.
    pub remedy: Option<String>,
    /// Minutes of work.
    pub labor_minutes: Option<u32>,
}

/// The most parts and the most photos of one order: a record, not a store.
pub const MOST: usize = 50;

/// A spare part or consumable that the repair took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Its number within the order: the order's version when it was added, so never given twice.
    pub id: u32,
    /// What was used.
    pub used: NewPart,
    /// Who wrote it down.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A part as it is written down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPart {
    /// What it is called.
    pub name: String,
    /// The maker's or the store's number of it.
    pub sku: Option<String>,
    /// How much of it.
    pub quantity: Quantity,
    /// Of what: `m`, `L`, `set`; `None` counts pieces.
    pub unit: Option<String>,
}

/// An amount in thousandths: 0.001 to 1 000 000, exact however often it is written and read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(u32);

impl Quantity {
    const MOST: u32 = 1_000_000_000;

    /// From thousandths; `None` when that is nothing or too much.
    pub fn from_thousandths(thousandths: u32) -> Option<Self> {
        (1..=Self::MOST)
            .contains(&thousandths)
            .then_some(Self(thousandths))
    }

    /// In thousandths.
    pub fn thousandths(self) -> u32 {
        self.0
    }
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (whole, rest) = (self.0 / 1000, self.0 % 1000);
        if rest == 0 {
            return write!(f, "{whole}");
        }
        let digits = format!("{rest:03}");
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A text that is no quantity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a quantity is a number from 0.001 to 1000000 with at most three decimals, such as 2 or 0.5"
)]
pub struct QuantityError;

impl std::str::FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || !digits(rest) || whole.len() > 7 || rest.len() > 3 {
            return Err(QuantityError);
        }
        let whole: u32 = whole.parse().map_err(|_| QuantityError)?;
        let rest: u32 = format!("{rest:0<3}").parse().map_err(|_| QuantityError)?;
        let thousandths = whole.checked_mul(1000).and_then(|n| n.checked_add(rest));
        thousandths
            .and_then(Self::from_thousandths)
            .ok_or(QuantityError)
    }
}

coded! {
    /// What a photo shows.
    PhotoStage {
        /// How it was found.
        Before = "before",
        /// How it was left.
        After = "after",
    }
}

coded! {
    /// How a photo is encoded.
    PhotoFormat {
        /// JPEG.
        Jpeg = "image/jpeg",
        /// PNG.
        Png = "image/png",
        /// WebP.
        WebP = "image/webp",
    }
}

impl PhotoFormat {
    /// Knows a format by its first bytes, whatever the sender calls it.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        if bytes.starts_with(b"\xff\xd8\xff") {
            Some(PhotoFormat::Jpeg)
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            Some(PhotoFormat::Png)
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            Some(PhotoFormat::WebP)
        } else {
            None
        }
    }
}

/// A photo of the work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Photo {
    /// Its number within the order: the order's version when it was added, so never given twice.
    pub id: u32,
    /// What is known of it.
    pub taken: NewPhoto,
    /// Who sent it.
    pub by: String,
    /// When it came.
    pub at: Timestamp,
}

/// A photo whose bytes are already stored safely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPhoto {
    /// Under which name its bytes are stored: 32 hexadecimal digits, by chance.
    pub file: String,
    /// What it shows.
    pub stage: PhotoStage,
    /// How it is encoded.
    pub format: PhotoFormat,
    /// Its size in bytes.
    pub size: u32,
    /// SHA-256 of its bytes in hexadecimal: what was sent is what is shown.
    pub sha256: String,
}

/// One change of what an order's record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordEdit {
    /// A part was used.
    AddPart(NewPart),
    /// It was written down by mistake.
    RemovePart(u32),
    /// A photo was taken.
    AddPhoto(NewPhoto),
    /// It does not belong there.
    RemovePhoto(u32),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_is_read_as_it_is_written() {
        for (text, thousandths, written) in [
            ("2", 2_000, "2"),
            ("0.5", 500, "0.5"),
            ("1.250", 1_250, "1.25"),
            ("0.001", 1, "0.001"),
            ("1000000", 1_000_000_000, "1000000"),
        ] {
            let read: Quantity = text.parse().unwrap();
            assert_eq!(read.thousandths(), thousandths);
            assert_eq!(read.to_string(), written);
            assert_eq!(written.parse::<Quantity>(), Ok(read));
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in [
            "",
            "0",
            "0.000",
            "-1",
            "+1",
            "1.",
            ".5",
            "1.0001",
            "1e3",
            "1,5",
            " 1",
            "1000000.001",
            "99999999999",
            "１",
        ] {
            assert_eq!(text.parse::<Quantity>(), Err(QuantityError), "{text:?}");
        }
    }

    #[test]
    fn a_photo_is_known_by_its_bytes() {
        assert_eq!(
            PhotoFormat::of(b"\xff\xd8\xff\xe0...."),
            Some(PhotoFormat::Jpeg)
        );
        assert_eq!(
            PhotoFormat::of(b"\x89PNG\r\n\x1a\n"),
            Some(PhotoFormat::Png)
        );
        assert_eq!(
            PhotoFormat::of(b"RIFF\0\0\0\0WEBPVP8 "),
            Some(PhotoFormat::WebP)
        );
        for other in [
            &b""[..],
            b"<svg xmlns",
            b"GIF89a",
            b"RIFF\0\0\0\0WAVE",
            b"RIFF",
        ] {
            assert_eq!(PhotoFormat::of(other), None);
        }
    }
}
