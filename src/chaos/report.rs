//! The result of a run, for people and machines.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::{self, Write as _},
    time::Duration,
};

use serde::Serialize;

use super::{
    injector::Injected,
    invariants::{self, Deeds, Evidence, Violation, ends, submits},
    schedule::FaultKind,
};

/// Most violations printed per invariant, so that one that is broken everywhere does not hide the others.
const SHOWN: usize = 8;

/// Facts about the run that are not in the evidence.
#[derive(Debug, Clone, Default, Serialize)]
pub struct StormSummary {
    /// Seconds that the run went on after its duration, until each kind had struck often enough.
    pub overtime_seconds: f64,
    /// Seconds from the last fault until nothing was under way.
    pub rested_after_seconds: f64,
    /// Number of processes that were started.
    pub starts: u32,
    /// How many of these starts found a dependency missing.
    pub refused_starts: u32,
    /// Last lines of processes that ended by themselves.
    pub broke_down: Vec<String>,
}

/// The result of one seed.
#[derive(Debug, Clone, Serialize)]
pub struct SeedReport {
    /// The seed of schedule and workload.
    pub seed: u64,
    /// Planned seconds of faults and arrivals.
    pub seconds: f64,
    /// Seconds from the first arrival to rest.
    pub wall_seconds: f64,
    /// How often each kind of fault struck.
    pub faults: BTreeMap<&'static str, u32>,
    /// How often a process was struck at each failpoint.
    pub failpoints: BTreeMap<String, u32>,
    /// Number of trainings by final status.
    pub trainings: BTreeMap<String, usize>,
    /// Number of failed trainings by failure code.
    pub failures: BTreeMap<String, usize>,
    /// Number of albums by status, the first pictures of avatars included.
    pub albums: BTreeMap<String, usize>,
    /// Number of pictures that were stored.
    pub pictures: usize,
    /// How many times pictures were asked for again, as `generation.resubmit_after` allows.
    pub asked_again: usize,
    /// Number of users of whom nothing is left.
    pub erased_users: usize,
    /// Number of deletions that wait for FAL.
    pub waiting_deletions: usize,
    /// Number of jobs of all kinds.
    pub jobs: i64,
    /// Number of accepted updates and trainings that did not end.
    pub lost: usize,
    /// Submits that FAL accepted a second time, and must not have.
    pub double_submits: usize,
    /// Trainings that had not ended at rest.
    pub stuck: usize,
    /// Number of dead letters.
    pub dead_letters: usize,
    /// Final messages beyond one per training.
    pub duplicate_messages: usize,
    /// Seconds from a SIGKILL to each new claim, rising.
    pub recoveries: Vec<f64>,
    /// Calls per training or request for pictures, by the side called.
    pub calls_per_order: BTreeMap<&'static str, u64>,
    /// Invariants that were broken.
    pub violations: Vec<Violation>,
    /// Reasons why the run proves too little.
    pub shortfalls: Vec<String>,
    /// Faults that could not be injected.
    pub problems: Vec<String>,
    /// Facts about the run itself.
    pub summary: StormSummary,
}

impl SeedReport {
    #[expect(
        clippy::too_many_arguments,
        reason = "everything that is known of a run comes together here, once"
    )]
    pub(super) fn new(
        seed: u64,
        duration: Duration,
        wall: Duration,
        evidence: &Evidence,
        injected: &Injected,
        deeds: &Deeds,
        violations: BTreeSet<Violation>,
        shortfalls: Vec<String>,
        summary: StormSummary,
    ) -> Self {
        let mut trainings = BTreeMap::new();
        let mut failures = BTreeMap::new();
        for training in &evidence.trainings {
            *trainings.entry(training.status.clone()).or_default() += 1;
            if let Some(code) = &training.failure_code {
                *failures.entry(code.clone()).or_default() += 1;
            }
        }
        let live = |status: &str| !matches!(status, "completed" | "failed" | "cancelled");
        let stuck = evidence
            .trainings
            .iter()
            .filter(|training| live(&training.status))
            .count();
        Self {
            seed,
            seconds: duration.as_secs_f64(),
            wall_seconds: wall.as_secs_f64(),
            faults: injected
                .count
                .iter()
                .map(|(kind, times)| (kind.name(), *times))
                .collect(),
            failpoints: injected.failpoints.clone(),
            trainings,
            failures,
            albums: albums(evidence),
            pictures: evidence.pictures.len(),
            asked_again: submits::asked_again(evidence),
            erased_users: erased(evidence),
            waiting_deletions: evidence
                .deletions
                .iter()
                .filter(|deletion| !deletion.is_done)
                .count(),
            jobs: evidence.jobs,
            lost: evidence.lost_updates.len() + evidence.live_jobs.len(),
            double_submits: submits::doubles(evidence),
            stuck,
            dead_letters: evidence.dead_jobs.len(),
            duplicate_messages: ends::duplicate_messages(evidence),
            recoveries: invariants::recoveries(evidence, deeds),
            calls_per_order: invariants::calls_per_order(evidence),
            violations: violations.into_iter().collect(),
            shortfalls,
            problems: injected.problems.clone(),
            summary,
        }
    }

    /// Whether every invariant held and the run proved enough.
    pub fn holds(&self) -> bool {
        self.violations.is_empty() && self.shortfalls.is_empty()
    }

    fn trainings(&self) -> usize {
        self.trainings.values().sum()
    }

    fn verdict(&self) -> String {
        if self.holds() {
            return "holds".to_owned();
        }
        let mut broken: Vec<&str> = self
            .violations
            .iter()
            .map(|violation| violation.invariant)
            .collect();
        broken.dedup();
        if !self.shortfalls.is_empty() {
            broken.push("too little");
        }
        format!("RED: {}", broken.join(", "))
    }
}

