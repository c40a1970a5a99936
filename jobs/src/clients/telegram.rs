//! Telegram's Bot API: the worker's side here (send, edit, download), the bot's in [`intake`]. teloxide types what we
//! send; its Throttle adaptor is not used, since it keeps a job waiting inside of an await where the queue cannot
//! see it, and its own transport is not, since it sleeps in a call and reads answers of any size ([`wire`]).
//!
//! What each failure means is decided in [`error`], once. File URLs contain the bot's token: they never leave
//! [`wire`], and errors are stripped of them.

mod error;
mod intake;
mod wire;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use secrecy::SecretString;
use teloxide::{
    payloads::{EditMessageText, EditMessageTextSetters, GetFile, SendMessage, SendMessageSetters},
    types::{
        ChatId, FileId, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, MessageId, ParseMode,
    },
};
use url::Url;

pub use error::Failure;
pub use intake::{Command, Intake};

use self::wire::Wire;
use crate::texts::Rendered;

/// One bot at one server.
#[derive(Debug, Clone)]
pub struct TelegramClient {
    wire: Wire,
}

/// A file that could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    /// Larger than allowed, or than bots may download.
    #[error("the file is larger than allowed")]
    TooLarge,
    /// Fewer bytes came than were announced, or none.
    #[error("the file came incomplete: {0}")]
    Incomplete(String),
    /// Telegram or the way to it.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl TelegramClient {
    /// `timeout` is for a whole call, but for a long poll and a download, which have their own.
    pub fn new(token: &SecretString, api_url: &Url, timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self {
            wire: Wire::new(token, api_url, timeout)?,
        })
    }

    /// Sends a new message and answers its id.
    pub(crate) async fn send(&self, chat: i64, text: &Rendered) -> Result<i64, Failure> {
        let call = SendMessage::new(ChatId(chat), text.html.clone())
            .parse_mode(ParseMode::Html)
            .link_preview_options(no_preview())
            .reply_markup(keyboard(text));
        let message = self.wire.call(&call).await?;
        message["message_id"].as_i64().ok_or(Failure::Done(None))
    }

    /// Replaces a message of ours. Repeating it does no harm.
    pub(crate) async fn edit(&self, chat: i64, message: i64, text: &Rendered) -> Result<(), Failure> {
        let message =
            i32::try_from(message).map_err(|_| Failure::MessageGone("no message has such an id".into()))?;
        let call = EditMessageText::new(ChatId(chat), MessageId(message), text.html.clone())
            .parse_mode(ParseMode::Html)
            .link_preview_options(no_preview())
            .reply_markup(keyboard(text));
        self.wire.call(&call).await?;
        Ok(())
    }

    /// Downloads a file of at most `limit` bytes.
    pub(crate) async fn download(&self, file_id: &str, limit: u64) -> Result<Bytes, DownloadError> {
        let file = match self.wire.call(&GetFile::new(FileId(file_id.to_owned()))).await {
            Ok(file) => file,
            Err(failure) if failure.says("file is too big") => return Err(DownloadError::TooLarge),
            Err(failure) => return Err(failure.into()),
        };
        // Telegram need not say.
        let announced = file["file_size"].as_u64();
        if announced.is_some_and(|announced| announced > limit) {
            return Err(DownloadError::TooLarge);
        }
        let Some(path) = file["file_path"].as_str().filter(|path| !path.is_empty()) else {
            return Err(DownloadError::Incomplete("Telegram gave no path for it".into()));
        };
        if path.starts_with('/') {
            let why = "the Bot API server runs with --local, and its files are not served over HTTP";
            return Err(Failure::Misconfigured(why.into()).into());
        }
        let bytes = self.fetch(path, limit).await?;
        match announced {
            Some(announced) if bytes.len() as u64 != announced => Err(DownloadError::Incomplete(format!(
                "{} of {announced} bytes",
                bytes.len()
            ))),
            _ => Ok(bytes),
        }
    }

    async fn fetch(&self, path: &str, limit: u64) -> Result<Bytes, DownloadError> {
        let mut chunks = match self.wire.file(path).await? {
            Ok(chunks) => Box::pin(chunks),
            Err(status @ 300..=399) => {
                let why = format!("HTTP {status}: the server redirects downloads");
                return Err(Failure::Misconfigured(why).into());
            }
            Err(status) => return Err(DownloadError::Incomplete(format!("HTTP {status}"))),
        };
        let mut bytes = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(DownloadError::Incomplete)?;
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(DownloadError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }
}

fn keyboard(text: &Rendered) -> InlineKeyboardMarkup {
    let rows = text.buttons.iter().map(|row| {
        row.iter()
            .map(|(label, data)| InlineKeyboardButton::callback(label.clone(), data.clone()))
            .collect::<Vec<_>>()
    });
    InlineKeyboardMarkup::new(rows)
}

fn no_preview() -> LinkPreviewOptions {
    LinkPreviewOptions {
        is_disabled: true,
        url: None,
        prefer_small_media: false,
        prefer_large_media: false,
        show_above_text: false,
    }
}
