//! `aisha webhooks`: shows FAL's deliveries and their verdicts, and applies them again.

use anyhow::{Context, anyhow};
use clap::{Args, Subcommand};
use jobs::{
    domain::{DeliveryVerdict, TrainingId},
    producer::{Producer, Replay, Replayed},
    reader::{DeliveryDetail, DeliveryFilter, DeliveryView, Reader},
};

use super::print;
use crate::{
    connect,
    exit::Failure,
    settings::{Given, OpsSettings},
};

/// Look at FAL's deliveries, and apply them again.
#[derive(Debug, Subcommand)]
pub enum WebhooksVerb {
    /// List deliveries, newest first.
    #[command(after_long_help = "\
Needs DATABASE_URL. Only deliveries signed by FAL are stored, so there are no forgeries here.

Verdicts: pending (not applied yet), applied (it ended its training), late (another result was first), looked_up (it had no
result, which was fetched), kept (its training had ended by our decision; its model is kept),
second_request (its training has another request: double cost), unknown_request (no training has its request), unreadable,
given_up (applying it failed too often).

Examples:
  aisha webhooks list
  aisha webhooks list --verdict unknown_request
  aisha webhooks list --training 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11 --json | jq '.[].verdict'")]
    List {
        /// Filters, of which all must match.
        #[command(flatten)]
        which: DeliverySelection,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
    /// Show one delivery with its body.
    #[command(after_long_help = "\
Needs DATABASE_URL.

Examples:
  aisha webhooks show 17
  aisha webhooks show 17 --json | jq .body.payload")]
    Show {
        /// The id of the delivery, as `list` prints it.
        id: i64,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Apply deliveries again that had no effect. All others stay as they are.
    #[command(
        override_usage = "aisha webhooks replay [OPTIONS] <IDS>... | --verdict VERDICT | --request ID | --training ID",
        after_long_help = "\
Needs DATABASE_URL, and a worker that applies them. Repeating it does no harm: a delivery has only one effect.

Examples:
  aisha webhooks replay 17
  aisha webhooks replay --verdict unknown_request --dry-run
  aisha webhooks replay --verdict given_up --limit 1000 --json"
    )]
    Replay {
        /// Ids as `list` prints them. Without ids: all deliveries that the options select.
        #[arg(required_unless_present_any = ["verdict", "request", "training"])]
        ids: Vec<i64>,
        /// Filters, of which all must match.
        #[command(flatten)]
        which: DeliverySelection,
        /// Only show what would happen.
        #[arg(long)]
        dry_run: bool,
        /// Print a JSON array.
        #[arg(long)]
        json: bool,
    },
}

/// Filters for deliveries; all that are given must match.
#[derive(Debug, Args)]
pub struct DeliverySelection {
    /// Only deliveries with this verdict; `pending`: not applied yet.
    #[arg(long, value_name = "VERDICT")]
    verdict: Option<DeliveryVerdict>,
    /// Only deliveries of this request at FAL.
    #[arg(long, value_name = "ID")]
    request: Option<String>,
    /// Only deliveries of this training.
    #[arg(long, value_name = "ID")]
    training: Option<TrainingId>,
    /// The most deliveries, newest first.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..))]
    limit: u16,
}

impl DeliverySelection {
    fn among(self, ids: Vec<i64>) -> DeliveryFilter {
        let Self {
            verdict,
            request,
            training,
            limit,
        } = self;
        DeliveryFilter {
            // The limit must not cut off ids that were given.
            limit: limit.max(u16::try_from(ids.len()).unwrap_or(u16::MAX)),
            ids,
            verdict,
            request_id: request,
            training,
        }
    }
}

/// Runs `aisha webhooks`. The error carries the exit code.
pub async fn main(verb: WebhooksVerb, given: Given) -> Result<(), Failure> {
    let settings = given.load::<OpsSettings>()?;
    let database = connect::readable_database(&settings.database, "webhooks").await?;
    match verb {
        WebhooksVerb::List { which, json } => {
            let filter = which.among(Vec::new());
            let found = Reader::new(database).fal_deliveries(&filter).await;
            let found = found.context("the database failed")?;
            if found.is_empty() && !json {
                print::nothing(&format!("no deliveries{}", looked_for(&filter)));
            }
            list(&found, json)?;
        }
        WebhooksVerb::Show { id, json } => {
            let found = Reader::new(database).fal_delivery(id).await;
            let found = found.context("the database failed")?;
            show(
                &found.with_context(|| format!("there is no delivery {id}"))?,
                json,
            )?;
        }
        WebhooksVerb::Replay {
            ids,
            which,
            dry_run,
            json,
        } => {
            let filter = which.among(ids);
            let replayed = Producer::new(database)
                .replay_fal_deliveries(&filter, dry_run)
                .await;
            let replayed = replayed.context("nothing was replayed")?;
            let missing = filter
                .ids
                .iter()
                .find(|id| !replayed.iter().any(|one| one.delivery.id == **id));
            report(&replayed, json)?;
            if let Some(id) = missing {
                return Err(anyhow!("there is no delivery {id}, or the options exclude it").into());
            }
        }
    }
    Ok(())
}

fn looked_for(filter: &DeliveryFilter) -> String {
    let parts = [
        filter
            .verdict
            .map(|verdict| format!("with verdict {}", verdict.as_str())),
        filter.request_id.as_ref().map(|id| format!("of request {id:?}")),
        filter.training.map(|id| format!("of training {id}")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" {}", parts.join(", "))
    }
}

fn list(deliveries: &[DeliveryView], json: bool) -> Result<(), Failure> {
    if json {
        return print::json(&deliveries);
    }
    for delivery in deliveries {
        println!("{}", line(delivery));
    }
    Ok(())
}

fn line(delivery: &DeliveryView) -> String {
    let training = delivery
        .training_id
        .map_or_else(|| "-".to_owned(), |id| id.to_string());
    let flags = delivery.flags.join(",");
    let received = print::moment(delivery.received_at);
    format!(
        "{:<8} {:<16} {received} request {} training {training} {flags}",
        delivery.id, delivery.verdict, delivery.request_id
    )
    .trim_end()
    .to_owned()
}

fn show(delivery: &DeliveryDetail, json: bool) -> Result<(), Failure> {
    if json {
        return print::json(delivery);
    }
    println!("{}", line(&delivery.view));
    println!("signed   {}", print::moment(delivery.view.signed_at));
    println!("received {}", print::moment(delivery.view.received_at));
    if let Some(applied_at) = delivery.view.applied_at {
        println!("applied  {}", print::moment(applied_at));
    }
    if delivery.view.is_queued {
        println!("a job is going to apply it");
    }
    println!(
        "{}",
        serde_json::to_string_pretty(&delivery.body).context("the body cannot be written as JSON")?
    );
    Ok(())
}

fn report(replayed: &[Replayed], json: bool) -> Result<(), Failure> {
    if json {
        return print::json(&replayed);
    }
    for one in replayed {
        let done = match one.replay {
            Replay::Enqueued => "is applied again",
            Replay::WouldEnqueue => "would be applied again",
            Replay::Waiting => "is going to be applied anyhow",
            Replay::Settled => "is settled, nothing is left to do",
        };
        println!("{:<8} {:<16} {done}", one.delivery.id, one.delivery.verdict);
    }
    Ok(())
}
