//! `--kill-worker`: a worker is killed (SIGKILL) while it holds a job of each kind in turn.
//!
//! A job that talks to somebody is held by that somebody: the simulator withholds its answer. One that only touches
//! the database is held by a row lock. The submit is killed after FAL accepted it and before FAL answered, which is
//! the moment that costs money. All is armed before the user begins; the pipeline runs into one trap after another.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use sqlx::{Connection as _, PgConnection};

use super::{Show, person::AVATAR};
use crate::{
    dev::stack::Stack,
    simulators::{
        fal::faults::{Effect, Fault as FalFault, Operation, When},
        telegram::{Fault as TelegramFault, FaultAction, HoldPoint},
    },
};

/// How long a trap may wait for its job.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between looks at the database.
const LOOK: Duration = Duration::from_millis(20);

/// Who withholds what the job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Telegram,
    Fal,
    RowLock,
}

/// In the order in which a training meets them.
const TRAPS: [(&str, Holder); 7] = [
    ("store_photo", Holder::Telegram),
    ("build_archive", Holder::Fal),
    ("submit_training", Holder::Fal),
    ("poll_status", Holder::Fal),
    ("apply_fal_delivery", Holder::RowLock),
    ("store_model", Holder::Fal),
    ("notify_user", Holder::Telegram),
];

/// What has to be known when a trap snaps.
pub(super) struct Armed {
    database: PgConnection,
}

/// Sets every trap that does not depend on the training's rows.
pub(super) async fn arm(stack: &Stack) -> anyhow::Result<Armed> {
    let telegram = stack.telegram.control();
    telegram.inject(TelegramFault::on(
        "getFile",
        FaultAction::Hold {
            when: HoldPoint::Before,
        },
    ));
    let last_message = format!("{AVATAR}” is ready!");
    telegram.inject(
        TelegramFault::on(
            "sendMessage",
            FaultAction::Hold {
                when: HoldPoint::Before,
            },
        )
        .containing(&last_message),
    );
    let hold = || Effect::Hold {
        until_delivered: false,
    };
    stack.fal.script(FalFault {
        when: Some(When::Before),
        ..FalFault::new(Operation::Initiate, hold())
    })?;
    stack.fal.script(FalFault {
        when: Some(When::After),
        ..FalFault::new(Operation::Submit, hold())
    })?;
    stack.fal.script(FalFault {
        when: Some(When::Before),
        ..FalFault::new(Operation::Status, hold())
    })?;
    // The request runs until the poll's accident is over; otherwise its end would overtake the traps before it.
    stack
        .fal
        .script(FalFault::new(Operation::Execution, Effect::StuckInProgress {}))?;
    let weights = FalFault {
        contains: Some(".safetensors".to_owned()),
        when: Some(When::Before),
        ..FalFault::new(Operation::Download, hold())
    };
    stack.fal.script(weights)?;
    let database = PgConnection::connect(&stack.database_url())
        .await
        .context("the demo cannot look into the database")?;
    Ok(Armed { database })
}

/// Waits for each trap, kills, lets go, and starts another worker. Returns the kinds in the order of their deaths.
pub(super) async fn happen(
    stack: &mut Stack,
    mut armed: Armed,
    show: Show,
) -> anyhow::Result<Vec<&'static str>> {
    let mut killed = Vec::new();
    for (kind, holder) in TRAPS {
        let lock = match holder {
            Holder::RowLock => Some(hold_by_lock(stack).await?),
            Holder::Telegram | Holder::Fal => None,
        };
        wait_until_held(stack, &mut armed.database, kind, holder).await?;
        let pid = stack.kill_worker().await?;
        show.event(&format!("⚡ killed worker {pid} while it held {kind}"));
        // A call that was withheld ended with its caller's connection; only the lock has to be given back.
        if let Some(lock) = lock {
            lock.close()
                .await
                .context("the row lock could not be given back")?;
        }
        stack.start_worker().await?;
        killed.push(kind);
    }
    Ok(killed)
}

/// Locks the training's row, then lets FAL finish: the delivery's job will wait for the lock.
async fn hold_by_lock(stack: &Stack) -> anyhow::Result<PgConnection> {
    let mut lock = PgConnection::connect(&stack.database_url()).await?;
    sqlx::query("begin").execute(&mut lock).await?;
    let locked = sqlx::query("select from trainings for update")
        .execute(&mut lock)
        .await?;
    ensure!(
        locked.rows_affected() == 1,
        "there should be one training, not {}",
        locked.rows_affected()
    );
    // Released before it is stuck, it would get stuck afterwards.
    let runs_into_it = async {
        while !stack.fal.holds_a_run() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, runs_into_it)
        .await
        .context("the request never got stuck at FAL")?;
    stack.fal.release();
    Ok(lock)
}

/// The job runs, and whoever holds it says so.
async fn wait_until_held(
    stack: &Stack,
    database: &mut PgConnection,
    kind: &str,
    holder: Holder,
) -> anyhow::Result<()> {
    let held = async {
        loop {
            let by_holder = match holder {
                Holder::Telegram => !stack.telegram.control().held().is_empty(),
                Holder::Fal => stack.fal.holds_an_answer(),
                Holder::RowLock => waits_for_lock(database).await?,
            };
            if by_holder && runs(database, kind).await? {
                return anyhow::Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, held)
        .await
        .with_context(|| format!("no {kind} was held within {PATIENCE:?}"))?
}

async fn runs(database: &mut PgConnection, kind: &str) -> anyhow::Result<bool> {
    let query = "select exists (select from jobs where kind = $1 and state = 'running')";
    Ok(sqlx::query_scalar(query).bind(kind).fetch_one(database).await?)
}

async fn waits_for_lock(database: &mut PgConnection) -> anyhow::Result<bool> {
    let query = "select exists (select from pg_stat_activity where application_name = 'aisha worker' and wait_event_type = 'Lock')";
    Ok(sqlx::query_scalar(query).fetch_one(database).await?)
}
