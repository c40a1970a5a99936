//! The kinds of faults, and when a seed injects them. Pure: the same seed, duration and profile give the same
//! list.

use std::{fmt, time::Duration};

use clap::ValueEnum;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use serde::Serialize;

/// A run fails if a kind of its profile struck less often.
pub const LEAST_OF_A_KIND: u32 = 3;
/// Additional faults that are planned of kinds that strike only if the right call comes.
const SPARE: u32 = 1;
/// The part of the duration, in thousandths, in which faults are planned. People must be there before the
/// first, and the system must still be under load after the last.
const FROM: u64 = 60;
const TO: u64 = 900;

/// How many kinds of faults a run has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// The faults that fit into a minute
    Pr,
    /// All faults
    Nightly,
}

impl Profile {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pr => "pr",
            Self::Nightly => "nightly",
        }
    }

    /// The kinds that this profile injects.
    pub fn kinds(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::ALL
            .into_iter()
            .filter(move |kind| self == Self::Nightly || !kind.is_nightly_only())
    }
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $name:literal,)+) => {
        /// A kind of fault.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FaultKind { $($(#[doc = $doc])* $kind,)+ }

        impl FaultKind {
            /// All kinds, by the part that they strike.
            pub const ALL: [Self; [$(Self::$kind),+].len()] = [$(Self::$kind),+];

            /// The name in schedules and reports.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }
        }
    };
}

kinds! {
    /// Ends a random process with SIGKILL.
    Kill = "process: SIGKILL",
    /// Ends a process with SIGKILL between a call and its commit.
    FailpointKill = "process: SIGKILL at a failpoint",
    /// Stops a process between a call and its commit, for longer than the lease.
    FailpointStop = "process: SIGSTOP at a failpoint",
    /// Stops a worker just before the first byte of a submit, for longer than the lease (K12).
    StopBeforeFirstByte = "process: SIGSTOP before the submit's first byte",
    /// Ends web with SIGKILL when a delivery is written and not committed: FAL must not get a 200.
    KillInDelivery = "process: SIGKILL before a delivery's commit",
    /// Stops a process for longer than the lease.
    Freeze = "process: SIGSTOP beyond the lease",
    /// Ends a process with SIGTERM under load.
    Terminate = "process: SIGTERM",
    /// Restarts every process, one after the other.
    RollingRestart = "process: rolling restart",
    /// Restarts a worker with a clock that is ten minutes off.
    ClockSkew = "process: clock skewed by 10 min",
    /// Runs `pg_ctl stop -m immediate`, then starts the server.
    PostgresCrash = "postgres: immediate stop",
    /// Terminates several sessions with `pg_terminate_backend`.
    BackendsTerminated = "postgres: backends terminated",
    /// Cuts all connections and accepts none for a moment.
    PostgresCut = "postgres: connections cut",
    /// Passes nothing on for a moment, without an error.
    PostgresBlackHole = "postgres: black hole",
    /// Delays everything by 500 ms.
    PostgresLatency = "postgres: 500 ms latency",
    /// Lets the server answer but refuse writes, as an old primary does after a failover.
    PostgresReadOnly = "postgres: read-only",
    /// Silences the connections that LISTEN for good, without an error.
    PostgresFreezesListeners = "postgres: listeners frozen",
    /// Keeps every dead row by a session that is idle in a transaction.
    PostgresLongSnapshot = "postgres: long snapshot",
    /// Refuses connections to S3.
    S3Down = "s3: down",
    /// Delays everything by 400 ms.
    S3Slow = "s3: slow",
    /// Cuts connections in the middle of a body.
    S3Truncates = "s3: truncating",
    /// Returns objects that are half as long, with a length that agrees.
    S3Shortens = "s3: answers shortened",
    /// Answers a submit with 429.
    FalBusy = "fal: 429",
    /// Answers any call but a submit with 500 to 504.
    FalUnavailable = "fal: 5xx",
    /// Answers a submit, accepted or not, with 502.
    FalSubmitUnknown = "fal: 5xx for a submit",
    /// Answers a submit with 422.
    FalRefuses = "fal: 422",
    /// Answers a submit with 403: the account is locked.
    FalLocked = "fal: 403 lock",
    /// Answers an upload with 403: the account is locked.
    FalLockedAtUpload = "fal: 403 lock at an upload",
    /// Sends texts and numbers that Postgres or JSON readers refuse, in fields that nothing depends on.
    FalDirty = "fal: dirty texts",
    /// Accepts a submit and never answers.
    FalLosesAnswer = "fal: answer lost after accept",
    /// Accepts a submit; its answer is cut or is not JSON.
    FalGarbage = "fal: garbage",
    /// Leaves a request in the queue for ever.
    FalStuck = "fal: stuck in the queue",
    /// Ends a request with an error.
    FalFails = "fal: failed run",
    /// Ends a request as COMPLETED without a result.
    FalExpiredResult = "fal: expired result",
    /// Breaks the download of the model off.
    FalModelTruncated = "fal: model truncated",
    /// Ends a request for pictures well, without any.
    FalNoPictures = "fal: no pictures",
    /// Flags the pictures as unsafe, and returns them black.
    FalFlagsPictures = "fal: flagged pictures",
    /// Returns a picture that is cut off, an error page, or of another size.
    FalSpoilsPicture = "fal: spoilt picture",
    /// Denies for a moment that a picture is there.
    FalPictureGone = "fal: picture gone for a while",
    /// Never sends a webhook.
    WebhookDropped = "webhook: dropped",
    /// Sends a webhook five times.
    WebhookDuplicated = "webhook: duplicated",
    /// Sends a webhook after later ones.
    WebhookReordered = "webhook: reordered",
    /// Sends a webhook before the submit is answered.
    WebhookEarly = "webhook: early",
    /// Sends a webhook long after polling has seen the end.
    WebhookLate = "webhook: late",
    /// Posts a forged delivery.
    WebhookForged = "webhook: forged",
    /// Opens connections that never finish the head of a request.
    SilentConnections = "web: silent connections",
    /// Answers a message with 429.
    TelegramBusy = "telegram: 429",
    /// Answers a message with 429, with a wait so long that no whole run may wait for it.
    TelegramLongBusy = "telegram: long 429",
    /// Answers with an error whose text contains a NUL.
    TelegramDirty = "telegram: dirty text",
    /// Answers a message with 403: the user blocked the bot.
    TelegramBlocked = "telegram: 403",
    /// Answers any call with 502.
    TelegramUnavailable = "telegram: 5xx",
    /// Delivers a message and never answers.
    TelegramLosesAnswer = "telegram: answer lost",
    /// Delivers pictures and never answers.
    TelegramLosesPictures = "telegram: answer to pictures lost",
    /// Sends an update again.
    UpdateRedelivered = "telegram: update redelivered",
    /// Sends an update that cannot be decoded.
    UpdateUnreadable = "telegram: unreadable update",
}

