//! One turn under guard: whatever its handler does, the update is finished, or rolled back and noted.
//!
//! A turn holds its update's row locked. What failed is noted on another connection, about that very row, so the turn
//! is rolled back before: otherwise the note waits for the lock until the server ends the idle transaction, 15 s for
//! each attempt, and four such updates keep every lane of a bot from everybody else
//! (`a_turn_that_panics_or_fails_on_our_side_delays_nobody`).
//!
//! A turn whose connection went silent is no better: it waits for an answer that never comes. So each has a limit
//! (`a_turn_whose_connection_falls_silent_is_taken_again`).

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio::time::timeout;
use tracing::warn;

use super::{Producer, ProducerError, Turn};
use queue::database::within;

/// A turn takes milliseconds. It may have to wait for the locks of another process that froze in a transaction, which the
/// server ends after 15 s.
const LONGEST_TURN: Duration = Duration::from_secs(20);

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
        let handling = AssertUnwindSafe(handler(&mut turn)).catch_unwind();
        let why = match timeout(LONGEST_TURN, handling).await {
            Ok(Ok(Ok(outcome))) => {
                let finish = finish(turn, outcome.not_understood.as_deref());
                match within(LONGEST_TURN, finish).await {
                    Ok(()) => return Some(outcome.after),
                    Err(problem) => problem.to_string(),
                }
            }
            Ok(Ok(Err(problem))) => {
                turn.abandon().await;
                problem.to_string()
            }
            Ok(Err(_)) => {
                turn.abandon().await;
                "its handling panicked".to_owned()
            }
            Err(_) => {
                turn.abandon().await;
                format!("it was not handled within {LONGEST_TURN:?}")
            }
        };
        if let Err(problem) = within(LONGEST_TURN, self.turn_failed(update_id, &why)).await {
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
