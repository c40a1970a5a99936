//! Probes that do what their payload says: for tests whose worker is another process.
//!
//! A payload is a list of steps, separated by `; `. A run that reaches its end is done.
//!
//! | step         | does                                                                                    |
//! |--------------|-----------------------------------------------------------------------------------------|
//! | `gate:N`     | waits until nobody holds advisory lock N: the test does, for as long as the job is to run |
//! | `effect`     | a fenced transaction that enqueues a probe saying `effect of attempt A`, for tomorrow     |
//! | `complete`   | the same, with the end of the job in it, then ends                                        |
//! | `freeze`     | opens a fenced transaction and says nothing more in it                                    |
//! | `first:STEP` | STEP, but only in the first attempt                                                       |
//! | `fail`, `give_up`, `panic`, `snooze:MS`, `hang`, `abort` (kills the process)  | what they say            |

use std::time::Duration;

use sqlx::PgConnection;

use super::{Probe, ProbeRun};
use crate::{
    enqueue::enqueue_in,
    job::{Done, JobError},
};

const TOMORROW: Duration = Duration::from_hours(24);

/// Runs the steps of a probe's payload.
pub async fn follow_script(run: ProbeRun) -> Result<Done, JobError> {
    let script = run.probe.says.clone();
    for step in script.split("; ") {
        let step = match step.strip_prefix("first:") {
            Some(step) if run.claim.attempt() == 1 => step,
            Some(_) => continue,
            None => step,
        };
        if let Some(done) = follow(&run, step).await? {
            return Ok(done);
        }
    }
    Ok(Done::Applied)
}

async fn follow(run: &ProbeRun, step: &str) -> Result<Option<Done>, JobError> {
    let (word, argument) = step.split_once(':').unwrap_or((step, ""));
    let number = || {
        argument
            .parse::<u32>()
            .map_err(|_| JobError::give_up("bad_script", step))
    };
    match word {
        "gate" => pass_gate(run, i64::from(number()?)).await?,
        "effect" => effect(run, false).await?,
        "complete" => {
            effect(run, true).await?;
            return Ok(Some(Done::Committed));
        }
        "freeze" => {
            let mut tx = run.begin().await?;
            run.fence(&mut tx).await?;
            std::future::pending::<()>().await;
        }
        "fail" => return Err(JobError::retry("as the script says")),
        "give_up" => return Err(JobError::give_up("scripted", "as the script says")),
        "panic" => panic!("as the script says"),
        "snooze" => {
            return Err(JobError::snooze(
                Duration::from_millis(number()?.into()),
                "as the script says",
            ));
        }
        "hang" => std::future::pending::<()>().await,
        "abort" => std::process::abort(),
        _ => return Err(JobError::give_up("bad_script", step)),
    }
    Ok(None)
}

async fn pass_gate(run: &ProbeRun, gate: i64) -> Result<(), JobError> {
    let mut tx = run.begin().await?;
    sqlx::query!("select pg_advisory_xact_lock_shared($1)", gate)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

async fn effect(run: &ProbeRun, complete: bool) -> Result<(), JobError> {
    let mut tx = run.begin().await?;
    run.fence(&mut tx).await?;
    tell(&mut tx, run.claim.attempt()).await?;
    if complete {
        run.complete_in(&mut tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn tell(tx: &mut PgConnection, attempt: u16) -> Result<(), JobError> {
    enqueue_in(tx, &Probe::new(format!("effect of attempt {attempt}")), TOMORROW).await?;
    Ok(())
}
