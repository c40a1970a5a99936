//! The hints on the photo card: which photos look alike, are blurred, or show no face or several. Soft: each photo
//! counts all the same, and its owner removes it or keeps it.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::small;
use crate::{
    archive::alike,
    domain::{Action, AvatarId, PhotoId, TrainingType},
    store::appearances::{self, SeenPhoto},
    texts::{Message, Phrase},
};

/// Most photos with a button to remove them; the lines name all.
const MOST_BUTTONS: usize = 12;
/// Buttons beside each other: three fit the narrowest phone.
const BUTTONS_IN_A_ROW: usize = 3;

/// Adds the hints on the draft's photos, with buttons that answer them. Nothing is added if there are none.
pub(super) async fn add(
    tx: &mut PgConnection,
    draft: AvatarId,
    kind: TrainingType,
    message: Message,
) -> Result<Message, sqlx::Error> {
    let photos = appearances::seen(tx, draft).await?;
    Ok(shown(draft, &hints(kind, &photos), message))
}

/// One hint, and the photos that it is about: number and id.
struct Hint {
    phrase: fn(Box<Phrase>, u32) -> Phrase,
    photos: Vec<(u32, PhotoId)>,
}

/// What there is to say. A photo that its owner keeps is mentioned only where another photo looks like it.
fn hints(kind: TrainingType, photos: &[SeenPhoto]) -> Vec<Hint> {
    let named = |photo: &SeenPhoto| (small(photo.number), photo.id);
    let fingerprints: Vec<_> = photos.iter().map(|photo| photo.appearance.fingerprint).collect();
    let mut hints: Vec<Hint> = alike(&fingerprints)
        .into_iter()
        .filter(|group| group.iter().any(|at| !photos[*at].is_kept))
        .map(|group| Hint {
            phrase: |numbers, count| Phrase::HintAlike { numbers, count },
            photos: group.into_iter().map(|at| named(&photos[at])).collect(),
        })
        .collect();
    let mut each = |phrase, applies: fn(&SeenPhoto) -> bool| {
        let found = photos.iter().filter(|photo| !photo.is_kept && applies(photo));
        let photos: Vec<_> = found.map(named).collect();
        if !photos.is_empty() {
            hints.push(Hint { phrase, photos });
        }
    };
    each(
        |numbers, count| Phrase::HintBlurred { numbers, count },
        |photo| photo.appearance.is_blurred(),
    );
    // A style is learned from anything; only a portrait needs the face of one person.
    if kind == TrainingType::Portrait {
        each(
            |numbers, count| Phrase::HintNoFace { numbers, count },
            |photo| photo.appearance.faces == 0,
        );
        each(
            |numbers, count| Phrase::HintSeveralFaces { numbers, count },
            |photo| photo.appearance.faces > 1,
        );
    }
    hints
}

fn shown(draft: AvatarId, hints: &[Hint], mut message: Message) -> Message {
    if hints.is_empty() {
        return message;
    }
    let lines = hints.iter().map(|hint| {
        let numbers: Vec<_> = hint.photos.iter().map(|(number, _)| *number).collect();
        (hint.phrase)(Box::new(numbers_of(&numbers)), small(numbers.len()))
    });
    message = message.and(Phrase::PhotoHints {
        lines: lines.collect(),
    });
    let hinted: BTreeMap<_, _> = hints.iter().flat_map(|hint| &hint.photos).copied().collect();
    let hinted: Vec<_> = hinted.into_iter().take(MOST_BUTTONS).collect();
    for row in hinted.chunks(BUTTONS_IN_A_ROW) {
        let button = |&(number, photo): &(u32, PhotoId)| {
            (Phrase::ButtonRemovePhoto { number }, Action::RemovePhoto(photo))
        };
        message = message.row(row.iter().map(button));
    }
    message.button(Phrase::ButtonKeepPhotos {}, Action::KeepPhotos(draft))
}

