//! How a claim ends when it does not end as done: each in a transaction of its own, before the slot is free.
//!
//! `done` takes the fast lane (`pump.rs`), since most jobs end so. What is here may wait for others (a newer job of
//! the same key that is just being enqueued, the burial's own statements) and must not hold up the acks.

use std::time::Duration;

use sqlx::{PgConnection, PgPool};
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use super::{
    BurialError, Claim, ClaimId, JobId, JobState, Undertaker, backoff::Backoff, bury, link::timed_out,
};
use crate::{
    database::{self, single},
    job::DeadReason,
};

/// How a claim ended, in `job_attempts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "claim_outcome", rename_all = "snake_case")]
pub enum ClaimOutcome {
    /// The job is done.
    Done,
    /// The run returned a transient failure.
    Failed,
    /// The run took longer than its kind's timeout.
    TimedOut,
    /// The run panicked.
    Panicked,
    /// The worker went silent and the lease ran out.
    Lost,
    /// The run returned a permanent failure, or a snooze beyond the cap.
    GaveUp,
    /// The payload does not decode.
    Undecodable,
    /// An operator ended it.
    Cancelled,
}

impl ClaimOutcome {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Panicked => "panicked",
            Self::Lost => "lost",
            Self::GaveUp => "gave_up",
            Self::Undecodable => "undecodable",
            Self::Cancelled => "cancelled",
        }
    }
}

/// What becomes of a running job that is not done.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// Later, at no charge.
    Snoozed {
        /// From now.
        after: Duration,
        /// For operators.
        why: String,
    },
    /// Later, charged.
    Failed {
        /// From now: the backoff.
        after: Duration,
        /// Failed, timed out or panicked.
        how: ClaimOutcome,
        /// For operators.
        why: String,
    },
    /// At once, at no charge: the worker stops.
    Released,
    /// At once, charged, under suspicion: the worker went silent.
    Lost,
    /// At once, at no charge, under suspicion: the worker went silent, and had perhaps only buffered it.
    LostAhead,
    /// Never again: an operator asked for it. Only with `cancel_requested` set; else it is put back.
    Cancelled,
    /// Never again: a dead letter.
    Dead {
        /// Why.
        reason: DeadReason,
        /// How the last claim ended.
        how: ClaimOutcome,
        /// It was claimed only to be buried.
        uncharged: bool,
    },
}

impl Ending {
    const fn delay(&self) -> Duration {
        match self {
            Self::Snoozed { after, .. } | Self::Failed { after, .. } => *after,
            Self::Released | Self::Lost | Self::LostAhead | Self::Cancelled | Self::Dead { .. } => {
                Duration::ZERO
            }
        }
    }

    const fn outcome(&self) -> Option<ClaimOutcome> {
        match self {
            Self::Snoozed { .. } | Self::Released | Self::LostAhead => None,
            Self::Failed { how, .. } | Self::Dead { how, .. } => Some(*how),
            Self::Lost => Some(ClaimOutcome::Lost),
            Self::Cancelled => Some(ClaimOutcome::Cancelled),
        }
    }

    fn message(&self) -> Option<&str> {
        match self {
            Self::Snoozed { why, .. } | Self::Failed { why, .. } => Some(why),
            Self::Released => None,
            Self::Lost => Some("the worker went silent and its lease ran out"),
            Self::LostAhead => {
                Some("the worker went silent while it had this job in its buffer, or was just running it")
            }
            Self::Cancelled => Some("cancelled by request while it ran"),
            Self::Dead { reason, .. } => Some(&reason.message),
        }
    }
}

/// Puts a running job back, or ends it if it was to be cancelled or has an heir. `None`: the claim is lost.
///
/// A newer job of the same key that is committed between this statement's snapshot and its write is a unique
/// violation; the next try sees it.
pub(crate) async fn requeue(
    db: &mut PgConnection,
    job: JobId,
    claim: ClaimId,
    ending: &Ending,
) -> Result<Option<JobState>, sqlx::Error> {
    let outcome = ending.outcome();
    let row = sqlx::query_file!(
        "src/queue/sql/requeue.sql",
        job.0,
        claim.0,
        ending.delay().as_secs_f64(),
        matches!(
            ending,
            Ending::Snoozed { .. } | Ending::Released | Ending::LostAhead
        ),
        matches!(ending, Ending::Snoozed { .. }),
        outcome as _,
        outcome.map(ClaimOutcome::as_str),
        ending.message(),
        matches!(ending, Ending::Lost | Ending::LostAhead),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.state))
}

/// Writes endings, however long the database is away, for as long as somebody could still care.
pub(crate) struct Settler<'a> {
    pub pool: &'a PgPool,
    pub undertaker: &'a dyn Undertaker,
    /// Longest wait for one try.
    pub limit: Duration,
}

impl Settler<'_> {
    /// How often a burial whose `on_dead` fails is tried before the job is put back with a delay.
    const BURIALS: u32 = 5;
    /// That delay.
    const BURY_AGAIN_AFTER: Duration = Duration::from_secs(30);

    /// Writes the ending of a run. `None`: the claim is lost, or nobody could be told before it was.
    pub(crate) async fn settle(&self, claim: &Claim, ending: Ending) -> Option<JobState> {
        let mut backoff = Backoff::new();
        let mut ending = ending;
        let mut failed_burials = 0;
        loop {
            let error = match timeout(self.limit, self.write(claim, &ending)).await {
                Ok(Ok(state)) => return state,
                Ok(Err(error)) => error,
                Err(_) => timed_out().into(),
            };
            if let BurialError::OnDead(why) = &error {
                failed_burials += 1;
                if failed_burials >= Self::BURIALS {
                    error!(job.id = %claim.job(), "Burial of job {} fails ({why}); it is tried again later", claim.job());
                    // Not charged: the next claim finds the attempts used up and comes back here.
                    ending = Ending::Snoozed {
                        after: Self::BURY_AGAIN_AFTER,
                        why: format!("burial failed: {why}"),
                    };
                    continue;
                }
            }
            if !claim.holds_lease() {
                warn!(job.id = %claim.job(), "Could not write how job {} ended before its lease ran out: {error}", claim.job());
                return None;
            }
            sleep(backoff.next()).await;
        }
    }

    async fn write(&self, claim: &Claim, ending: &Ending) -> Result<Option<JobState>, BurialError> {
        if let Ending::Dead {
            reason,
            how,
            uncharged,
        } = ending
        {
            let mut tx = database::begin(self.pool).await?;
            let buried = bury(
                &mut tx,
                claim.job(),
                claim.id(),
                reason,
                *how,
                *uncharged,
                self.undertaker,
            )
            .await?;
            tx.commit().await?;
            return Ok(buried.then_some(JobState::Dead));
        }
        let mut db = single(self.pool).await?;
        let state = requeue(&mut db, claim.job(), claim.id(), ending).await?;
        db.commit().await?;
        Ok(state)
    }
}
