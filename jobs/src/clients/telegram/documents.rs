//! Sends a file of ours as a document.

use std::{fs::File, sync::Arc, time::Duration};

use reqwest::{
    Body,
    multipart::{Form, Part},
};

use super::{TelegramClient, TelegramError};
use crate::{clients::file::chunks, texts::Rendered};

/// For a whole upload; Telegram takes up to 50 MB.
const UPLOAD: Duration = Duration::from_mins(5);

impl TelegramClient {
    /// Sends the first `bytes` bytes of a file under this name. Sending it twice shows it twice.
    pub(crate) async fn send_document(
        &self,
        chat: i64,
        name: &str,
        file: File,
        bytes: u64,
        caption: &Rendered,
    ) -> Result<(), TelegramError> {
        let body = Body::wrap_stream(chunks(Arc::new(file), bytes));
        let form = Form::new()
            .text("chat_id", chat.to_string())
            .text("caption", caption.html.clone())
            .text("parse_mode", "HTML")
            .part(
                "document",
                Part::stream_with_length(body, bytes).file_name(name.to_owned()),
            );
        self.wire.call_form("sendDocument", form, UPLOAD).await.map(drop)
    }
}
