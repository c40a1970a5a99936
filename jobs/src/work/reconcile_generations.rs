//! Compares every live generation with what must be true of it, and repairs the differences; and sends the final message of a
//! training whose first pictures take too long. `asking/rails.rs` says what is repaired.
//!
//! Periodic, and without input: it looks at everything, so a lost run costs nothing but its interval.
//!
//! # If we die
//! Each order is a transaction of its own; the next run looks at all of them again.
//!
//! Read next: `asking/rails.rs`, `saga/pictures.rs`.

use queue::Run;
use sqlx::PgConnection;
use tracing::{error, warn};

use crate::{
    asking,
    context::{Context, Services},
    domain::Product,
    job::{DeadReason, Done, JobError},
    payloads::ReconcileGenerations,
    saga::{self, SAMPLES_HOLD_BACK},
    store::albums,
};

/// Trainings that are told in one run.
const MOST_TOLD: i64 = 200;

impl Run<Services> for ReconcileGenerations {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let seen = asking::reconcile(cx, Product::Pictures).await?;
        tell_those_held_back(cx).await?;
        metrics::gauge!("aisha_generations_ambiguous").set(seen.ambiguous);
        metrics::gauge!("aisha_generations_overdue").set(seen.overdue);
        metrics::gauge!("aisha_generations_long_in_queue").set(seen.long_in_queue);
        Ok(Done::Applied)
    }

    /// The next tick enqueues another.
    async fn on_dead(&self, _: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        error!("Generations could not be reconciled: {}", why.message);
        Ok(())
    }
}

/// Their pictures come later, in a message of their own.
async fn tell_those_held_back(cx: &Context) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let held = albums::held_back_by_samples(&mut tx, SAMPLES_HOLD_BACK.as_secs_f64(), MOST_TOLD).await?;
    if held.is_empty() {
        return Ok(());
    }
    for training in held {
        saga::tell_ready(&mut tx, training).await?;
        asking::found("samples_late");
        warn!(training.id = %training, "The first pictures of training {training} take longer than {SAMPLES_HOLD_BACK:?}; its owner is told without them");
    }
    Ok(tx.commit().await?)
}
