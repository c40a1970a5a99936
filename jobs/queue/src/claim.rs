//! A claim, from the side of the run that holds it: which job, which attempt, how long
//! the lease lasts, and whether to stop.
//!
//! # Must stay true
//! * The local lease ends no later than the database's: it is counted from before the statement that granted it.
//! * The first reason to end a claim stays. A claim that has ended never comes back.
//!
//! Times are `Moment`s of `boot_clock.rs`: that clock runs on while a signal has stopped the
//! process and while the machine is suspended.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};

use crate::{ClaimId, JobId, lease::boot_clock::BootInstant};

pub(crate) mod capacity;
pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod governed;
pub(crate) mod lane;
pub(crate) mod park;
pub(crate) mod prefetch;
pub(crate) mod pump;
pub(crate) mod release;
pub(crate) mod rest;
pub(crate) mod slots;

/// The right to run one job, for as long as the heartbeat renews its lease. Clones share one claim.
#[derive(Debug, Clone)]
pub struct Claim(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    job: JobId,
    id: ClaimId,
    attempt: u16,
    max_attempts: u16,
    claimed: BootInstant,
    age_at_claim: Duration,
    /// When the lease ends, on this machine's clock, as [`BootInstant::nanos`].
    lease_end: AtomicU64,
    ended: OnceLock<Interruption>,
    stop: CancellationToken,
}

/// Why a run must stop before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interruption {
    /// The lease ran out or another worker has the job: the run may write nothing more.
    Lost,
    /// An operator cancelled the job; the heartbeat saw it.
    Cancelled,
    /// The worker stops and the grace time is over.
    Released,
    /// The run took longer than the timeout of its kind.
    TimedOut,
}

/// What a claim statement returns about one job.
pub(crate) struct Grant {
    pub job: JobId,
    pub id: ClaimId,
    pub attempt: u16,
    pub max_attempts: u16,
    /// Time since the first enqueue, by the database's clock.
    pub age: Duration,
    /// When the claim statement was about to be sent: the lease is counted from here.
    pub claimed: BootInstant,
    pub lease: Duration,
}

impl Claim {
    pub(crate) fn new(grant: &Grant) -> Self {
        Self(Arc::new(Inner {
            job: grant.job,
            id: grant.id,
            attempt: grant.attempt,
            max_attempts: grant.max_attempts,
            claimed: grant.claimed,
            age_at_claim: grant.age,
            lease_end: AtomicU64::new((grant.claimed + grant.lease).nanos()),
            ended: OnceLock::new(),
            stop: CancellationToken::new(),
        }))
    }

    /// The id of the claimed job, as operators see it.
    pub fn job(&self) -> JobId {
        self.0.job
    }

    /// The fencing token: every later write about this run names it.
    pub fn id(&self) -> ClaimId {
        self.0.id
    }

    /// Which attempt this is, counted from 1.
    pub fn attempt(&self) -> u16 {
        self.0.attempt
    }

    /// The number of attempts after which the job is dead.
    pub fn max_attempts(&self) -> u16 {
        self.0.max_attempts
    }

    /// Whether the run should end now: the job was cancelled, it timed out, its lease is lost or the worker stops.
    /// The future of the run is dropped anyway; work on other threads has to ask.
    pub fn is_cancelled(&self) -> bool {
        self.0.stop.is_cancelled()
    }

    /// [`Claim::is_cancelled`] as a token, for blocking work that is handed one.
    pub fn stop_token(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Completes when [`Claim::is_cancelled`] turns true.
    pub fn cancelled(&self) -> WaitForCancellationFuture<'_> {
        self.0.stop.cancelled()
    }

    /// How long no other worker can have the job; zero when that is no longer certain. Ask immediately before an
    /// effect that cannot be taken back: a process that was frozen for longer than the lease reads zero here, even
    /// before any heartbeat has told it that the claim is lost (K12).
    pub fn lease_remaining(&self) -> Duration {
        if self.0.ended.get() == Some(&Interruption::Lost) {
            return Duration::ZERO;
        }
        BootInstant::from_nanos(self.0.lease_end.load(Ordering::Acquire)).since(BootInstant::now())
    }

    /// Whether [`Claim::lease_remaining`] is more than zero.
    pub fn holds_lease(&self) -> bool {
        !self.lease_remaining().is_zero()
    }

    /// Time since the job was first enqueued.
    pub(crate) fn age(&self) -> Duration {
        self.0.age_at_claim + self.0.claimed.elapsed()
    }

    /// Records that the heartbeat sent at `sent` has renewed the lease in the database.
    pub(crate) fn renewed(&self, sent: BootInstant, lease: Duration) {
        self.0
            .lease_end
            .fetch_max((sent + lease).nanos(), Ordering::AcqRel);
    }

    /// Ends the run. `false`: an earlier interruption has ended it, and its reason stays.
    pub(crate) fn interrupt(&self, why: Interruption) -> bool {
        let first = self.0.ended.set(why).is_ok();
        self.0.stop.cancel();
        first
    }

    /// Why the run was interrupted, if it was.
    pub(crate) fn interruption(&self) -> Option<Interruption> {
        self.0.ended.get().copied()
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn claim(lease: Duration) -> Claim {
        Claim::new(&Grant {
            job: JobId(1),
            id: ClaimId(Uuid::nil()),
            attempt: 1,
            max_attempts: 3,
            age: Duration::ZERO,
            claimed: BootInstant::now(),
            lease,
        })
    }

    #[test]
    fn a_lost_claim_holds_no_lease_whatever_is_renewed_later() {
        let claim = claim(Duration::from_mins(1));
        assert!(claim.holds_lease());
        assert!(claim.interrupt(Interruption::Lost));
        claim.renewed(BootInstant::now(), Duration::from_mins(1));
        assert!(!claim.holds_lease());
        assert!(claim.is_cancelled());
    }

    #[test]
    fn the_first_interruption_stays() {
        let claim = claim(Duration::from_mins(1));
        assert!(claim.interrupt(Interruption::Cancelled));
        assert!(!claim.interrupt(Interruption::Lost));
        assert_eq!(claim.interruption(), Some(Interruption::Cancelled));
    }

    #[test]
    fn an_older_heartbeat_never_shortens_a_lease() {
        let claim = claim(Duration::from_mins(1));
        claim.renewed(BootInstant::now(), Duration::from_secs(1));
        assert!(claim.lease_remaining() > Duration::from_secs(50));
    }

    #[test]
    fn a_lease_of_no_time_is_not_held() {
        assert!(!claim(Duration::ZERO).holds_lease());
    }
}
