//! One turn under guard: whatever its handler does, the update is finished, or rolled back and noted.
//!
//! A turn holds its update's row locked. What failed is noted on another connection, about that very row, so the turn
//! is rolled back before: otherwise the note waits for the lock until the server ends the idle transaction, 15 s for
//! each attempt, and four such updates keep every lane of a bot from everybody else
//! (`a_turn_that_panics_or_fails_on_our_side_delays_nobody`).

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tracing::warn;

use super::{Producer, ProducerError, Turn};

/// What a handler made of an update.
#[derive(Debug)]
pub struct Handled<T> {
    /// What is left to do once everything is committed.
    pub after: T,
    /// What of the update could not be understood; kept with it.
    pub not_understood: Option<String>,
}

impl Producer {
    /// Lets `handler` handle the turn, and commits. `None`: it failed or panicked; that is undone and noted, and the
    /// update is taken again after a while ([`Producer::turn_failed`]).
    pub async fn conclude<T>(
        &self,
        mut turn: Turn,
        handler: impl AsyncFnOnce(&mut Turn) -> Result<Handled<T>, ProducerError>,
    ) -> Option<T> {
        let update_id = turn.update_id();
        let why = match AssertUnwindSafe(handler(&mut turn)).catch_unwind().await {
            Ok(Ok(outcome)) => match finish(turn, outcome.not_understood.as_deref()).await {
                Ok(()) => return Some(outcome.after),
                Err(problem) => problem.to_string(),
            },
            Ok(Err(problem)) => {
                turn.abandon().await;
                problem.to_string()
            }
            Err(_) => {
                turn.abandon().await;
                "its handling panicked".to_owned()
            }
        };
        if let Err(problem) = self.turn_failed(update_id, &why).await {
            warn!(
                telegram.update_id = update_id,
                "Handling update {update_id} failed ({why}), and so did noting it: {problem}"
            );
        }
        None
    }
}

async fn finish(turn: Turn, not_understood: Option<&str>) -> Result<(), ProducerError> {
    match not_understood {
        Some(what) => turn.finish_noting(what).await,
        None => turn.finish().await,
    }
}
