//! Photos for the draft: single, in albums, or sent as files. Each is recorded as it arrives. The bot never
//! waits for an album, since Telegram does not say how many photos it has. A worker downloads the bytes.

use jobs::{
    domain::Action,
    producer::{PhotoTaken, ProducerError, Turn},
    texts::{Message, Phrase},
};

use super::{
    incoming::{File, Photo, ReceivedMessage},
    wizard,
};

/// Handles a picture that was sent as a photo.
pub(super) async fn on_photo(
    turn: &mut Turn,
    message: &ReceivedMessage,
    photo: &Photo,
) -> Result<(), ProducerError> {
    take(turn, message, &photo.file_id, &photo.unique_id).await
}

/// If the edit replaced the picture, the new one is added; if it changed only the caption, nothing happens.
pub(super) async fn on_edited_photo(
    turn: &mut Turn,
    message: &ReceivedMessage,
    photo: &Photo,
) -> Result<(), ProducerError> {
    match turn.draft().await? {
        Some(draft) if !turn.has_photo(&draft, &photo.unique_id).await? => {
            on_photo(turn, message, photo).await
        }
        _ => Ok(()),
    }
}

/// A picture that is sent as a file keeps its quality, but it may be of a kind that we cannot read or must
/// not download. A file whose type is surely wrong is refused at once; all others are judged by their bytes,
/// later.
pub(super) async fn on_file(
    turn: &mut Turn,
    message: &ReceivedMessage,
    file: &File,
) -> Result<(), ProducerError> {
    let limit = turn.rules().photos().bytes as u64;
    let (what, refusal) = match Label::of(file) {
        Label::Heic => ("heic", Phrase::FileHeic {}),
        Label::Foreign => ("no-image", Phrase::FileNoImage {}),
        Label::PerhapsImage if file.size.is_some_and(|size| size > limit) => (
            "too-large",
            Phrase::FileTooLarge {
                megabytes: megabytes(limit),
            },
        ),
        Label::PerhapsImage => return take(turn, message, &file.id, &file.unique_id).await,
    };
    // An album of ten files that we cannot read is answered once.
    let subject = subject(turn.update_id(), what, message);
    turn.answer_message(&subject, &Message::new(refusal)).await
}

/// Answers stickers, voice messages, locations, and messages that cannot be understood.
pub(super) async fn on_something_else(
    turn: &mut Turn,
    message: &ReceivedMessage,
) -> Result<(), ProducerError> {
    let subject = subject(turn.update_id(), "unusable", message);
    match turn.draft().await? {
        Some(draft) if draft.gender.is_none() || draft.name.is_none() => {
            wizard::ask_again_once(turn, &draft, &subject, Phrase::NotUsable {}).await
        }
        Some(_) => {
            let waits = Message::new(Phrase::NotUsableForPhotos {});
            turn.answer_message(&subject, &waits).await
        }
        None => {
            turn.answer_message(&subject, &Message::new(Phrase::NotAPhoto {}))
                .await
        }
    }
}

async fn take(
    turn: &mut Turn,
    message: &ReceivedMessage,
    file_id: &str,
    unique_id: &str,
) -> Result<(), ProducerError> {
    let Some(draft) = turn.draft().await? else {
        let hint = Message::new(Phrase::PhotoWithoutDraft {}).button(Phrase::ButtonCreate {}, Action::Create);
        let subject = subject(turn.update_id(), "no-draft", message);
        return turn.reply_once(&subject, &hint).await;
    };
    let update_id = turn.update_id();
    let subject = |what: &str| subject(update_id, what, message);
    match turn.add_photo(&draft, file_id, unique_id).await? {
        PhotoTaken::Yes if draft.gender.is_some() && draft.name.is_some() => Ok(()),
        // The photo came before the wizard asked for it: it is kept, and the open question is asked again.
        PhotoTaken::Yes => wizard::ask_again_once(turn, &draft, &subject("kept"), Phrase::PhotoKept {}).await,
        PhotoTaken::Known => {
            let known = Message::new(Phrase::PhotoKnown {});
            turn.answer_message(&subject("known"), &known).await
        }
        PhotoTaken::Refused { reason, detail } => {
            let subject = subject(&format!("refused-before:{reason}"));
            let problem = Phrase::photo_problem(reason, detail);
            turn.answer_message(&subject, &Message::new(Phrase::PhotoRefused { problem }))
                .await
        }
        PhotoTaken::TooManyToday { most, wait } => {
            let wait = Phrase::in_time(wait);
            let used_up = Message::new(Phrase::PhotosUsedUp { most, wait });
            turn.answer_message(&subject("photos-used-up"), &used_up).await
        }
        PhotoTaken::Full => {
            let max = small(*turn.rules().photos().photos.end());
            // Once for a draft: that it is full is a state, which its card says as well.
            let subject = format!("full:{}", draft.id);
            turn.answer_message(&subject, &Message::new(Phrase::TooManyPhotos { max }))
                .await
        }
    }
}

