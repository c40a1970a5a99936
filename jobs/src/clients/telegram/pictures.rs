//! Sends pictures: one as a photo with buttons, several as an album. Telegram shows no buttons under an album, so it is sent
//! without a sound, and a message with the buttons follows it.

use std::time::Duration;

use bytes::Bytes;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{TelegramClient, TelegramError, keyboard};
use crate::texts::Rendered;

/// For a whole upload of up to four pictures.
const UPLOAD: Duration = Duration::from_mins(1);

/// Where Telegram gets a picture from.
#[derive(Debug, Clone)]
pub(crate) enum PictureSource {
    /// Telegram's own handle: it has the picture.
    Known(String),
    /// The JPEG.
    File(Bytes),
}

/// Pictures that Telegram has accepted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SentPictures {
    /// Of the first message. `None`: the answer was cut off.
    pub message_id: Option<i64>,
    /// Telegram's handles, in the order of the pictures; fewer if the answer was cut off.
    pub file_ids: Vec<Option<String>>,
}

impl TelegramClient {
    /// Sends pictures with a caption. Sending them twice shows them twice.
    pub(crate) async fn send_pictures(
        &self,
        chat: i64,
        pictures: &[PictureSource],
        caption: &Rendered,
        is_silent: bool,
    ) -> Result<SentPictures, TelegramError> {
        if let [only] = pictures {
            // As a group has none: what has no buttons is followed by a message with them, and that one rings.
            let is_silent = is_silent || caption.buttons.is_empty();
            return self.send_picture(chat, only, caption, is_silent, UPLOAD).await;
        }
        let media: Vec<Value> = (1..)
            .zip(pictures)
            .map(|(number, picture)| {
                let media = match picture {
                    PictureSource::Known(id) => id.clone(),
                    PictureSource::File(_) => format!("attach://{}", name(number)),
                };
                if number == 1 {
                    json!({"type": "photo", "media": media, "caption": caption.html, "parse_mode": "HTML"})
                } else {
                    json!({"type": "photo", "media": media})
                }
            })
            .collect();
        let form = Form::new()
            .text("chat_id", chat.to_string())
            .text("media", Value::Array(media).to_string())
            .text("disable_notification", "true");
        let form = (1..)
            .zip(pictures)
            .fold(form, |form, (number, picture)| match picture {
                PictureSource::Known(_) => form,
                PictureSource::File(file) => form.part(name(number), jpeg(number, file)),
            });
        let messages = self.wire.call_form("sendMediaGroup", form, UPLOAD).await?;
        Ok(match messages {
            Some(Value::Array(messages)) => sent(&messages),
            _ => SentPictures::default(),
        })
    }

    /// Sends one picture with a caption and buttons. `patience` is for the whole upload.
    pub(super) async fn send_picture(
        &self,
        chat: i64,
        picture: &PictureSource,
        caption: &Rendered,
        is_silent: bool,
        patience: Duration,
    ) -> Result<SentPictures, TelegramError> {
        let buttons = serde_json::to_string(&keyboard(caption)).unwrap_or_default();
        let form = Form::new()
            .text("chat_id", chat.to_string())
            .text("disable_notification", is_silent.to_string())
            .text("caption", caption.html.clone())
            .text("parse_mode", "HTML")
            .text("reply_markup", buttons);
        let form = match picture {
            PictureSource::Known(id) => form.text("photo", id.clone()),
            PictureSource::File(file) => form.part("photo", jpeg(1, file)),
        };
        let message = self.wire.call_form("sendPhoto", form, patience).await?;
        Ok(message.map_or_else(SentPictures::default, |message| sent(&[message])))
    }

    /// Replaces a message of ours by a picture with a caption; a text becomes a picture too. Repeating it does no harm. Returns
    /// Telegram's handle of the picture, unless the answer was cut off.
    pub(crate) async fn edit_picture(
        &self,
        chat: i64,
        message: i64,
        picture: &PictureSource,
        caption: &Rendered,
    ) -> Result<Option<String>, TelegramError> {
        let buttons = serde_json::to_string(&keyboard(caption)).unwrap_or_default();
        let media = match picture {
            PictureSource::Known(id) => id.clone(),
            PictureSource::File(_) => format!("attach://{}", name(1)),
        };
        let media = json!({"type": "photo", "media": media, "caption": caption.html, "parse_mode": "HTML"});
        let form = Form::new()
            .text("chat_id", chat.to_string())
            .text("message_id", message.to_string())
            .text("media", media.to_string())
            .text("reply_markup", buttons);
        let form = match picture {
            PictureSource::Known(_) => form,
            PictureSource::File(file) => form.part(name(1), jpeg(1, file)),
        };
        match self.wire.call_form("editMessageMedia", form, UPLOAD).await {
            Ok(message) => Ok(message.and_then(|message| sent(&[message]).file_ids.pop().flatten())),
            Err(failure) if failure.is_not_modified() => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

fn name(number: usize) -> String {
    format!("picture{number}")
}

fn jpeg(number: usize, file: &Bytes) -> Part {
    let part =
        Part::stream_with_length(file.clone(), file.len() as u64).file_name(format!("{}.jpg", name(number)));
    // Only a text that is no media type is refused.
    part.mime_str("image/jpeg")
        .unwrap_or_else(|_| Part::stream_with_length(file.clone(), file.len() as u64))
}

/// Telegram lists a photo in several sizes; the largest comes last, and its handle brings all of them back.
fn sent(messages: &[Value]) -> SentPictures {
    let file_id = |message: &Value| {
        let sizes = message["photo"].as_array()?;
        Some(sizes.last()?["file_id"].as_str()?.to_owned())
    };
    SentPictures {
        message_id: messages
            .first()
            .and_then(|message| message["message_id"].as_i64()),
        file_ids: messages.iter().map(file_id).collect(),
    }
}
