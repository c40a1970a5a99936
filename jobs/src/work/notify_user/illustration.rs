//! Sends a message whose picture only explains something. The chat's next messages wait for it, and matter more: so it is tried
//! once, and given up if Telegram does not take it.

use tracing::info;

use super::{DueMessage, NOTHING_NEW, delivered, not_delivered, wake_next};
use crate::{
    chaos::{Point, reach},
    clients::telegram::TelegramError,
    context::Context,
    job::{Done, JobError},
    store::notifications,
    texts::{Illustration, Rendered},
};

pub(super) async fn send(
    cx: &Context,
    due: &DueMessage,
    illustration: Illustration,
    caption: &Rendered,
) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    cx.fence(&mut tx).await?;
    let begun = notifications::begin_send(&mut tx, due.id).await?;
    if begun == Some(true) {
        // The answer to the first try was lost: it is probably in the chat.
        drop(tx);
        return give_up(cx, due, "its answer was lost").await;
    }
    tx.commit().await?;
    if begun.is_none() {
        let mut tx = cx.begin().await?;
        wake_next(&mut tx, due.user_id).await?;
        tx.commit().await?;
        return Ok(NOTHING_NEW);
    }
    reach(Point::NotifyBeforeSend);
    let sent = cx
        .telegram
        .illustrate(due.telegram_id, illustration, caption, due.is_silent)
        .await;
    reach(Point::NotifySent);
    match sent {
        Ok(sent) => delivered(cx, due, sent.message_id, &[]).await,
        // Then nothing else goes out either, or nobody is there to read it.
        Err(
            failure @ (TelegramError::Busy(_)
            | TelegramError::Unreachable(_)
            | TelegramError::Misconfigured(_)),
        ) => not_delivered(cx, due, failure).await,
        Err(failure) => give_up(cx, due, &failure.to_string()).await,
    }
}

async fn give_up(cx: &Context, due: &DueMessage, why: &str) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    notifications::close(&mut tx, due.id, "undeliverable").await?;
    wake_next(&mut tx, due.user_id).await?;
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    info!(notification.id = %due.id, "Notification {} is done without: its picture only explains, and {why}", due.id);
    Ok(Done::Committed)
}
