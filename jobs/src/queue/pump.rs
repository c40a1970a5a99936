//! One queue of one worker: claims what the free slots can take, and acks what came back, in one statement.
//!
//! # Must stay true
//! * Strict: never more claims than slots, and a slot is free only when its outcome is durable (Q3, Q10).
//! * Acks are grouped by themselves: what ends while a statement is under way goes with the next.
//! * A claim whose answer was lost with the connection is given back uncharged before the next one.
//!
//! # If the process dies here
//! Outcomes that were not acked are lost with their leases, and the jobs run again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::yield_now,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{
    Claim, ClaimId, Claimed, Ending, Engine, Known,
    backoff::{Backoff, jittered},
    exchange::{Exchange, Exchanged},
    link::{Link, timed_out},
    requeue,
    wake::Sleeper,
};
use crate::job::Queue;

/// A claimed job on its way to a handler, with the slot that it takes.
pub(crate) struct Assignment {
    pub claimed: Claimed,
    pub slot: Slot,
}

/// Is given back when dropped, however the run ended; with an ack to write if [`Slot::done`] was called.
pub(crate) struct Slot {
    claim: Claim,
    coalesces: bool,
    done: bool,
    back: UnboundedSender<Finished>,
}

impl Slot {
    /// The job is done: to be acked before the slot is free.
    pub(crate) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Without a pump to hear it the worker has ended, and with it the slot.
        let _ = self.back.send(Finished {
            claim: self.claim.clone(),
            coalesces: self.coalesces,
            ack: self.done,
        });
    }
}

struct Finished {
    claim: Claim,
    coalesces: bool,
    ack: bool,
}

/// Where handlers get their jobs from. Clones share one.
#[derive(Clone)]
pub(crate) struct Intake(Arc<Mutex<UnboundedReceiver<Assignment>>>);

impl Intake {
    /// Polls for the next job.
    pub(super) fn poll_next(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<Option<Assignment>> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .poll_recv(cx)
    }

    /// A job that no handler has taken yet.
    fn untake(&self) -> Option<Assignment> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .try_recv()
            .ok()
    }
}

/// See the module.
pub(crate) struct Pump {
    engine: Arc<Engine>,
    queue: Queue,
    slots: usize,
    known: Known,
    link: Link,
    sleeper: Sleeper,
    stop: CancellationToken,
    out: UnboundedSender<Assignment>,
    intake: Intake,
    back: (UnboundedSender<Finished>, UnboundedReceiver<Finished>),
    /// Claims that are not given back yet, acks included.
    busy: usize,
    /// Done, and not yet told to the database.
    acks: Vec<Claim>,
    /// An ack may free a key that another job waits for.
    coalesced: bool,
    /// There may be something to claim.
    look: bool,
    /// Claim statements whose answer never came.
    unheard: Vec<ClaimId>,
}

impl Pump {
    /// A pump for `queue`, and where its jobs come out. It stops claiming at `stop`.
    pub(crate) fn new(
        engine: Arc<Engine>,
        queue: Queue,
        slots: usize,
        known: Known,
        stop: CancellationToken,
    ) -> (Self, Intake) {
        let (out, jobs) = mpsc::unbounded_channel();
        let intake = Intake(Arc::new(Mutex::new(jobs)));
        let pump = Self {
            link: engine.link(),
            sleeper: Sleeper::new(Arc::clone(&engine), queue),
            engine,
            queue,
            slots,
            known,
            stop,
            out,
            intake: intake.clone(),
            back: mpsc::unbounded_channel(),
            busy: 0,
            acks: Vec::new(),
            coalesced: false,
            look: true,
            unheard: Vec::new(),
        };
        (pump, intake)
    }

    /// Runs until it is told to stop and everything claimed is given back.
    pub(crate) async fn run(mut self) {
        let mut backoff = Backoff::new();
        loop {
            self.gather().await;
            if self.stop.is_cancelled() {
                self.hand_back().await;
                if self.busy == 0 {
                    break;
                }
            }
            let free = self.free();
            if self.acks.is_empty() && (free == 0 || !self.look) {
                self.wait(free).await;
                continue;
            }
            match self.exchange(free).await {
                Ok(exchanged) => {
                    if backoff.reset() {
                        info!(
                            queue = self.queue.as_str(),
                            "Queue {} reaches the database again", self.queue
                        );
                    }
                    self.accept(exchanged, free);
                    if self.look {
                        self.sleeper.is_busy().await;
                    }
                }
                Err(error) => {
                    warn!(
                        queue = self.queue.as_str(),
                        "Queue {} cannot claim or ack, trying again: {error}", self.queue
                    );
                    sleep(backoff.next()).await;
                }
            }
        }
        self.sleeper.withdraw().await;
    }

