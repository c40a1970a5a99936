//! Telegram's Bot API: the worker's calls here (send, edit, download), the bot's in [`intake`].
//!
//! teloxide types what we send. Its Throttle adaptor is not used, because it makes a job wait inside an await
//! where the queue cannot see it. Its transport is not used either, because it sleeps in a call and reads
//! answers of any size ([`wire`] replaces it).
//!
//! What each error means is decided once, in [`error`]. File URLs contain the bot's token: they never leave
//! [`wire`], and errors are stripped of them.

mod documents;
mod error;
mod illustrations;
mod intake;
mod pictures;
mod profile;
mod wire;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use secrecy::SecretString;
use teloxide::{
    payloads::{
        DeleteMessage, EditMessageReplyMarkup, EditMessageText, EditMessageTextSetters, GetFile, SendMessage,
        SendMessageSetters,
    },
    types::{
        ChatId, FileId, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, MessageId, ParseMode,
        ReplyParameters,
    },
};
use url::Url;

pub use error::TelegramError;
pub use intake::{Intake, MenuEntry};
pub(crate) use pictures::PictureSource;

use self::{illustrations::KnownIllustrations, wire::Wire};
use crate::texts::Rendered;

/// One bot at one server: the token is part of each call.
#[derive(Debug, Clone)]
pub struct TelegramClient {
    wire: Wire,
    illustrations: KnownIllustrations,
}

/// A message that Telegram has accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent {
    /// `None`: the answer was cut off, so this message cannot be edited later.
    pub message_id: Option<i64>,
}

/// Why a file could not be downloaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DownloadError {
    /// The file is larger than our limit, or than bots may download.
    #[error("the file is larger than allowed")]
    TooLarge,
    /// Fewer bytes came than were announced, or none.
    #[error("the file came incomplete: {0}")]
    Incomplete(String),
    /// The call to Telegram failed.
    #[error(transparent)]
    Failed(#[from] TelegramError),
}

impl TelegramClient {
    /// `timeout` is for a whole call; a long poll and a download have limits of their own.
    pub fn new(token: &SecretString, api_url: &Url, timeout: Duration) -> Result<Self, reqwest::Error> {
        Ok(Self {
            wire: Wire::new(token, api_url, timeout)?,
            illustrations: KnownIllustrations::default(),
        })
    }

    /// Sends a new message, as an answer to the user's message `reply_to` if that is still there. Sending it twice shows it twice.
    pub(crate) async fn send(
        &self,
        chat: i64,
        text: &Rendered,
        reply_to: Option<i64>,
        is_silent: bool,
    ) -> Result<Sent, TelegramError> {
        let mut call = SendMessage::new(ChatId(chat), text.html.clone())
            .disable_notification(is_silent)
            .parse_mode(ParseMode::Html)
            .link_preview_options(no_preview())
            .reply_markup(keyboard(text));
        if let Some(answered) = reply_to.and_then(|id| i32::try_from(id).ok()) {
            let answered = ReplyParameters::new(MessageId(answered)).allow_sending_without_reply();
            call = call.reply_parameters(answered);
        }
        let message = self.wire.call(&call).await?.unwrap_or_default();
        Ok(Sent {
            message_id: message["message_id"].as_i64(),
        })
    }

    /// Replaces a message of ours. Repeating it does no harm: a message that already says so counts as edited.
    pub(crate) async fn edit(&self, chat: i64, message: i64, text: &Rendered) -> Result<(), TelegramError> {
        let message = i32::try_from(message)
            .map_err(|_| TelegramError::MessageGone("no message has such an id".into()))?;
        let call = EditMessageText::new(ChatId(chat), MessageId(message), text.html.clone())
            .parse_mode(ParseMode::Html)
            .link_preview_options(no_preview())
            .reply_markup(keyboard(text));
        match self.wire.call(&call).await {
            Err(failure) if !failure.is_not_modified() => Err(failure),
            _ => Ok(()),
        }
    }

    /// Takes a message of ours out of the chat. Telegram deletes none that is older than two days; such a message loses its
    /// buttons.
    pub(crate) async fn retire(&self, chat: i64, message: i64) -> Result<(), TelegramError> {
        let Ok(message) = i32::try_from(message).map(MessageId) else {
            return Ok(());
        };
        match self.wire.call(&DeleteMessage::new(ChatId(chat), message)).await {
            Ok(_) => return Ok(()),
            Err(TelegramError::Rejected(_) | TelegramError::MessageGone(_)) => {}
            Err(failure) => return Err(failure),
        }
        match self
            .wire
            .call(&EditMessageReplyMarkup::new(ChatId(chat), message))
            .await
        {
            Ok(_) | Err(TelegramError::Rejected(_) | TelegramError::MessageGone(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Downloads a file of at most `limit` bytes.
    pub(crate) async fn download(&self, file_id: &str, limit: u64) -> Result<Bytes, DownloadError> {
        let file = match self.wire.call(&GetFile::new(FileId(file_id.to_owned()))).await {
            Ok(Some(file)) => file,
            Ok(None) => {
                return Err(TelegramError::Ambiguous("the answer to getFile was cut off".into()).into());
            }
            Err(failure) if failure.says("file is too big") => return Err(DownloadError::TooLarge),
            Err(failure) => return Err(failure.into()),
        };
        // The size is optional in Telegram's answer.
        let announced = file["file_size"].as_u64();
        if announced.is_some_and(|announced| announced > limit) {
            return Err(DownloadError::TooLarge);
        }
        let Some(path) = file["file_path"].as_str().filter(|path| !path.is_empty()) else {
            return Err(DownloadError::Incomplete("Telegram gave no path for it".into()));
        };
        if path.starts_with('/') {
            let why = "the Bot API server runs with --local, and its files are not served over HTTP";
            return Err(TelegramError::Misconfigured(why.into()).into());
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
                return Err(TelegramError::Misconfigured(why).into());
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