/// A name shared by the photos of one album, so that they are answered only once.
fn subject(update_id: i64, what: &str, message: &ReceivedMessage) -> String {
    match (&message.album, message.id) {
        (Some(album), _) => format!("{what}:album:{album}"),
        (None, Some(id)) => format!("{what}:message:{id}"),
        (None, None) => format!("{what}:update:{update_id}"),
    }
}

/// What the type and name of a file say about it.
#[derive(Debug, PartialEq, Eq)]
enum Label {
    /// Possibly a picture: its bytes decide.
    PerhapsImage,
    Heic,
    /// Surely not a picture.
    Foreign,
}

/// Main types that are never pictures.
const FOREIGN: [&str; 6] = ["audio/", "video/", "text/", "font/", "message/", "multipart/"];
/// Subtypes of `application/` that are never pictures. Most subtypes say nothing about the content: a phone
/// calls a JPEG that is sent as a file `octet-stream`.
const FOREIGN_APPLICATIONS: [&str; 17] = [
    "epub",
    "gzip",
    "json",
    "java-archive",
    "msword",
    "pdf",
    "rar",
    "rtf",
    "vnd.",
    "x-7z-compressed",
    "x-bittorrent",
    "x-msdownload",
    "x-rar-compressed",
    "x-tar",
    "x-zip-compressed",
    "xml",
    "zip",
];

impl Label {
    fn of(file: &File) -> Self {
        Self::by(&file.mime, &file.name)
    }

    /// The type comes from the sender's app: it may be empty, `jpg`, or `application/octet-stream`. Only a
    /// type that surely means something else counts against the file, and the name counts only if there is no
    /// useful type.
    fn by(mime: &str, name: &str) -> Self {
        let mime = mime.split(';').next().unwrap_or_default().trim().to_lowercase();
        let name = name.to_lowercase();
        let is_heic = |text: &str| matches!(text, "heic" | "heif" | "heic-sequence" | "heif-sequence");
        match mime.split_once('/') {
            Some(("image", kind)) if is_heic(kind) => Self::Heic,
            Some(("image", _)) => Self::PerhapsImage,
            Some(("application", kind))
                if FOREIGN_APPLICATIONS
                    .iter()
                    .any(|foreign| kind.starts_with(foreign)) =>
            {
                Self::Foreign
            }
            _ if FOREIGN.iter().any(|foreign| mime.starts_with(foreign)) => Self::Foreign,
            _ if name.rsplit_once('.').is_some_and(|(_, ending)| is_heic(ending)) => Self::Heic,
            _ => Self::PerhapsImage,
        }
    }
}

fn megabytes(bytes: u64) -> u32 {
    u32::try_from(bytes / 1_000_000).unwrap_or(u32::MAX)
}

/// A count, as texts take it.
pub(super) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_type_that_is_surely_something_else_counts_against_a_file() {
        let cases = [
            ("image/jpeg", "a.jpg", Label::PerhapsImage),
            ("image/png", "", Label::PerhapsImage),
            ("IMAGE/JPEG; charset=binary", "", Label::PerhapsImage),
            ("image/jpeg", "IMG_1.HEIC", Label::PerhapsImage),
            ("", "a.webp", Label::PerhapsImage),
            ("", "", Label::PerhapsImage),
            ("", "IMG_1", Label::PerhapsImage),
            ("jpg", "a", Label::PerhapsImage),
            ("application/octet-stream", "IMG_1.JPG", Label::PerhapsImage),
            ("application/octet-stream", "", Label::PerhapsImage),
            ("binary/octet-stream", "x.bin", Label::PerhapsImage),
            ("application/x-download", "a.jpg", Label::PerhapsImage),
            ("unknown/unknown", "a.jpg", Label::PerhapsImage),
            ("image/heic", "img_1.heic", Label::Heic),
            ("application/octet-stream", "IMG_1.HEIC", Label::Heic),
            ("", "img.heif", Label::Heic),
            ("image/heif", "", Label::Heic),
            ("application/pdf", "a.jpg", Label::Foreign),
            ("video/mp4", "a.mp4", Label::Foreign),
            ("audio/ogg", "", Label::Foreign),
            ("text/plain", "a.txt", Label::Foreign),
            ("application/zip", "photos.zip", Label::Foreign),
            ("application/x-zip-compressed", "photos.zip", Label::Foreign),
            ("application/vnd.android.package-archive", "a.apk", Label::Foreign),
        ];
        for (mime, name, label) in cases {
            assert_eq!(Label::by(mime, name), label, "{mime:?} {name:?}");
        }
    }
}
