//! Long polling: ask Telegram, store, and only then let Telegram forget.
//!
//! Asking for an offset acknowledges everything before it, so the offset is moved after the commit and never
//! before. One bot polls at a time (two would cut each other's calls short); the right to is a session's lock in
//! Postgres, and whoever takes over begins without an offset: Telegram sends again what was not acknowledged, and
//! the inbox knows what it has.

use std::time::Duration;

use jobs::{
    outage::Outage,
    producer::PollingLead,
    telegram::{Intake, TelegramError},
};
use metrics::counter;
use tracing::{debug, error, info, warn};

use super::{Bot, menu, pause_unless_stopped, until_done};
use crate::lifecycle::Stop;

/// Between attempts to become the one who polls.
const STANDBY: Duration = Duration::from_secs(2);
/// After a failure of Telegram or the database, and twice as long after each that follows it, up to the longest.
const RECOVER: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Polls whenever nobody else does, until the stop.
pub(super) async fn poll(bot: &Bot, wait: Duration, stop: &Stop) {
    let mut outage = Outage::none();
    while !stop.is_draining() {
        let lead = bot.producer.lead_polling().await;
        if lead.is_ok()
            && let Some(lasted) = outage.over()
        {
            info!("It is known again who polls Telegram, after {lasted}");
        }
        match lead {
            Ok(Some(lead)) => {
                info!("This bot polls Telegram for updates");
                bot.hearing.begin();
                until_done(bot, "switch to polling", stop, || {
                    bot.telegram.take_updates_by(&Intake::Polling)
                })
                .await;
                if let Err(failure) = menu(bot).await {
                    warn!("The menu of commands could not be set: {failure}");
                }
                poll_while_leading(bot, lead, wait, stop).await;
                bot.hearing.end();
            }
            Ok(None) => {
                debug!("Another bot polls Telegram");
                pause_unless_stopped(STANDBY, stop).await;
            }
            Err(problem) => {
                if let Some(so_far) = outage.failed() {
                    warn!("Nobody knows who polls Telegram: {problem}{so_far}");
                }
                pause_unless_stopped(STANDBY, stop).await;
            }
        }
    }
}

async fn poll_while_leading(bot: &Bot, mut lead: PollingLead, wait: Duration, stop: &Stop) {
    let mut offset = None;
    let mut pause = RECOVER;
    let mut outage = Outage::none();
    while lead.is_held().await {
        let batch = tokio::select! {
            batch = bot.telegram.updates(offset, wait) => batch,
            // What the call would have brought is not acknowledged: it comes again.
            () = stop.soft().cancelled() => return lead.release().await,
        };
        let moved_on = match batch {
            Ok(batch) => {
                bot.hearing.good();
                if let Some(lasted) = outage.over() {
                    info!("Telegram answers again, after {lasted}");
                }
                take_in(bot, batch, &mut offset).await
            }
            Err(failure) => {
                bot.hearing.failed(&failure);
                pause = pause.max(least_pause(&failure));
                if let Some(so_far) = outage.failed() {
                    warn!("No updates from Telegram, next try in {pause:?}: {failure}{so_far}");
                }
                if failure.is_active_webhook() {
                    end_webhook(bot).await;
                }
                false
            }
        };
        if moved_on {
            pause = RECOVER;
        } else {
            pause_unless_stopped(pause, stop).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
    warn!("The right to poll is lost with its database session");
}

/// Stores a batch and moves the offset beyond it. `false`: asked again at once, Telegram would only repeat itself.
async fn take_in(bot: &Bot, batch: Vec<serde_json::Value>, offset: &mut Option<i64>) -> bool {
    if batch.is_empty() {
        return true;
    }
    let count = batch.len() as u64;
    match bot.producer.accept_telegram_updates(batch).await {
        Ok(highest) => {
            counter!("aisha_telegram_updates_total", "verdict" => "stored").increment(count);
            *offset = highest.map(|id| id + 1).or(*offset);
            highest.is_some()
        }
        Err(problem) => {
            error!("Updates could not be stored, Telegram keeps them: {problem}");
            false
        }
    }
}

fn least_pause(failure: &TelegramError) -> Duration {
    match failure {
        // Asking too early costs another refusal; believing ten hours costs ten hours.
        TelegramError::Busy(wait) => (*wait).min(LONGEST_PAUSE * 2),
        _ => RECOVER,
    }
}

/// Somebody registered a webhook since we began to poll. Two ways cannot be had at once, and the setting says which.
async fn end_webhook(bot: &Bot) {
    match bot.telegram.take_updates_by(&Intake::Polling).await {
        Ok(()) => warn!(
            "A webhook had been registered for this bot and is deleted again: telegram.mode is polling. If another \
             installation has this token, give it a bot of its own"
        ),
        Err(failure) => warn!("The webhook that takes this bot's updates could not be deleted: {failure}"),
    }
}
