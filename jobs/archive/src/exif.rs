//! The orientation of the camera, read from EXIF.
//!
//! The `image` crate reads the number in one form only. Encoders write more forms, and a portrait that lies
//! on its side spoils a training silently:
//! * `Exif\0\0` belongs before EXIF in a JPEG; Pillow, sharp and libvips also write it in WebP, some encoders in PNG
//! * the standard makes the number a SHORT; real files also have a LONG, a signed SHORT, or two of them

use image::metadata::Orientation;

/// The tag that holds the orientation.
const ORIENTATION: u16 = 0x0112;
const TIFF: u16 = 42;

/// The orientation in an EXIF block, with or without the prefix of JPEG. `None`: the block holds none.
pub(super) fn orientation(exif: &[u8]) -> Option<Orientation> {
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    let tiff = Tiff {
        bytes: exif,
        big_endian: match exif.get(..2)? {
            b"MM" => true,
            b"II" => false,
            _ => return None,
        },
    };
    // Some files have the wrong byte order in this one number; its meaning is still clear.
    if ![TIFF, TIFF.swap_bytes()].contains(&tiff.short(2)?) {
        return None;
    }
    let directory = usize::try_from(tiff.long(4)?).ok()?;
    let entries = usize::from(tiff.short(directory)?);
    (0..entries)
        .map(|number| directory + 2 + 12 * number)
        .take_while(|&at| at < exif.len())
        .find(|&at| tiff.short(at) == Some(ORIENTATION))
        .and_then(|at| tiff.first_number(at))
        .and_then(|number| Orientation::from_exif(u8::try_from(number).ok()?))
}

struct Tiff<'a> {
    bytes: &'a [u8],
    big_endian: bool,
}

impl Tiff<'_> {
    /// The first number of the directory entry at `entry`, in any integer type.
    fn first_number(&self, entry: usize) -> Option<u32> {
        let size: usize = match self.short(entry + 2)? {
            // BYTE, SBYTE
            1 | 6 => 1,
            // SHORT, SSHORT
            3 | 8 => 2,
            // LONG, SLONG
            4 | 9 => 4,
            _ => return None,
        };
        let count = usize::try_from(self.long(entry + 4)?).ok()?;
        // A value too large for the entry lies at the offset that the entry holds.
        let at = if size.checked_mul(count)? <= 4 {
            entry + 8
        } else {
            usize::try_from(self.long(entry + 8)?).ok()?
        };
        match size {
            1 => self.bytes.get(at).map(|&number| number.into()),
            2 => self.short(at).map(u32::from),
            _ => self.long(at),
        }
    }

    fn short(&self, at: usize) -> Option<u16> {
        let two = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u16::from_be_bytes(two)
        } else {
            u16::from_le_bytes(two)
        })
    }

    fn long(&self, at: usize) -> Option<u32> {
        let four = *self.bytes.get(at..)?.first_chunk()?;
        Some(if self.big_endian {
            u32::from_be_bytes(four)
        } else {
            u32::from_le_bytes(four)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A big-endian block with one entry.
    fn block(kind: u8, count: u8, value: [u8; 4]) -> Vec<u8> {
        let entry = [0x01, 0x12, 0, kind, 0, 0, 0, count];
        [b"MM\0*\0\0\0\x08\0\x01", entry.as_slice(), &value, &[0; 4]].concat()
    }

    #[test]
    fn every_whole_number_tells_the_orientation() {
        let six = Some(Orientation::Rotate90);
        for (kind, value) in [
            (1, [6, 0, 0, 0]),
            (3, [0, 6, 0, 0]),
            (4, [0, 0, 0, 6]),
            (6, [6, 0, 0, 0]),
            (8, [0, 6, 0, 0]),
            (9, [0, 0, 0, 6]),
        ] {
            assert_eq!(orientation(&block(kind, 1, value)), six, "type {kind}");
        }
        assert_eq!(orientation(&block(3, 2, [0, 6, 0, 1])), six, "two numbers");
        // Two LONGs lie after the directory, at offset 26.
        let far = [block(4, 2, [0, 0, 0, 26]), vec![0, 0, 0, 6, 0, 0, 0, 1]].concat();
        assert_eq!(orientation(&far), six, "two long numbers");
    }

    #[test]
    fn the_prefix_of_jpeg_and_either_byte_order_are_read() {
        let plain = block(3, 1, [0, 6, 0, 0]);
        let little = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
        for exif in [plain.as_slice(), little] {
            assert_eq!(orientation(exif), Some(Orientation::Rotate90));
            let prefixed = [b"Exif\0\0".as_slice(), exif].concat();
            assert_eq!(orientation(&prefixed), Some(Orientation::Rotate90));
        }
    }

    #[test]
    fn an_unreadable_orientation_is_none() {
        assert_eq!(orientation(&block(3, 1, [0, 0, 0, 0])), None, "there is no 0");
        assert_eq!(orientation(&block(3, 1, [0, 9, 0, 0])), None, "nor 9");
        assert_eq!(orientation(&block(4, 1, [0, 1, 0, 6])), None, "nor 65542");
        assert_eq!(orientation(&block(2, 1, [6, 0, 0, 0])), None, "letters");
        assert_eq!(orientation(b"Exif\0\0"), None);
        let whole = block(4, 2, [0, 0, 0, 26]);
        for length in 0..whole.len() {
            assert_eq!(orientation(&whole[..length]), None);
        }
        let mut endless = whole;
        endless[8..10].copy_from_slice(&[0xff; 2]);
        endless[10] = 9;
        assert_eq!(orientation(&endless), None);
    }
}