impl fmt::Display for SeedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "Seed {}: {} trainings {:?}, {} jobs, {:.0} s under faults, {:.0} s more until each kind had struck, at rest {:.1} s later: {}",
            self.seed,
            self.trainings(),
            self.trainings,
            self.jobs,
            self.seconds,
            self.summary.overtime_seconds,
            self.summary.rested_after_seconds,
            self.verdict()
        )?;
        writeln!(
            f,
            "  lost {}, double submits {}, stuck {}, dead letters {}, duplicate messages {}; recovery p50 {} p99 {}; calls a training or request for pictures {:?}",
            self.lost,
            self.double_submits,
            self.stuck,
            self.dead_letters,
            self.duplicate_messages,
            quantile(&self.recoveries, 50),
            quantile(&self.recoveries, 99),
            self.calls_per_order
        )?;
        writeln!(
            f,
            "  albums {:?}, pictures {}, asked for again {}, users erased {}, deletions that wait for FAL {}",
            self.albums, self.pictures, self.asked_again, self.erased_users, self.waiting_deletions
        )?;
        if !self.failures.is_empty() {
            writeln!(f, "  failures {:?}", self.failures)?;
        }
        for (kind, times) in &self.faults {
            writeln!(f, "  {times:>3} × {kind}")?;
        }
        for broken in self
            .violations
            .chunk_by(|one, next| one.invariant == next.invariant)
        {
            for violation in broken.iter().take(SHOWN) {
                writeln!(f, "  RED {}: {}", violation.invariant, violation.what)?;
            }
            if broken.len() > SHOWN {
                writeln!(f, "  RED … and {} more", broken.len() - SHOWN)?;
            }
        }
        for line in &self.shortfalls {
            writeln!(f, "  RED too little: {line}")?;
        }
        for line in self.problems.iter().chain(&self.summary.broke_down) {
            writeln!(f, "  note: {line}")?;
        }
        Ok(())
    }
}

/// The result of all seeds of one command.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The command that repeats the run.
    pub command: String,
    /// One result per seed, in their order.
    pub seeds: Vec<SeedReport>,
}

impl Report {
    pub(super) fn new(command: &str, seeds: Vec<SeedReport>) -> Self {
        Self {
            command: command.to_owned(),
            seeds,
        }
    }

    /// Whether every seed passed.
    pub fn holds(&self) -> bool {
        self.seeds.iter().all(SeedReport::holds)
    }

    fn sum(&self, of: impl Fn(&SeedReport) -> usize) -> usize {
        self.seeds.iter().map(of).sum()
    }

    fn recoveries(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self
            .seeds
            .iter()
            .flat_map(|seed| seed.recoveries.iter().copied())
            .collect();
        all.sort_by(f64::total_cmp);
        all
    }