    fn free(&self) -> usize {
        if self.stop.is_cancelled() {
            0
        } else {
            self.slots + self.acks.len() - self.busy
        }
    }

    /// Takes what came back. Others that are about to end get a turn first: a statement costs more than a moment.
    async fn gather(&mut self) {
        loop {
            let before = self.acks.len();
            while let Ok(finished) = self.back.1.try_recv() {
                self.take_back(&finished);
            }
            if self.acks.len() == before || self.acks.len() >= self.busy {
                return;
            }
            yield_now().await;
        }
    }

    fn take_back(&mut self, finished: &Finished) {
        if finished.ack {
            self.coalesced |= finished.coalesces;
            self.acks.push(finished.claim.clone());
        } else {
            self.engine.held.remove(&finished.claim);
            self.busy -= 1;
            self.look |= finished.coalesces;
        }
    }

    /// Waits for anything to do.
    async fn wait(&mut self, free: usize) {
        let stopping = self.stop.is_cancelled();
        if free > 0 {
            self.sleeper.announce();
        }
        let signals = self.engine.signals(self.queue);
        tokio::select! {
            Some(finished) = self.back.1.recv() => self.take_back(&finished),
            () = signals.look.notified() => self.look = true,
            () = self.stop.cancelled(), if !stopping => {}
            () = sleep(jittered(self.engine.timing.poll)) => {
                self.look = true;
                if free == 0 {
                    self.sleeper.is_busy().await;
                }
            }
        }
    }

    async fn exchange(&mut self, free: usize) -> Result<Exchanged, sqlx::Error> {
        let limit = self.engine.timing.lease;
        let db = self.link.get().await?;
        while let Some(claim) = self.unheard.last() {
            let queue = self.queue.as_str();
            let released =
                sqlx::query_file!("src/queue/sql/release_unheard.sql", queue, claim.0).fetch_one(&mut *db);
            let released = timeout(limit, released).await.map_err(|_| timed_out())??.released;
            if released > 0 {
                info!(
                    queue,
                    "Gave back {released} jobs of {queue} whose claim was cut off"
                );
            }
            self.unheard.pop();
        }
        let exchange = Exchange {
            acks: &self.acks,
            claim: self.engine.next_claim(),
            worker: &self.engine.worker,
            lease: self.engine.timing.lease,
            queue: self.queue,
            known: &self.known,
            free,
        };
        self.unheard.push(exchange.claim);
        let exchanged = timeout(limit, exchange.run(db))
            .await
            .map_err(|_| timed_out())??;
        self.unheard.pop();
        self.link.settled();
        Ok(exchanged)
    }

    fn accept(&mut self, exchanged: Exchanged, free: usize) {
        let late = self.acks.len() - exchanged.acked.min(self.acks.len());
        if late > 0 {
            // Rescued meanwhile, or acked by a statement whose answer was lost.
            metrics::counter!("aisha_acks_late_total", "queue" => self.queue.as_str()).increment(late as u64);
            warn!(
                queue = self.queue.as_str(),
                "{late} outcomes of {} changed nothing", self.queue
            );
        }
        for claim in self.acks.drain(..) {
            self.engine.held.remove(&claim);
            self.busy -= 1;
        }
        let claimed = exchanged.claimed.len();
        self.look = free == 0 || claimed == free || std::mem::take(&mut self.coalesced);
        self.busy += claimed;
        let queue = self.queue.as_str();
        metrics::gauge!("aisha_queue_busy_slots", "queue" => queue)
            .set(u32::try_from(self.busy).unwrap_or(u32::MAX));
        for waited in exchanged.waits {
            metrics::histogram!("aisha_job_wait_seconds", "queue" => queue).record(waited);
        }
        for claimed in exchanged.claimed {
            self.engine.held.add(&claimed.claim);
            let slot = Slot {
                claim: claimed.claim.clone(),
                coalesces: claimed.coalesces,
                done: false,
                back: self.back.0.clone(),
            };
            // We hold a clone of the receiving end.
            let _ = self.out.send(Assignment { claimed, slot });
        }
    }

    /// Gives back, uncharged, what was claimed and not started. An error leaves it to the lease.
    async fn hand_back(&mut self) {
        while let Some(Assignment { claimed, slot }) = self.intake.untake() {
            let claim = &claimed.claim;
            let released = async {
                let mut db = self.engine.pool.acquire().await?;
                requeue(&mut db, claim.job(), claim.id(), &Ending::Released).await
            };
            match timeout(Duration::from_secs(2), released).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    warn!(job.id = %claim.job(), "Could not hand back job {}: {error}", claim.job());
                }
                Err(_) => warn!(job.id = %claim.job(), "Could not hand back job {} in time", claim.job()),
            }
            drop(slot);
        }
        self.gather().await;
    }
}
