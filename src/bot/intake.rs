//! Long polling: ask Telegram, store, and only then let Telegram forget.
//!
//! Asking for an offset acknowledges everything before it, so the offset is moved after the commit and never
//! before. One bot polls at a time (two would cut each other's calls short); the right to is a session's lock in
//! Postgres, and whoever takes over begins without an offset: Telegram sends again what was not acknowledged, and
//! the inbox knows what it has.

use std::time::Duration;

use jobs::{
    producer::PollingLead,
    telegram::{Failure, Intake},
};
use metrics::counter;
use tracing::{debug, error, info, warn};

use super::{Bot, menu, pause_unless_stopped, until_done};
use crate::lifecycle::Stop;

/// Between attempts to become the one who polls.
const STANDBY: Duration = Duration::from_secs(2);
/// After a failure of Telegram or the database.
const RECOVER: Duration = Duration::from_secs(1);

/// Polls whenever nobody else does, until the stop.
pub(super) async fn poll(bot: &Bot, wait: Duration, stop: &Stop) {
    while !stop.is_draining() {
        match bot.producer.lead_polling().await {
            Ok(Some(lead)) => {
                info!("This bot polls Telegram for updates");
                until_done("switch to polling", stop, || {
                    bot.telegram.take_updates_by(&Intake::Polling)
                })
                .await;
                if let Err(failure) = menu(bot).await {
                    warn!("The menu of commands could not be set: {failure}");
                }
                poll_while_leading(bot, lead, wait, stop).await;
            }
            Ok(None) => {
                debug!("Another bot polls Telegram");
                pause_unless_stopped(STANDBY, stop).await;
            }
            Err(problem) => {
                warn!("Nobody knows who polls Telegram: {problem}");
                pause_unless_stopped(STANDBY, stop).await;
            }
        }
    }
}

async fn poll_while_leading(bot: &Bot, mut lead: PollingLead, wait: Duration, stop: &Stop) {
    let mut offset = None;
    while lead.is_held().await {
        let batch = tokio::select! {
            batch = bot.telegram.updates(offset, wait) => batch,
            // What the call would have brought is not acknowledged: it comes again.
            () = stop.soft().cancelled() => return lead.release().await,
        };
        match batch {
            Ok(batch) if batch.is_empty() => {}
            Ok(batch) => {
                counter!("aisha_telegram_updates_total", "verdict" => "stored").increment(batch.len() as u64);
                match bot.producer.accept_telegram_updates(batch).await {
                    Ok(highest) => offset = highest.map(|id| id + 1).or(offset),
                    Err(problem) => {
                        error!("Updates could not be stored, Telegram keeps them: {problem}");
                        pause_unless_stopped(RECOVER, stop).await;
                    }
                }
            }
            Err(failure) => pause_after(failure, stop).await,
        }
    }
    warn!("The right to poll is lost with its database session");
}

async fn pause_after(failure: Failure, stop: &Stop) {
    let pause = match &failure {
        Failure::Busy(wait) => *wait,
        Failure::Misconfigured(_) => Duration::from_secs(30),
        _ => RECOVER,
    };
    warn!("No updates from Telegram, next try in {pause:?}: {failure}");
    pause_unless_stopped(pause, stop).await;
}
