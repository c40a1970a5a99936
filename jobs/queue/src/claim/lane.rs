//! The connections of a pump, and the statements under way on them: one for a strict queue, two that overlap for a
//! prefetching one.

use std::{collections::HashSet, mem, sync::Arc};

use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::time::timeout;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    Claim, ClaimId, Engine, JobId, KnownKinds,
    claim::{
        connection::{EngineConnection, timed_out},
        exchange::{Exchange, Wanted},
        governed::{ClaimAnswer, ClaimRules},
    },
    job::Queue,
    wake::is_lock_timeout,
};

/// The lanes of a pump.
pub(crate) struct Lanes {
    idle: Vec<Lane>,
    under_way: FuturesUnordered<BoxFuture<'static, (Lane, Load, ExchangeEnd)>>,
    load: Load,
}

/// What statements under way may change.
#[derive(Debug, Clone, Copy, Default)]
struct Load {
    /// Upper bound by which they can raise the number of claims that are held: claims asked for, less acks.
    growth: usize,
    /// Acks that the pump has given out of its hands.
    acks: usize,
}

impl Lanes {
    pub(crate) fn new(engine: &Engine, count: usize) -> Self {
        Self {
            idle: (0..count).map(|_| Lane::new(engine)).collect(),
            under_way: FuturesUnordered::new(),
            load: Load::default(),
        }
    }

    /// Whether another statement can be sent.
    pub(crate) const fn has_idle(&self) -> bool {
        !self.idle.is_empty()
    }

    /// Number of statements under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// Upper bound by which the statements under way can raise the number of claims that are held.
    pub(crate) const fn growth(&self) -> usize {
        self.load.growth
    }

    /// Number of acks in the statements under way.
    pub(crate) const fn acks(&self) -> usize {
        self.load.acks
    }

    /// Whether an idle lane has something to give back.
    pub(crate) fn owe(&self) -> bool {
        self.idle.iter().any(Lane::owes)
    }

    /// Sends a statement, on a lane that has something to give back if there is one. `false`: no lane is idle.
    pub(crate) fn send(&mut self, request: ExchangeRequest) -> bool {
        let owing = self.idle.iter().position(Lane::owes);
        let lane = owing.map(|at| self.idle.swap_remove(at));
        let Some(lane) = lane.or_else(|| self.idle.pop()) else {
            return false;
        };
        let load = Load {
            growth: request.wanted.count().saturating_sub(request.acks.len()),
            acks: request.acks.len() + request.locked.len(),
        };
        self.load.growth += load.growth;
        self.load.acks += load.acks;
        self.under_way.push(Box::pin(lane.carry_out(request, load)));
        true
    }

    /// The next statement that comes to its end. `None`: none is under way.
    pub(crate) async fn next(&mut self) -> Option<ExchangeEnd> {
        let (lane, load, end) = self.under_way.next().await?;
        self.idle.push(lane);
        self.load.growth -= load.growth;
        self.load.acks -= load.acks;
        Some(end)
    }
}

struct Lane {
    connection: EngineConnection,
    /// Claim statements whose answer never came. Their jobs are given back, uncharged, before the next statement.
    unheard: Vec<ClaimId>,
}

/// What the pump asks of one statement.
pub(crate) struct ExchangeRequest {
    pub engine: Arc<Engine>,
    pub queue: Queue,
    pub known: Arc<KnownKinds>,
    /// Before the statement: acks to write. Afterwards: those that were sent.
    pub acks: Vec<Claim>,
    /// Acks whose rows another transaction had locked. Before: to be tried again. Afterwards: still locked.
    pub locked: Vec<Claim>,
    /// One of the acks may free a key that another job waits for.
    pub coalesced: bool,
    pub wanted: Wanted,
    pub rules: ClaimRules,
    /// The pump's wake-up count when it sent this.
    pub heard: u64,
}

impl ExchangeRequest {
    /// Moves acks that cannot be written now to `locked`. The room that they would have made is not claimed for.
    fn set_aside(&mut self, locked: &HashSet<JobId>) {
        let acks = mem::take(&mut self.acks);
        let before = self.locked.len();
        for claim in acks {
            if locked.contains(&claim.job()) {
                self.locked.push(claim);
            } else {
                self.acks.push(claim);
            }
        }
        let less = self.locked.len() - before;
        self.wanted = self.wanted.less(less);
        self.rules.less(less);
    }

