//! Transactions of the host under the protection of a claim.
//!
//! A run that slept past its lease may wake up with a half-written transaction. [`fence`] makes it notice, and keeps
//! the job from being rescued until that transaction has ended; [`complete_in`] ends the job in it.

use sqlx::PgConnection;

use crate::{Claim, job::JobError};

/// Why a transaction must be rolled back.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The lease ran out and the job was taken away. Roll back, and leave the job to the worker that has it now.
    #[error("the claim on this job is lost: another worker may have it")]
    Lost,
    /// The database refused the statement or did not answer.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<FenceError> for JobError {
    fn from(error: FenceError) -> Self {
        match error {
            FenceError::Lost => Self::Lost,
            FenceError::Database(error) => error.into(),
        }
    }
}

/// Locks the job for the rest of the transaction, or finds the claim lost.
///
/// It takes the weakest row lock on purpose: the heartbeat's update must pass it, or a long transaction would starve
/// its own lease. Rescue and release ask for the strongest lock and skip rows that they cannot lock.
pub async fn fence(tx: &mut PgConnection, claim: &Claim) -> Result<(), FenceError> {
    let held = sqlx::query_scalar!(
        "select id from jobs where id = $1 and claim_id = $2 and state = 'running' for key share",
        claim.job().0,
        claim.id().0,
    )
    .fetch_optional(tx)
    .await?;
    held.map(drop).ok_or(FenceError::Lost)
}

/// Ends the job as `done` in the caller's transaction, so that its effect and its end are one commit.
///
/// Call it last: the heartbeat cannot renew a lease while its row is being changed.
pub async fn complete_in(tx: &mut PgConnection, claim: &Claim) -> Result<(), FenceError> {
    let done = sqlx::query_file_scalar!("src/sql/complete.sql", claim.job().0, claim.id().0)
        .fetch_one(tx)
        .await?;
    if done == 1 { Ok(()) } else { Err(FenceError::Lost) }
}