impl FaultKind {
    /// Whether it strikes without a call of the right kind.
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

    /// Whether it does not fit into a minute beside all the others.
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

/// A fault in a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Time from the beginning of the run.
    pub at: Duration,
    /// The kind of fault.
    pub kind: FaultKind,
    /// Random number that chooses between the kind's variants, such as the process.
    pub pick: u64,
}

/// The faults of a seed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultSchedule {
    /// The seed that it was made from.
    pub seed: u64,
    /// The faults in the order of time.
    pub faults: Vec<Planned>,
}

impl FaultSchedule {
    /// Plans every kind of the profile equally often, spread over the duration, with each moment drawn from
    /// the seed.
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

impl fmt::Display for FaultSchedule {
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
        let one = FaultSchedule::of(42, MINUTE, Profile::Pr);
        assert_eq!(one, FaultSchedule::of(42, MINUTE, Profile::Pr));
        assert_ne!(one.faults, FaultSchedule::of(43, MINUTE, Profile::Pr).faults);
    }

    #[test]
    fn every_kind_of_the_profile_is_planned_as_often_as_it_must_strike() {
        for (profile, duration) in [(Profile::Pr, 45), (Profile::Pr, 60), (Profile::Nightly, 90)] {
            let schedule = FaultSchedule::of(1, Duration::from_secs(duration), profile);
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
        let names: HashSet<_> = FaultKind::ALL.map(FaultKind::name).into_iter().collect();
        assert_eq!(names.len(), FaultKind::ALL.len());
    }
}
