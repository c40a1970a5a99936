#![doc = include_str!("../README.md")]
// If the process dies: its running jobs keep their leases, then any worker's sweep makes them ready again with the
// attempt charged.

use std::fmt;

use uuid::Uuid;

pub mod database;
pub mod enqueue;
pub mod job;
pub mod outage;
pub mod storable;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trace;

mod apalis;
mod backoff;
mod claim;
mod context;
mod engine;
mod lease;
mod operate;
mod periodic;
mod registry;
mod run;
mod settle;
mod wake;
mod worker;

pub use claim::Claim;
pub use claim::governed::{Rate, Rates};
pub use context::{Context, Run};
pub use operate::controls::{ControlChange, Controls, Limits, QueueControl};
pub use operate::dead_letters::{DeadReasonCount, Retried, Retry};
pub use operate::inspect::{Cancelled, JobFilter, JobHistory, JobRow, Operator, PastClaim, QueueCount};
pub use operate::keys::{count_waiting, forget, live_by_key, withdraw};
pub use operate::prune::{Keep, Stretch, prune_stretch};
pub use periodic::{BadPeriodic, CatchUp, Periodic, Schedule};
pub use registry::{Kind, Registry};
pub use settle::ClaimOutcome;
pub use settle::fence::{FenceError, complete_in, fence};
pub use worker::{Worker, WorkerError, WorkerOptions};

pub(crate) use self::apalis::attend;
pub(crate) use backoff::jittered;
pub(crate) use claim::Interruption;
pub(crate) use claim::capacity::Capacity;
#[cfg(feature = "testing")]
pub(crate) use claim::exchange::claim_one;
pub(crate) use claim::exchange::{Claimed, KnownKind, KnownKinds};
pub(crate) use claim::park::park_forever;
pub(crate) use claim::pump::Pump;
pub(crate) use claim::slots::{Assignment, Slots};
pub(crate) use engine::{Engine, Timing};
pub(crate) use lease::heartbeat::Heartbeat;
#[cfg(feature = "testing")]
pub(crate) use lease::sweep::rescue_expired;
pub(crate) use lease::sweep::{promote_forever, sweep_forever};
pub(crate) use operate::depth::sample_forever;
pub(crate) use operate::vacuum::vacuum_forever;
pub(crate) use periodic::{Timetable, tick_forever};
pub(crate) use settle::dead_hook::{DeadHook, MakeDeadError, make_dead};
pub(crate) use settle::{Ending, Settler, requeue};
pub(crate) use wake::listen::listen_forever;

/// The id of a job: `jobs.id`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize, sqlx::Type,
)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct JobId(pub i64);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fencing token of one claim statement: the worker's random boot id, then a counter. It is never used again
/// (K2), even if a crash of the server undoes a claim that a worker believes it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct ClaimId(pub Uuid);

/// The state of a job, in the database's words (`jobs.state`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "job_state", rename_all = "snake_case")]
pub enum JobState {
    /// Waits until `run_at`.
    Scheduled,
    /// Any worker may claim it.
    Ready,
    /// Claimed by one worker, which holds a lease on it.
    Running,
    /// Had its effect, or there was nothing to do.
    Done,
    /// Ended without success: a dead letter.
    Dead,
    /// Ended early, because an operator or the host cancelled it.
    Cancelled,
}

impl JobState {
    /// All states, in the order of a job's life.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Ready,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The word that the database stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended: it will not run again by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Cancelled)
    }
}

impl std::str::FromStr for JobState {
    type Err = UnknownState;

    fn from_str(name: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == name)
            .ok_or_else(|| UnknownState(name.to_owned()))
    }
}

/// A word that is none of [`JobState::ALL`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown state {0:?}: use scheduled, ready, running, done, dead or cancelled")]
pub struct UnknownState(pub String);

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
