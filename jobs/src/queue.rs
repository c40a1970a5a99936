//! The queue engine: rows of `jobs`, moved safely between any number of workers.
//!
//! It knows neither payloads nor what a job does; [`crate::runtime`] joins it with those. Postgres is the queue:
//! what is not committed there has not happened.
//!
//! # Must stay true
//! * Every write after a claim names job and claim; zero rows means that the claim is lost, and is a value.
//! * Leases are on database time; [`Claim::lease_remaining`] is on this machine's own clock and never later.
//! * The attempt is charged at the claim and given back by a snooze or a release, never charged afterwards; a claim
//!   ahead of the slots also by a crash, after which the job is under suspicion and runs alone (K3).
//! * A `done` is durable before its slot is free.
//! * No error of the database ends a loop (Q18): it is waited out with backoff. Only what may pass is: an ending that
//!   the database refuses is mended, then reworded, then left to its lease (Q23).
//!
//! # If the process dies here
//! Its running jobs keep their lease, then any worker's sweep makes them ready again with the attempt charged.
//!
//! Read next: `migrations/*_create_jobs.sql`, then `pump.rs` (claims and acks), `slots.rs`, `settle.rs` (every other end),
//! `governed.rs` (pauses, limits, rates, turns), `park.rs`, `clock.rs`, `heartbeat.rs`, `sweep.rs` (rescue and promotion),
//! `vacuum.rs`, `wake.rs` (no lost wake-up), `listen.rs`, `periodic.rs`, `apalis.rs`.

use std::fmt;

use uuid::Uuid;

mod apalis;
mod backoff;
mod boot_clock;
mod bury;
mod claim;
mod clock;
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
mod release;
mod rest;
mod room;
mod settle;
mod slots;
mod sweep;
mod vacuum;
mod wake;

pub use claim::Claim;
pub use controls::{ControlChange, Controls, Limits, QueueControl};
pub use dead_letters::{DeadReasonCount, Retried, Retry};
pub use fence::FenceError;
pub use governed::{Rate, Rates};
pub use inspect::{Cancelled, JobFilter, JobHistory, JobRow, Operator, PastClaim, QueueCount};
pub use periodic::{BadPeriodic, CatchUp, Periodic, Schedule};
pub use prune::{Keep, Stretch, prune_stretch};
pub use settle::ClaimOutcome;

pub(crate) use self::apalis::attend;
pub(crate) use backoff::jittered;
pub(crate) use bury::{BurialError, Undertaker, bury};
pub(crate) use claim::Interruption;
pub(crate) use depth::sample_forever;
pub(crate) use engine::{Engine, Timing};
pub(crate) use exchange::{Claimed, Known, KnownKind, claim_one};
pub(crate) use fence::{complete_in, complete_in as complete, fence};
pub(crate) use governed::{hold_back, let_speak};
pub(crate) use heartbeat::Heartbeat;
pub(crate) use keys::{live_by_key, withdraw};
pub(crate) use listen::listen_forever;
pub(crate) use park::park_forever;
pub(crate) use periodic::{Timetable, tick_forever};
pub(crate) use pump::Pump;
pub(crate) use room::Room;
pub(crate) use settle::{Ending, Settler, requeue};
pub(crate) use slots::{Assignment, Slots};
pub(crate) use sweep::{promote_forever, rescue_expired, sweep_forever};
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
