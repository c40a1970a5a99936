//! Update loops: each takes the next update of some chat, handles it, and commits. A process has several, and
//! several processes may run.

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
    dialogue::{self, UnansweredTap},
};
use crate::lifecycle::Stop;

/// Pause between looks into the inbox without a wake-up: for lost wake-ups, and for updates that are tried
/// again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Runs `count` update loops until the stop. An update in progress is finished first.
pub(super) async fn run(bot: &Bot, count: usize, stop: &Stop) {
    let (ring, bell) = watch::channel(());
    let loops = join_all((0..count).map(|_| update_loop(bot, bell.clone(), stop)));
    tokio::select! {
        _ = loops => {}
        () = listen(bot.producer.update_signal().await, ring) => {}
    }
}

/// Listens on one database session and wakes all update loops.
async fn listen(mut signal: UpdateSignal, ring: watch::Sender<()>) {
    loop {
        signal.wait(LOOK_AGAIN).await;
        ring.send_replace(());
    }
}

async fn update_loop(bot: &Bot, mut bell: watch::Receiver<()>, stop: &Stop) {
    let mut chat = None;
    let mut outage = Outage::none();
    while !stop.is_draining() {
        // Wake-ups from here on end the wait below, so none is lost between the look and the wait.
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
                // An update begins a trace: all jobs and log lines that follow from it carry its id.
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

/// Handles one update. If it fails, it is rolled back and the failure is noted; the loop continues.
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

/// Ends the spinner of the pressed button. A failure is only logged: the effects of the tap are committed,
/// and Telegram ends the spinner by itself. It runs in a task of its own, since the next update need not wait
/// for it.
fn answer(bot: &Bot, tap: UnansweredTap) {
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
