//! One peer of the benchmark as a small program: sets its schema up, produces jobs, or works them off, and says when.
//!
//! `benches/queue/run` drives it, and the programs in `peers/` that speak the same protocol for Node and Python:
//! one JSON object a line on standard output, times in microseconds since 1970 on this machine's clock. `DATABASE_URL`
//! names the database. A worker listens on standard input: `report` makes it say what it has done, `stop` (or the end
//! of input) makes it stop.

mod apalis_peer;
mod ceiling;
mod family;
mod floor;
mod graphile;
mod ours;
mod producer;
mod protocol;

use std::{process::ExitCode, time::Duration};

use clap::{Parser, Subcommand};

use family::Family;
use protocol::Tally;

#[derive(Parser)]
struct Cli {
    /// Whose tables.
    family: Family,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Create the schema.
    Setup,
    /// Enqueue one by one, each in a transaction of its own, from several connections.
    Enqueue { seconds: f64, clients: usize },
    /// Enqueue with the peer's own bulk call: so many calls, of so many jobs each.
    Bulk { calls: u64, size: u64 },
    /// Enqueue one job every so many milliseconds and tell when each was committed.
    Paced { count: u64, millis: u64 },
    /// Run jobs until stopped. Handlers after the first `limit` never return; with `--record` each start is told.
    Work {
        variant: String,
        slots: usize,
        limit: u64,
        #[arg(long)]
        record: bool,
    },
    /// For the measure of recovery: jobs that last until the worker is killed, each start told at once.
    Hold { slots: usize },
}

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let ended = runtime
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(run(Cli::parse())));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { family, verb } = cli;
    match verb {
        Verb::Setup => family.setup().await,
        Verb::Enqueue { seconds, clients } => {
            producer::one_by_one(family, Duration::from_secs_f64(seconds), clients).await
        }
        Verb::Bulk { calls, size } => producer::bulk(family, calls, size).await,
        Verb::Paced { count, millis } => producer::paced(family, count, Duration::from_millis(millis)).await,
        Verb::Work {
            variant,
            slots,
            limit,
            record,
        } => {
            Tally::start(limit, record);
            match family {
                Family::Ours => ours::work(&variant, slots).await,
                Family::Floor => floor::work(&variant, slots).await,
                Family::Apalis => apalis_peer::work(&variant, slots).await,
                Family::Ceiling => ceiling::work(slots, limit).await,
                Family::GraphileRs => graphile::work(slots).await,
            }
        }
        Verb::Hold { slots } => ours::hold(slots).await,
    }
}
