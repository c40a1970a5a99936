//! Photos of the draft: single, in albums, as files. Each is noted as it arrives; an album is never waited for,
//! since nobody says how many belong to it. Bytes are fetched by a worker.

use jobs::{
    domain::Action,
    producer::{PhotoTaken, Place, ProducerError, Turn},
    texts::{Message, Phrase},
};
use teloxide::types::{Document, Message as Incoming, PhotoSize};

use super::wizard;

/// A photo that Telegram made of a picture, in several sizes: the largest counts.
pub(super) async fn on_photo(
    turn: &mut Turn,
    message: &Incoming,
    sizes: &[PhotoSize],
) -> Result<(), ProducerError> {
    match sizes
        .iter()
        .max_by_key(|size| u64::from(size.width) * u64::from(size.height))
    {
        Some(best) => take(turn, message, &best.file.id.0, &best.file.unique_id.0).await,
        None => Ok(()),
    }
}

/// A picture sent as a file keeps its quality, and may be something that we cannot read or must not fetch. What
/// its label gives away is said at once; the rest is found when its bytes are looked at.
pub(super) async fn on_file(
    turn: &mut Turn,
    message: &Incoming,
    file: &Document,
) -> Result<(), ProducerError> {
    let limit = turn.rules().photos().bytes as u64;
    let refusal = match Label::of(file) {
        Label::Heic => Phrase::FileHeic {},
        Label::NoImage => Phrase::FileNoImage {},
        Label::Image if u64::from(file.file.size) > limit => Phrase::FileTooLarge {
            megabytes: megabytes(limit),
        },
        Label::Image => return take(turn, message, &file.file.id.0, &file.file.unique_id.0).await,
    };
    turn.reply(&Message::new(refusal), Place::New).await
}

/// Stickers, voices, locations; also pinned messages and the like, which nobody said and nobody needs an answer to.
pub(super) async fn on_something_else(turn: &mut Turn, message: &Incoming) -> Result<(), ProducerError> {
    use teloxide::types::MessageKind;
    match &message.kind {
        MessageKind::Common(_) => {
            turn.reply_once(&subject("unusable", message), &Message::new(Phrase::NotAPhoto {}))
                .await
        }
        _ => Ok(()),
    }
}

async fn take(
    turn: &mut Turn,
    message: &Incoming,
    file_id: &str,
    unique_id: &str,
) -> Result<(), ProducerError> {
    let Some(draft) = turn.draft().await? else {
        let hint = Message::new(Phrase::PhotoWithoutDraft {}).button(Phrase::ButtonCreate {}, Action::Create);
        return turn.reply_once(&subject("no-draft", message), &hint).await;
    };
    match turn.add_photo(&draft, file_id, unique_id).await? {
        PhotoTaken::Yes if draft.gender.is_some() && draft.name.is_some() => Ok(()),
        // The photo came before its question: it is kept, and the open question is asked again.
        PhotoTaken::Yes => {
            wizard::ask_again_once(turn, &draft, &subject("kept", message), Phrase::PhotoKept {}).await
        }
        PhotoTaken::Known => {
            let known = Message::new(Phrase::PhotoKnown {});
            turn.reply_once(&subject("known", message), &known).await
        }
        PhotoTaken::Refused(code) => {
            let problem = Box::new(Phrase::PhotoProblem { code });
            turn.reply(&Message::new(Phrase::PhotoRefused { problem }), Place::New)
                .await
        }
        PhotoTaken::Full => {
            let max = small(*turn.rules().photos().photos.end());
            turn.reply_once(
                &subject("full", message),
                &Message::new(Phrase::TooManyPhotos { max }),
            )
            .await
        }
    }
}

/// What the photos of one album have in common, so that they are answered once.
fn subject(what: &str, message: &Incoming) -> String {
    match message.media_group_id() {
        Some(album) => format!("{what}:album:{}", album.0),
        None => format!("{what}:message:{}", message.id.0),
    }
}

/// What a file says of itself.
#[derive(Debug, PartialEq, Eq)]
enum Label {
    Image,
    Heic,
    NoImage,
}

impl Label {
    fn of(file: &Document) -> Self {
        let mime = file
            .mime_type
            .as_ref()
            .map(|mime| mime.essence_str().to_lowercase())
            .unwrap_or_default();
        Self::by(
            &mime,
            &file.file_name.as_deref().unwrap_or_default().to_lowercase(),
        )
    }

    fn by(mime: &str, name: &str) -> Self {
        let named = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        if matches!(mime, "image/heic" | "image/heif") || named(&[".heic", ".heif"]) {
            Self::Heic
        } else if mime.starts_with("image/")
            || (mime.is_empty() && named(&[".jpg", ".jpeg", ".png", ".webp"]))
        {
            Self::Image
        } else {
            Self::NoImage
        }
    }
}

fn megabytes(bytes: u64) -> u32 {
    u32::try_from(bytes / 1_000_000).unwrap_or(u32::MAX)
}

/// A count in a text.
pub(super) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_judged_by_its_type_and_by_its_name_where_it_has_none() {
        let cases = [
            ("image/jpeg", "a.jpg", Label::Image),
            ("image/png", "", Label::Image),
            ("", "a.webp", Label::Image),
            ("image/heic", "img_1.heic", Label::Heic),
            ("application/octet-stream", "img_1.heic", Label::Heic),
            ("image/heif", "", Label::Heic),
            ("application/pdf", "a.jpg", Label::NoImage),
            ("video/mp4", "a.mp4", Label::NoImage),
            ("", "", Label::NoImage),
        ];
        for (mime, name, label) in cases {
            assert_eq!(Label::by(mime, name), label, "{mime:?} {name:?}");
        }
    }
}
