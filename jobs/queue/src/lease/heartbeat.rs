//! Renews the leases, on a thread and a connection of its own.
//!
//! Handlers may occupy every thread of the runtime, and jobs every connection of the pool; neither may cost a lease
//! (Q5). The same beat also reads what others decided: that a job is cancelled, or no longer ours. When the database
//! cannot be reached, claims are interrupted before their leases end, by this process's clock.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    Claim, ClaimId, Engine, Interruption, JobId, JobState,
    backoff::Backoff,
    claim::connection::{EngineConnection, timed_out},
    database::words_of,
    job::Queue,
    lease::boot_clock::BootInstant,
};

/// The running thread. If its worker is dropped, it ends and interrupts the runs whose leases it renewed.
pub(crate) struct Heartbeat {
    engine: Arc<Engine>,
    stop: CancellationToken,
    ended: oneshot::Receiver<()>,
}

impl Heartbeat {
    pub(crate) fn start(engine: Arc<Engine>) -> io::Result<Self> {
        let stop = CancellationToken::new();
        let (end, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stopped, beating) = (stop.clone(), Arc::clone(&engine));
        thread::Builder::new().name("heartbeat".into()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = beat_forever(&beating) => {}
                    () = fence_forever(&beating) => {}
                }
            });
            let _ = end.send(());
        })?;
        Ok(Self { engine, stop, ended })
    }

    /// Ends the thread. Jobs that are still held wait for their leases to end.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let _ = (&mut self.ended).await;
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.stop.cancel();
        self.engine.held.interrupt_all(Interruption::Lost);
    }
}

async fn beat_forever(engine: &Engine) {
    let mut connection = engine.connection();
    let mut backoff = Backoff::new();
    loop {
        match beat(engine, &mut connection).await {
            Ok(()) => {
                if let Some(lasted) = backoff.reset() {
                    info!("Heartbeats reach the database again, after {lasted}");
                }
                sleep(engine.timing.beat).await;
            }
            Err(error) => {
                if let Some(so_far) = backoff.failed() {
                    let error = words_of(&error);
                    warn!("A heartbeat failed, trying again: {error}{so_far}");
                }
                sleep(backoff.next()).await;
            }
        }
    }
}

async fn beat(engine: &Engine, connection: &mut EngineConnection) -> Result<(), sqlx::Error> {
    let held = engine.held.all();
    let announced: Vec<Queue> = engine
        .queues()
        .filter(|queue| engine.signals(*queue).announced.load(Ordering::Acquire))
        .collect();
    if held.is_empty() && announced.is_empty() {
        return Ok(());
    }
    // A beat that hangs leaves time for two more within the lease.
    timeout(engine.timing.lease / 3, async {
        if !held.is_empty() {
            renew(engine, connection, &held).await?;
        }
        if !announced.is_empty() {
            stay_announced(engine, connection, &announced).await?;
        }
        Ok(())
    })
    .await
    .map_err(|_| timed_out())?
}

async fn renew(
    engine: &Engine,
    connection: &mut EngineConnection,
    held: &[Claim],
) -> Result<(), sqlx::Error> {
    let ids: Vec<i64> = held.iter().map(|claim| claim.job().0).collect();
    let claims: Vec<Uuid> = held.iter().map(|claim| claim.id().0).collect();
    let lease = engine.timing.lease;
    let db = connection.get().await?;
    let sent = BootInstant::now();
    let rows = sqlx::query_file!("src/sql/renew.sql", &ids, &claims, lease.as_secs_f64())
        .fetch_all(db)
        .await?;
    connection.succeeded().await?;
    let mut seen: HashMap<_, _> = rows
        .into_iter()
        .map(|row| ((JobId(row.id), ClaimId(row.claim_id)), row))
        .collect();
    for claim in held {
        match seen.remove(&(claim.job(), claim.id())) {
            Some(row) if row.renewed => {
                claim.renewed(sent, lease);
                if row.cancel_requested && claim.interrupt(Interruption::Cancelled) {
                    info!(job.id = %claim.job(), "Job {} is cancelled while it runs", claim.job());
                }
            }
            // The run's own transaction is ending the job or has ended it: no other worker can have it.
            Some(row) if row.state == JobState::Running || row.state.is_final() => {}
            _ => {
                if claim.interrupt(Interruption::Lost) {
                    metrics::counter!("aisha_lease_lost_total", "why" => "taken").increment(1);
                    warn!(job.id = %claim.job(), "Another worker has job {}: our run of it is stopped", claim.job());
                }
            }
        }
    }
    Ok(())
}

/// Renews our rows in `queue_sleepers`. A missing row was swept while this process stood still: the queue
/// announces itself again at its next poll.
async fn stay_announced(
    engine: &Engine,
    connection: &mut EngineConnection,
    queues: &[Queue],
) -> Result<(), sqlx::Error> {
    let db = connection.get().await?;
    let lease = engine.timing.lease.as_secs_f64();
    let standing = sqlx::query_scalar!(
        "update queue_sleepers set until = now() + make_interval(secs => $2) where worker = $1 returning queue",
        engine.worker,
        lease,
    )
    .fetch_all(db)
    .await?;
    connection.succeeded().await?;
    for queue in queues
        .iter()
        .filter(|queue| !standing.iter().any(|name| name == queue.as_str()))
    {
        engine.signals(*queue).announced.store(false, Ordering::Release);
    }
    Ok(())
}

/// Stops runs whose lease is about to end unrenewed (Q5): we cannot reach the database, and a worker
/// that can may start the job any moment.
async fn fence_forever(engine: &Engine) {
    let margin = engine.timing.lease / 10;
    loop {
        let mut next = engine.timing.beat;
        for claim in engine.held.all() {
            let remaining = claim.lease_remaining().saturating_sub(margin);
            if remaining > Duration::ZERO {
                next = next.min(remaining);
            } else if claim.interrupt(Interruption::Lost) {
                metrics::counter!("aisha_lease_lost_total", "why" => "unreachable").increment(1);
                error!(job.id = %claim.job(), "The lease of job {} could not be renewed in time: its run is stopped", claim.job());
            }
        }
        sleep(next).await;
    }
}
