//! The word in a prompt that calls up the avatar. It is stored with the training, and is in every caption.

use rand::{Rng, seq::IndexedRandom};

use super::AvatarId;

/// `TOK_` and the first eight hex digits of the avatar's id (M10), so that the avatars of a user differ.
pub fn portrait_trigger(avatar: AvatarId) -> String {
    let id = avatar.0.simple().to_string();
    format!("TOK_{}", &id[..8])
}

/// A word that can be pronounced but exists in no language: four syllables that begin with rare consonants, about a
/// million of them. A real word would bring its own meaning into the style.
pub fn style_trigger<R: Rng + ?Sized>(rng: &mut R) -> String {
    const RARE: [&str; 8] = ["z", "v", "x", "zh", "kv", "vr", "zl", "fj"];
    const PLAIN: [&str; 8] = ["n", "r", "l", "m", "t", "k", "d", "s"];
    const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
    let mut word = String::new();
    for syllable in 0..4 {
        let consonants = if syllable % 2 == 0 { &RARE } else { &PLAIN };
        word.push_str(consonants.choose(rng).unwrap_or(&"z"));
        word.push_str(VOWELS.choose(rng).unwrap_or(&"o"));
    }
    word
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn a_portrait_trigger_is_tok_and_eight_hex_digits_of_the_avatar() {
        let avatar: AvatarId = "0b5c2d9e-1234-4abc-8def-0123456789ab".parse().expect("an id");
        assert_eq!(portrait_trigger(avatar), "TOK_0b5c2d9e");
    }

    #[test]
    fn a_style_trigger_depends_on_the_seed_alone_and_rarely_repeats() {
        let word = |seed| style_trigger(&mut StdRng::seed_from_u64(seed));
        assert_eq!(word(7), word(7));
        let words: HashSet<_> = (0..1000).map(word).collect();
        assert!(words.len() > 990, "only {} different words", words.len());
        assert!(
            words
                .iter()
                .all(|word| (8..=12).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase()))
        );
    }
}
