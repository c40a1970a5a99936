//! `aisha chaos`: breaks the whole running system in many ways, and checks that it kept its promises.
//!
//! It runs real processes of this binary, a real Postgres that really crashes, S3, and the simulators of FAL
//! and Telegram. A seed determines the schedule of faults, which is printed before the run. While people
//! train avatars, ask for pictures and delete them through the bot, the schedule is carried out. Then the faults stop, the system gets time to
//! come to rest, and the suite reads the evidence: the simulators' append-only ledgers and SQL. It trusts
//! nothing else, least of all what a process says of itself.
//!
//! Only in builds with the feature `chaos`. `tests/architecture.rs` exempts this directory from the walls, as it does
//! the simulators and `dev`.
//!
//! | file | what is in it |
//! |---|---|
//! | [`schedule`] | which faults there are, and when a seed brings them |
//! | [`workload`], [`person`], [`face`] | when people arrive, what they do, and whose photos are whose |
//! | [`site`], [`processes`], [`proxy`] | the running system, and how it is broken |
//! | [`wire`], [`injector`] | how each fault is injected, and whether it struck |
//! | [`overtime`] | lets the run go on until each kind struck often enough, on a slow machine too |
//! | [`neighbours`] | how fast people are served who are not affected by a fault |
//! | [`evidence`], [`invariants`] | what happened, and whether that is allowed |
//! | [`run`], [`report`] | one seed from start to verdict; the report |

mod evidence;
mod face;
mod injector;
pub mod invariants;
pub mod neighbours;
mod overtime;
mod person;
mod processes;
mod proxy;
pub mod report;
mod run;
pub mod schedule;
mod site;
mod wire;
pub mod workload;

use std::{fmt::Write as _, io::Write as _, ops::RangeInclusive, path::PathBuf, time::Duration};

use anyhow::{Context as _, anyhow};
use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, Subcommand};
use jobs::chaos::Arms;

use crate::{exit::Failure, lifecycle::Stop, settings::Given};
use schedule::Profile;

/// Variable with the directory in which this process finds orders to fail at a failpoint.
const CONTROL: &str = "AISHA_CHAOS_CONTROL";
/// Variable with the number of seconds by which this process's clock is ahead.
const CLOCK_OFFSET: &str = "AISHA_CHAOS_CLOCK_OFFSET";

/// Injects faults into the whole system and checks what became of every training, picture and deletion.
#[derive(Debug, Subcommand)]
pub enum ChaosVerb {
    /// Run one or more seeds and report; fails if any invariant did not hold
    Run(RunArgs),
    /// Print the schedule of faults of a seed and do nothing
    #[command(after_long_help = "Examples:\n  aisha chaos plan --seed 42 --profile nightly")]
    Plan(PlanArgs),
}

/// The arguments that determine a schedule.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    /// A seed, or a range of them: 7 or 1..=5
    #[arg(long, default_value = "1", value_parser = seeds)]
    seed: RangeInclusive<u64>,
    /// How long faults are injected and people arrive
    #[arg(long, default_value = "60s", value_parser = seconds)]
    duration: Duration,
    /// pr: the faults that fit into a minute; nightly: all faults
    #[arg(long, value_enum, default_value_t = Profile::Pr)]
    profile: Profile,
}

/// Run one or more seeds and report; fails if any invariant did not hold.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Starts a private Postgres, an S3 server (or uses the one that S3_ENDPOINT names), simulators of FAL and Telegram, and
web, bot and workers as processes. Uses none of the environment's other databases, keys and tokens.

Examples:
  aisha chaos run --seed 42 --duration 60s
  aisha chaos run --seed 1..=20 --duration 90s --profile nightly --write docs/chaos-report.md")]
pub struct RunArgs {
    #[command(flatten)]
    plan: PlanArgs,
    /// Print one JSON object at the end instead of text
    #[arg(long)]
    json: bool,
    /// Write the report as Markdown to this file
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// How long the system may take to come to rest after the last fault
    #[arg(long, default_value = "240s", value_parser = seconds)]
    rest: Duration,
    /// People who arrive per minute, each for a training
    #[arg(long, default_value_t = workload::ARRIVALS_PER_MINUTE)]
    arrivals: u32,
}

