//! Whether this bot hears: how long ago Telegram last answered its question for updates.
//!
//! A bot whose token was revoked, or whose updates somebody else takes, does everything else right: it is live, its
//! database answers, its queues are empty. Only nobody is heard. `/readyz` says so, and the gauge
//! `aisha_telegram_poll_age_seconds`. A bot that stands by while another one polls has nothing to hear.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jobs::telegram::TelegramError;
use metrics::gauge;
use tokio::time::{Instant, interval};

use crate::lifecycle::Stop;

/// Failures in a row for so long are more than a hiccup, or than a bot that hands over to the next.
const HICCUP: Duration = Duration::from_secs(10);
/// Beyond the time that a question may wait for its answer.
const MARGIN: Duration = Duration::from_secs(20);
/// How often the gauge is set.
const BEAT: Duration = Duration::from_secs(1);

/// What this process knows of its own hearing. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Hearing {
    /// The longest time between two good answers when all is well.
    silence: Duration,
    state: Arc<Mutex<Option<Listening>>>,
}

/// The bot that asks Telegram, or registers the address that Telegram posts to.
#[derive(Debug)]
struct Listening {
    heard_at: Instant,
    /// Since when calls fail, and how the last one did.
    failing: Option<(Instant, &'static str)>,
}

impl Hearing {
    /// `question` is how long one question for updates may wait for its answer.
    pub(super) fn new(question: Duration) -> Self {
        Self {
            silence: question + MARGIN,
            state: Arc::default(),
        }
    }

    /// From now on it is this bot that has to hear.
    pub(super) fn begin(&self) {
        *self.state() = Some(Listening {
            heard_at: Instant::now(),
            failing: None,
        });
    }

    /// It is not this bot any more.
    pub(super) fn end(&self) {
        *self.state() = None;
    }

    /// Telegram answered.
    pub(super) fn good(&self) {
        if let Some(listening) = &mut *self.state() {
            listening.heard_at = Instant::now();
            listening.failing = None;
        }
    }

    /// A call failed.
    pub(super) fn failed(&self, failure: &TelegramError) {
        // A probe's answer is public: no host, and nothing that a foreign server says.
        let what = match failure {
            TelegramError::Misconfigured(_) => {
                "it does not accept the bot's token (telegram.bot_token, telegram.api_url)"
            }
            TelegramError::Conflict(_) => "somebody else takes this bot's updates (409)",
            TelegramError::Busy(_) => "it asks to wait (429)",
            TelegramError::NotSent(_) => "it cannot be reached",
            _ => "it does not answer as it should",
        };
        if let Some(listening) = &mut *self.state() {
            let since = listening.failing.map_or_else(Instant::now, |(since, _)| since);
            listening.failing = Some((since, what));
        }
    }

    /// What is wrong.
    pub(super) fn problem(&self) -> Option<String> {
        let state = self.state();
        let listening = state.as_ref()?;
        let silent = listening.heard_at.elapsed().as_secs();
        match listening.failing {
            Some((since, what)) if since.elapsed() >= HICCUP => {
                Some(format!("no updates for {silent} s: {what}"))
            }
            _ if listening.heard_at.elapsed() > self.silence => Some(format!("no updates for {silent} s")),
            _ => None,
        }
    }

    /// Shows the age of the last good answer until the stop; 0 while another bot polls.
    pub(super) async fn show(&self, stop: &Stop) {
        let age = gauge!("aisha_telegram_poll_age_seconds");
        let mut beat = interval(BEAT);
        while !stop.is_draining() {
            let seconds = match &*self.state() {
                Some(listening) => listening.heard_at.elapsed().as_secs_f64(),
                None => 0.0,
            };
            age.set(seconds);
            tokio::select! {
                _ = beat.tick() => {}
                () = stop.soft().cancelled() => {}
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, Option<Listening>> {
        // Each change is one assignment: a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