/// The numbers of photos in a sentence: "3", "3 and 7", "3, 5 and 7".
fn numbers_of(numbers: &[u32]) -> Phrase {
    match numbers {
        [] => Phrase::NumbersOne { last: 0 },
        [last] => Phrase::NumbersOne { last: *last },
        [earlier @ .., last] => {
            let earlier: Vec<_> = earlier.iter().map(u32::to_string).collect();
            Phrase::NumbersAnd {
                earlier: earlier.join(", "),
                last: *last,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        archive::{Appearance, Fingerprint},
        texts::{Locale, Texts},
    };

    fn seen(number: u8, faces: u8, sharpness: u16, fingerprint: u8) -> SeenPhoto {
        SeenPhoto {
            id: PhotoId(Uuid::from_u128(number.into())),
            number: number.into(),
            appearance: Appearance {
                faces,
                sharpness,
                fingerprint: Fingerprint([fingerprint; 32]),
            },
            is_kept: false,
        }
    }

    /// The sixth looks like the third, the second shows two people and is blurred, the fourth none.
    fn album() -> Vec<SeenPhoto> {
        vec![
            seen(1, 1, 100, 0x00),
            seen(2, 2, 3, 0x0f),
            seen(3, 1, 100, 0xf0),
            seen(4, 0, 100, 0xff),
            seen(5, 1, 4, 0x33),
            seen(6, 1, 100, 0xf0),
        ]
    }

    fn said(kind: TrainingType, photos: &[SeenPhoto], locale: Locale) -> (String, Vec<Vec<String>>) {
        let message = Message::new(Phrase::PhotosLoading { pending: 1 });
        let message = shown(AvatarId(Uuid::nil()), &hints(kind, photos), message);
        let rendered = Texts::load().unwrap().message(locale, &message);
        let labels = |row: Vec<(String, String)>| row.into_iter().map(|(label, _)| label).collect();
        (rendered.html, rendered.buttons.into_iter().map(labels).collect())
    }

    #[test]
    fn each_hint_has_a_line_in_each_language_and_each_photo_a_button() {
        let (english, buttons) = said(TrainingType::Portrait, &album(), Locale::En);
        for line in [
            "• photos 3 and 6 look alike",
            "• photos 2 and 5 are blurred",
            "• photo 4: no face is seen",
            "• photo 2: several faces",
        ] {
            assert!(english.contains(line), "{line:?} is not in {english:?}");
        }
        assert_eq!(
            buttons,
            [
                vec!["🗑 Photo 2", "🗑 Photo 3", "🗑 Photo 4"],
                vec!["🗑 Photo 5", "🗑 Photo 6"],
                vec!["👌 Keep all"],
            ]
        );
        let (russian, _) = said(TrainingType::Portrait, &album(), Locale::Ru);
        for line in [
            "• фото 3 и 6 похожи",
            "• фото 2 и 5 смазаны",
            "• фото 4: лица не видно",
            "• фото 2: несколько лиц",
        ] {
            assert!(russian.contains(line), "{line:?} is not in {russian:?}");
        }
        let (kazakh, _) = said(TrainingType::Portrait, &album(), Locale::Kk);
        for line in [
            "• 3 және 6-фото бір-біріне ұқсас",
            "• 2 және 5-фото бұлыңғыр",
            "• 4-фото: бет көрінбейді",
            "• 2-фото: бірнеше бет",
        ] {
            assert!(kazakh.contains(line), "{line:?} is not in {kazakh:?}");
        }
    }

    #[test]
    fn a_style_needs_no_face() {
        let (text, _) = said(TrainingType::Style, &album(), Locale::En);
        assert!(text.contains("look alike") && text.contains("blurred"), "{text}");
        assert!(!text.contains("face"), "{text}");
    }

    #[test]
    fn kept_photos_are_mentioned_only_beside_a_new_one_that_looks_alike() {
        let mut photos = album();
        for photo in &mut photos {
            photo.is_kept = true;
        }
        assert!(hints(TrainingType::Portrait, &photos).is_empty());
        photos.push(seen(7, 1, 100, 0x0f));
        let (text, _) = said(TrainingType::Portrait, &photos, Locale::En);
        assert!(text.contains("photos 2 and 7 look alike"), "{text}");
        assert!(!text.contains("blurred") && !text.contains("face"), "{text}");
    }

    #[test]
    fn a_draft_without_a_flaw_has_no_hint_and_no_button() {
        let (text, buttons) = said(TrainingType::Portrait, &[seen(1, 1, 100, 0)], Locale::En);
        assert!(!text.contains("🔎") && buttons.is_empty(), "{text}");
    }

    #[test]
    fn twenty_flawed_photos_fit_a_message() {
        let photos: Vec<_> = (1..=20).map(|number| seen(number, 0, 0, 0)).collect();
        let (text, buttons) = said(TrainingType::Portrait, &photos, Locale::Ru);
        assert!(text.chars().count() < 1000, "{text}");
        assert_eq!(buttons.len(), 5);
    }
}
