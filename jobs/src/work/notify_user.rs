//! Delivers one outbox row to its user: sends it, or edits the message that it has become.
//!
//! A writer that raises a row enqueues this job in the same transaction. The dedupe key is free again as soon as a
//! run has started, so a change that arrives during a send causes another run; only one run of a row goes at a time.
//!
//! # Must stay true
//! * a chat reads in order: a first delivery waits for all earlier ones of the chat
//! * a message that Telegram accepted is not sent again, unless its answer was lost; then the repeat is counted
//! * a message that cannot be delivered blocks no other: it is closed, and the next one's turn comes
//! * a final message comes after the last edit of the progress message, unless that takes longer than ten seconds
//! * a picture that only explains holds nothing up — `an_illustration_that_cannot_be_sent_holds_nothing_up`
//! * a message that only a newer worker can say waits for it — `a_phrase_that_this_worker_does_not_know_is_left_for_a_newer_one`
//!
//! # If we die …
//! | …                            | the next run finds        | and                                          |
//! |------------------------------|---------------------------|----------------------------------------------|
//! | before the send              | `sending_since` or not    | sends                                        |
//! | after it, before the record  | `sending_since`           | sends again: at least once, counted          |
//! | in an edit                   | the same revision is open | edits again, which changes nothing           |
//! | after the record             | nothing is due            | does nothing                                 |
//!
//! Read next: `notifications.rs` (the messages), `clients/telegram/error.rs` (what a failure means).

mod chat;
mod illustration;
mod page;

use std::time::Duration;

use queue::Run;
use sqlx::PgConnection;
use tracing::{error, info, warn};

use self::chat::Move;
use crate::{
    chaos::{Point, reach},
    clients::telegram::{PictureSource, TelegramError},
    context::{Context, Services},
    domain::{PictureId, UserId},
    enqueue::enqueue_for,
    job::{DeadReason, Done, Job, JobError},
    payloads::NotifyUser,
    storable,
    store::{
        notifications::{self, DueMessage, MessageKind, Waiting},
        pictures::{self, SendablePicture},
        users,
    },
    texts::{Locale, Message, Rendered},
};

/// Pause until another worker looks at a message that this one cannot say: a newer worker is expected soon.
const NEWER_LOOK: Duration = Duration::from_secs(15);
/// If none came within this time, the pause grows with the message's age.
const NEWER_EXPECTED: Duration = Duration::from_mins(10);
const NOTHING_NEW: Done = Done::Skipped("there is nothing new to say");

impl Run<Services> for NotifyUser {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(due) = notifications::due(&mut db, self.notification_id).await? else {
            drop(db);
            chat::retire(cx, self.notification_id).await?;
            let mut tx = cx.begin().await?;
            self.wake_next_message(&mut tx).await?;
            tx.commit().await?;
            return Ok(NOTHING_NEW);
        };
        if due.unreachable {
            drop(db);
            return unreachable(cx, &due, "they left before this message").await;
        }
        if let Some(seconds) = due.quiet_seconds.filter(|seconds| *seconds > 0.0) {
            return Err(JobError::snooze(
                Duration::from_secs_f64(seconds),
                "Telegram asked for silence in this chat",
            ));
        }
        if due.delivered_revision == 0
            && let Some(earlier) = notifications::before(&mut db, &due, NotifyUser::VERSION).await?
        {
            // The job that delivers it wakes this one. Normally it exists; if it was lost, it is enqueued here.
            drop(db);
            let mut tx = cx.begin().await?;
            wake(&mut tx, due.user_id, &earlier).await?;
            tx.commit().await?;
            return Ok(Done::Skipped(
                "an earlier message of the chat goes first and wakes this one",
            ));
        }
        drop(db);
        if due.kind == MessageKind::Final.as_str() {
            let mut tx = cx.begin().await?;
            let gives_way = notifications::gives_way(&mut tx, due.id).await?;
            // Also where it goes out: the wait counts from the first look.
            tx.commit().await?;
            if let Some(seconds) = gives_way {
                return Err(JobError::snooze(
                    Duration::from_secs_f64(seconds),
                    "an edit that its reader should see before is on its way",
                ));
            }
        }
        let Ok(message) = serde_json::from_value::<Message>(due.message.clone()) else {
            return leave(cx, &due).await;
        };
        let text = cx.texts.message(Locale::from_code(&due.language), &message);
        if let Some(illustration) = message.illustration {
            return illustration::send(cx, &due, illustration, &text).await;
        }
        if !message.pictures.is_empty() {
            return match due.message_id {
                Some(id) => page::turn(cx, &due, id, &message, &text).await,
                None => send_pictures(cx, &due, &message, &text).await,
            };
        }
        let Some(message_id) = due.message_id else {
            return send(cx, &due, &text).await;
        };
        match chat::next_place(cx, &due).await? {
            Move::Stay => edit(cx, &due, message_id, &text).await,
            Move::Wait(time) => Err(JobError::snooze(time, "photos are still coming in")),
            Move::Down => {
                let mut tx = cx.begin().await?;
                notifications::leave_place(&mut tx, due.id, message_id).await?;
                tx.commit().await?;
                send(cx, &due, &text).await
            }
        }
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        let id = self.notification_id;
        let outcome = if why.code == "telegram_rejected" {
            "rejected"
        } else {
            "undeliverable"
        };
        if notifications::close(tx, id, outcome).await? {
            error!(notification.id = %id, "Notification {id} is given up ({}): {}", why.code, why.message);
            metrics::counter!("aisha_notifications_lost_total", "outcome" => outcome).increment(1);
        }
        self.wake_next_message(tx).await
    }
}

