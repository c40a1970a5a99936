//! Ends a claim in any way but done: each in its own transaction, before the slot is free.
//!
//! Most jobs end as `done`, and the fast path of `pump.rs` writes that. The statements here may have
//! to wait (for a newer job of the same key that is just being enqueued, for the statements of
//! `on_dead`) and must not hold up the acks.

use std::{
    borrow::Cow,
    time::{Duration, Instant},
};

use sqlx::PgConnection;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use crate::{
    Claim, ClaimId, DeadHook, JobId, JobState, MakeDeadError, backoff::Backoff, claim::connection::timed_out,
    database::Database, job::DeadReason, make_dead, settle::refusal::may_pass, storable,
};

pub(crate) mod dead_hook;
pub(crate) mod fence;
pub(crate) mod refusal;

/// How a claim ended, as stored in `job_attempts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "claim_outcome", rename_all = "snake_case")]
pub enum ClaimOutcome {
    /// The job is done: its run had its effect, or nothing to do.
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
    /// An operator or the host cancelled the job while it ran.
    Cancelled,
}

impl ClaimOutcome {
    /// The word that the database stores.
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

/// Replaces a text that the database refuses: see [`Ending::reworded`].
const REWORDED: &str = "how it ended cannot be stored; the worker's log has it";

/// What becomes of a running job that is not done. Texts and delays are made storable where they are written.
#[derive(Debug, Clone)]
pub(crate) enum Ending {
    /// Runs later; the attempt is not charged.
    Snoozed {
        /// The delay, counted from when this is written.
        after: Duration,
        /// The reason, kept for operators.
        why: String,
    },
    /// Runs later; the attempt is charged.
    Failed {
        /// The backoff, counted from when this is written.
        after: Duration,
        /// Failed, timed out or panicked.
        how: ClaimOutcome,
        /// The reason, kept for operators.
        why: String,
    },
    /// Ready at once, not charged: the worker stops.
    Released,
    /// Ready at once, charged, and a suspect: the worker went silent.
    Lost,
    /// Ready at once, not charged, and a suspect: the worker went silent, and had perhaps only buffered the job.
    LostAhead,
    /// Ends for good, as an operator asked. Only with `cancel_requested` set; otherwise the job is put back.
    Cancelled,
    /// Ends for good, as a dead letter.
    Dead {
        /// The reason, stored with the dead letter.
        reason: DeadReason,
        /// How the last claim ended, for `job_attempts`.
        how: ClaimOutcome,
        /// The job was claimed only to be made dead.
        uncharged: bool,
    },
}

impl Ending {
    fn delay(&self) -> Duration {
        match self {
            Self::Snoozed { after, .. } | Self::Failed { after, .. } => storable::delay(*after),
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

    fn message(&self) -> Option<Cow<'_, str>> {
        let message = match self {
            Self::Snoozed { why, .. } | Self::Failed { why, .. } => why,
            Self::Released => return None,
            Self::Lost => "the worker went silent and its lease ran out",
            Self::LostAhead => {
                "the worker went silent while it had this job in its buffer, or was just running it"
            }
            Self::Cancelled => "cancelled by request while it ran",
            Self::Dead { reason, .. } => &reason.message,
        };
        Some(storable::error_text(message))
    }

    /// The same ending with our own text: the database refused the original one.
    fn reworded(mut self) -> Self {
        match &mut self {
            Self::Snoozed { why, .. } | Self::Failed { why, .. } => REWORDED.clone_into(why),
            Self::Dead { reason, .. } => {
                *reason = DeadReason {
                    code: "unstorable".into(),
                    message: REWORDED.to_owned(),
                }
            }
            Self::Released | Self::Lost | Self::LostAhead | Self::Cancelled => {}
        }
        self
    }
}

/// Puts a running job back, or ends it if a cancellation was requested or it has a
/// successor. `None`: the claim is lost.
///
/// If a newer job of the same key is committed between this statement's snapshot and its write, the result is a
/// unique violation; the next try sees that job.
pub(crate) async fn requeue(
    db: &mut PgConnection,
    job: JobId,
    claim: ClaimId,
    ending: &Ending,
) -> Result<Option<JobState>, sqlx::Error> {
    let outcome = ending.outcome();
    let message = ending.message();
    let row = sqlx::query_file!(
        "src/sql/requeue.sql",
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
        message.as_deref(),
        matches!(ending, Ending::Lost | Ending::LostAhead),
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| row.state))
}

/// Writes endings, and tries again for as long as waiting can help.
pub(crate) struct Settler<'a> {
    pub database: &'a Database,
    pub dead_hook: &'a dyn DeadHook,
    /// Limit of one try; the worker gives a lease.
    pub limit: Duration,
}

