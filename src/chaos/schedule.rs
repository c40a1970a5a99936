//! Which faults there are, and when a seed brings them. Pure: the same seed, duration and profile give the same list.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;

/// A run fails if one of its profile's kinds was injected less often.
pub const LEAST_OF_A_KIND: u32 = 3;
/// Planned beyond that of kinds that strike only when the right call comes by.
const SPARE: u32 = 1;
/// From which fraction of the duration to which, in thousandths, faults are planned: people must be there already,
/// and what was broken last must still have been broken under load.
const FROM: u64 = 60;
const TO: u64 = 900;

/// How much there is of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// What fits into a minute
    Pr,
    /// All there is
    Nightly,
}

impl Profile {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pr => "pr",
            Self::Nightly => "nightly",
        }
    }

    /// The kinds of this profile.
    pub fn kinds(self) -> impl Iterator<Item = Kind> {
        Kind::ALL
            .into_iter()
            .filter(move |kind| self == Self::Nightly || !kind.is_nightly_only())
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $name:literal,)+) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind { $($(#[doc = $doc])* $kind,)+ }

        impl Kind {
            /// All there are, layer by layer.
            pub const ALL: [Self; [$(Self::$kind),+].len()] = [$(Self::$kind),+];

            /// In schedules and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }
    };
}

kinds! {
    /// SIGKILL of a random process.
    Kill = "process: SIGKILL",
    /// SIGKILL between a call and its commit.
    FailpointKill = "process: SIGKILL at a failpoint",
    /// SIGSTOP between a call and its commit, for longer than the lease.
    FailpointStop = "process: SIGSTOP at a failpoint",
    /// SIGSTOP immediately before a submit's first byte, for longer than the lease (K12).
    StopBeforeFirstByte = "process: SIGSTOP before the submit's first byte",
    /// SIGKILL of web when a delivery is written and not committed: FAL must not have its 200.
    KillInDelivery = "process: SIGKILL before a delivery's commit",
    /// SIGSTOP for longer than the lease.
    Freeze = "process: SIGSTOP beyond the lease",
    /// SIGTERM under load.
    Terminate = "process: SIGTERM",
    /// Every process, one after the other.
    RollingRestart = "process: rolling restart",
    /// A worker whose clock is ten minutes off.
    ClockSkew = "process: clock skewed by 10 min",
    /// `pg_ctl stop -m immediate`, then start.
    PostgresCrash = "postgres: immediate stop",
    /// `pg_terminate_backend` of several sessions.
    BackendsTerminated = "postgres: backends terminated",
    /// All connections cut, none accepted for a moment.
    PostgresCut = "postgres: connections cut",
    /// Nothing comes through for a moment, and nothing says so.
    PostgresBlackHole = "postgres: black hole",
    /// 500 ms more for everything.
    PostgresLatency = "postgres: 500 ms latency",
    /// The server answers and takes no writes, as an old primary after a failover.
    PostgresReadOnly = "postgres: read-only",
    /// The connections that LISTEN go silent for good, and nothing says so.
    PostgresFreezesListeners = "postgres: listeners frozen",
    /// A session idle in a transaction keeps every dead row.
    PostgresLongSnapshot = "postgres: long snapshot",
    /// No connection to S3.
    S3Down = "s3: down",
    /// 400 ms more for everything.
    S3Slow = "s3: slow",
    /// Connections cut in the middle of a body.
    S3Truncates = "s3: truncating",
    /// Objects come back half as long, and the answer's length agrees.
    S3Shortens = "s3: answers shortened",
    /// 429 for a submit.
    FalBusy = "fal: 429",
    /// 500 to 504 for anything but a submit.
    FalUnavailable = "fal: 5xx",
    /// 502 for a submit, taken or not.
    FalSubmitUnknown = "fal: 5xx for a submit",
    /// 422 for a submit.
    FalRefuses = "fal: 422",
    /// 403 for a submit: the account is locked.
    FalLocked = "fal: 403 lock",
    /// 403 for an upload: the account is locked.
    FalLockedAtUpload = "fal: 403 lock at an upload",
    /// Texts and numbers that Postgres or JSON readers refuse, where nothing depends on them.
    FalDirty = "fal: dirty texts",
    /// A submit is taken, its answer never comes.
    FalLosesAnswer = "fal: answer lost after accept",
    /// A submit is taken, its answer is cut or no JSON.
    FalGarbage = "fal: garbage",
    /// A request waits in the queue for good.
    FalStuck = "fal: stuck in the queue",
    /// A request ends in an error.
    FalFails = "fal: failed run",
    /// COMPLETED, and no result is there.
    FalExpiredResult = "fal: expired result",
    /// The model's download breaks off.
    FalModelTruncated = "fal: model truncated",
    /// A webhook is never sent.
    WebhookDropped = "webhook: dropped",
    /// A webhook is sent five times.
    WebhookDuplicated = "webhook: duplicated",
    /// A webhook is overtaken by later ones.
    WebhookReordered = "webhook: reordered",
    /// A webhook comes before the submit's own answer.
    WebhookEarly = "webhook: early",
    /// A webhook comes long after polling has seen the end.
    WebhookLate = "webhook: late",
    /// Somebody else posts what looks like a delivery.
    WebhookForged = "webhook: forged",
    /// Connections that never finish the head of a request.
    SilentConnections = "web: silent connections",
    /// 429 for a message.
    TelegramBusy = "telegram: 429",
    /// 429 for a message, for as long as a whole run may not wait.
    TelegramLongBusy = "telegram: long 429",
    /// An error whose text holds a NUL.
    TelegramDirty = "telegram: dirty text",
    /// 403 for a message: the user blocked the bot.
    TelegramBlocked = "telegram: 403",
    /// 502 for anything.
    TelegramUnavailable = "telegram: 5xx",
    /// A message is delivered, the answer never comes.
    TelegramLosesAnswer = "telegram: answer lost",
    /// An update comes again.
    UpdateRedelivered = "telegram: update redelivered",
    /// An update that nobody can read.
    UpdateUnreadable = "telegram: unreadable update",
}

impl Kind {
    /// Needs nobody to come by.
    const fn always_strikes(self) -> bool {
        matches!(
            self,
            Self::Freeze
                | Self::RollingRestart
                | Self::PostgresCrash
                | Self::PostgresCut
                | Self::PostgresBlackHole
                | Self::PostgresLatency
                | Self::PostgresReadOnly
                | Self::PostgresLongSnapshot
                | Self::S3Down
                | Self::S3Slow
                | Self::S3Truncates
                | Self::S3Shortens
                | Self::UpdateUnreadable
        )
    }

    /// What does not fit into a minute beside all the others.
    const fn is_nightly_only(self) -> bool {
        matches!(
            self,
            Self::RollingRestart
                | Self::PostgresBlackHole
                | Self::S3Slow
                | Self::FalLocked
                | Self::FalStuck
                | Self::FalExpiredResult
        )
    }
}

/// One fault of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// From the beginning of the run.
    pub at: Duration,
    /// What.
    pub kind: Kind,
    /// Decides between the kind's variants, such as which process.
    pub pick: u64,
}

/// What a seed brings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The seed.
    pub seed: u64,
    /// In the order of time.
    pub faults: Vec<Planned>,
}