impl NotifyUser {
    /// Nothing is left to send for this row: enqueues the next message of the chat.
    async fn wake_next_message(&self, tx: &mut PgConnection) -> Result<(), JobError> {
        if let Some(user) = notifications::reader_of(tx, self.notification_id).await? {
            wake_next(tx, user).await?;
        }
        Ok(())
    }
}

/// The message has a phrase that this worker does not know but a newer one will: in a rolling deploy soon, or never
/// if the release was withdrawn. So the job is put off for as long as it may be, and the chat goes on without it.
async fn leave(cx: &Context, due: &DueMessage) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    notifications::cannot_be_said(&mut tx, due.id, NotifyUser::VERSION + 1).await?;
    wake_next(&mut tx, due.user_id).await?;
    tx.commit().await?;
    let pause = if due.age_seconds < NEWER_EXPECTED.as_secs_f64() {
        NEWER_LOOK
    } else {
        NEWER_EXPECTED
    };
    Err(JobError::snooze(
        pause,
        "it says something that only another version of the bot can say: a newer worker brings it",
    ))
}

/// The first send of a message. Telegram would show a repeat, so the intention to send is committed first.
async fn send(cx: &Context, due: &DueMessage, text: &Rendered) -> Result<Done, JobError> {
    if !begin(cx, due).await? {
        return Ok(NOTHING_NEW);
    }
    let sent = cx
        .telegram
        .send(due.telegram_id, text, due.reply_to, due.is_silent)
        .await;
    reach(Point::NotifySent);
    match sent {
        Ok(sent) => delivered(cx, due, sent.message_id, &[]).await,
        Err(failure) => not_delivered(cx, due, failure).await,
    }
}

/// Commits the intention to send. `false`: nothing is left to send, and the chat's next message has its turn.
async fn begin(cx: &Context, due: &DueMessage) -> Result<bool, JobError> {
    let mut tx = cx.begin().await?;
    cx.fence(&mut tx).await?;
    let begun = notifications::begin_send(&mut tx, due.id).await?;
    tx.commit().await?;
    reach(Point::NotifyBeforeSend);
    match begun {
        None => {
            let mut tx = cx.begin().await?;
            wake_next(&mut tx, due.user_id).await?;
            tx.commit().await?;
            return Ok(false);
        }
        Some(false) => {}
        Some(true) => {
            metrics::counter!("aisha_possible_duplicate_messages_total").increment(1);
            warn!(notification.id = %due.id, "The answer to sending notification {} was lost; it is sent again", due.id);
        }
    }
    Ok(true)
}

