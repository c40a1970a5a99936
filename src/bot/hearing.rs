//! Whether this bot receives updates: how long ago Telegram last answered its call for updates.
//!
//! A bot whose token was revoked, or whose updates another program takes, looks healthy otherwise: it is
//! live, its database answers, its queues are empty. But it hears no user. `/readyz` and the gauge
//! `aisha_telegram_poll_age_seconds` show that. A bot that stands by while another one polls need not hear
//! anything.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use jobs::telegram::TelegramError;
use metrics::gauge;
use tokio::time::{Instant, interval};

use crate::lifecycle::Stop;

/// Failures for this long are more than a short outage, or than a bot that hands over to the next.
const HICCUP: Duration = Duration::from_secs(10);
/// Added to the time that a long poll may take.
const MARGIN: Duration = Duration::from_secs(20);
/// Pause between two updates of the gauge.
const BEAT: Duration = Duration::from_secs(1);

/// When this process last heard from Telegram. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Hearing {
    /// The longest time between two good answers when all is well.
    silence: Duration,
    state: Arc<Mutex<Option<Listening>>>,
}

/// State of the bot that polls Telegram or registers its webhook.
#[derive(Debug)]
struct Listening {
    heard_at: Instant,
    /// Since when calls fail, and the reason of the last failure.
    failing: Option<(Instant, &'static str)>,
}

impl Hearing {
    /// `question` is the longest time that a call for updates may take.
    pub(super) fn new(question: Duration) -> Self {
        Self {
            silence: question + MARGIN,
            state: Arc::default(),
        }
    }

    /// From now on this bot must hear from Telegram.
    pub(super) fn begin(&self) {
        *self.state() = Some(Listening {
            heard_at: Instant::now(),
            failing: None,
        });
    }

    /// From now on another bot polls, or `aisha web` receives.
    pub(super) fn end(&self) {
        *self.state() = None;
    }

    /// Records that Telegram answered a call.
    pub(super) fn good(&self) {
        if let Some(listening) = &mut *self.state() {
            listening.heard_at = Instant::now();
            listening.failing = None;
        }
    }

    /// Records that a call to Telegram failed.
    pub(super) fn failed(&self, failure: &TelegramError) {
        // `/readyz` is public: its answer must not contain a host, or text from a foreign server.
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

    /// Why no updates arrive; `None`: all is well.
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

    /// Sets the gauge until the stop: the age of the last good answer, or 0 while another bot polls.
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
        // Each change is one assignment, so a panic elsewhere leaves the state consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