impl Settler<'_> {
    /// How often a failing `on_dead` is tried before the job is put back with a delay.
    const HOOK_TRIES: u32 = 5;
    /// The delay after which a job whose `on_dead` kept failing is tried again.
    pub(crate) const HOOK_AGAIN_AFTER: Duration = Duration::from_secs(30);
    /// How often the database may refuse an ending before its text is replaced,
    /// and how often again before we give up.
    const REFUSALS: u32 = 3;
    /// For how many leases an ending is tried. If the heartbeat reaches the database and we do
    /// not, it would renew the lease for ever.
    const LEASES: u32 = 20;

    /// Writes the ending of a run. `None`: the claim is lost, or the ending could not be written. In the second case
    /// the lease runs out, and a sweep ends the claim as a silent worker's.
    pub(crate) async fn settle(&self, claim: &Claim, ending: Ending) -> Option<JobState> {
        let begun = Instant::now();
        let mut backoff = Backoff::new();
        let mut ending = ending;
        let (mut failed_hooks, mut refusals) = (0, 0);
        loop {
            let error = match timeout(self.limit, self.write(claim, &ending)).await {
                Ok(Ok(state)) => return state,
                Ok(Err(error)) => error,
                Err(_) => timed_out().into(),
            };
            let job = claim.job();
            match &error {
                MakeDeadError::OnDead(why) => {
                    failed_hooks += 1;
                    if failed_hooks >= Self::HOOK_TRIES {
                        error!(job.id = %job, "`on_dead` of job {job} fails ({why}); it is tried again later");
                        // Not charged: the next claim finds the attempts used up and gets here again.
                        ending = Ending::Snoozed {
                            after: Self::HOOK_AGAIN_AFTER,
                            why: format!("its on_dead failed: {why}"),
                        };
                        continue;
                    }
                }
                MakeDeadError::Database(refusal) if !may_pass(refusal) => {
                    refusals += 1;
                    if refusals == Self::REFUSALS {
                        error!(job.id = %job, "How job {job} ended is refused by the database ({refusal}) and is written without its text: {ending:?}");
                        ending = ending.reworded();
                    } else if refusals >= 2 * Self::REFUSALS {
                        error!(job.id = %job, "How job {job} ended is refused by the database ({refusal}): it is left to its lease");
                        return None;
                    }
                }
                MakeDeadError::Database(_) | MakeDeadError::Nobody(_) => {}
            }
            if !claim.holds_lease() {
                warn!(job.id = %job, "Could not write how job {job} ended before its lease ran out: {error}");
                return None;
            }
            if begun.elapsed() > self.limit * Self::LEASES {
                error!(job.id = %job, "Could not write how job {job} ended in {} leases: it is left to the one that runs: {error}", Self::LEASES);
                return None;
            }
            sleep(backoff.next()).await;
        }
    }

    async fn write(&self, claim: &Claim, ending: &Ending) -> Result<Option<JobState>, MakeDeadError> {
        if let Ending::Dead {
            reason,
            how,
            uncharged,
        } = ending
        {
            let mut tx = self.database.begin().await?;
            // A statement that waits for a lock occupies a connection that others need.
            sqlx::query!("set local lock_timeout = '2s'")
                .execute(&mut *tx)
                .await?;
            let dead = make_dead(
                &mut tx,
                claim.job(),
                claim.id(),
                reason,
                *how,
                *uncharged,
                self.dead_hook,
            )
            .await?;
            tx.commit().await?;
            return Ok(dead.then_some(JobState::Dead));
        }
        let mut tx = self.database.begin().await?;
        let state = requeue(&mut tx, claim.job(), claim.id(), ending).await?;
        tx.commit().await?;
        Ok(state)
    }
}
