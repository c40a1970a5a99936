//! When people arrive and how they behave: drawn from the seed like the faults. Arrivals do not wait for the
//! system, so a system that stands still has a crowd to serve afterwards. Pure.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

/// People who arrive per minute, each for one training. Each also makes pictures, so that it takes fewer of them to keep two
/// cores busy than when people only trained.
pub const ARRIVALS_PER_MINUTE: u32 = 90;
/// A run of the pr profile fails if fewer trainings per minute of its duration reached their end.
pub const FINISHED_PER_MINUTE: u32 = 70;
/// Separates this random sequence from the schedule's.
const OTHER_DICE: u64 = 0x5eed_0f9e_091e_0001;
const LATE_DICE: u64 = 0x5eed_0f9e_091e_0002;
/// The Telegram id of the first person: of ten digits, so that no other number in a row is taken for it.
const FIRST: i64 = 7_000_000_000;
/// Added to the ids of people who come late; larger than the number of people who come in time.
const LATECOMERS: i64 = 50_000;

/// What a person does about pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// Asks for none.
    None,
    /// Asks for some, and waits for them.
    Waits,
    /// Asks for some, and stops them when a button offers it.
    Stops,
}

/// What a person has deleted, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaves {
    /// Nothing.
    Stays,
    /// Everything, as soon as the training is started.
    InTraining,
    /// Everything, as soon as pictures are asked for.
    InAlbum,
    /// Everything, when all is done.
    Afterwards,
    /// The avatar, when all is done.
    WithoutAvatar,
}

/// The visit of one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visit {
    /// Time of arrival, from the beginning of the run.
    pub at: Duration,
    /// Telegram id of the person.
    pub id: i64,
    /// Whether they train a style instead of a portrait.
    pub style: bool,
    /// Whether they tap "start" twice.
    pub double_tap: bool,
    /// Whether they stop the training when a button offers it.
    pub stops: bool,
    /// What they do with the avatar when it is ready.
    pub pictures: Pictures,
    /// What they have deleted.
    pub leaves: Leaves,
}

/// People who arrive after the run's duration, while it goes on; times count from its end. None of [`visits`]
/// is among them.
pub fn latecomers(seed: u64, duration: Duration, per_minute: u32) -> Vec<Visit> {
    let late = |visit: Visit| Visit {
        id: visit.id + LATECOMERS,
        ..visit
    };
    visits(seed ^ LATE_DICE, duration, per_minute)
        .into_iter()
        .map(late)
        .collect()
}

/// All visits of a run, in the order of time.
pub fn visits(seed: u64, duration: Duration, per_minute: u32) -> Vec<Visit> {
    let mut dice = StdRng::seed_from_u64(seed ^ OTHER_DICE);
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let count = (u64::from(per_minute) * millis).div_ceil(60_000).max(1);
    let share = millis / count;
    let visit = |nth: u64| Visit {
        at: Duration::from_millis(nth * share + dice.random_range(0..share.max(1))),
        id: FIRST + i64::try_from(nth).unwrap_or(0),
        style: dice.random_bool(0.6),
        double_tap: dice.random_bool(0.2),
        stops: dice.random_bool(0.06),
        pictures: match dice.random_range(0..100) {
            0..36 => Pictures::Waits,
            36..40 => Pictures::Stops,
            _ => Pictures::None,
        },
        leaves: match dice.random_range(0..100) {
            0..3 => Leaves::InTraining,
            3..6 => Leaves::InAlbum,
            6..12 => Leaves::Afterwards,
            12..18 => Leaves::WithoutAvatar,
            _ => Leaves::Stays,
        },
    };
    (0..count).map(visit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_one_crowd_of_the_size_asked_for() {
        let minute = Duration::from_mins(1);
        let crowd = visits(7, minute, 120);
        assert_eq!(crowd, visits(7, minute, 120));
        assert_ne!(crowd, visits(8, minute, 120));
        assert_eq!(crowd.len(), 120);
        assert!(crowd.iter().all(|visit| visit.at < minute));
        assert!(crowd.is_sorted_by_key(|visit| visit.at));
        assert!(crowd.iter().any(|visit| visit.double_tap) && crowd.iter().any(|visit| visit.stops));
        for leaves in [
            Leaves::InTraining,
            Leaves::InAlbum,
            Leaves::Afterwards,
            Leaves::WithoutAvatar,
        ] {
            assert!(
                crowd.iter().any(|visit| visit.leaves == leaves),
                "{leaves:?}: {crowd:?}"
            );
        }
    }

    #[test]
    fn who_comes_late_was_not_there_before() {
        let minute = Duration::from_mins(1);
        let in_time: Vec<i64> = visits(7, minute, 120).iter().map(|visit| visit.id).collect();
        let late = latecomers(7, minute, 120);
        assert_eq!(late.len(), 120);
        assert!(late.iter().all(|visit| !in_time.contains(&visit.id)));
    }
}
