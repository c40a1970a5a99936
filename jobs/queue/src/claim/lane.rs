//! One connection of a pump, and the statement under way on it.

use std::{collections::HashSet, mem, sync::Arc};

use tokio::time::timeout;
use tracing::{info, warn};
use uuid::Uuid;

use crate::{
    Claim, ClaimId, Engine, JobId, KnownKinds,
    claim::{
        connection::{EngineConnection, timed_out},
        exchange::{Exchange, Exchanged, Wanted},
        governed::ClaimRules,
    },
    job::Queue,
    wake::is_lock_timeout,
};

pub(crate) struct Lane {
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
    /// Most jobs by which the statement can raise the number of held claims; its acks make room in the same commit.
    pub growth: usize,
    /// How many acks the statement was given, `locked` included.
    pub telling: usize,
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
    pub lane: Lane,
    pub request: ExchangeRequest,
    pub result: Result<Exchanged, sqlx::Error>,
}

impl Lane {
    pub(crate) fn new(engine: &Engine) -> Self {
        Self {
            connection: engine.connection(),
            unheard: Vec::new(),
        }
    }

    /// Whether jobs of a lost claim must be given back first.
    pub(crate) const fn owes(&self) -> bool {
        !self.unheard.is_empty()
    }

    /// Sends the request and waits for its answer. Never dropped half-way, except with the whole worker.
    pub(crate) async fn carry_out(mut self, mut request: ExchangeRequest) -> ExchangeEnd {
        let result = self.exchange(&mut request).await;
        ExchangeEnd {
            lane: self,
            request,
            result,
        }
    }

    /// Sets the ack of a locked row aside, so that one lock holds up neither the other acks nor the claims.
    async fn exchange(&mut self, request: &mut ExchangeRequest) -> Result<Exchanged, sqlx::Error> {
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

    async fn send(&mut self, request: &ExchangeRequest) -> Result<Exchanged, sqlx::Error> {
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
        let exchanged = timeout(limit, request.rules.claim(db, exchange))
            .await
            .map_err(|_| timed_out())??;
        self.connection.succeeded().await?;
        self.unheard.pop();
        Ok(exchanged)
    }
}
