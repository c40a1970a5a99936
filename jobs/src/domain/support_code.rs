//! A short name of a training, an album or an update, that a user can read out and an operator can look up.
//!
//! Eight letters and digits of Crockford's alphabet: the first 40 bits of the row's id, which are random, or the number of an
//! update. It has no O, I, L and U, which are misread or misheard; reading takes O for 0, and I and L for 1.

use std::{fmt, str::FromStr};

use uuid::Uuid;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LETTERS: u32 = 8;
const BITS: u32 = 5;

/// 40 bits, shown as `7K3M-9QXZ`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportCode(u64);

/// A text that is no support code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a support code looks like 7K3M-9QXZ")]
pub struct NoSupportCode;

impl SupportCode {
    /// The code of a row.
    pub fn of(id: impl Into<Uuid>) -> Self {
        Self(u64::from_be_bytes(first_bytes(id.into())) >> 24)
    }

    /// The code of an update of Telegram's. `None`: its number is longer than a code.
    pub fn of_update(update_id: i64) -> Option<Self> {
        let number = u64::try_from(update_id).ok()?;
        (number >> (LETTERS * BITS) == 0).then_some(Self(number))
    }

    /// The ids that have this code: from the first to the last.
    pub fn ids(self) -> (Uuid, Uuid) {
        let first = u128::from(self.0) << 88;
        (Uuid::from_u128(first), Uuid::from_u128(first | ((1 << 88) - 1)))
    }

    /// The number of the update that has this code.
    pub fn update_id(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

fn first_bytes(id: Uuid) -> [u8; 8] {
    let mut first = [0; 8];
    first.copy_from_slice(&id.as_bytes()[..8]);
    first
}

impl fmt::Display for SupportCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in (0..LETTERS).rev() {
            let letter = usize::try_from(self.0 >> (place * BITS) & 31).unwrap_or(0);
            write!(f, "{}", char::from(ALPHABET[letter]))?;
            if place == LETTERS / 2 {
                f.write_str("-")?;
            }
        }
        Ok(())
    }
}

impl FromStr for SupportCode {
    type Err = NoSupportCode;

    fn from_str(text: &str) -> Result<Self, NoSupportCode> {
        let letters = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
        let mut code = 0;
        let mut count = 0;
        for letter in letters {
            let letter = match letter.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            let value = ALPHABET.iter().position(|known| char::from(*known) == letter);
            code = code << BITS | u64::try_from(value.ok_or(NoSupportCode)?).map_err(|_| NoSupportCode)?;
            count += 1;
            if count > LETTERS {
                return Err(NoSupportCode);
            }
        }
        if count == LETTERS {
            Ok(Self(code))
        } else {
            Err(NoSupportCode)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_code_is_read_as_it_was_written_and_finds_its_id(id: u128) {
            let id = Uuid::from_u128(id);
            let code = SupportCode::of(id);
            prop_assert_eq!(code.to_string().len(), 9);
            prop_assert_eq!(code.to_string().parse(), Ok(code));
            let (first, last) = code.ids();
            prop_assert!(first <= id && id <= last);
            prop_assert_eq!(SupportCode::of(first), SupportCode::of(last));
        }

        #[test]
        fn whatever_is_typed_is_a_code_or_an_error(text: String) {
            if let Ok(code) = text.parse::<SupportCode>() {
                prop_assert_eq!(code.to_string().parse(), Ok(code));
            }
        }
    }

    #[test]
    fn a_code_is_read_as_people_say_and_type_it() {
        let code = SupportCode::of(Uuid::from_u128(0x0192_f0c1_7e5a_7cc3_8f6e_1f1d_5a0b_9c11));
        assert_eq!(code.to_string(), "069F-1GBY");
        for text in ["069f1gby", "O69F-lGBY", " 069F 1GBY ", "069F-iGBY"] {
            assert_eq!(text.parse(), Ok(code), "{text:?}");
        }
        for text in ["", "069F-1GB", "069F-1GBYY", "069F-1GBU", "Лиза-1234"] {
            assert_eq!(text.parse::<SupportCode>(), Err(NoSupportCode), "{text:?}");
        }
    }

    #[test]
    fn an_update_has_a_code_too() {
        let code = SupportCode::of_update(870_000_001).expect("a code");
        assert_eq!(code.update_id(), 870_000_001);
        assert_eq!(SupportCode::of_update(1 << 40), None);
        assert_eq!(SupportCode::of_update(-1), None);
    }
}
