//! A job is a payload with a name. Its run ends in one of four ways.
//!
//! # Must stay true
//! * A payload holds ids only. A run reads everything else anew, so no payload goes stale.
//! * A run ends in one of four ways: [`Done`], or [`JobError`]'s snooze, retry and give up. The `From` impl of an
//!   error type of the host decides once which of them it means, never a job.

use std::{fmt, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

/// The queue that a job waits in. Each queue is sized by the resource that limits its jobs. The host has one constant
/// for each queue; to the engine a queue is only a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Queue(&'static str);

impl Queue {
    /// Most jobs of one queue that a worker may claim beyond its slots: all
    /// their leases are renewed in one statement.
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

/// How often, how fast and in which order jobs of a kind are tried. Lives in code, not in the
/// row, so that a deploy changes it at once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// Runs that may be charged before the job is dead. At least 1.
    pub max_attempts: u16,
    /// Delay before the second attempt. It doubles with each further one.
    pub backoff_first: Duration,
    /// Longest delay. The engine spreads each delay by ±20 %.
    pub backoff_cap: Duration,
    /// A run that takes longer is stopped and counts as a transient failure.
    pub timeout: Duration,
    /// Higher goes first within a queue. 0 is ordinary.
    pub priority: i16,
    /// A snooze that would end later than this after the first enqueue is a give up instead.
    pub snooze_cap: Duration,
}

impl Policy {
    /// `max_attempts` attempts, 2 s to 5 min of backoff, one minute a run, snoozes for at most a day.
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

    /// Sets the first delay and the longest delay of the exponential backoff.
    #[must_use]
    pub const fn backoff(mut self, first: Duration, cap: Duration) -> Self {
        self.backoff_first = first;
        self.backoff_cap = cap;
        self
    }

    /// Sets how long a run may take; then it is stopped and counts as failed.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets the priority. Higher goes first within the queue.
    #[must_use]
    pub const fn priority(mut self, priority: i16) -> Self {
        // The lowest number marks parked jobs.
        self.priority = if priority == i16::MIN {
            i16::MIN + 1
        } else {
            priority
        };
        self
    }

    /// Sets the longest time that snoozes may put off a job of this kind.
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

/// What makes two enqueues the same work. While a job with this key is live, a second enqueue adds no row
/// ([`crate::enqueue::Enqueued::AlreadyLive`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DedupeKey {
    /// The key, unique among the live jobs of the kind.
    pub key: String,
    /// Until when the key is taken.
    pub scope: DedupeScope,
}

/// Until when a dedupe key is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "dedupe_scope", rename_all = "snake_case")]
pub enum DedupeScope {
    /// When the job has ended: for work that is done once.
    UntilDone,
    /// When a worker has started the job: for coalescing kinds, where a change made after a running job has read the
    /// state must cause another run. Only one job of the key runs at a time.
    UntilStarted,
}

impl DedupeKey {
    /// A key that is taken until the job has ended.
    pub fn until_done(key: impl fmt::Display) -> Self {
        Self {
            key: key.to_string(),
            scope: DedupeScope::UntilDone,
        }
    }

    /// A key that is taken until the job is claimed.
    pub fn until_started(key: impl fmt::Display) -> Self {
        Self {
            key: key.to_string(),
            scope: DedupeScope::UntilStarted,
        }
    }
}

/// A payload that can be enqueued.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The kind's name in `jobs.kind`: renaming it is a migration.
    const NAME: &'static str;
    /// Version of the payload's shape that this binary writes, and the highest that it reads.
    const VERSION: i16 = 1;
    /// The queue that jobs of the kind wait in.
    const QUEUE: Queue;
    /// Attempts, backoff, timeout and priority of the kind.
    const POLICY: Policy;

    /// The lowest payload version that a worker must know to run this job. Less than [`Job::VERSION`]
    /// if an older worker can run it as well.
    fn version(&self) -> i16 {
        Self::VERSION
    }

    /// The dedupe key of this job. `None`: no two jobs are the same work.
    fn dedupe_key(&self) -> Option<DedupeKey>;
}

/// The result of a run that ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The run had its effect; the engine acks the job.
    Applied,
    /// There was nothing to do. The sentence says why, and is logged.
    Skipped(&'static str),
    /// The effect and the end of the job were committed together by
    /// [`Context::complete_in`](crate::Context::complete_in); there is nothing left to ack.
    Committed,
}

/// A run that did not end well, and what the engine does with the job.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// It cannot run now, and that is no failure: it runs again after `after`, without a charged attempt.
    #[error("snoozed for {after:?}: {why}")]
    Snooze {
        /// The delay, counted from the end of the run.
        after: Duration,
        /// The reason, kept in the job's history.
        why: String,
    },
    /// A transient failure: the attempt is charged, and the job runs again after the backoff.
    #[error("{why}")]
    Retry {
        /// The reason, kept in the job's history.
        why: String,
        /// Least delay, if the other side named one (`Retry-After`). `None`: the backoff alone decides.
        not_before: Option<Duration>,
    },
    /// A permanent failure: the job becomes dead, and `on_dead` is called.
    #[error("{}", .0.message)]
    GiveUp(DeadReason),
    /// The claim is lost, so nothing is written: another worker may have the job now.
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

    /// A [`JobError::GiveUp`]. `code` is short and stable, `message` is for operators.
    pub fn give_up(code: &'static str, message: impl fmt::Display) -> Self {
        Self::GiveUp(DeadReason {
            code: code.into(),
            message: message.to_string(),
        })
    }
}

/// Retried: a database that does not answer comes back, and a query that does not fit
/// the schema is a bug that a deploy fixes.
impl From<sqlx::Error> for JobError {
    fn from(error: sqlx::Error) -> Self {
        Self::retry(format_args!("database: {error}"))
    }
}

/// Why a job is dead, as its row and `aisha dlq` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadReason {
    /// Stable: dead letters are grouped by it. The engine's own codes: `attempts_exhausted`,
    /// `worker_lost`, `undecodable`, `snoozed_too_long`.
    pub code: std::borrow::Cow<'static, str>,
    /// What happened, in words for operators.
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
