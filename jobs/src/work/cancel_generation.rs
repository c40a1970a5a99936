//! Tells FAL to stop pictures. `asking/cancel.rs` says what FAL may answer, and what follows.
//!
//! # If we die
//! After the PUT and before the commit: the next run tells FAL once more, which changes nothing there.

use queue::Run;
use sqlx::PgConnection;

use crate::{
    asking,
    context::{Context, Services},
    job::{DeadReason, Done, JobError},
    payloads::CancelGeneration,
};

impl Run<Services> for CancelGeneration {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        asking::cancel(cx, self.generation_id.into()).await
    }

    async fn on_dead(&self, _: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        asking::cancel_is_dead(self.generation_id.into(), why);
        Ok(())
    }
}
