//! Turns a page: a message with a picture takes the place of another message of ours. The gallery and the pictures of the
//! past are walked through in one message.

use tracing::info;

use super::{DueMessage, close_empty, delivered, failed, forget_files, send_anew, send_pictures, source};
use crate::{
    clients::telegram::TelegramError,
    context::Context,
    job::{Done, JobError},
    store::pictures,
    texts::{Message, Rendered},
};

/// Puts the picture into the message. An edit can be repeated, so nothing is recorded before it.
pub(super) async fn turn(
    cx: &Context,
    due: &DueMessage,
    message_id: i64,
    message: &Message,
    caption: &Rendered,
) -> Result<Done, JobError> {
    let mut db = cx.read().await?;
    let found = pictures::sendable(&mut db, &message.pictures).await?;
    drop(db);
    let Some(picture) = found.first() else {
        return close_empty(cx, due).await;
    };
    let source = source(cx, picture).await?;
    let edited = cx
        .telegram
        .edit_picture(due.telegram_id, message_id, &source, caption)
        .await;
    match edited {
        Ok(file_id) => delivered(cx, due, Some(message_id), &[(picture.id, file_id)]).await,
        Err(TelegramError::MessageGone(why)) => {
            send_anew(cx, due, message_id, &why).await?;
            send_pictures(cx, due, message, caption).await
        }
        Err(TelegramError::Rejected(why)) if picture.file_id.is_some() => {
            info!(notification.id = %due.id, "Telegram does not take its own picture back ({why}); its bytes are sent");
            forget_files(cx, due, &found, why).await
        }
        Err(failure) => failed(cx, due, failure).await,
    }
}
