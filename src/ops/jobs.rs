//! `aisha jobs`: shows jobs and their attempts, and cancels jobs.

use ::jobs::{
    Understanding,
    job::Queue,
    queue::{Cancelled, JobFilter, JobHistory, JobId, JobRow, JobState, Operator},
};
use anyhow::Context;
use clap::Subcommand;
use serde::Serialize;

use super::{
    print::{Audit, json, looked_for, moment, nothing, operator},
    queues::by_name,
};
use crate::{exit::Failure, settings::Given};

/// Look at jobs, and cancel them.
#[derive(Debug, Subcommand)]
pub enum JobsVerb {
    /// List jobs, newest first.
    #[command(after_long_help = "\
Needs DATABASE_URL. Jobs made by a newer version are marked; this version's workers leave them to newer ones. With --json: an
array.

Examples:
  aisha jobs list
  aisha jobs list --state running --queue fal
  aisha jobs list --kind submit_training --limit 500 --json | jq '.[].id'")]
    List {
        /// Only jobs in this state: scheduled, ready, running, done, dead or cancelled.
        #[arg(long)]
        state: Option<JobState>,
        /// Only jobs of this queue.
        #[arg(long, value_parser = by_name())]
        queue: Option<Queue>,
        /// Only jobs of this kind, such as `build_archive`.
        #[arg(long)]
        kind: Option<String>,
        /// The most jobs to list.
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show a job with its payload and the error of every attempt.
    #[command(after_long_help = "\
Needs DATABASE_URL. Attempts are listed only if one failed.

Examples:
  aisha jobs show 4711
  aisha jobs show 4711 --json | jq .claims")]
    Show {
        /// The id of the job.
        id: i64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Cancel jobs: a waiting one at once, a running one at its worker's next heartbeat.
    #[command(after_long_help = "\
Needs DATABASE_URL. It does not end the training that a job belongs to: use aisha avatars cancel for that. Cancelling a
job that has ended is not an error; the output says that it has ended. With --json: an array.

Examples:
  aisha jobs cancel 4711
  aisha jobs cancel 4711 4712 --because 'stuck since the deploy'
  aisha jobs cancel 4711 --dry-run")]
    Cancel {
        /// The ids of the jobs.
        #[arg(required = true)]
        ids: Vec<i64>,
        /// Only show what would happen.
        #[arg(long)]
        dry_run: bool,
        /// The reason, for the log.
        #[arg(long, value_name = "TEXT")]
        because: Option<String>,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// A job, with whether this binary's workers would run it.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    #[serde(flatten)]
    pub job: &'a JobRow,
    understanding: Understanding,
}

impl<'a> Line<'a> {
    pub(super) fn of(job: &'a JobRow) -> Self {
        Self {
            understanding: Understanding::of(&job.kind, job.version),
            job,
        }
    }

    /// A note for people; empty for a job that this binary runs.
    pub(super) fn mark(&self) -> String {
        match self.understanding {
            Understanding::Runs => String::new(),
            Understanding::UnknownKind => "  (kind unknown here: left to newer workers)".to_owned(),
            Understanding::NewerVersion => {
                format!("  (payload version {}: left to newer workers)", self.job.version)
            }
        }
    }
}

/// Runs `aisha jobs`. The error carries the exit code.
pub async fn main(verb: JobsVerb, given: Given) -> Result<(), Failure> {
    let operator = operator(&given, "jobs").await?;
    match verb {
        JobsVerb::List {
            state,
            queue,
            kind,
            limit,
            json: as_json,
        } => {
            let filter = JobFilter {
                state,
                queue: queue.map(|queue| queue.as_str().to_owned()),
                kind,
                ..JobFilter::default()
            };
            let jobs = operator
                .list(&filter, limit)
                .await
                .context("the database failed")?;
            let lines: Vec<Line<'_>> = jobs.iter().map(Line::of).collect();
            if as_json {
                return json(&lines);
            }
            if lines.is_empty() {
                none(&filter);
                return Ok(());
            }
            println!("job  state  queue  kind  attempt  when");
            for line in &lines {
                println!("{}", sentence(line));
            }
        }
        JobsVerb::Show { id, json: as_json } => {
            return show(&operator, id, as_json).await;
        }
        JobsVerb::Cancel {
            ids,
            dry_run,
            because,
            json: as_json,
        } => {
            let audit = Audit::new(&given, "jobs cancel", dry_run, because);
            cancel(&operator, &ids, &audit, as_json).await?;
        }
    }
    Ok(())
}

/// Shows a job, for `aisha jobs show` and `aisha dlq show`.
pub(super) async fn show(operator: &Operator, id: i64, as_json: bool) -> Result<(), Failure> {
    let history = operator.show(JobId(id)).await.context("the database failed")?;
    let history = history.with_context(|| format!("there is no job {id}"))?;
    if as_json {
        return json(&history);
    }
    print(&history);
    Ok(())
}

#[derive(Serialize)]
struct CancelReport {
    id: i64,
    cancelled: Cancelled,
}

async fn cancel(operator: &Operator, ids: &[i64], audit: &Audit, as_json: bool) -> Result<(), Failure> {
    let mut outcomes = Vec::with_capacity(ids.len());
    for &id in ids {
        let job = JobId(id);
        let history = operator.show(job).await.context("the database failed")?;
        let state = history
            .with_context(|| format!("there is no job {id}"))?
            .job
            .state;
        let cancelled = match (audit.dry_run, state) {
            (false, _) => operator.cancel(job).await.context("the database failed")?,
            (true, JobState::Running) => Cancelled::Requested,
            (true, state) if state.is_final() => Cancelled::NotLive,
            (true, _) => Cancelled::AtOnce,
        };
        outcomes.push(CancelReport { id, cancelled });
    }
    let changed = outcomes
        .iter()
        .filter(|outcome| outcome.cancelled != Cancelled::NotLive);
    audit.log(changed.count(), &format!("jobs {ids:?}"));
    if as_json {
        return json(&outcomes);
    }
    let would = if audit.dry_run { "would be " } else { "is " };
    for CancelReport { id, cancelled } in &outcomes {
        match cancelled {
            Cancelled::AtOnce => println!("{id} {would}cancelled"),
            Cancelled::Requested => println!("{id} {would}asked to stop; it is running"),
            Cancelled::NotLive => println!("{id} has ended already"),
        }
    }
    Ok(())
}

/// Says what was looked for. An unknown kind is most likely a typo, so the known kinds are listed.
fn none(filter: &JobFilter) {
    let known: Vec<&str> = ::jobs::kinds().collect();
    let unknown = filter.kind.as_deref().is_some_and(|kind| !known.contains(&kind));
    let kinds = if unknown {
        format!(" This version has the kinds {}.", known.join(", "))
    } else {
        String::new()
    };
    nothing(&format!("no jobs{}.{kinds}", looked_for(filter)));
}

/// The time that matters in the job's state, with its meaning.
fn when(job: &JobRow) -> String {
    let (what, at) = match job.state {
        JobState::Scheduled => ("runs at", job.run_at),
        JobState::Ready => ("ready since", job.run_at),
        JobState::Running => ("claimed at", job.claimed_at.unwrap_or(job.run_at)),
        JobState::Done | JobState::Dead | JobState::Cancelled => {
            ("ended at", job.finished_at.unwrap_or(job.run_at))
        }
    };
    format!("{what} {}", moment(at))
}

/// The job in one line, for people.
fn sentence(line: &Line<'_>) -> String {
    let job = line.job;
    let error = job
        .error_code
        .as_deref()
        .map_or(String::new(), |code| format!("  {code}"));
    let of = ::jobs::attempts_of(&job.kind).map_or(String::new(), |most| format!(" of {most}"));
    format!(
        "{}  {}  {}  {}  attempt {}{of}  {}{error}{}",
        job.id,
        job.state,
        job.queue,
        job.kind,
        job.attempt,
        when(job),
        line.mark()
    )
}

/// A job and all its attempts, for people.
fn print(history: &JobHistory) {
    let job = &history.job;
    println!("{}", sentence(&Line::of(job)));
    println!("  enqueued  {}", moment(job.created_at));
    println!("  payload   {} (version {})", history.payload, job.version);
    if let Some(key) = &job.dedupe_key {
        println!("  key       {key}");
    }
    if let Some(error) = &job.error {
        println!("  last      {error}");
    }
    for claim in &history.claims {
        let error = claim.error.as_deref().unwrap_or_default();
        let (attempt, outcome) = (claim.attempt, claim.outcome.as_str());
        println!(
            "  attempt {attempt}  {}  {outcome} on {}  {error}",
            moment(claim.ended_at),
            claim.worker
        );
    }
}
