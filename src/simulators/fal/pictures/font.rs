//! Letters of five by seven dots, to write a prompt on a picture.
//!
//! A byte is a column, its lowest bit the top dot. Small letters are written as capitals, Russian and Kazakh ones in
//! Latin letters; a character without a sign is a box.

use image::{Rgb, RgbImage};

const COLUMNS: u32 = 5;
/// With the gap to the next letter and to the next line, in dots.
const PITCH: u32 = COLUMNS + 1;
const LINE: u32 = 9;
/// More lines would hide the photo.
const MOST_LINES: usize = 6;

const SIGNS: &[(char, [u8; 5])] = &[
    (' ', [0x00, 0x00, 0x00, 0x00, 0x00]),
    ('!', [0x00, 0x00, 0x5f, 0x00, 0x00]),
    ('#', [0x14, 0x7f, 0x14, 0x7f, 0x14]),
    ('\'', [0x00, 0x05, 0x03, 0x00, 0x00]),
    ('(', [0x00, 0x1c, 0x22, 0x41, 0x00]),
    (')', [0x00, 0x41, 0x22, 0x1c, 0x00]),
    ('+', [0x08, 0x08, 0x3e, 0x08, 0x08]),
    (',', [0x00, 0x50, 0x30, 0x00, 0x00]),
    ('-', [0x08, 0x08, 0x08, 0x08, 0x08]),
    ('.', [0x00, 0x60, 0x60, 0x00, 0x00]),
    ('/', [0x20, 0x10, 0x08, 0x04, 0x02]),
    ('0', [0x3e, 0x51, 0x49, 0x45, 0x3e]),
    ('1', [0x00, 0x42, 0x7f, 0x40, 0x00]),
    ('2', [0x42, 0x61, 0x51, 0x49, 0x46]),
    ('3', [0x21, 0x41, 0x45, 0x4b, 0x31]),
    ('4', [0x18, 0x14, 0x12, 0x7f, 0x10]),
    ('5', [0x27, 0x45, 0x45, 0x45, 0x39]),
    ('6', [0x3c, 0x4a, 0x49, 0x49, 0x30]),
    ('7', [0x01, 0x71, 0x09, 0x05, 0x03]),
    ('8', [0x36, 0x49, 0x49, 0x49, 0x36]),
    ('9', [0x06, 0x49, 0x49, 0x29, 0x1e]),
    (':', [0x00, 0x36, 0x36, 0x00, 0x00]),
    ('?', [0x02, 0x01, 0x51, 0x09, 0x06]),
    ('A', [0x7e, 0x11, 0x11, 0x11, 0x7e]),
    ('B', [0x7f, 0x49, 0x49, 0x49, 0x36]),
    ('C', [0x3e, 0x41, 0x41, 0x41, 0x22]),
    ('D', [0x7f, 0x41, 0x41, 0x22, 0x1c]),
    ('E', [0x7f, 0x49, 0x49, 0x49, 0x41]),
    ('F', [0x7f, 0x09, 0x09, 0x09, 0x01]),
    ('G', [0x3e, 0x41, 0x49, 0x49, 0x7a]),
    ('H', [0x7f, 0x08, 0x08, 0x08, 0x7f]),
    ('I', [0x00, 0x41, 0x7f, 0x41, 0x00]),
    ('J', [0x20, 0x40, 0x41, 0x3f, 0x01]),
    ('K', [0x7f, 0x08, 0x14, 0x22, 0x41]),
    ('L', [0x7f, 0x40, 0x40, 0x40, 0x40]),
    ('M', [0x7f, 0x02, 0x0c, 0x02, 0x7f]),
    ('N', [0x7f, 0x04, 0x08, 0x10, 0x7f]),
    ('O', [0x3e, 0x41, 0x41, 0x41, 0x3e]),
    ('P', [0x7f, 0x09, 0x09, 0x09, 0x06]),
    ('Q', [0x3e, 0x41, 0x51, 0x21, 0x5e]),
    ('R', [0x7f, 0x09, 0x19, 0x29, 0x46]),
    ('S', [0x46, 0x49, 0x49, 0x49, 0x31]),
    ('T', [0x01, 0x01, 0x7f, 0x01, 0x01]),
    ('U', [0x3f, 0x40, 0x40, 0x40, 0x3f]),
    ('V', [0x1f, 0x20, 0x40, 0x20, 0x1f]),
    ('W', [0x3f, 0x40, 0x38, 0x40, 0x3f]),
    ('X', [0x63, 0x14, 0x08, 0x14, 0x63]),
    ('Y', [0x07, 0x08, 0x70, 0x08, 0x07]),
    ('Z', [0x61, 0x51, 0x49, 0x45, 0x43]),
    ('_', [0x40, 0x40, 0x40, 0x40, 0x40]),
];
const BOX: [u8; 5] = [0x7f, 0x41, 0x41, 0x41, 0x7f];

