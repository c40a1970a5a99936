//! Asks FAL about an order until its end is known; works without any webhook. `asking/poll.rs` says what a look does.
//!
//! Enqueued in the transaction that commits a submit attempt, and again in the one that records its request id. It
//! snoozes between looks, so waiting costs no attempt and no slot.
//!
//! # If we die
//! At any point: nothing is held in memory; the next run reads the row and asks again.
//!
//! Read next: `asking/poll.rs`, `saga.rs`.

use std::time::Duration;

use queue::Run;
use sqlx::PgConnection;

use crate::{
    asking,
    context::{Context, Services},
    domain::NextJob,
    enqueue::enqueue_in,
    job::{DeadReason, Done, JobError},
    payloads::PollStatus,
    store::orders,
};

/// How long after its last failed look a dead poll starts over: an order at FAL is never left without a poll.
const START_OVER_AFTER: Duration = Duration::from_mins(5);

impl Run<Services> for PollStatus {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        asking::poll(cx, self.order).await
    }

    /// An order that FAL has or may have is never left without a poll: the successor starts with all its attempts.
    async fn on_dead(&self, tx: &mut PgConnection, _: &DeadReason) -> Result<(), JobError> {
        let order = orders::find(tx, self.order).await?;
        if order.is_some_and(|order| order.saga().carried_by() == Some(NextJob::Poll)) {
            enqueue_in(tx, self, START_OVER_AFTER).await?;
        }
        Ok(())
    }
}
