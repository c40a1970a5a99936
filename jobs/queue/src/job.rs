//! What a job is: a payload with a name, and the four ways a run can end.
//!
//! # Must stay true
//! * A payload holds ids only; a run reads everything else anew, so nothing in it goes stale.
//! * A run ends in one of four ways: [`Done`], or [`JobError`]'s snooze, retry, give up. Which one an error of the host means
//!   is decided in that error's `From` impl, once, never in a job.

use std::{fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

/// Which workers take a job: a queue is sized by the thing that it is bound by. The host has one constant for each of its
/// queues; to the engine a queue is a name and nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue(&'static str);

impl Queue {
    /// Most jobs of one queue that a worker may claim beyond its slots: their leases are renewed in one statement.
    pub const MOST_PREFETCHED: usize = 5000;

    /// The queue of this name. It is stored in `jobs.queue`, so renaming it is a migration.
    pub const fn named(name: &'static str) -> Self {
        Self(name)
    }

    /// The name stored in `jobs.queue`, used on the command line and in metrics.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// How a kind is tried, timed and ranked. Lives in code, not in the row, so that a deploy changes it at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Runs that may be charged before the job is dead. At least 1.
    pub max_attempts: u16,
    /// Delay before the second attempt; doubles with each further one.
    pub backoff_first: Duration,
    /// The delay never grows beyond this. The engine spreads each delay by ±20 %.
    pub backoff_cap: Duration,
    /// A run that takes longer is stopped and counts as failed (transient).
    pub timeout: Duration,
    /// Higher goes first within a queue. 0 is ordinary.
    pub priority: i16,
    /// Time from the first enqueue after which a snooze is no longer granted but counts as give up.
    pub snooze_cap: Duration,
}

impl Policy {
    /// `max_attempts` tries, 2 s to 5 min of backoff, one minute a run, snoozing for at most a day.
    pub const fn attempts(max_attempts: u16) -> Self {
        assert!(max_attempts > 0, "a job needs at least one attempt");
        Self {
            max_attempts,
            backoff_first: Duration::from_secs(2),
            backoff_cap: Duration::from_mins(5),
            timeout: Duration::from_mins(1),
            priority: 0,
            snooze_cap: Duration::from_hours(24),
        }
    }

    /// First delay and cap of the exponential backoff.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, cap: Duration) -> Self {
        self.backoff_first = first;
        self.backoff_cap = cap;
        self
    }

    /// A run that takes longer is stopped and counts as failed.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Higher goes first within the queue.
    #[must_use]
    pub const fn priority(mut self, priority: i16) -> Self {
        // The lowest of all marks parked jobs.
        self.priority = if priority == i16::MIN {
            i16::MIN + 1
        } else {
            priority
        };
        self
    }

    /// Longest time a job of this kind may be put off by snoozes.
    #[must_use]
    pub const fn snooze_cap(mut self, cap: Duration) -> Self {
        self.snooze_cap = cap;
        self
    }

    /// The delay before the attempt after `attempt` failed ones (1-based), without jitter.
    pub fn delay_after(&self, attempt: u16) -> Duration {
        let doublings = u32::from(attempt.saturating_sub(1)).min(30);
        self.backoff_first
            .saturating_mul(1 << doublings)
            .min(self.backoff_cap)
    }
}

/// While a job with this key is live, a second enqueue is a value ([`crate::enqueue::Enqueued::AlreadyLive`]), not a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeKey {
    /// The key, unique among the live jobs of the kind.
    pub key: String,
    /// From when a further enqueue makes a new row.
    pub scope: DedupeScope,
}

/// How long a dedupe key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "dedupe_scope", rename_all = "snake_case")]
pub enum DedupeScope {
    /// Until the job has ended: for work that is done once.
    UntilDone,
    /// Until a worker has started it: for coalescing kinds, where news that arrives after a running job has
    /// read must cause another run. One of the key runs at a time.
    UntilStarted,
}

