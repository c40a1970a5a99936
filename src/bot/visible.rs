//! Turns the names that people give themselves and their avatars into one visible line that leaves the text
//! after it alone.
//!
//! Pasted text contains line breaks, invisible characters, and characters that reverse the direction of all
//! following text, our own words after the name included.

use icu_properties::{
    CodePointMapData, CodePointSetData,
    props::{DefaultIgnorableCodePoint, GeneralCategory},
};

/// The most marks on one letter. Hebrew and Thai stack three; a name with more would cover the lines around
/// it.
const MOST_MARKS: usize = 4;

const ZERO_WIDTH_NON_JOINER: char = '\u{200c}';
const ZERO_WIDTH_JOINER: char = '\u{200d}';
/// A letter that looks like a space.
const BRAILLE_BLANK: char = '\u{2800}';
const WAVING_BLACK_FLAG: char = '\u{1f3f4}';
const TAGS: std::ops::RangeInclusive<char> = '\u{e0020}'..='\u{e007f}';
const EMOJI_OR_TEXT_STYLE: std::ops::RangeInclusive<char> = '\u{fe0e}'..='\u{fe0f}';

/// The visible part of a text, in one line; empty when nothing is visible.
pub(super) fn visible(text: &str) -> String {
    let mut line = String::new();
    let mut marks = 0;
    // A joiner is kept only if a visible character follows it.
    let mut joiner = None;
    let mut is_in_flag = false;
    for c in text.chars() {
        let before = line.chars().next_back();
        match sort_of(c) {
            Sort::Space => {
                if before.is_some_and(|before| before != ' ') {
                    line.push(' ');
                }
                (marks, joiner, is_in_flag) = (0, None, false);
            }
            Sort::Mark if before.is_none_or(|before| before == ' ') || marks == MOST_MARKS => {}
            Sort::Mark => {
                line.push(c);
                marks += 1;
            }
            Sort::Joiner => joiner = before.filter(|before| *before != ' ').map(|_| c),
            Sort::Style if before.is_some_and(|before| before != ' ') => line.push(c),
            Sort::Tag if is_in_flag => line.push(c),
            Sort::Style | Sort::Tag | Sort::Unseen => {}
            Sort::Seen => {
                line.extend(joiner.take());
                line.push(c);
                (marks, is_in_flag) = (0, c == WAVING_BLACK_FLAG);
            }
        }
    }
    line.truncate(line.trim_end().len());
    line
}

/// The effect of a character on the line.
enum Sort {
    Seen,
    Space,
    /// A mark on the letter before it.
    Mark,
    /// Joins two emoji into one, or selects the form of a letter; invisible by itself.
    Joiner,
    /// Selects the style of the emoji before it.
    Style,
    /// A part of a regional flag.
    Tag,
    Unseen,
}

fn sort_of(c: char) -> Sort {
    if c.is_whitespace() {
        return Sort::Space;
    }
    match c {
        ZERO_WIDTH_JOINER | ZERO_WIDTH_NON_JOINER => return Sort::Joiner,
        BRAILLE_BLANK => return Sort::Unseen,
        c if EMOJI_OR_TEXT_STYLE.contains(&c) => return Sort::Style,
        c if TAGS.contains(&c) => return Sort::Tag,
        _ => {}
    }
    if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) {
        return Sort::Unseen;
    }
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::Control
        | GeneralCategory::Format
        | GeneralCategory::Unassigned
        | GeneralCategory::Surrogate => Sort::Unseen,
        GeneralCategory::NonspacingMark | GeneralCategory::SpacingMark | GeneralCategory::EnclosingMark => {
            Sort::Mark
        }
        _ => Sort::Seen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pasted_name_becomes_one_tidy_line() {
        assert_eq!(visible("  Anna\n Maria\u{0}\t von  B. "), "Anna Maria von B.");
        assert_eq!(visible("\n \t"), "");
    }

    #[test]
    fn what_nobody_can_see_is_no_name() {
        let unseen = [
            "\u{200b}\u{200d}\u{2060}",
            "\u{3164}",
            "\u{115f}\u{1160}\u{ffa0}",
            "\u{feff}",
            "\u{2800}\u{2800}",
            "\u{ad}",
            "\u{34f}",
            "\u{180e}",
            "\u{fe0f}",
            "\u{e0061}\u{e007f}",
            "\u{301}\u{302}",
            "\u{202e}\u{2067}\u{61c}",
            "\u{17b4}",
            "\u{2062}\u{1d173}\u{e0100}\u{fff9}",
            " \u{200d} \u{a0}\u{2003} ",
        ];
        for name in unseen {
            assert_eq!(visible(name), "", "{}", name.escape_unicode());
        }
    }

    #[test]
    fn no_name_turns_what_follows_round() {
        assert_eq!(visible("\u{202e}гро.eman"), "гро.eman");
        assert_eq!(visible("An\u{2066}na\u{2069}\u{200f}"), "Anna");
    }

    #[test]
    fn what_belongs_to_letters_and_emoji_stays() {
        let names = [
            "👨\u{200d}👩\u{200d}👧\u{200d}👦",
            "❤\u{fe0f}\u{200d}🔥",
            "1\u{fe0f}\u{20e3}",
            "🏴\u{e0067}\u{e0062}\u{e0073}\u{e0063}\u{e0074}\u{e007f}",
            "👍🏽",
            "می\u{200c}خواهم",
            "क्\u{200d}ष",
            "Зоя\u{301} Й",
            "שָּׁלוֹם",
            "น้ำ",
            "李小龍",
        ];
        for name in names {
            assert_eq!(visible(name), name, "{}", name.escape_unicode());
        }
    }

    #[test]
    fn a_letter_under_a_tower_of_marks_keeps_a_few() {
        let tower = format!("A{}b", "\u{30d}".repeat(60));
        assert_eq!(visible(&tower), format!("A{}b", "\u{30d}".repeat(4)));
    }
}
