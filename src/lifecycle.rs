//! How a process stops, from the first signal to its end.
//!
//! SIGTERM or SIGINT begin the soft stop: the role begins nothing new, and `/readyz` answers 503. A second signal, or
//! the end of the grace time, is the hard stop: the role hands back what still runs. If the platform kills the
//! process instead, nothing is lost either (leases and inboxes see to that); a stop only saves the wait for them.

use std::{io, time::Duration};

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The stop of this process, which every part of a role watches. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    soft: CancellationToken,
    hard: CancellationToken,
}

impl Stop {
    /// A stop that begins at this process's signals, with `grace` between soft and hard.
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

    /// Cancelled at the soft stop: begin nothing new.
    pub const fn soft(&self) -> &CancellationToken {
        &self.soft
    }

    /// Cancelled at the hard stop: end now.
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