/// Only an ambiguous failure leaves the mark that makes the next send a possible duplicate.
async fn not_delivered(cx: &Context, due: &DueMessage, failure: TelegramError) -> Result<Done, JobError> {
    if !matches!(failure, TelegramError::Ambiguous(_)) {
        let mut tx = cx.begin().await?;
        notifications::not_sent(&mut tx, due.id).await?;
        tx.commit().await?;
    }
    failed(cx, due, failure).await
}

/// Sends pictures, once. Their bytes are read before the intention to send is committed, so that a bucket that is away makes
/// no message a possible duplicate. Pictures that were deleted meanwhile are left out; if none is left, nothing is sent.
async fn send_pictures(
    cx: &Context,
    due: &DueMessage,
    message: &Message,
    caption: &Rendered,
) -> Result<Done, JobError> {
    let mut db = cx.read().await?;
    let pictures = pictures::sendable(&mut db, &message.pictures).await?;
    drop(db);
    if pictures.is_empty() {
        return close_empty(cx, due).await;
    }
    let mut sources = Vec::with_capacity(pictures.len());
    for picture in &pictures {
        sources.push(source(cx, picture).await?);
    }
    if !begin(cx, due).await? {
        return Ok(NOTHING_NEW);
    }
    let sent = cx
        .telegram
        .send_pictures(due.telegram_id, &sources, caption, due.is_silent)
        .await;
    reach(Point::NotifySent);
    match sent {
        Ok(sent) => {
            let ids = pictures.iter().map(|picture| picture.id);
            let files: Vec<_> = ids.zip(sent.file_ids).collect();
            delivered(cx, due, sent.message_id, &files).await
        }
        Err(TelegramError::Rejected(why)) if pictures.iter().any(|picture| picture.file_id.is_some()) => {
            forget_files(cx, due, &pictures, why).await
        }
        Err(failure) => not_delivered(cx, due, failure).await,
    }
}

/// Every picture of the message was deleted: there is nothing to send.
async fn close_empty(cx: &Context, due: &DueMessage) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    notifications::close(&mut tx, due.id, "superseded").await?;
    wake_next(&mut tx, due.user_id).await?;
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    Ok(Done::Committed)
}

/// Telegram's handle of a file is of one bot, and not for ever: the next try sends the bytes.
async fn forget_files(
    cx: &Context,
    due: &DueMessage,
    pictures: &[SendablePicture],
    why: String,
) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    for picture in pictures {
        pictures::remember_file(&mut tx, picture.id, None).await?;
    }
    notifications::not_sent(&mut tx, due.id).await?;
    tx.commit().await?;
    Err(JobError::retry(why))
}

async fn source(cx: &Context, picture: &SendablePicture) -> Result<PictureSource, JobError> {
    if let Some(file_id) = &picture.file_id {
        return Ok(PictureSource::Known(file_id.clone()));
    }
    let bytes = u64::try_from(picture.bytes).ok();
    let limit = usize::try_from(picture.bytes).unwrap_or(usize::MAX);
    let file = cx
        .objects
        .get_checked(&picture.storage_key, limit, bytes, Some(&picture.sha256))
        .await?;
    Ok(PictureSource::File(file))
}

/// An edit can be repeated, so nothing is recorded before it.
async fn edit(cx: &Context, due: &DueMessage, message_id: i64, text: &Rendered) -> Result<Done, JobError> {
    match cx.telegram.edit(due.telegram_id, message_id, text).await {
        Ok(()) => delivered(cx, due, Some(message_id), &[]).await,
        Err(TelegramError::MessageGone(why)) => {
            send_anew(cx, due, message_id, &why).await?;
            send(cx, due, text).await
        }
        Err(TelegramError::NoText(why)) => {
            // The page that was left goes, since the next one comes below it.
            if let Err(failure) = cx.telegram.retire(due.telegram_id, message_id).await {
                return failed(cx, due, failure).await;
            }
            send_anew(cx, due, message_id, &why).await?;
            send(cx, due, text).await
        }
        Err(failure) => failed(cx, due, failure).await,
    }
}

