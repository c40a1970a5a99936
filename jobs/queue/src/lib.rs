#![doc = include_str!("../README.md")]
// If the process dies here: its running jobs keep their lease, then any worker's sweep makes them ready again with the
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
mod boot_clock;
mod bury;
mod claim;
mod clock;
mod context;
mod controls;
mod dead_letters;
mod depth;
mod engine;
mod exchange;
mod fence;
mod governed;
mod heartbeat;
mod inspect;
mod keys;
mod lane;
mod link;
mod listen;
mod park;
mod periodic;
mod prune;
mod pump;
mod refusal;
mod registry;
mod release;
mod rest;
mod room;
mod run;
mod settle;
mod slots;
mod sweep;
mod vacuum;
mod wake;
mod worker;

pub use claim::Claim;
pub use context::{Context, Run};
pub use controls::{ControlChange, Controls, Limits, QueueControl};
pub use dead_letters::{DeadReasonCount, Retried, Retry};
pub use fence::{FenceError, complete_in, fence};
pub use governed::{Rate, Rates};
pub use inspect::{Cancelled, JobFilter, JobHistory, JobRow, Operator, PastClaim, QueueCount};
pub use keys::{live_by_key, withdraw};
pub use periodic::{BadPeriodic, CatchUp, Periodic, Schedule};
pub use prune::{Keep, Stretch, prune_stretch};
pub use registry::{Kind, Registry};
pub use settle::ClaimOutcome;
pub use worker::{Worker, WorkerError, WorkerOptions};

pub(crate) use self::apalis::attend;
pub(crate) use backoff::jittered;
pub(crate) use bury::{BurialError, Undertaker, bury};
pub(crate) use claim::Interruption;
pub(crate) use depth::sample_forever;
pub(crate) use engine::{Engine, Timing};
#[cfg(feature = "testing")]
pub(crate) use exchange::claim_one;
pub(crate) use exchange::{Claimed, Known, KnownKind};
pub(crate) use heartbeat::Heartbeat;
pub(crate) use listen::listen_forever;
pub(crate) use park::park_forever;
pub(crate) use periodic::{Timetable, tick_forever};
pub(crate) use pump::Pump;
pub(crate) use room::Room;
pub(crate) use settle::{Ending, Settler, requeue};
pub(crate) use slots::{Assignment, Slots};
#[cfg(feature = "testing")]
pub(crate) use sweep::rescue_expired;
pub(crate) use sweep::{promote_forever, sweep_forever};
pub(crate) use vacuum::vacuum_forever;

/// `jobs.id`.
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

/// Fencing token of one claim statement: the worker's random boot id, then a counter. Never reused (K2), also when
/// a crash of the server takes back a claim that a worker believes to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, sqlx::Type)]
#[serde(transparent)]
#[sqlx(transparent)]
pub struct ClaimId(pub Uuid);

/// Where a job is. The same words as in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "job_state", rename_all = "snake_case")]
pub enum JobState {
    /// Waits for its time.
    Scheduled,
    /// May be claimed.
    Ready,
    /// Claimed by one worker.
    Running,
    /// Had its effect, or there was nothing to do.
    Done,
    /// A dead letter.
    Dead,
    /// Ended by request.
    Cancelled,
}

impl JobState {
    /// Every one of them, in the order of a life.
    pub const ALL: [Self; 6] = [
        Self::Scheduled,
        Self::Ready,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The word in the database.
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

    /// Nothing follows.
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
