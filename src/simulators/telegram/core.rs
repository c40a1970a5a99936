//! The shared core of the simulator: its settings, the one lock around the state, and a counter that wakes
//! waiting calls after each change.
//!
//! Nothing waits while it holds the lock. Every wait (a long poll, `GET /sim/wait`, a held call) goes through
//! [`Core::until`], which looks, then sleeps until the next change: no polling, and no wake-up is missed.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::TelegramSimulatorConfig;
use super::memory::Keeper;
use super::state::State;

pub(super) struct Core {
    pub config: TelegramSimulatorConfig,
    /// For calls to the webhook, which only its sender makes.
    pub http: reqwest::Client,
    /// Cancelled by `Running::stop`: long polls answer with what they have, and background tasks end.
    pub stopping: CancellationToken,
    state: Mutex<(State, Option<Keeper>)>,
    /// Counts the changes; the page and `/sim/chats/{id}?since=` compare it.
    version: watch::Sender<u64>,
}

impl Core {
    pub fn new(
        config: TelegramSimulatorConfig,
        http: reqwest::Client,
        state: State,
        keeper: Option<Keeper>,
    ) -> Self {
        Self {
            state: Mutex::new((state, keeper)),
            config,
            http,
            stopping: CancellationToken::new(),
            version: watch::Sender::new(0),
        }
    }

    fn lock(&self) -> MutexGuard<'_, (State, Option<Keeper>)> {
        // A panic in a test's closure must not turn every later call into a second panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn read<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().0)
    }

    pub fn write<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = self.quietly(change);
        self.version.send_modify(|version| *version += 1);
        result
    }

    /// Changes the state without waking waiting calls. The webhook sender wakes at each change; it takes its
    /// work this way so that it does not wake itself.
    pub fn quietly<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut locked = self.lock();
        let (state, keeper) = &mut *locked;
        let result = change(state);
        match keeper {
            Some(keeper) => keeper.note(state),
            None => drop(state.take_changes()),
        }
        result
    }

    pub fn version(&self) -> u64 {
        *self.version.borrow()
    }

    pub fn changes(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The first `Some` that `look` finds, or `None` when `limit` has passed or the simulator stops.
    pub async fn until<T>(&self, limit: Duration, mut look: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + limit;
        let mut changes = self.changes();
        loop {
            // Marked as seen before looking: a change in between then ends the wait at once.
            changes.mark_unchanged();
            if let Some(found) = self.read(&mut look) {
                return Some(found);
            }
            tokio::select! {
                rung = changes.changed() => if rung.is_err() { return None },
                () = tokio::time::sleep_until(deadline) => return None,
                () = self.stopping.cancelled() => return None,
            }
        }
    }

    /// One of Telegram's own waits (a webhook's backoff), multiplied by `time_scale`.
    pub fn scaled(&self, nominal: Duration) -> Duration {
        nominal.mul_f64(self.config.time_scale.clamp(0.0, 1000.0))
    }
}
