//! Long polling: ask Telegram for updates, store them, and only then let Telegram forget them.
//!
//! A call with an offset acknowledges all updates before it, so the offset moves only after the commit. Only
//! one bot polls at a time, since two would cut each other's calls short. The right to poll is a lock that
//! belongs to a Postgres session. A bot that takes over begins without an offset: Telegram then sends again
//! whatever was not acknowledged, and the inbox ignores what it already has.

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

/// Pause between attempts to become the bot that polls.
const STANDBY: Duration = Duration::from_secs(2);
/// Pause after a failure of Telegram or the database. It doubles with each further failure, up to the
/// longest.
const RECOVER: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Polls whenever no other bot does, until the stop.
pub(super) async fn poll(bot: &Bot, wait: Duration, stop: &Stop) {
    let mut outage = Outage::none();
    while !stop.is_draining() {
        let lead = bot.producer.lead_polling().await;
        if lead.is_ok()
            && let Some(lasted) = outage.over()
        {
            info!("The polling lock can be asked for again, after {lasted}");
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
                    warn!("The polling lock cannot be asked for: {problem}{so_far}");
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
            // The updates of the dropped call are not acknowledged, so Telegram sends them again.
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
    warn!("This bot polls no longer: the database session with the polling lock is lost");
}

/// Stores a batch and moves the offset past it. `false`: it was not stored, and an immediate call would
/// return the same batch.
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
        // A call that comes too early costs another refusal; a wait of ten hours, taken at its word, would
        // cost ten hours.
        TelegramError::Busy(wait) => (*wait).min(LONGEST_PAUSE * 2),
        _ => RECOVER,
    }
}

/// A webhook was registered after we began to poll. Telegram allows only one of the two, and the setting says
/// polling.
async fn end_webhook(bot: &Bot) {
    match bot.telegram.take_updates_by(&Intake::Polling).await {
        Ok(()) => warn!(
            "A webhook had been registered for this bot and is deleted again: telegram.mode is polling. If another \
             installation has this token, give it a bot of its own"
        ),
        Err(failure) => warn!("The webhook that takes this bot's updates could not be deleted: {failure}"),
    }
}