impl DedupeKey {
    /// Taken until the job has ended.
    pub fn until_done(key: impl fmt::Display) -> Self {
        Self {
            key: key.to_string(),
            scope: DedupeScope::UntilDone,
        }
    }

    /// Taken until the job is claimed.
    pub fn until_started(key: impl fmt::Display) -> Self {
        Self {
            key: key.to_string(),
            scope: DedupeScope::UntilStarted,
        }
    }
}

/// A payload that can be enqueued.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Stored in rows: renaming it is a migration.
    const NAME: &'static str;
    /// Version of the payload's shape that this binary writes, and the highest that it reads.
    const VERSION: i16 = 1;
    /// The queue it waits in.
    const QUEUE: Queue;
    /// Attempts, backoff, timeout and priority of the kind.
    const POLICY: Policy;

    /// The lowest version of a worker that can do this one: less than [`Job::VERSION`] where an older worker can as well.
    fn version(&self) -> i16 {
        Self::VERSION
    }

    /// What makes two of them the same work.
    fn dedupe_key(&self) -> Option<DedupeKey>;
}

/// A run that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The run had its effect; the engine acks the job.
    Applied,
    /// There was nothing to do; the sentence says why and is logged.
    Skipped(&'static str),
    /// Its effect and its end were committed together by [`Context::complete_in`](crate::Context::complete_in); nothing is left to ack.
    Committed,
}

/// The run did not finish; says what becomes of the job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Not now, and nobody's fault: run again after `after`, no attempt charged.
    #[error("snoozed for {after:?}: {why}")]
    Snooze {
        /// The delay, from now on.
        after: Duration,
        /// The reason, kept in the job's history.
        why: String,
    },
    /// A transient failure: the attempt is charged, the backoff decides when it runs again.
    #[error("{why}")]
    Retry {
        /// The reason, kept in the job's history.
        why: String,
        /// A floor for the backoff, when the other side named one.
        not_before: Option<Duration>,
    },
    /// A permanent failure: the job is dead, `on_dead` is called.
    #[error("{}", .0.message)]
    GiveUp(DeadReason),
    /// The claim is no longer ours: whoever has the job now decides, nothing is written.
    #[error("the claim is lost")]
    Lost,
}

impl JobError {
    /// A [`JobError::Snooze`].
    pub fn snooze(after: Duration, why: impl fmt::Display) -> Self {
        Self::Snooze {
            after,
            why: why.to_string(),
        }
    }

    /// A [`JobError::Retry`] without a floor for the backoff.
    pub fn retry(why: impl fmt::Display) -> Self {
        Self::Retry {
            why: why.to_string(),
            not_before: None,
        }
    }

    /// See [`JobError::GiveUp`]. `code` is stable and short, `message` is for operators.
    pub fn give_up(code: &'static str, message: impl fmt::Display) -> Self {
        Self::GiveUp(DeadReason {
            code: code.into(),
            message: message.to_string(),
        })
    }
}

/// A database that does not answer is transient by nature; a query that does not fit the schema is a bug that
/// a deploy mends, so it is tried again as well.
impl From<sqlx::Error> for JobError {
    fn from(error: sqlx::Error) -> Self {
        Self::retry(format_args!("database: {error}"))
    }
}

/// Why a job is dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadReason {
    /// Stable: dead letters are grouped by it. The engine's own: `attempts_exhausted`, `worker_lost`,
    /// `undecodable`, `snoozed_too_long`.
    pub code: std::borrow::Cow<'static, str>,
    /// What happened, for operators.
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backoff_doubles_up_to_its_cap() {
        let policy = Policy::attempts(9).backoff(Duration::from_secs(2), Duration::from_secs(10));
        let delays: Vec<_> = (1..=5)
            .map(|attempt| policy.delay_after(attempt).as_secs())
            .collect();
        assert_eq!(delays, [2, 4, 8, 10, 10]);
        assert_eq!(policy.delay_after(u16::MAX), Duration::from_secs(10));
    }
}
