//! Runs one turn under guard: the update is either finished, or rolled back and its
//! failure recorded, whatever the handler does.
//!
//! A turn holds the lock of its update's row. Its failure is recorded on another connection, in the same row, so the
//! turn is rolled back first. Otherwise the record would wait for the lock until the server ends the idle
//! transaction, 15 s for each attempt, and four such updates would block every update loop of a bot
//! (`a_turn_that_panics_or_fails_on_our_side_delays_nobody`).
//!
//! A turn whose connection went silent waits for an answer that never comes. So each turn has a time limit
//! (`a_turn_whose_connection_falls_silent_is_taken_again`).

use std::{panic::AssertUnwindSafe, time::Duration};

use futures::FutureExt;
use tokio::time::timeout;
use tracing::warn;

use super::{Producer, ProducerError, Turn};
use queue::database::within;

/// A turn takes milliseconds. It may have to wait for the locks of a process that froze in a transaction; the server
/// ends such a transaction after 15 s.
const LONGEST_TURN: Duration = Duration::from_secs(20);

/// The result of a handler that did not fail.
#[derive(Debug)]
pub struct Handled<T> {
    /// What the caller must do after the commit.
    pub after: T,
    /// The part of the update that was not understood; stored with it. `None`: all was.
    pub not_understood: Option<String>,
}

impl Producer {
    /// Runs `handler` on the turn, and commits. `None`: it failed or panicked; its changes are rolled back, the
    /// failure is recorded, and the update is taken again after a while ([`Producer::turn_failed`]).
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