/// Runs the subcommand.
pub async fn main(verb: ChaosVerb, given: Given) -> Result<(), Failure> {
    match verb {
        ChaosVerb::Plan(args) => {
            for seed in args.seed.clone() {
                say(&schedule::FaultSchedule::of(seed, args.duration, args.profile).to_string());
            }
            Ok(())
        }
        ChaosVerb::Run(args) => run_seeds(args, &given).await,
    }
}

async fn run_seeds(args: RunArgs, given: &Given) -> Result<(), Failure> {
    let stop = Stop::at_signals(Duration::ZERO).context("cannot listen for signals")?;
    let mut reports = Vec::new();
    for seed in args.plan.seed.clone() {
        let one = run::one_seed(seed, &args, given);
        let report = tokio::select! {
            report = one => report.with_context(|| format!("seed {seed} could not be run"))?,
            () = stop.soft().cancelled() => return Err(anyhow!("stopped in the middle of seed {seed}").into()),
        };
        if !args.json {
            say(&report.to_string());
        }
        reports.push(report);
    }
    let all = report::Report::new(&args.command(), reports);
    if args.json {
        say(&serde_json::to_string_pretty(&all).context("the report cannot be written down")?);
    } else {
        say(&all.to_string());
    }
    if let Some(file) = &args.write {
        std::fs::write(file, all.markdown()).with_context(|| format!("cannot write {}", file.display()))?;
    }
    if all.holds() {
        Ok(())
    } else {
        Err(anyhow!("the run is red: see the violations above").into())
    }
}

impl RunArgs {
    /// The command that repeats this run.
    fn command(&self) -> String {
        let PlanArgs {
            seed,
            duration,
            profile,
        } = &self.plan;
        let seeds = if seed.start() == seed.end() {
            seed.start().to_string()
        } else {
            format!("{}..={}", seed.start(), seed.end())
        };
        let mut command = format!(
            "aisha chaos run --seed {seeds} --duration {}s --profile {}",
            duration.as_secs(),
            profile.name()
        );
        if self.arrivals != workload::ARRIVALS_PER_MINUTE {
            let _ = write!(command, " --arrivals {}", self.arrivals);
        }
        command
    }
}

/// Arms failpoints and shifts the clock of this process as the suite's variables say. Call it before anything
/// else.
pub fn arm_process(given: &Given) -> anyhow::Result<()> {
    let value = |name: &str| given.environment.get(name).filter(|value| !value.is_empty());
    let offset = value(CLOCK_OFFSET).map(|seconds| seconds.parse()).transpose();
    let offset = offset.with_context(|| format!("{CLOCK_OFFSET} must be a number of seconds"))?;
    jobs::chaos::arm(Arms {
        control: value(CONTROL).map(PathBuf::from),
        clock_offset: TimeDelta::seconds(offset.unwrap_or(0)),
    });
    Ok(())
}

fn seeds(text: &str) -> Result<RangeInclusive<u64>, String> {
    let number = |text: &str| {
        text.trim()
            .parse::<u64>()
            .map_err(|error| format!("{text:?}: {error}"))
    };
    match text.split_once("..=") {
        Some((first, last)) => Ok(number(first)?..=number(last)?),
        None => number(text).map(|seed| seed..=seed),
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number = text.strip_suffix('s').unwrap_or(text);
    match number.parse() {
        Ok(seconds @ 10..=3600) => Ok(Duration::from_secs(seconds)),
        _ => Err("give 10s to 3600s".to_owned()),
    }
}

/// The machine's clock, which Postgres and the simulators share.
fn now() -> DateTime<Utc> {
    std::time::SystemTime::now().into()
}

fn say(text: &str) {
    // A closed pipe does not fail the run.
    drop(writeln!(std::io::stdout(), "{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_number_or_an_inclusive_range() {
        assert_eq!(seeds("7"), Ok(7..=7));
        assert_eq!(seeds("1..=5"), Ok(1..=5));
        assert!(seeds("1..5").is_err() && seeds("x").is_err());
    }
}
