//! `aisha queues`: shows what each queue holds, and pauses and limits queues. The rules are those of
//! `jobs::queue::Controls`.

use anyhow::Context;
use clap::{
    Args, Subcommand,
    builder::{PossibleValue, PossibleValuesParser, TypedValueParser},
};
use jobs::{
    job::Queue,
    queue::{ControlChange, Controls, Limits, QueueControl},
    queues,
};
use serde::Serialize;

use super::print::{moment, nothing};
use crate::{
    connect,
    exit::Failure,
    settings::{Given, OpsSettings},
};

/// Look at queues, pause, resume and limit them.
#[derive(Debug, Subcommand)]
pub enum QueuesVerb {
    /// Show for each queue what it holds, and whether it is paused, limited or silent.
    #[command(after_long_help = "\
Needs DATABASE_URL. With --json: an array of objects with queue, paused_at, paused_by, pause_reason, max_running,
max_running_per_key (of one user), ready, scheduled, running, silent_until, silent_keys and silent_keys_until. A 429 of
the other side begins a silence: of the whole queue for a minute at most, then one job tries; of single users for as long as
the 429 says.

Examples:
  aisha queues list
  aisha queues list --json | jq '.[] | select(.paused_at)'")]
    List {
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Stop new jobs of a queue from starting. Running jobs finish; nothing is lost, and no attempt is charged.
    #[command(after_long_help = "\
Needs DATABASE_URL. The pause holds from the next claim of every worker on, also after restarts, until `aisha queues resume`.
Pausing a paused queue changes nothing.

Examples:
  aisha queues pause fal --reason 'FAL is down, ticket 4711'
  aisha queues pause notify --dry-run")]
    Pause {
        /// The queue's name.
        #[arg(value_parser = by_name())]
        queue: Queue,
        /// Reason, name and output of the change.
        #[command(flatten)]
        change: Change,
    },
    /// Let workers claim from a paused or silent queue again, at once.
    #[command(after_long_help = "\
Needs DATABASE_URL. Also ends the silences that a 429 began, of the queue and of single users; if the other side still
refuses, the next call begins another. Resuming a queue that is neither paused nor silent changes nothing.

Examples:
  aisha queues resume fal --reason 'FAL is back'")]
    Resume {
        /// The queue's name.
        #[arg(value_parser = by_name())]
        queue: Queue,
        /// Reason, name and output of the change.
        #[command(flatten)]
        change: Change,
    },
    /// Limit how many jobs of a queue run at once, over all workers. A limit that is not given stays.
    #[command(after_long_help = "\
Needs DATABASE_URL. The limit holds from the next claim on; running jobs above a lowered limit continue. Slots (worker.slots)
limit each worker, this limits all of them together.

Examples:
  aisha queues limit fal --running 4
  aisha queues limit media --per-user 2 --reason 'one user fills all slots'
  aisha queues limit fal --running none --dry-run")]
    Limit {
        /// The queue's name.
        #[arg(value_parser = by_name())]
        queue: Queue,
        /// Jobs at once over all workers: a number, or none.
        #[arg(long, value_name = "N|none", value_parser = most)]
        running: Option<Most>,
        /// Jobs at once for one user: a number, or none.
        #[arg(long, value_name = "N|none", value_parser = most)]
        per_user: Option<Most>,
        /// Reason, name and output of the change.
        #[command(flatten)]
        change: Change,
    },
    /// List who changed what, newest first.
    #[command(after_long_help = "\
Needs DATABASE_URL. With --json: an array of objects with queue, changed_at, changed_by, change and reason.

Examples:
  aisha queues log
  aisha queues log --queue fal --limit 5 --json")]
    Log {
        /// Only changes of this queue.
        #[arg(long, value_parser = by_name())]
        queue: Option<Queue>,
        /// The most changes to list.
        #[arg(long, default_value_t = 20)]
        limit: u16,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// A queue by its name; `--help` lists all of them.
pub(super) fn by_name() -> impl TypedValueParser<Value = Queue> {
    let names = queues::described().map(|(queue, limit)| PossibleValue::new(queue.as_str()).help(limit));
    PossibleValuesParser::new(names).try_map(|name| queues::named(&name))
}

/// Options of every change.
#[derive(Debug, Args)]
pub struct Change {
    /// The reason, which is stored with the change.
    #[arg(long, visible_alias = "because", value_name = "TEXT")]
    reason: Option<String>,
    /// The name of the person. Default: USER of the environment.
    #[arg(long, value_name = "NAME")]
    by: Option<String>,
    /// Only show what would change.
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object: whether it changed, whether it was a dry run, and the queue after the change.
    #[arg(long)]
    json: bool,
}

/// A number of at least 1, or no limit.
#[derive(Debug, Clone, Copy)]
pub struct Most(Option<u16>);

fn most(text: &str) -> Result<Most, String> {
    match (text, text.parse()) {
        ("none", _) => Ok(Most(None)),
        (_, Ok(limit @ 1..)) => Ok(Most(Some(limit))),
        _ => Err(
            "write a whole number from 1 to 65535, or none; to let nothing run, pause the queue".to_owned(),
        ),
    }
}

/// The change to make to a queue.
enum QueueAction {
    Pause,
    Resume,
    Limit(Option<Most>, Option<Most>),
}

#[derive(Serialize)]
struct ChangeReport<'a> {
    changed: bool,
    dry_run: bool,
    #[serde(flatten)]
    queue: &'a QueueControl,
}

/// Runs `aisha queues`. The error carries the exit code.
pub async fn main(verb: QueuesVerb, given: Given) -> Result<(), Failure> {
    let settings = given.load::<OpsSettings>()?;
    let user = given.environment.get("USER").cloned();
    let database = connect::readable_database(&settings.database, "queues").await?;
    let controls = Controls::new(database);
    match verb {
        QueuesVerb::List { json } => list(&controls, json).await,
        QueuesVerb::Log { queue, limit, json } => log(&controls, queue, limit, json).await,
        QueuesVerb::Pause { queue, change } => {
            apply(&controls, queue, &QueueAction::Pause, change, user).await
        }
        QueuesVerb::Resume { queue, change } => {
            apply(&controls, queue, &QueueAction::Resume, change, user).await
        }
        QueuesVerb::Limit {
            queue,
            running,
            per_user,
            change,
        } => {
            apply(
                &controls,
                queue,
                &QueueAction::Limit(running, per_user),
                change,
                user,
            )
            .await
        }
    }
}

async fn list(controls: &Controls, json: bool) -> Result<(), Failure> {
    let queues = controls.list(queues::ALL).await.context("the database failed")?;
    if json {
        return print_json(&queues);
    }
    println!(
        "{:<8} {:>8} {:>9} {:>8} {:>6} {:>8}  state",
        "queue", "ready", "scheduled", "running", "limit", "per user"
    );
    for queue in &queues {
        println!(
            "{:<8} {:>8} {:>9} {:>8} {:>6} {:>8}  {}",
            queue.queue,
            queue.ready,
            queue.scheduled,
            queue.running,
            or_dash(queue.max_running),
            or_dash(queue.max_running_per_key),
            state(queue)
        );
    }
    Ok(())
}

async fn log(controls: &Controls, queue: Option<Queue>, limit: u16, json: bool) -> Result<(), Failure> {
    let changes = controls
        .changes(queue, limit)
        .await
        .context("the database failed")?;
    if json {
        return print_json(&changes);
    }
    if changes.is_empty() {
        let which = queue.map_or_else(|| "any queue".to_owned(), |queue| format!("queue {queue}"));
        nothing(&format!("nobody has paused, resumed or limited {which} yet"));
    }
    for ControlChange {
        queue,
        changed_at,
        changed_by,
        change,
        reason,
    } in &changes
    {
        let reason = reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        println!("{} {queue} {change} by {changed_by}{reason}", moment(*changed_at));
    }
    Ok(())
}

async fn apply(
    controls: &Controls,
    queue: Queue,
    action: &QueueAction,
    change: Change,
    user: Option<String>,
) -> Result<(), Failure> {
    let by = change.by.or(user).unwrap_or_else(|| "unknown".to_owned());
    let reason = change.reason.as_deref();
    let before = find(controls, queue).await?;
    let limits = match action {
        QueueAction::Limit(running, per_user) => Limits {
            max_running: running.map_or_else(|| stored(before.max_running), |most| most.0),
            max_running_per_key: per_user.map_or_else(|| stored(before.max_running_per_key), |most| most.0),
        },
        QueueAction::Pause | QueueAction::Resume => Limits::default(),
    };
    let changed = if change.dry_run {
        match action {
            QueueAction::Pause => before.paused_at.is_none(),
            QueueAction::Resume => {
                before.paused_at.is_some() || before.silent_until.is_some() || before.silent_keys > 0
            }
            QueueAction::Limit(..) => {
                (stored(before.max_running), stored(before.max_running_per_key))
                    != (limits.max_running, limits.max_running_per_key)
            }
        }
    } else {
        match action {
            QueueAction::Pause => controls.pause(queue, &by, reason).await,
            QueueAction::Resume => controls.resume(queue, &by, reason).await,
            QueueAction::Limit(..) => controls.limit(queue, limits, &by, reason).await,
        }
        .context("the database failed")?
    };
    let after = find(controls, queue).await?;
    if change.json {
        return print_json(&ChangeReport {
            changed,
            dry_run: change.dry_run,
            queue: &after,
        });
    }
    let done = match (action, change.dry_run) {
        (QueueAction::Pause, false) => format!("{queue} is paused, {} jobs run on", after.running),
        (QueueAction::Pause, true) => format!("{queue} would be paused, {} jobs would run on", after.running),
        (QueueAction::Resume, false) => format!("{queue} goes on, {} jobs are ready", after.ready),
        (QueueAction::Resume, true) => format!("{queue} would go on, {} jobs are ready", after.ready),
        (QueueAction::Limit(..), dry_run) => format!(
            "{queue} {} at once {} in all, and {} of one user; {} run now",
            if dry_run { "would run" } else { "runs" },
            at_most(limits.max_running),
            at_most(limits.max_running_per_key),
            after.running
        ),
    };
    let already = match action {
        QueueAction::Pause => "is paused already",
        QueueAction::Resume => "is not paused",
        QueueAction::Limit(..) => "has these limits already",
    };
    if changed {
        println!("{done}");
    } else {
        println!(
            "{queue} {already}, nothing {}",
            if change.dry_run { "would change" } else { "changed" }
        );
    }
    Ok(())
}

async fn find(controls: &Controls, queue: Queue) -> Result<QueueControl, Failure> {
    let queues = controls.list(queues::ALL).await.context("the database failed")?;
    let found = queues.into_iter().find(|control| control.queue == queue.as_str());
    Ok(found.context("the queue is missing in the list of all")?)
}

fn stored(limit: Option<i32>) -> Option<u16> {
    limit.and_then(|limit| u16::try_from(limit).ok())
}

fn at_most(limit: Option<u16>) -> String {
    match limit {
        None => "any number of jobs".to_owned(),
        Some(1) => "at most 1 job".to_owned(),
        Some(most) => format!("at most {most} jobs"),
    }
}

fn or_dash(limit: Option<impl ToString>) -> String {
    limit.map_or_else(|| "-".to_owned(), |limit| limit.to_string())
}

fn state(queue: &QueueControl) -> String {
    let mut said = Vec::new();
    if let Some(paused_at) = queue.paused_at {
        let by = queue.paused_by.as_deref().unwrap_or("unknown");
        let reason = queue
            .pause_reason
            .as_ref()
            .map(|reason| format!(": {reason}"))
            .unwrap_or_default();
        said.push(format!("paused since {} by {by}{reason}", moment(paused_at)));
    }
    if let Some(until) = queue.silent_until {
        said.push(format!("silent until {} (429), then one tries", moment(until)));
    }
    if let Some(until) = queue.silent_keys_until {
        let users = if queue.silent_keys == 1 {
            "1 user is".to_owned()
        } else {
            format!("{} users are", queue.silent_keys)
        };
        said.push(format!("{users} silent until {} at the latest", moment(until)));
    }
    if said.is_empty() {
        said.push("open".to_owned());
    }
    said.join("; ")
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    println!(
        "{}",
        serde_json::to_string(value).context("it cannot be written as JSON")?
    );
    Ok(())
}