    /// The text of `docs/chaos-report.md`.
    pub fn markdown(&self) -> String {
        let mut text =
            String::from("# Fault-injection report\n\nWritten by the command, not by hand:\n\n```sh\n");
        let _ = write!(
            text,
            "cargo run --features chaos -- {}\n```\n\n",
            self.command.trim_start_matches("aisha ")
        );
        text += "Real processes, a real Postgres, S3, FAL and Telegram simulated at the wire; the invariants are read from the \
                 simulators' ledgers and SQL (`src/chaos/invariants.rs`). Lease 3 s, sweep 1 s (defaults: 15 s, 5 s).\n\n";
        text += &self.totals();
        text += "\n| seed | trainings | completed | failed | cancelled | albums | delivered | pictures | users erased | jobs | lost | double submits | stuck | dead letters | duplicate messages | recovery p50 | p99 | at rest after | verdict |\n";
        text += "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
        for seed in &self.seeds {
            let ended = |status: &str| seed.trainings.get(status).copied().unwrap_or_default();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.1} s | {} |",
                seed.seed,
                seed.trainings(),
                ended("completed"),
                ended("failed"),
                ended("cancelled"),
                seed.albums.values().sum::<usize>(),
                seed.albums.get("ready").copied().unwrap_or_default(),
                seed.pictures,
                seed.erased_users,
                seed.jobs,
                seed.lost,
                seed.double_submits,
                seed.stuck,
                seed.dead_letters,
                seed.duplicate_messages,
                quantile(&seed.recoveries, 50),
                quantile(&seed.recoveries, 99),
                seed.summary.rested_after_seconds,
                seed.verdict()
            );
        }
        text += "\n## Faults that struck\n\n| fault | times |\n|---|---|\n";
        for kind in FaultKind::ALL {
            let times: u32 = self
                .seeds
                .iter()
                .filter_map(|seed| seed.faults.get(kind.name()))
                .sum();
            let _ = writeln!(text, "| {} | {times} |", kind.name());
        }
        text += "\nFailpoints, by the call and the commit they stand between:\n\n| failpoint | times |\n|---|---|\n";
        let mut failpoints: BTreeMap<&str, u32> = BTreeMap::new();
        for (point, times) in self.seeds.iter().flat_map(|seed| &seed.failpoints) {
            *failpoints.entry(point).or_default() += times;
        }
        for (point, times) in failpoints {
            let _ = writeln!(text, "| {point} | {times} |");
        }
        for seed in self.seeds.iter().filter(|seed| !seed.holds()) {
            let _ = write!(text, "\n## Seed {} did not hold\n\n", seed.seed);
            for violation in &seed.violations {
                let _ = writeln!(text, "* {}: {}", violation.invariant, violation.what);
            }
            for line in &seed.shortfalls {
                let _ = writeln!(text, "* too little: {line}");
            }
        }
        text
    }

    fn totals(&self) -> String {
        let seconds: f64 = self.seeds.iter().map(|seed| seed.wall_seconds).sum();
        let recoveries = self.recoveries();
        let faults: u32 = self.seeds.iter().flat_map(|seed| seed.faults.values()).sum();
        format!(
            "{} seeds, {:.0} minutes, {faults} faults, {} trainings, {} albums, {} users erased, {} jobs: lost {}, double submits {}, stuck {}, duplicate messages {} (each counted by us, \
             because an answer of Telegram's was lost); recovery after SIGKILL p50 {}, p99 {}, most {}, of {} jobs.\n",
            self.seeds.len(),
            seconds / 60.0,
            self.sum(SeedReport::trainings),
            self.sum(|seed| seed.albums.values().sum()),
            self.sum(|seed| seed.erased_users),
            self.seeds.iter().map(|seed| seed.jobs).sum::<i64>(),
            self.sum(|seed| seed.lost),
            self.sum(|seed| seed.double_submits),
            self.sum(|seed| seed.stuck),
            self.sum(|seed| seed.duplicate_messages),
            quantile(&recoveries, 50),
            quantile(&recoveries, 99),
            quantile(&recoveries, 100),
            recoveries.len()
        )
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}",
            self.totals(),
            if self.holds() {
                "All invariants hold."
            } else {
                "RED."
            }
        )
    }
}

/// Number of albums by status.
pub(super) fn albums(evidence: &Evidence) -> BTreeMap<String, usize> {
    let mut albums = BTreeMap::new();
    for album in &evidence.albums {
        *albums.entry(album.status.clone()).or_default() += 1;
    }
    albums
}

/// Number of users of whom nothing is left.
pub(super) fn erased(evidence: &Evidence) -> usize {
    let of_users = evidence.deletions.iter().filter(|deletion| deletion.is_of_user);
    of_users.filter(|deletion| deletion.is_done).count()
}

/// The value in seconds at or below which so many percent of the values lie; `rising` must be sorted.
fn quantile(rising: &[f64], percent: usize) -> String {
    let at = (rising.len() * percent).div_ceil(100).saturating_sub(1);
    rising
        .get(at)
        .map_or_else(|| "–".to_owned(), |seconds| format!("{seconds:.1} s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let seconds: Vec<f64> = (1..=100).map(f64::from).collect();
        assert_eq!(quantile(&seconds, 50), "50.0 s");
        assert_eq!(quantile(&seconds, 99), "99.0 s");
        assert_eq!(quantile(&seconds, 100), "100.0 s");
        assert_eq!(quantile(&[], 50), "–");
    }
}
