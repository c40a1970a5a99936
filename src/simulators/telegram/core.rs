//! What every part of the simulator holds: the settings, the one lock around the state, and the bell that
//! rings after each change.
//!
//! Nothing in here waits while the lock is held. Whoever waits for something (a long poll, `GET /sim/wait`, a held
//! call) goes through [`Core::until`], which looks, then sleeps until the next change: no polling, no missed wake-up.

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
    /// Only the webhook sender uses it.
    pub http: reqwest::Client,
    /// Cancelled by `Running::stop`: long polls answer what they have, senders end.
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

    /// A change that nobody waits for: the bell stays silent. The webhook sender, which wakes at each ring, takes its
    /// work this way and so does not wake itself.
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

    /// A nominal wait of Telegram's (a webhook's backoff), as long as this simulator makes it.
    pub fn scaled(&self, nominal: Duration) -> Duration {
        nominal.mul_f64(self.config.time_scale.clamp(0.0, 1000.0))
    }
}
