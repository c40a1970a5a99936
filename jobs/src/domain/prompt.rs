//! What a user may ask for: the styles, the number of pictures, and the words of a prompt.
//!
//! FAL's safety checker is the guard against bad pictures; it sees the picture, and in any language. The rules here
//! spare the user a paid request that cannot become what was meant.

use super::Styles;

/// The rules of `[generation]`, for the bot and the worker.
#[derive(Debug, Clone)]
pub struct PictureRules {
    /// The styles that can be chosen.
    pub styles: Styles,
    /// The most pictures of one request.
    pub most_pictures: u8,
    /// The longest prompt, in characters.
    pub prompt_max: usize,
    /// Words that no prompt may hold, in lower case. Mostly none.
    pub refused_words: Vec<String>,
}

/// Why a prompt is not taken. The user is told, and may write another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PromptRefusal {
    /// Nothing is left of it but spaces.
    #[error("the prompt is empty")]
    Empty,
    /// It is too long.
    #[error("the prompt has {characters} characters, more than {most}")]
    TooLong {
        /// Its length after it was cleaned.
        characters: usize,
        /// `generation.prompt_max`.
        most: usize,
    },
    /// Only emoji, digits or punctuation: a model reads nothing from them.
    #[error("the prompt has no words")]
    NoWords,
    /// It holds a word of `generation.refused_words`.
    #[error("the prompt holds a word that is refused here")]
    Refused {
        /// The word as the setting has it.
        word: String,
    },
}

impl PromptRefusal {
    /// The name of the refusal in metrics and logs; the user's words are in neither.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty => "empty_prompt",
            Self::TooLong { .. } => "long_prompt",
            Self::NoWords => "no_words_in_prompt",
            Self::Refused { .. } => "refused_word_in_prompt",
        }
    }
}

impl PictureRules {
    /// The prompt as it is stored and sent: without control and direction characters, each run of spaces and line
    /// breaks one space.
    ///
    /// # Errors
    /// Nothing can be drawn from it.
    pub fn prompt(&self, text: &str) -> Result<String, PromptRefusal> {
        let visible: String = text.chars().filter(|char| !is_unseen(*char)).collect();
        let prompt = visible.split_whitespace().collect::<Vec<_>>().join(" ");
        if prompt.is_empty() {
            return Err(PromptRefusal::Empty);
        }
        let characters = prompt.chars().count();
        if characters > self.prompt_max {
            return Err(PromptRefusal::TooLong {
                characters,
                most: self.prompt_max,
            });
        }
        if !prompt.chars().any(is_letter) {
            return Err(PromptRefusal::NoWords);
        }
        let lower = prompt.to_lowercase();
        let mut words = lower.split(|char: char| !char.is_alphanumeric());
        match words.find(|word| self.refused_words.iter().any(|refused| refused == word)) {
            Some(word) => Err(PromptRefusal::Refused {
                word: word.to_owned(),
            }),
            None => Ok(prompt),
        }
    }
}

/// Letters of a script. Emoji such as 🅰 count as letters in Unicode.
fn is_letter(char: char) -> bool {
    /// The first code point of the blocks of emoji.
    const EMOJI: char = '\u{1F000}';
    char.is_alphabetic() && char < EMOJI
}

/// Control characters except line breaks, and characters that turn the direction of a text or take no room: they can
/// make a prompt look like another one. Joiners stay, because scripts and emoji need them.
fn is_unseen(char: char) -> bool {
    match char {
        '\n' | '\r' | '\t' => false,
        '\u{61C}'
        | '\u{180E}'
        | '\u{200B}'
        | '\u{200E}'
        | '\u{200F}'
        | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{2069}'
        | '\u{FEFF}' => true,
        char => char.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> PictureRules {
        PictureRules {
            styles: Styles::new(Vec::new()),
            most_pictures: 4,
            prompt_max: 20,
            refused_words: vec!["война".to_owned()],
        }
    }

    fn refused(text: &str) -> Option<&'static str> {
        rules().prompt(text).err().map(|refusal| refusal.code())
    }

    #[test]
    fn a_prompt_is_cleaned_and_otherwise_kept() {
        let kept = |text: &str| rules().prompt(text);
        assert_eq!(kept("  on a\n\n beach\t "), Ok("on a beach".to_owned()));
        assert_eq!(kept("<b>sea & sky</b>"), Ok("<b>sea & sky</b>".to_owned()));
        assert_eq!(kept("\u{202E}aes\u{202C} \u{0}\u{200B}x"), Ok("aes x".to_owned()));
        assert_eq!(kept("على الشاطئ"), Ok("على الشاطئ".to_owned()));
        assert_eq!(
            kept("теңізде 👩\u{200D}🚀"),
            Ok("теңізде 👩\u{200D}🚀".to_owned())
        );
    }

    #[test]
    fn what_says_nothing_to_a_model_is_refused() {
        for empty in ["", " \n\t ", "\u{202E}\u{200B}", "\u{0}"] {
            assert_eq!(refused(empty), Some("empty_prompt"), "{empty:?}");
        }
        for without_words in ["😀", "🅰🅱", "🇰🇿", "…!?", "2+2", "1\u{FE0F}\u{20E3}"] {
            assert_eq!(
                refused(without_words),
                Some("no_words_in_prompt"),
                "{without_words:?}"
            );
        }
    }

    #[test]
    fn the_limit_counts_characters_after_cleaning() {
        assert_eq!(refused(&"я".repeat(20)), None);
        assert_eq!(refused(&format!("  {}\u{202E}  ", "я".repeat(20))), None);
        let long = PromptRefusal::TooLong {
            characters: 21,
            most: 20,
        };
        assert_eq!(rules().prompt(&"я".repeat(21)), Err(long));
    }

    #[test]
    fn a_refused_word_is_found_in_any_case_and_only_as_a_whole() {
        assert_eq!(refused("Война, и мир"), Some("refused_word_in_prompt"));
        assert_eq!(refused("войнаимир"), None);
    }
}