    /// Moves the acks whose rows are no longer locked back to `acks`.
    fn take_up(&mut self, locked: &HashSet<JobId>) {
        let (locked, free): (Vec<_>, _) = mem::take(&mut self.locked)
            .into_iter()
            .partition(|claim| locked.contains(&claim.job()));
        self.locked = locked;
        self.acks.extend::<Vec<_>>(free);
    }
}

/// A statement that has ended, with its lane.
pub(crate) struct ExchangeEnd {
    pub request: ExchangeRequest,
    pub result: Result<ClaimAnswer, sqlx::Error>,
}

impl Lane {
    fn new(engine: &Engine) -> Self {
        Self {
            connection: engine.connection(),
            unheard: Vec::new(),
        }
    }

    /// Whether jobs of a lost claim must be given back first.
    const fn owes(&self) -> bool {
        !self.unheard.is_empty()
    }

    /// Sends the request and waits for its answer. Never dropped half-way, except with the whole worker.
    async fn carry_out(mut self, mut request: ExchangeRequest, load: Load) -> (Self, Load, ExchangeEnd) {
        let result = self.exchange(&mut request).await;
        (self, load, ExchangeEnd { request, result })
    }

    /// Sets the ack of a locked row aside, so that one lock holds up neither the other acks nor the claims.
    async fn exchange(&mut self, request: &mut ExchangeRequest) -> Result<ClaimAnswer, sqlx::Error> {
        self.release_unheard(request).await?;
        if !request.locked.is_empty() {
            let locked = self.locked(request, &request.locked).await?;
            request.take_up(&locked);
        }
        match self.send(request).await {
            Err(error) if is_lock_timeout(&error) && !request.acks.is_empty() => {}
            answered => return answered,
        }
        // The lock timeout rolled the whole statement back.
        self.connection.succeeded().await?;
        self.unheard.pop();
        let locked = self.locked(request, &request.acks).await?;
        if !locked.is_empty() {
            warn!(
                queue = request.queue.as_str(),
                "Somebody else has rows of {} jobs of {} locked that are done: they are acked when the locks are gone",
                locked.len(),
                request.queue
            );
        }
        request.set_aside(&locked);
        self.send(request).await
    }

    /// Which of these jobs are still ours and locked by another transaction.
    async fn locked(
        &mut self,
        request: &ExchangeRequest,
        acks: &[Claim],
    ) -> Result<HashSet<JobId>, sqlx::Error> {
        let ids: Vec<i64> = acks.iter().map(|claim| claim.job().0).collect();
        let claims: Vec<Uuid> = acks.iter().map(|claim| claim.id().0).collect();
        let db = self.connection.get().await?;
        let locked = sqlx::query_file_scalar!("src/sql/locked.sql", &ids, &claims).fetch_all(db);
        let locked = timeout(request.engine.timing.lease, locked)
            .await
            .map_err(|_| timed_out())??;
        self.connection.succeeded().await?;
        Ok(locked.into_iter().map(JobId).collect())
    }

    async fn release_unheard(&mut self, request: &ExchangeRequest) -> Result<(), sqlx::Error> {
        let limit = request.engine.timing.lease;
        while let Some(claim) = self.unheard.last() {
            let db = self.connection.get().await?;
            let queue = request.queue.as_str();
            let released = sqlx::query_file!("src/sql/release_unheard.sql", queue, claim.0).fetch_one(db);
            let released = timeout(limit, released).await.map_err(|_| timed_out())??.released;
            self.connection.succeeded().await?;
            if released > 0 {
                info!(
                    queue,
                    "Gave back {released} jobs of {queue} whose claim was cut off"
                );
            }
            self.unheard.pop();
        }
        Ok(())
    }

    async fn send(&mut self, request: &ExchangeRequest) -> Result<ClaimAnswer, sqlx::Error> {
        let engine = &request.engine;
        let limit = engine.timing.lease;
        let exchange = Exchange {
            acks: &request.acks,
            claim: engine.next_claim(),
            worker: &engine.worker,
            lease: engine.timing.lease,
            queue: request.queue,
            known: &request.known,
            wanted: request.wanted,
        };
        let db = self.connection.get().await?;
        self.unheard.push(exchange.claim);
        let answer = timeout(limit, request.rules.claim(db, exchange))
            .await
            .map_err(|_| timed_out())??;
        self.connection.succeeded().await?;
        self.unheard.pop();
        Ok(answer)
    }
}
