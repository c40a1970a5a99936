//! Telegram's Bot API: the worker's side here (send, edit, download), the bot's in [`intake`]. teloxide is the typed
//! client; its Throttle adaptor is not used, since it keeps a job waiting inside of an await where the queue cannot
//! see it.
//!
//! What each failure means is decided in [`error`], once. File URLs contain the bot's token: they never leave
//! this file, and errors are stripped of them.

mod error;
mod intake;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use secrecy::{ExposeSecret, SecretString};
use teloxide::{
    Bot,
    net::Download,
    payloads::{EditMessageTextSetters, SendMessageSetters},
    requests::Requester,
    types::{
        ChatId, FileId, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, MessageId, ParseMode,
    },
};
use url::Url;

pub use error::Failure;
pub use intake::{Command, Intake};

use crate::texts::Rendered;

/// For a connection to Telegram.
const CONNECT: Duration = Duration::from_secs(5);
/// teloxide sleeps so long after a 5xx, inside of the call; a shorter timeout would hide what Telegram answered.
const LEAST_TIMEOUT: Duration = Duration::from_secs(17);
/// Longer than any long poll may wait.
const LONGEST_SILENCE: Duration = Duration::from_secs(90);

/// One bot at one server.
#[derive(Debug, Clone)]
pub struct TelegramClient {
    calls: Bot,
    /// Without a limit on the whole: a photo of 20 MB may take its time as long as bytes come, and a long poll has
    /// a limit of its own.
    patient: Bot,
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
    /// `timeout` is for a whole call; it is raised to 17 s where it is shorter.
    pub fn new(token: &SecretString, api_url: &Url, timeout: Duration) -> Result<Self, reqwest::Error> {
        let timeout = timeout.max(LEAST_TIMEOUT);
        let client = || {
            reqwest::Client::builder()
                .connect_timeout(CONNECT)
                .tcp_nodelay(true)
        };
        let bot = |client| Bot::with_client(token.expose_secret(), client).set_api_url(api_url.clone());
        Ok(Self {
            calls: bot(client().timeout(timeout).build()?),
            patient: bot(client().read_timeout(timeout.max(LONGEST_SILENCE)).build()?),
        })
    }

    /// Sends a new message and answers its id.
    pub(crate) async fn send(&self, chat: i64, text: &Rendered) -> Result<i64, Failure> {
        match self.send_to(ChatId(chat), text).await {
            Err(Failure::Migrated(new_chat)) => self.send_to(ChatId(new_chat), text).await,
            sent => sent,
        }
    }

    async fn send_to(&self, chat: ChatId, text: &Rendered) -> Result<i64, Failure> {
        let message = self
            .calls
            .send_message(chat, text.html.clone())
            .parse_mode(ParseMode::Html)
            .link_preview_options(no_preview())
            .reply_markup(keyboard(text))
            .await?;
        Ok(i64::from(message.id.0))
    }

    /// Replaces a message of ours. Repeating it does no harm.
    pub(crate) async fn edit(&self, chat: i64, message: i64, text: &Rendered) -> Result<(), Failure> {
        let message =
            i32::try_from(message).map_err(|_| Failure::MessageGone("no message has such an id".into()))?;
        self.calls
            .edit_message_text(ChatId(chat), MessageId(message), text.html.clone())
            .parse_mode(ParseMode::Html)
            .link_preview_options(no_preview())
            .reply_markup(keyboard(text))
            .await?;
        Ok(())
    }

    /// Downloads a file of at most `limit` bytes.
    pub(crate) async fn download(&self, file_id: &str, limit: u64) -> Result<Bytes, DownloadError> {
        let file = match self
            .calls
            .get_file(FileId(file_id.to_owned()))
            .await
            .map_err(Failure::from)
        {
            Ok(file) => file,
            Err(failure) if failure.says("file is too big") => return Err(DownloadError::TooLarge),
            Err(failure) => return Err(failure.into()),
        };
        // 0 is Telegram's word for "not known".
        let announced = u64::from(file.size);
        if announced > limit {
            return Err(DownloadError::TooLarge);
        }
        let mut chunks = Box::pin(self.patient.download_file_stream(&file.path));
        let mut bytes = BytesMut::new();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|error| DownloadError::Incomplete(error.without_url().to_string()))?;
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(DownloadError::TooLarge);
            }
            bytes.extend_from_slice(&chunk);
        }
        if announced != 0 && bytes.len() as u64 != announced {
            return Err(DownloadError::Incomplete(format!(
                "{} of {announced} bytes",
                bytes.len()
            )));
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
