//! Sends pictures that are part of the program. Each is uploaded once by a process; then Telegram's own handle of it is sent.
//!
//! `photo_examples.jpg` is made of a photo of Eileen Collins by NASA, which is in the public domain; it has no words in it, so
//! that it serves all languages.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use super::{PictureSource, Sent, TelegramClient, TelegramError};
use crate::texts::{Illustration, Rendered};

/// For the upload of one illustration: the chat's other messages wait for it.
const UPLOAD: Duration = Duration::from_secs(10);

/// Telegram's handles of what this process has uploaded. They are of one bot, as the client is.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownIllustrations(Arc<Mutex<BTreeMap<Illustration, String>>>);

impl KnownIllustrations {
    fn get(&self, illustration: Illustration) -> Option<String> {
        self.with(|known| known.get(&illustration).cloned())
    }

    fn with<T>(&self, look: impl FnOnce(&mut BTreeMap<Illustration, String>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

const fn jpeg(illustration: Illustration) -> &'static [u8] {
    match illustration {
        Illustration::PhotoExamples => include_bytes!("photo_examples.jpg"),
    }
}

impl TelegramClient {
    /// Sends an illustration with a caption. Sending it twice shows it twice. After a refusal the bytes are sent next time.
    pub(crate) async fn illustrate(
        &self,
        chat: i64,
        illustration: Illustration,
        caption: &Rendered,
        is_silent: bool,
    ) -> Result<Sent, TelegramError> {
        let source = match self.illustrations.get(illustration) {
            Some(file_id) => PictureSource::Known(file_id),
            None => PictureSource::File(Bytes::from_static(jpeg(illustration))),
        };
        match self.send_picture(chat, &source, caption, is_silent, UPLOAD).await {
            Ok(sent) => {
                if let Some(Some(file_id)) = sent.file_ids.into_iter().next() {
                    self.illustrations
                        .with(|known| known.insert(illustration, file_id));
                }
                Ok(Sent {
                    message_id: sent.message_id,
                })
            }
            Err(failure) => {
                self.illustrations.with(|known| known.remove(&illustration));
                Err(failure)
            }
        }
    }
}
