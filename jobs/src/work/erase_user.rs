//! Erases everything about a user who asked for it (`/delete_me`), then tells them so.
//!
//! The user's avatars go first, each by its own `delete_avatar`, which stops a running training before. Then the bucket's
//! folder of the user, the jobs about them, their updates and messages, and their row with all that refers to it, in one
//! transaction. The receipt comes last, from the three values that the erasure's own row keeps for it; that row goes with it.
//! A later /start begins from nothing.
//!
//! # Must stay true
//! * no row, job, update or object names the user afterwards — `after_delete_me_nothing_names_the_user`
//! * the receipt comes after the erasure, in the user's language — `the_receipt_is_the_last_word`
//! * nothing is accepted from them meanwhile                    — `nothing_is_accepted_from_a_user_who_leaves`
//!
//! # If we die
//! | …                            | the next run                                       |
//! |------------------------------|----------------------------------------------------|
//! | before the user's row is gone | looks at everything again                         |
//! | after that                   | sends the receipt, perhaps a second time            |
//!
//! An erasure whose job is dead is enqueued again by `prune`. Read next: `delete_avatar.rs`, `store/erasures.rs`.

use std::time::Duration;

use queue::Run;
use sqlx::PgConnection;
use tracing::{error, info, warn};

use crate::{
    chaos::{Point, reach},
    clients::telegram::TelegramError,
    context::{Context, Services},
    domain::UserId,
    job::{DeadReason, Done, JobError},
    payloads::EraseUser,
    store::erasures::{self, Erasure},
    texts::{Locale, Message, Phrase},
};

/// Pause between looks at avatars that are still being erased.
const AVATARS: Duration = Duration::from_secs(5);
/// Pause between looks at what ends in moments: a running job, the answer that goes out.
const MOMENT: Duration = Duration::from_secs(2);
/// In seconds: how long the answer to the last tap may take.
const LONGEST_FOR_MESSAGES: f64 = 60.0;
/// Objects that are listed at a time.
const PAGE: usize = 500;

impl Run<Services> for EraseUser {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(erasure) = erasures::find(&mut db, self.erasure_id).await? else {
            return Ok(Done::Skipped("the erasure is done"));
        };
        drop(db);
        if let Some(user) = erasure.user_id {
            self.erase(cx, user, &erasure).await?;
            reach(Point::UserErased);
        }
        receipt(cx, &erasure).await?;
        reach(Point::ReceiptSent);
        let mut tx = cx.begin().await?;
        erasures::end(&mut tx, self.erasure_id).await?;
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        Ok(Done::Committed)
    }

    /// A user who is erased and could not be told is not told. Otherwise `prune` enqueues the job again.
    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        if erasures::end(tx, self.erasure_id).await? {
            warn!("A user was erased and could not be told: {}", why.message);
        } else {
            error!("A user could not be erased yet: {}", why.message);
            metrics::counter!("aisha_deletions_failed_total").increment(1);
        }
        Ok(())
    }
}

impl EraseUser {
    async fn erase(&self, cx: &Context, user: UserId, erasure: &Erasure) -> Result<(), JobError> {
        if erasure.avatars > 0 {
            return Err(JobError::snooze(AVATARS, "avatars of the user are being erased"));
        }
        if erasure.is_unsaid && erasure.seconds < LONGEST_FOR_MESSAGES {
            return Err(JobError::snooze(MOMENT, "an answer to the user is on its way"));
        }
        let folder = format!("{user}/");
        loop {
            let objects = cx.objects.list_prefix(&folder, PAGE).await?;
            for object in &objects {
                cx.objects.delete(&object.key).await?;
            }
            if objects.len() < PAGE {
                break;
            }
        }
        let mut tx = cx.begin().await?;
        cx.fence(&mut tx).await?;
        if queue::forget(&mut tx, Some(&user.to_string()), &[]).await? > 0 {
            tx.commit().await?;
            return Err(JobError::snooze(MOMENT, "a job of the user has to end first"));
        }
        erasures::erase(&mut tx, self.erasure_id, user).await?;
        tx.commit().await?;
        metrics::counter!("aisha_users_erased_total").increment(1);
        info!("A user was erased at their wish");
        Ok(())
    }
}

/// Tells the user that nothing is left. There is no outbox row for it, since that would be about them.
async fn receipt(cx: &Context, erasure: &Erasure) -> Result<(), JobError> {
    let message = Message::new(Phrase::Erased {});
    let text = cx.texts.message(Locale::from_code(&erasure.language), &message);
    match cx.telegram.send(erasure.telegram_id, &text, None, false).await {
        Ok(_) => Ok(()),
        Err(TelegramError::Unreachable(why)) => {
            info!("A user was erased and cannot be told: {why}");
            Ok(())
        }
        Err(failure) => Err(failure.into()),
    }
}
