//! `aisha fal`: how we stand with FAL.

use anyhow::Context;
use clap::Subcommand;
use jobs::reader::Reader;
use serde_json::json;

use super::print::moment;
use crate::{
    connect,
    exit::Failure,
    settings::{Given, OpsSettings},
};

/// See how we stand with FAL.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Say whether FAL takes submissions, or refuses our account and everything is parked.
    ///
    /// Parked submissions resume by themselves: one of them tries again from time to time.
    #[command(after_long_help = "\
Needs DATABASE_URL. With --json: parked, and if so since, reason, next_probe_at, probes and waiting (trainings).

Examples:
  aisha fal account
  aisha fal account --json | jq .parked")]
    Account {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Runs the verb.
pub async fn main(verb: Verb, given: Given) -> Result<(), Failure> {
    let Verb::Account { json } = verb;
    let settings = given.load::<OpsSettings>()?;
    let database = connect::readable_database(&settings.database, "fal").await?;
    let parked = Reader::new(database.pool().clone())
        .fal_parked()
        .await
        .context("the database failed")?;
    match parked {
        None if json => println!("{}", json!({"parked": false})),
        None => println!("FAL takes submissions, as far as we know"),
        Some(parked) if json => {
            let mut object =
                serde_json::to_value(&parked).context("the account cannot be written as JSON")?;
            object["parked"] = json!(true);
            println!("{object}");
        }
        Some(parked) => {
            println!("parked since {}: {}", moment(parked.since), parked.reason);
            println!("waiting       {} trainings", parked.waiting);
            println!(
                "next probe    {}, after {} so far",
                moment(parked.next_probe_at),
                parked.probes
            );
        }
    }
    Ok(())
}
