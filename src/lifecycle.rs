//! From the first signal to the end of the process.
//!
//! SIGTERM or SIGINT: soft stop, nothing new is begun and `/readyz` answers 503. A second signal, or the end of the
//! grace time: hard stop, what still runs is handed back. A platform that kills instead loses nothing either
//! (leases, inboxes); this only spares the wait for it.

use std::{io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// What every role listens to. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Stop {
    /// Stops at this process's signals.
    pub fn at_signals(grace: Duration) -> io::Result<Self> {
        let stop = Self::default();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let told = stop.clone();
        tokio::spawn(async move {
            let name = first_of(&mut terminate, &mut interrupt).await;
            info!(
                grace_s = grace.as_secs_f64(),
                "Stopping after {name}: nothing new is begun, up to {grace:?} for what runs"
            );
            told.soft.cancel();
            tokio::select! {
                name = first_of(&mut terminate, &mut interrupt) => warn!("Stopping hard after a second signal ({name})"),
                () = tokio::time::sleep(grace) => warn!("Stopping hard: {grace:?} of grace are over"),
            }
            told.hard.cancel();
        });
        Ok(stop)
    }

    /// Begin nothing new.
    pub const fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// End now.
    pub const fn hard(&self) -> &CancellationToken {
        &self.hard
    }

    /// Whether the soft stop has begun.
    pub fn is_draining(&self) -> bool {
        self.soft.is_cancelled()
    }
}

async fn first_of(
    terminate: &mut tokio::signal::unix::Signal,
    interrupt: &mut tokio::signal::unix::Signal,
) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
