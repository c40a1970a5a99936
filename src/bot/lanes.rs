//! Lanes: each takes the next update of some chat, handles it, commits. Several in a process, several processes.

use std::time::Duration;

use futures::future::join_all;
use jobs::{
    outage::Outage,
    producer::{Turn, UpdateSignal},
    trace::{self, TraceContext},
};
use metrics::{counter, histogram};
use tokio::{sync::watch, time::Instant};
use tracing::{Instrument, debug, info, info_span, warn};

use super::{
    Bot,
    dialogue::{self, Tap},
};
use crate::lifecycle::Stop;

/// Between looks into the inbox when no wake-up comes: for a lost one, and for updates that are to be tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs `count` lanes until the stop. A turn that has begun is finished.
pub(super) async fn run(bot: &Bot, count: usize, stop: &Stop) {
    let (ring, bell) = watch::channel(());
    let lanes = join_all((0..count).map(|_| lane(bot, bell.clone(), stop)));
    tokio::select! {
        _ = lanes => {}
        () = listen(bot.producer.update_signal().await, ring) => {}
    }
}

/// One database session wakes all lanes.
async fn listen(mut signal: UpdateSignal, ring: watch::Sender<()>) {
    loop {
        signal.wait(LOOK_AGAIN).await;
        ring.send_replace(());
    }
}

async fn lane(bot: &Bot, mut bell: watch::Receiver<()>, stop: &Stop) {
    let mut chat = None;
    let mut outage = Outage::none();
    while !stop.is_draining() {
        // What rings from here on is heard below, so nothing falls between the look and the wait.
        bell.mark_unchanged();
        let next = bot.producer.next_turn(&bot.rules, chat).await;
        if next.is_ok()
            && let Some(lasted) = outage.over()
        {
            info!("Updates are taken from the inbox again, after {lasted}");
        }
        match next {
            Ok(Some(turn)) => {
                chat = turn.chat_id().or(chat);
                // A tap begins a trace: all that comes of it carries its id.
                let context = TraceContext::new();
                let span =
                    info_span!("turn", telegram.update_id = turn.update_id(), trace.id = %context.id());
                trace::scope(context, take(bot, turn)).instrument(span).await;
            }
            Ok(None) => wait(&mut bell, stop).await,
            Err(problem) => {
                if let Some(so_far) = outage.failed() {
                    warn!("No update could be taken from the inbox: {problem}{so_far}");
                }
                wait(&mut bell, stop).await;
            }
        }
    }
}

async fn wait(bell: &mut watch::Receiver<()>, stop: &Stop) {
    tokio::select! {
        _ = bell.changed() => {}
        () = stop.soft().cancelled() => {}
    }
}

/// One turn. Whatever goes wrong in it is rolled back and noted, and this lane goes on.
async fn take(bot: &Bot, turn: Turn) {
    let begun = Instant::now();
    let outcome = bot.producer.conclude(turn, dialogue::handle).await;
    histogram!("aisha_turn_seconds").record(begun.elapsed().as_secs_f64());
    let word = if outcome.is_some() { "done" } else { "failed" };
    counter!("aisha_turns_total", "outcome" => word).increment(1);
    if let Some(Some(tap)) = outcome {
        answer(bot, tap);
    }
}

/// Stops the spinner on the pressed button. Best effort: what the tap did is committed, and Telegram gives the
/// spinner up by itself. In a task of its own, since the next update need not wait for it.
fn answer(bot: &Bot, tap: Tap) {
    let (telegram, text) = (
        bot.telegram.clone(),
        tap.toast.map(|toast| bot.texts.plain(tap.locale, &toast)),
    );
    tokio::spawn(async move {
        if let Err(failure) = telegram.answer_tap(&tap.query_id, text).await {
            debug!("A tap was not answered: {failure}");
        }
    });
}
