//! `aisha fal`: shows the state of our account at FAL.

use anyhow::Context;
use chrono::TimeDelta;
use clap::Subcommand;
use jobs::reader::Reader;
use serde_json::json;

use super::print::moment;
use crate::{
    connect,
    exit::Failure,
    settings::{Given, OpsSettings},
};

mod trainers;

/// Look at the state of our account at FAL, and at its trainers and generators.
#[derive(Debug, Subcommand)]
pub enum FalVerb {
    /// Show whether FAL has refused our account, in which call, and since when.
    ///
    /// While it does, uploads and submissions are parked. They resume by themselves: one of them tries again
    /// from time to time.
    #[command(after_long_help = "\
Needs DATABASE_URL. With --json: parked, last_accepted_submit_seconds_ago (null: none yet); and if parked since, call (the
call that was refused), reason, next_probe_at, probes and waiting (trainings).

Examples:
  aisha fal account
  aisha fal account --json | jq .parked")]
    Account {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// List the trainers of trainers.toml and the generators of generators.toml: their costs, which are the defaults, and
    /// whether FAL still lists them.
    #[command(after_long_help = "\
Needs nothing; with --online FAL_KEY, and FAL is asked for each endpoint, which costs nothing. Prices are those that the
two files have from FAL's pages. With --json: an array of objects with kind, name, endpoint and at_fal (FAL's word such as
active or deprecated; unlisted; null: not asked). Those of kind trainer have training_type, inference_endpoint,
expected_minutes, is_default, retired and dollars (fast, balanced, quality; null: not published) as well; those of kind
generator have model (lora or finetune), expected_seconds, most_pictures, trainers (whose models it draws with) and dollars
(per_picture, per_megapixel; null: not billed by this, or not published).

Examples:
  aisha fal trainers
  aisha fal trainers --online
  aisha fal trainers --online --json | jq '.[] | select(.at_fal != \"active\") | .name'")]
    Trainers {
        /// Ask FAL whether it still lists each endpoint.
        #[arg(long)]
        online: bool,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// Runs `aisha fal`. The error carries the exit code.
pub async fn main(verb: FalVerb, given: Given) -> Result<(), Failure> {
    match verb {
        FalVerb::Account { json } => account(json, &given).await,
        FalVerb::Trainers { online, json } => trainers::list(&given, online, json).await,
    }
}

async fn account(json: bool, given: &Given) -> Result<(), Failure> {
    let settings = given.load::<OpsSettings>()?;
    let database = connect::readable_database(&settings.database, "fal").await?;
    let reader = Reader::new(&database);
    let failed = "the database failed";
    let parked = reader.fal_parked().await.context(failed)?;
    let last = reader.last_accepted_submit().await.context(failed)?;
    if json {
        let mut object = match &parked {
            Some(parked) => serde_json::to_value(parked).context("the account cannot be written as JSON")?,
            None => json!({}),
        };
        object["parked"] = json!(parked.is_some());
        object["last_accepted_submit_seconds_ago"] = json!(last.map(|ago| ago.num_seconds()));
        println!("{object}");
        return Ok(());
    }
    let last = last.map_or_else(|| "none yet".to_owned(), ago);
    let Some(parked) = parked else {
        println!("FAL has not refused our account. Last accepted submit: {last}");
        return Ok(());
    };
    println!(
        "FAL refuses our account since {}, last at the {}: {}",
        moment(parked.since),
        parked.call,
        parked.reason
    );
    println!("waiting               {} trainings", parked.waiting);
    println!(
        "next probe            {}, after {} so far",
        moment(parked.next_probe_at),
        parked.probes
    );
    println!("last accepted submit  {last}");
    Ok(())
}

/// The age in the largest unit of which there are at least two.
fn ago(time: TimeDelta) -> String {
    match (time.num_days(), time.num_hours(), time.num_minutes()) {
        (days @ 2.., ..) => format!("{days} days ago"),
        (_, hours @ 2.., _) => format!("{hours} h ago"),
        (_, _, minutes @ 2..) => format!("{minutes} min ago"),
        _ => format!("{} s ago", time.num_seconds().max(0)),
    }
}
