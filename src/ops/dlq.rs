//! `aisha dlq`: dead letters, the jobs that ended without success: shows why, and retries or drops them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ::jobs::{
    queue::{DeadReasonCount, JobFilter, JobId, JobState, Operator, Retried, Retry},
    reader::{EndedTraining, Reader},
};
use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use super::{
    jobs::{self, Line},
    print::{Audit, json, looked_for, moment, nothing, operator_and_reader},
};
use crate::{
    exit::Failure,
    settings::{Given, parse_duration},
};

/// Look at dead letters, retry them, or drop them.
#[derive(Debug, Subcommand)]
pub enum DlqVerb {
    /// List dead letters: their number by reason, then the newest ones.
    #[command(after_long_help = "\
Needs DATABASE_URL. With --json: an object with `reasons` and `jobs`.

Examples:
  aisha dlq list
  aisha dlq list --reason attempts_exhausted --older-than 1d
  aisha dlq list --json | jq '.reasons'")]
    List {
        /// Filters, of which all must match.
        #[command(flatten)]
        which: DeadLetterSelection,
        /// The most jobs to list.
        #[arg(long, default_value_t = 50)]
        limit: u16,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Show a dead letter with its payload and the error of every attempt.
    #[command(after_long_help = "\
Examples:
  aisha dlq show 4711
  aisha dlq show 4711 --json | jq -r '.claims[].error'")]
    Show {
        /// The job's id.
        id: i64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Make dead letters ready again, with fresh attempts. Their history stays.
    #[command(after_long_help = "\
Name one by its id, or several by filters; --all retries all. If a live job has the dedupe key of a dead letter, the dead
letter stays dead: that job does its work. The consequences of a job's death are final (a user was told, a training failed):
a job whose training has ended finds nothing to do, and is marked; its user can start the training again in the bot. With
--json: an array, with training_ended (training_id, status) or null in each.

Exit code 1: the job named is not a dead letter.

Examples:
  aisha dlq retry 4711
  aisha dlq retry --reason attempts_exhausted --kind store_photo --dry-run
  aisha dlq retry --reason worker_lost --older-than 1h --because 'the node is replaced'
  aisha dlq retry --all")]
    Retry {
        /// The dead letters to retry, and how.
        #[command(flatten)]
        action: DeadLetterAction,
    },
    /// Delete dead letters with their history. They would be pruned after queue.keep.dead anyway.
    #[command(after_long_help = "\
Name one by its id, or several by filters; --all deletes all. With --json: an array.

Exit code 1: the job named is not a dead letter.

Examples:
  aisha dlq drop 4711
  aisha dlq drop --kind notify_user --older-than 30d --dry-run
  aisha dlq drop --all --because 'load test'")]
    Drop {
        /// The dead letters to delete, and how.
        #[command(flatten)]
        action: DeadLetterAction,
    },
}

/// Filters for dead letters; all that are given must match.
#[derive(Debug, Args)]
pub struct DeadLetterSelection {
    /// Dead for this reason, such as `attempts_exhausted`.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Only jobs of this kind, such as `store_photo`.
    #[arg(long)]
    kind: Option<String>,
    /// Dead for at least this long: 30m, 12h, 7d.
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Option<Duration>,
}

/// The dead letters that a command changes, and how.
#[derive(Debug, Args)]
pub struct DeadLetterAction {
    /// The id of one dead letter.
    #[arg(conflicts_with_all = ["reason", "kind", "older_than", "all"])]
    id: Option<i64>,
    #[command(flatten)]
    which: DeadLetterSelection,
    /// All dead letters.
    #[arg(long, conflicts_with_all = ["reason", "kind", "older_than"])]
    all: bool,
    /// Only show what would happen.
    #[arg(long)]
    dry_run: bool,
    /// The reason, for the log.
    #[arg(long, value_name = "TEXT")]
    because: Option<String>,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

fn age(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text).ok_or("write a number and a unit, such as 30m, 12h or 7d")
}

impl DeadLetterSelection {
    fn filter(&self) -> JobFilter {
        JobFilter {
            state: Some(JobState::Dead),
            reason: self.reason.clone(),
            kind: self.kind.clone(),
            older_than: self.older_than,
            ..JobFilter::default()
        }
    }

    const fn is_anything(&self) -> bool {
        self.reason.is_none() && self.kind.is_none() && self.older_than.is_none()
    }
}

impl DeadLetterAction {
    /// Refuses a command without an id, a filter or --all, and a job that is not a dead letter.
    async fn filter(&self, operator: &Operator) -> Result<JobFilter, Failure> {
        if let Some(id) = self.id {
            let found = operator.show(JobId(id)).await.context("the database failed")?;
            let state = found.with_context(|| format!("there is no job {id}"))?.job.state;
            if state != JobState::Dead {
                return Err(anyhow!("job {id} is not a dead letter: it is {state}").into());
            }
        } else if self.which.is_anything() && !self.all {
            return Err(anyhow!("say which: an id, --reason, --kind, --older-than, or --all").into());
        }
        Ok(JobFilter {
            id: self.id.map(JobId),
            ..self.which.filter()
        })
    }
}

/// Runs `aisha dlq`. The error carries the exit code.
pub async fn main(verb: DlqVerb, given: Given) -> Result<(), Failure> {
    let (operator, reader) = operator_and_reader(&given, "dlq").await?;
    match verb {
        DlqVerb::List {
            which,
            limit,
            json: as_json,
        } => list(&operator, &which.filter(), limit, as_json).await,
        DlqVerb::Show { id, json } => jobs::show(&operator, id, json).await,
        DlqVerb::Retry { action } => {
            let filter = action.filter(&operator).await?;
            let audit = Audit::new(&given, "dlq retry", action.dry_run, action.because);
            retry(&operator, &reader, &filter, &audit, action.json).await
        }
        DlqVerb::Drop { action } => {
            let filter = action.filter(&operator).await?;
            let audit = Audit::new(&given, "dlq drop", action.dry_run, action.because);
            discard(&operator, &filter, &audit, action.json).await
        }
    }
}

async fn list(operator: &Operator, filter: &JobFilter, limit: u16, as_json: bool) -> Result<(), Failure> {
    let reasons = operator
        .dead_reasons(filter)
        .await
        .context("the database failed")?;
    let dead = operator
        .list(filter, limit)
        .await
        .context("the database failed")?;
    let lines: Vec<Line<'_>> = dead.iter().map(Line::of).collect();
    if as_json {
        return json(&json!({ "reasons": reasons, "jobs": lines }));
    }
    if reasons.is_empty() {
        return none(operator, filter, "").await;
    }
    for group in &reasons {
        println!(
            "{} × {} of {}, from {} to {}",
            group.jobs,
            group.reason,
            group.kind,
            moment(group.oldest),
            moment(group.newest)
        );
    }
    for line in &lines {
        let job = line.job;
        println!(
            "{}  {}  {}  {}{}",
            job.id,
            job.kind,
            job.error_code.as_deref().unwrap_or_default(),
            job.error.as_deref().unwrap_or_default(),
            line.mark()
        );
    }
    Ok(())
}

/// Says that nothing matches, and which reasons and kinds there are: a typo must not look like good news.
async fn none(operator: &Operator, filter: &JobFilter, so: &str) -> Result<(), Failure> {
    let all = operator
        .dead_reasons(&JobFilter::default())
        .await
        .context("the database failed")?;
    let named = |name: fn(&DeadReasonCount) -> &str| {
        let names: BTreeSet<&str> = all.iter().map(name).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    };
    let there_is = if all.is_empty() {
        "There are none at all.".to_owned()
    } else {
        format!(
            "There are reasons {} of kinds {}.",
            named(|group| &group.reason),
            named(|group| &group.kind)
        )
    };
    let looked_for = looked_for(&JobFilter {
        state: None,
        ..filter.clone()
    });
    nothing(&format!("no dead letters{looked_for}{so}. {there_is}"));
    Ok(())
}

/// An element of `dlq retry --json`.
#[derive(Serialize)]
struct RetriedLine<'a> {
    #[serde(flatten)]
    retried: &'a Retried,
    training_ended: Option<&'a EndedTraining>,
}

async fn retry(
    operator: &Operator,
    reader: &Reader,
    filter: &JobFilter,
    audit: &Audit,
    as_json: bool,
) -> Result<(), Failure> {
    let retried = operator
        .retry_dead(filter, audit.dry_run)
        .await
        .context("the database failed; what was retried so far stays retried")?;
    let ids: Vec<JobId> = retried.iter().map(|one| one.job.id).collect();
    let ended = reader
        .ended_trainings(&ids)
        .await
        .context("the jobs are retried; whether their trainings have ended is unknown")?;
    let ready = retried.iter().filter(|one| one.retry == Retry::Ready).count();
    audit.log(ready, &format!("{filter:?}"));
    if as_json {
        let lines = retried.iter().map(|one| RetriedLine {
            retried: one,
            training_ended: ended.get(&one.job.id.0),
        });
        return json(&lines.collect::<Vec<_>>());
    }
    if retried.is_empty() {
        return none(operator, filter, ": nothing to retry").await;
    }
    tell_retried(&retried, &ended, ready, audit.dry_run);
    Ok(())
}

fn tell_retried(retried: &[Retried], ended: &BTreeMap<i64, EndedTraining>, ready: usize, dry_run: bool) {
    let would = if dry_run { "would be" } else { "is" };
    let mut idle = 0;
    for one in retried {
        let (id, mark) = (one.job.id, Line::of(&one.job).mark());
        match one.retry {
            Retry::Ready => {
                let futile = ended.get(&id.0).map_or_else(String::new, |training| {
                    idle += 1;
                    format!(
                        ", and will find nothing to do: training {} is {}",
                        training.training_id, training.status
                    )
                });
                println!("{id}  {}  {would} ready{futile}{mark}", one.job.kind);
            }
            Retry::AlreadyLive(holder) => println!(
                "{id}  {}  stays dead: job {holder} has its key and does its work",
                one.job.kind
            ),
            Retry::NotDead => println!("{id}  {}  is not a dead letter any more", one.job.kind),
        }
    }
    println!("{ready} of {} {would} ready", retried.len());
    if idle > 0 {
        println!(
            "{idle} of them will find nothing to do: their trainings have ended. Their users can start them again in the bot."
        );
    }
}

async fn discard(
    operator: &Operator,
    filter: &JobFilter,
    audit: &Audit,
    as_json: bool,
) -> Result<(), Failure> {
    let dropped = operator
        .drop_dead(filter, audit.dry_run)
        .await
        .context("the database failed; what was dropped so far stays dropped")?;
    audit.log(dropped.len(), &format!("{filter:?}"));
    if as_json {
        return json(&dropped);
    }
    if dropped.is_empty() {
        return none(operator, filter, ": nothing to drop").await;
    }
    let would = if audit.dry_run { "would be" } else { "are" };
    for job in &dropped {
        println!(
            "{}  {}  {}",
            job.id,
            job.kind,
            job.error_code.as_deref().unwrap_or_default()
        );
    }
    println!("{} {would} dropped", dropped.len());
    Ok(())
}