impl Schedule {
    /// Every kind of the profile as often, spread over the duration, each moment drawn from the seed.
    pub fn of(seed: u64, duration: Duration, profile: Profile) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let minutes = u32::try_from(duration.as_secs().div_ceil(60)).unwrap_or(1);
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (from, to) = (millis * FROM / 1000, millis * TO / 1000);
        let mut faults = Vec::new();
        for kind in profile.kinds() {
            let times = LEAST_OF_A_KIND.max(LEAST_OF_A_KIND * minutes * 2 / 3)
                + if kind.always_strikes() { 0 } else { SPARE };
            let share = (to - from) / u64::from(times);
            for nth in 0..u64::from(times) {
                faults.push(Planned {
                    at: Duration::from_millis(from + nth * share + dice.random_range(0..share.max(1))),
                    kind,
                    pick: dice.random(),
                });
            }
        }
        faults.sort_by_key(|fault| (fault.at, fault.kind));
        Self { seed, faults }
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seed {}: {} faults", self.seed, self.faults.len())?;
        for fault in &self.faults {
            write!(
                f,
                "\n  {:>6.2} s  {} (#{:04x})",
                fault.at.as_secs_f64(),
                fault.kind.name(),
                fault.pick & 0xffff
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_seed_gives_one_schedule_and_another_seed_another() {
        let one = Schedule::of(42, MINUTE, Profile::Pr);
        assert_eq!(one, Schedule::of(42, MINUTE, Profile::Pr));
        assert_ne!(one.faults, Schedule::of(43, MINUTE, Profile::Pr).faults);
    }

    #[test]
    fn every_kind_of_the_profile_is_planned_as_often_as_it_must_strike() {
        for (profile, duration) in [(Profile::Pr, 45), (Profile::Pr, 60), (Profile::Nightly, 90)] {
            let schedule = Schedule::of(1, Duration::from_secs(duration), profile);
            for kind in profile.kinds() {
                let planned = schedule.faults.iter().filter(|fault| fault.kind == kind).count();
                assert!(
                    planned >= LEAST_OF_A_KIND as usize,
                    "{} in {profile:?}",
                    kind.name()
                );
            }
            assert!(
                schedule
                    .faults
                    .iter()
                    .all(|fault| fault.at < Duration::from_secs(duration))
            );
            assert!(schedule.faults.is_sorted_by_key(|fault| fault.at));
        }
    }

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = Kind::ALL.map(Kind::name).into_iter().collect();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
