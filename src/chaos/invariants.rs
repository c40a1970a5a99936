//! The invariants I1 to I13 as pure functions of [`Evidence`] and of what was injected.
//!
//! `docs/chaos.md`, "Invariants", says what each of them means.

mod deletions;
mod deliveries;
pub(super) mod ends;
mod pictures;
pub(super) mod submits;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;

pub use super::evidence::Evidence;
use super::{
    evidence::LostClaim,
    neighbours::{BOUND, Served},
};
pub use ends::Unwinnable;

/// Upper limit for rescuing a job of a killed worker: lease 3 s, sweep 1 s, and time for outages of Postgres
/// and a busy machine.
pub const RECOVERY_BOUND: Duration = Duration::from_secs(30);
/// Limit for calls to FAL per training or request for pictures: archive, submit, polls, model or pictures, and retries under
/// faults.
const FAL_CALLS_PER_ORDER: u64 = 60;
/// Limit for calls to Telegram per training or request for pictures: ten photos with two calls each, the wizard, edits, and
/// retries under faults.
const TELEGRAM_CALLS_PER_ORDER: u64 = 120;

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Violation {
    /// Number of the invariant, `I1` to `I13`.
    pub invariant: &'static str,
    /// What was found, in words.
    pub what: String,
}

impl Violation {
    fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self {
            invariant,
            what: what.into(),
        }
    }
}

/// Facts about the run itself that the invariants depend on.
#[derive(Debug, Clone, Default)]
pub struct Deeds {
    /// How many dead letters and failed trainings the faults explain.
    pub unwinnable: Unwinnable,
    /// HTTP statuses of the answers to forged deliveries.
    pub forged_answers: Vec<u16>,
    /// Workers that were killed: process id and time.
    pub killed: Vec<(u32, DateTime<Utc>)>,
    /// What was still under way when the time to come to rest was over; `None`: the system came to rest.
    pub unrest: Option<String>,
    /// How fast people were served who were not affected by the last faults.
    pub served: Vec<Served>,
}

/// Checks the invariants that hold at any time.
pub fn check_running(evidence: &Evidence) -> Vec<Violation> {
    let mut found = submits::accepted_once(evidence);
    found.extend(ends::nobody_commits_twice(evidence));
    found.extend(deliveries::none_is_forged(evidence, &[]));
    found
}

/// Checks all invariants; the system must be at rest.
pub fn check_at_rest(evidence: &Evidence, deeds: &Deeds) -> Vec<Violation> {
    let mut found = ends::everything_ends(evidence, deeds.unrest.as_deref());
    found.extend(pictures::albums_end(evidence));
    found.extend(pictures::albums_are_told_once(evidence));
    found.extend(pictures::pictures_are_their_own(evidence));
    found.extend(pictures::stored_means_there(evidence));
    found.extend(deletions::nothing_is_left(evidence));
    found.extend(submits::accepted_once(evidence));
    found.extend(submits::results_are_their_own(evidence));
    found.extend(ends::ends_are_told(evidence));
    found.extend(submits::completed_means_verified(evidence));
    found.extend(ends::dead_letters_are_explained(evidence, &deeds.unwinnable));
    found.extend(ends::nobody_is_blamed(evidence));
    found.extend(ends::nobody_commits_twice(evidence));
    found.extend(deliveries::acknowledged_means_stored(evidence));
    found.extend(deliveries::none_is_forged(evidence, &deeds.forged_answers));
    found.extend(recovers(evidence, deeds));
    found.extend(no_storm(evidence));
    found.extend(the_unconcerned_are_served(&deeds.served));
    found.sort();
    found.dedup();
    found
}

/// Seconds from each SIGKILL to each new claim of a job that the worker held.
pub fn recoveries(evidence: &Evidence, deeds: &Deeds) -> Vec<f64> {
    seconds_from_death(evidence, deeds, |claim| claim.reclaimed_at)
}

fn seconds_from_death(
    evidence: &Evidence,
    deeds: &Deeds,
    to: impl Fn(&LostClaim) -> Option<DateTime<Utc>>,
) -> Vec<f64> {
    let mut seconds = Vec::new();
    for (pid, at) in &deeds.killed {
        let name = format!("pid-{pid}-");
        let lost = evidence
            .lost_claims
            .iter()
            .filter(|claim| claim.worker.starts_with(&name));
        let after = lost.filter_map(|claim| Some((to(claim)? - *at).as_seconds_f64()));
        // Claims that the worker had lost before, while it was stopped, were not lost by its death.
        seconds.extend(after.filter(|seconds| *seconds > 0.0));
    }
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// Measured to the rescue, not to the next claim, which may have to wait on an overloaded machine.
fn recovers(evidence: &Evidence, deeds: &Deeds) -> Vec<Violation> {
    let late = seconds_from_death(evidence, deeds, |claim| Some(claim.rescued_at))
        .into_iter()
        .filter(|seconds| *seconds > RECOVERY_BOUND.as_secs_f64());
    late.map(|seconds| {
        let bound = RECOVERY_BOUND.as_secs();
        let what =
            format!("a job was taken back {seconds:.1} s after its worker was killed, {bound} s at most");
        Violation::new("I11", what)
    })
    .collect()
}

/// Number of calls per training or request for pictures, to FAL and to Telegram.
pub fn calls_per_order(evidence: &Evidence) -> BTreeMap<&'static str, u64> {
    let orders = ((evidence.trainings.len() + evidence.generations.len()) as u64).max(1);
    let fal = submits::calls(evidence);
    BTreeMap::from([
        ("fal", fal.div_ceil(orders)),
        ("telegram", evidence.telegram_calls.div_ceil(orders)),
    ])
}

fn the_unconcerned_are_served(served: &[Served]) -> Vec<Violation> {
    let late = served.iter().filter_map(|served| {
        let waited = match served.seconds {
            Some(seconds) if seconds <= BOUND.as_secs_f64() => return None,
            Some(seconds) => format!("was answered after {seconds:.1} s"),
            None => "was never answered".to_owned(),
        };
        let bound = BOUND.as_secs();
        let what = format!(
            "somebody {waited}, {bound} s at most, while: {}",
            served.meanwhile
        );
        Some(Violation::new("I13", what))
    });
    late.collect()
}

fn no_storm(evidence: &Evidence) -> Vec<Violation> {
    let calls = calls_per_order(evidence);
    let budgets = [
        ("fal", FAL_CALLS_PER_ORDER),
        ("telegram", TELEGRAM_CALLS_PER_ORDER),
    ];
    let storms = budgets
        .into_iter()
        .filter(|(whom, budget)| calls[whom] > *budget)
        .map(|(whom, budget)| {
            format!(
                "{} calls to {whom} per training or request for pictures, {budget} at most",
                calls[whom]
            )
        });
    let twins = evidence.same_work.iter();
    let twins =
        twins.map(|(kind, times)| format!("{kind} was enqueued {times} times while the same work waited"));
    storms
        .chain(twins)
        .map(|what| Violation::new("I12", what))
        .collect()
}

#[cfg(test)]
mod picture_tests;
#[cfg(test)]
mod tests;
