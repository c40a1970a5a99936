//! `aisha avatars`: shows the state of an avatar's training, and ends it.

use anyhow::{Context, anyhow};
use clap::Subcommand;
use jobs::{
    domain::SupportCode,
    producer::{Cancellation, CancelledTraining, Producer},
    reader::{Reader, Supported, TrainingView},
};
use serde_json::json;
use uuid::Uuid;

use super::print::moment;
use crate::{
    connect,
    exit::Failure,
    settings::{Given, OpsSettings},
};

/// Look at avatars' trainings, and end them.
#[derive(Debug, Subcommand)]
pub enum AvatarsVerb {
    /// Show how the training of an avatar is going.
    #[command(after_long_help = "\
Needs DATABASE_URL. With --json: status (in_progress, completed, error or unknown), progress (0-100), message,
created_at and completed_at.

Examples:
  aisha avatars status 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11
  aisha avatars status 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11 --json | jq .progress
  aisha avatars status 7K3M-9QXZ                       # what a user read out")]
    Status {
        /// The avatar's id, a training's, or the support code that a message of the bot names.
        #[arg(value_parser = id_or_code, value_name = "ID")]
        id: IdOrCode,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// End the training of an avatar: here, in the queue, and at FAL.
    ///
    /// A training that is not at FAL yet is cancelled at once. Otherwise FAL is asked to stop, and its answer
    /// decides: the training is stopped, or it finishes nevertheless and completes the avatar. The owner is
    /// told either way.
    #[command(after_long_help = "\
Needs DATABASE_URL, and a running worker for trainings at FAL. With --json: training_id, avatar_id, was (its status),
outcome (cancelled, stopping, already_stopping, too_late, over) and dry_run. Exit code 1 for too_late and over.

Examples:
  aisha avatars cancel 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11 --dry-run
  aisha avatars cancel 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11 --reason \"asked for in support\" --json")]
    Cancel {
        /// The avatar's id, or a training's.
        #[arg(value_parser = id)]
        id: Uuid,
        /// The reason, which is kept with the training.
        #[arg(long, visible_alias = "because", default_value = "an operator")]
        reason: String,
        /// Only show what would happen.
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// What names a training to operators.
#[derive(Debug, Clone, Copy)]
pub enum IdOrCode {
    /// The avatar's id, or a training's.
    Id(Uuid),
    /// The code of an error message.
    Code(SupportCode),
}

fn id_or_code(text: &str) -> Result<IdOrCode, &'static str> {
    match (text.parse(), text.parse()) {
        (Ok(id), _) => Ok(IdOrCode::Id(id)),
        (_, Ok(code)) => Ok(IdOrCode::Code(code)),
        _ => Err("an id looks like 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11, a support code like 7K3M-9QXZ"),
    }
}

fn id(text: &str) -> Result<Uuid, &'static str> {
    text.parse()
        .map_err(|_| "an id looks like 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11")
}

/// Runs `aisha avatars`. The error carries the exit code.
pub async fn main(verb: AvatarsVerb, given: Given) -> Result<(), Failure> {
    let settings = given.load::<OpsSettings>()?;
    let database = connect::readable_database(&settings.database, "avatars").await?;
    match verb {
        AvatarsVerb::Status {
            id: IdOrCode::Id(id),
            json,
        } => show(&find(&Reader::new(&database), id).await?, json),
        AvatarsVerb::Status {
            id: IdOrCode::Code(code),
            json,
        } => look_up(&Reader::new(&database), code, json).await,
        AvatarsVerb::Cancel {
            id,
            reason,
            dry_run,
            json,
        } => {
            let done = Producer::new(&database)
                .cancel_training(id, &reason, dry_run)
                .await
                .context("the training could not be cancelled")?;
            let done =
                done.with_context(|| format!("there is no training {id}, and none of an avatar {id}"))?;
            report(&done, dry_run, json)
        }
    }
}

async fn find(reader: &Reader, id: Uuid) -> Result<TrainingView, Failure> {
    let view = reader.training_status(id).await.context("the database failed")?;
    Ok(view.with_context(|| format!("there is no avatar and no training {id}"))?)
}

/// Shows each row that a support code names, and the training's status.
async fn look_up(reader: &Reader, code: SupportCode, json: bool) -> Result<(), Failure> {
    let found = reader
        .by_support_code(code)
        .await
        .context("the database failed")?;
    if found.is_empty() {
        return Err(anyhow!("nothing has the support code {code}").into());
    }
    for one in found {
        if json {
            println!(
                "{}",
                serde_json::to_string(&one).context("it cannot be written as JSON")?
            );
            continue;
        }
        match one {
            Supported::Row { table, id } => {
                println!("{code} is {table} {id}");
                if table != "album" {
                    show(&find(reader, id).await?, json)?;
                }
            }
            Supported::Update {
                update_id,
                chat_id,
                attempts,
                error,
            } => {
                let chat = chat_id.map_or_else(|| "no chat".to_owned(), |chat| format!("chat {chat}"));
                let error = error.as_deref().unwrap_or("it was handled in the end");
                println!("{code} is update {update_id} of {chat}: {attempts} attempts; {error}");
            }
        }
    }
    Ok(())
}

fn report(done: &Cancellation, dry_run: bool, json: bool) -> Result<(), Failure> {
    let Cancellation {
        training_id,
        avatar_id,
        was,
        outcome,
    } = done;
    if json {
        println!(
            "{}",
            json!({"training_id": training_id, "avatar_id": avatar_id, "was": was, "outcome": outcome, "dry_run": dry_run})
        );
    } else {
        let would = if dry_run { "would be " } else { "" };
        match outcome {
            CancelledTraining::Cancelled => {
                println!("{would}cancelled: training {training_id}, which was {was}");
            }
            CancelledTraining::Stopping => {
                println!("{would}stopping: FAL is asked to stop training {training_id}, which is {was}");
            }
            CancelledTraining::AlreadyStopping => {
                println!("FAL is being asked to stop training {training_id} already");
            }
            CancelledTraining::TooLate | CancelledTraining::Over => {}
        }
    }
    match outcome {
        CancelledTraining::TooLate | CancelledTraining::Over => {
            Err(anyhow!("training {training_id} is {was}: there is nothing to cancel").into())
        }
        _ => Ok(()),
    }
}

fn show(view: &TrainingView, json: bool) -> Result<(), Failure> {
    if json {
        println!(
            "{}",
            serde_json::to_string(view).context("the status cannot be written as JSON")?
        );
        return Ok(());
    }
    let status = serde_json::to_value(view.status).unwrap_or_default();
    println!(
        "{} {}%: {}",
        status.as_str().unwrap_or("unknown"),
        view.progress,
        view.message
    );
    println!("created   {}", moment(view.created_at));
    if let Some(completed_at) = view.completed_at {
        println!("completed {}", moment(completed_at));
    }
    Ok(())
}
