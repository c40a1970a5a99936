//! Writes what an administrator has to say into the outbox of every user, page by page.
//!
//! A page and its successor are one transaction, and each user's row has a key of its own: so a walk that is repeated adds
//! nothing, and each user gets the message once. Pages come at the pace at which Telegram takes messages, and their jobs have
//! a low priority, so that answers to users do not wait behind them. How each message fares is `notify_user`'s affair.
//!
//! # Must stay true
//! * each user gets it once, whatever dies on the way — the stock tests of `broadcast`
//! * a stopped one writes to nobody more              — `a_stopped_broadcast_reaches_nobody_more`
//!
//! # If we die
//! In a page: all of it is rolled back, and the next run walks it again.

use std::time::Duration;

use queue::Run;
use sqlx::PgConnection;
use tracing::{error, info};

use crate::{
    context::{Context, Services},
    enqueue::{Options, enqueue_many_with, enqueue_with},
    job::{DeadReason, Done, JobError},
    payloads::{Broadcast, NotifyUser},
    store::broadcasts,
    texts::{Message, Phrase},
};

/// Users in a page.
const PAGE: i64 = 50;
/// Pause between pages: twenty messages a second, which leaves Telegram's limit of thirty room for answers.
const PAUSE: Duration = Duration::from_millis(2500);
/// Below every other message.
const PRIORITY: i16 = -20;

impl Run<Services> for Broadcast {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let id = self.broadcast_id;
        let mut tx = cx.begin().await?;
        let Some((after, text)) = broadcasts::lock_live(&mut tx, id).await? else {
            return Ok(Done::Skipped("the broadcast is at an end"));
        };
        let users = broadcasts::page(&mut tx, after, PAGE).await?;
        let message = Message::new(Phrase::BroadcastText { text });
        let written = broadcasts::write(&mut tx, id, &users, &message).await?;
        let reader_of = |job: &NotifyUser| {
            let reader = written.iter().find(|(id, _)| *id == job.notification_id);
            let options = Options::default().priority(PRIORITY);
            match reader {
                Some((_, user)) => options.fair_key(user),
                None => options,
            }
        };
        let jobs: Vec<NotifyUser> = written
            .iter()
            .map(|(notification, _)| NotifyUser::new(*notification, message.version()))
            .collect();
        enqueue_many_with(&mut tx, &jobs, reader_of).await?;
        let next = users
            .last()
            .copied()
            .filter(|_| i64::try_from(users.len()) == Ok(PAGE));
        broadcasts::walked(&mut tx, id, next).await?;
        cx.complete_in(&mut tx).await?;
        if next.is_some() {
            enqueue_with(&mut tx, self, Options::default().delay(PAUSE)).await?;
        }
        tx.commit().await?;
        metrics::counter!("aisha_broadcast_messages_total").increment(written.len() as u64);
        if next.is_none() {
            info!("Broadcast {id} is in every outbox");
        }
        Ok(Done::Committed)
    }

    /// It ends where it is; the administrator sees that it was stopped, and how many it reached.
    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        error!("Broadcast {} is given up: {}", self.broadcast_id, why.message);
        broadcasts::stop(tx, self.broadcast_id).await?;
        Ok(())
    }
}
