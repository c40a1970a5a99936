//! `aisha avatars`: what the pipeline knows of an avatar.

use anyhow::Context;
use clap::Subcommand;
use jobs::reader::{Reader, TrainingView};
use uuid::Uuid;

use crate::{
    connect,
    exit::Failure,
    settings::{Given, OpsSettings},
};

/// Look at avatars.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say how the training of an avatar is going.
    #[command(after_long_help = "\
Needs DATABASE_URL. With --json: status (in_progress, completed, error or unknown), progress (0-100), message,
created_at and completed_at.

Examples:
  aisha avatars status 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11
  aisha avatars status 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11 --json | jq .progress")]
    Status {
        /// The avatar's id, or a training's.
        id: Uuid,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the verb.
pub async fn main(verb: Verb, given: Given) -> Result<(), Failure> {
    let Verb::Status { id, json } = verb;
    let settings = given.load::<OpsSettings>()?;
    let database = connect::database(&settings.database, "avatars").await?;
    let view = Reader::new(database.pool().clone())
        .training_status(id)
        .await
        .context("the database failed")?;
    let view = view.with_context(|| format!("there is no avatar and no training {id}"))?;
    if json {
        println!(
            "{}",
            serde_json::to_string(&view).context("the status cannot be written as JSON")?
        );
    } else {
        print(&view);
    }
    Ok(())
}

fn print(view: &TrainingView) {
    let status = serde_json::to_value(view.status).unwrap_or_default();
    println!(
        "{} {}%: {}",
        status.as_str().unwrap_or("unknown"),
        view.progress,
        view.message
    );
    println!("created   {}", view.created_at.to_rfc3339());
    if let Some(completed_at) = view.completed_at {
        println!("completed {}", completed_at.to_rfc3339());
    }
}
