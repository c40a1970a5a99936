//! Code that the sending and editing methods share: texts, captions, files, keyboards.

use serde_json::Value;

use crate::simulators::telegram::chats::Content;
use crate::simulators::telegram::files::Media;
use crate::simulators::telegram::refusal::{Known, Refusal};
use crate::simulators::telegram::request::{Call, FileArg};
use crate::simulators::telegram::state::State;
use crate::simulators::telegram::text::{FormattedText, MAX_CAPTION, MAX_TEXT};

/// Photo or document, by the name of the parameter or the type of the `InputMedia`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Photo,
    Document,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Document => "document",
        }
    }

    pub fn of(media: &Media) -> Self {
        match media {
            Media::Photo(_) => Self::Photo,
            Media::Document(_) => Self::Document,
        }
    }
}

/// The `text` of a message to send or to edit. Telegram words the error for a long text differently for the
/// two.
pub(super) fn text(call: &Call, too_long: Known) -> Result<FormattedText, Refusal> {
    let text = FormattedText::parse(call.text("text"), call.text("parse_mode"), call.text("entities"))?;
    match text.len_utf16() {
        0 => Err(Known::MessageTextIsEmpty.into()),
        length if length > MAX_TEXT => Err(too_long.into()),
        _ => Ok(text),
    }
}

pub(super) fn caption(text: &str, parse_mode: &str, entities: &str) -> Result<FormattedText, Refusal> {
    let caption = FormattedText::parse(text, parse_mode, entities)?;
    if caption.len_utf16() > MAX_CAPTION {
        Err(Known::CaptionIsTooLong.into())
    } else {
        Ok(caption)
    }
}

pub(super) fn caption_of(call: &Call) -> Result<FormattedText, Refusal> {
    caption(
        call.text("caption"),
        call.text("parse_mode"),
        call.text("caption_entities"),
    )
}

/// Stores an uploaded file, or finds the one a `file_id` names.
pub(super) fn store(state: &mut State, kind: Kind, file: &FileArg<'_>) -> Result<Media, Refusal> {
    match file {
        FileArg::Uploaded(upload) if upload.bytes.is_empty() => {
            Err(Refusal::bad_request("file must be non-empty"))
        }
        FileArg::Uploaded(upload) => match kind {
            Kind::Photo => state.files.add_photo(upload.bytes.clone()),
            Kind::Document => {
                Ok(state
                    .files
                    .add_document(&upload.name, upload.mime.as_deref(), upload.bytes.clone()))
            }
        },
        // The network is never used, so every URL counts as one that could not be fetched.
        FileArg::Named(url) if url.contains('.') => {
            Err(Refusal::bad_request("failed to get HTTP URL content"))
        }
        FileArg::Named(id) => {
            let media = &state.files.get(id).ok_or(Known::WrongFileIdOrUrl)?.media;
            if Kind::of(media) == kind {
                return Ok(media.clone());
            }
            let (found, wanted) = match kind {
                Kind::Photo => ("Document", "Photo"),
                Kind::Document => ("Photo", "Document"),
            };
            Err(Refusal::bad_request(format!(
                "can't use file of type {found} as {wanted}"
            )))
        }
    }
}

/// One `InputMedia` object: what to show, and its caption.
pub(super) fn input_media(
    state: &mut State,
    call: &Call,
    input: &Value,
    in_album: bool,
) -> Result<Content, Refusal> {
    let wrong = |reason: &str| Refusal::bad_request(format!("can't parse InputMedia: {reason}"));
    let text = |field: &str| input[field].as_str().unwrap_or_default();
    if !input.is_object() {
        return Err(wrong("expected an Object"));
    }
    let kind = match text("type") {
        "photo" => Kind::Photo,
        "document" => Kind::Document,
        "" => return Err(wrong("Can't find field \"type\"")),
        other if in_album => {
            return Err(wrong(&format!(
                "type \"{other}\" can't be used in sendMediaGroup"
            )));
        }
        other => return Err(wrong(&format!("type \"{other}\" is unsupported"))),
    };
    let entities = match &input["caption_entities"] {
        Value::Null => String::new(),
        entities => entities.to_string(),
    };
    let caption = caption(text("caption"), text("parse_mode"), &entities)?;
    if text("media").is_empty() {
        return Err(wrong("media not found"));
    }
    let file = call
        .file_named("", text("media"))
        .ok_or_else(|| wrong("media not found"))?;
    Ok(Content::Media {
        media: store(state, kind, &file)?,
        caption,
    })
}