const CYRILLIC: &[(char, &str)] = &[
    ('А', "A"),
    ('Ә', "A"),
    ('Б', "B"),
    ('В', "V"),
    ('Г', "G"),
    ('Ғ', "G"),
    ('Д', "D"),
    ('Е', "E"),
    ('Ё', "E"),
    ('Ж', "ZH"),
    ('З', "Z"),
    ('И', "I"),
    ('Й', "Y"),
    ('І', "I"),
    ('К', "K"),
    ('Қ', "Q"),
    ('Л', "L"),
    ('М', "M"),
    ('Н', "N"),
    ('Ң', "N"),
    ('О', "O"),
    ('Ө', "O"),
    ('П', "P"),
    ('Р', "R"),
    ('С', "S"),
    ('Т', "T"),
    ('У', "U"),
    ('Ұ', "U"),
    ('Ү', "U"),
    ('Ф', "F"),
    ('Х', "KH"),
    ('Һ', "H"),
    ('Ц', "TS"),
    ('Ч', "CH"),
    ('Ш', "SH"),
    ('Щ', "SCH"),
    ('Ъ', ""),
    ('Ы', "Y"),
    ('Ь', ""),
    ('Э', "E"),
    ('Ю', "YU"),
    ('Я', "YA"),
];

/// Writes the text at the bottom of the picture, above a margin, as white letters on black lines.
pub(super) fn write(picture: &mut RgbImage, text: &str, margin: u32) {
    let (width, height) = picture.dimensions();
    let dot = (width / 320).max(1);
    let room = width.saturating_sub(2 * margin) / (PITCH * dot);
    let lines = wrap(&latin(text), usize::try_from(room).unwrap_or(0));
    for (line, above) in lines.iter().rev().zip(1..) {
        let Some(top) = height.checked_sub(margin + above * LINE * dot) else {
            return;
        };
        for y in top..(top + LINE * dot).min(height) {
            for x in margin..width.saturating_sub(margin) {
                picture.put_pixel(x, y, Rgb([0; 3]));
            }
        }
        for (sign, left) in line.chars().zip((margin..).step_by((PITCH * dot) as usize)) {
            stamp(picture, sign, [left, top + dot], dot);
        }
    }
}

/// Lines of at most so many characters; the last one ends in dots if there was more.
fn wrap(text: &str, room: usize) -> Vec<String> {
    if room < 4 {
        return Vec::new();
    }
    let all = text.chars().collect::<Vec<_>>();
    let mut lines: Vec<String> = all.chunks(room).map(|line| line.iter().collect()).collect();
    if lines.len() > MOST_LINES {
        lines.truncate(MOST_LINES);
        if let Some(last) = lines.last_mut() {
            *last = last.chars().take(room - 3).chain("...".chars()).collect();
        }
    }
    lines
}

fn latin(text: &str) -> String {
    let capitals = text.to_uppercase();
    let mut latin = String::new();
    for char in capitals.chars() {
        match CYRILLIC.iter().find(|(cyrillic, _)| *cyrillic == char) {
            Some((_, letters)) => latin.push_str(letters),
            None => latin.push(char),
        }
    }
    latin
}

fn stamp(picture: &mut RgbImage, sign: char, [left, top]: [u32; 2], dot: u32) {
    let found = SIGNS.iter().find(|(known, _)| *known == sign);
    let columns = found.map_or(BOX, |(_, columns)| *columns);
    for (column, x) in columns.iter().zip(0..) {
        for y in (0..7).filter(|row| column >> row & 1 == 1) {
            for (across, down) in (0..dot).flat_map(|across| (0..dot).map(move |down| (across, down))) {
                let (x, y) = (left + x * dot + across, top + y * dot + down);
                if let Some(pixel) = picture.get_pixel_mut_checked(x, y) {
                    *pixel = Rgb([0xff; 3]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn russian_and_kazakh_are_written_in_latin_letters() {
        assert_eq!(latin("на пляже, Щука"), "NA PLYAZHE, SCHUKA");
        assert_eq!(latin("Қалада ұшқыш"), "QALADA USHQYSH");
    }

    #[test]
    fn a_long_text_ends_in_dots_and_a_narrow_picture_has_none() {
        let lines = wrap(&"x".repeat(1000), 10);
        assert_eq!((lines.len(), lines[5].as_str()), (6, "xxxxxxx..."));
        assert!(wrap("text", 3).is_empty());
        let mut narrow = RgbImage::new(8, 8);
        write(&mut narrow, "text", 12);
        assert!(narrow.pixels().all(|pixel| pixel.0 == [0; 3]));
    }

    #[test]
    fn another_text_makes_another_picture() {
        let written = |text| {
            let mut picture = RgbImage::from_pixel(320, 100, Rgb([40; 3]));
            write(&mut picture, text, 12);
            picture.into_raw()
        };
        assert_eq!(written("1: TOK at sea"), written("1: tok at SEA"));
        assert_ne!(written("1: TOK at sea"), written("2: TOK at sea"));
    }
}
