//! `--kill-worker`: kills a worker (SIGKILL) while it holds a job, once for each kind of job.
//!
//! To keep a job running until the kill, the demo holds back what it waits for. A job that calls FAL or
//! Telegram gets no answer from the simulator; a job that only uses the database waits for a row lock. The
//! submit is killed after FAL accepted it and before FAL answered, which is the moment that costs money. All
//! traps are set before the user begins, and the training runs into one after the other.

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

/// How long a trap waits for its job.
const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two looks at the database.
const LOOK: Duration = Duration::from_millis(20);

/// The component that holds back what the job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Telegram,
    Fal,
    RowLock,
}

/// The kinds of jobs in the order in which a training runs them.
const TRAPS: [(&str, Holder); 7] = [
    ("store_photo", Holder::Telegram),
    ("build_archive", Holder::Fal),
    ("submit_training", Holder::Fal),
    ("poll_status", Holder::Fal),
    ("apply_fal_delivery", Holder::RowLock),
    ("store_model", Holder::Fal),
    ("notify_user", Holder::Telegram),
];

/// Connection and ids that are needed when a job runs into a trap.
pub(super) struct Armed {
    database: PgConnection,
}

/// Sets every trap that does not need a row of the training.
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
    // The request runs until the poll's trap is over. Otherwise its end would overtake the earlier traps.
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

/// For each trap: waits until the job is held, kills the worker, releases the job and starts another worker.
/// Returns the kinds in the order of the kills.
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
        // A held call ended together with its caller's connection; only the row lock must be released.
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

/// Locks the training's row, then lets FAL finish the request, so that the delivery's job waits for the lock.
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
    // A release before the request is stuck would have no effect, and it would get stuck afterwards.
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

/// Waits until the job runs and its holder holds it back.
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