/// The message that was to be edited is gone: what it was to say comes as a new one.
async fn send_anew(cx: &Context, due: &DueMessage, message_id: i64, why: &str) -> Result<(), JobError> {
    info!(notification.id = %due.id, "Message {message_id} cannot be edited ({why}); notification {} is sent anew", due.id);
    let mut tx = cx.begin().await?;
    notifications::forget_message_id(&mut tx, due.id).await?;
    Ok(tx.commit().await?)
}

/// Records the delivery, gives the chat's next message its turn, and ends the job, in one transaction. `files`: Telegram's
/// handles of the pictures, by which they can be sent again without their bytes.
async fn delivered(
    cx: &Context,
    due: &DueMessage,
    message_id: Option<i64>,
    files: &[(PictureId, Option<String>)],
) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    for (picture, file_id) in files {
        if let Some(file_id) = file_id {
            pictures::remember_file(&mut tx, *picture, Some(file_id)).await?;
        }
    }
    if let Some(message_id) = message_id {
        // Before the row of the message: a turn locks them in this order.
        notifications::noticed(&mut tx, due.user_id, message_id).await?;
    }
    notifications::delivered(&mut tx, due.id, due.revision, message_id).await?;
    if due.delivered_revision == 0 {
        wake_next(&mut tx, due.user_id).await?;
    }
    let is_all = notifications::to_retire(&mut tx, due.id).await?.is_none();
    if is_all {
        cx.complete_in(&mut tx).await?;
    }
    tx.commit().await?;
    // If this fails, the silence ends by itself within a minute.
    if let Err(error) = cx.let_speak(NotifyUser::QUEUE).await {
        warn!("A silence of the whole bot could not be ended: {error}");
    }
    metrics::counter!("aisha_messages_delivered_total", "kind" => due.kind.clone()).increment(1);
    info!(notification.id = %due.id, notification.kind = due.kind, "Delivered {} notification {}", due.kind, due.id);
    if !is_all {
        chat::retire(cx, due.id).await?;
        return Ok(Done::Applied);
    }
    Ok(Done::Committed)
}

async fn failed(cx: &Context, due: &DueMessage, failure: TelegramError) -> Result<Done, JobError> {
    match failure {
        TelegramError::Unreachable(why) => unreachable(cx, due, &why).await,
        TelegramError::Busy(wait) => {
            let wait = storable::delay(wait);
            let mut tx = cx.begin().await?;
            users::keep_quiet(&mut tx, due.user_id, wait.as_secs_f64()).await?;
            tx.commit().await?;
            // The silence stored with the user stays; this one keeps the user's other jobs from being claimed at all.
            if let Some(all) = cx
                .hold_back(NotifyUser::QUEUE, Some(&due.user_id.to_string()), wait)
                .await?
            {
                warn!(
                    "Telegram asks several chats at once to wait: no message goes out for {all:?}, then one tries"
                );
            }
            metrics::counter!("aisha_telegram_rate_limited_total").increment(1);
            Err(TelegramError::Busy(wait).into())
        }
        TelegramError::Misconfigured(why) => {
            error!(
                "Telegram does not accept our token ({why}): no message goes out until telegram.bot_token is right"
            );
            Err(TelegramError::Misconfigured(why).into())
        }
        other => Err(other.into()),
    }
}

/// The user cannot be reached until they write again; nothing that waits for them is tried.
async fn unreachable(cx: &Context, due: &DueMessage, why: &str) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    users::unreachable(&mut tx, due.user_id).await?;
    notifications::close_all(&mut tx, due.user_id).await?;
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    info!(user.id = %due.user_id, "User {} cannot be reached: {why}", due.user_id);
    Ok(Done::Committed)
}

async fn wake_next(tx: &mut PgConnection, user: UserId) -> Result<(), JobError> {
    for next in notifications::next_waiting(tx, user, NotifyUser::VERSION).await? {
        wake(tx, user, &next).await?;
    }
    Ok(())
}

async fn wake(tx: &mut PgConnection, user: UserId, waiting: &Waiting) -> Result<(), JobError> {
    enqueue_for(tx, user, &NotifyUser::new(waiting.id, waiting.needs_version)).await?;
    Ok(())
}
