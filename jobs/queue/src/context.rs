//! What a job does, and what it is given: the host's services, the database, and its own claim.

use std::{future::Future, ops::Deref, sync::Arc, time::Duration};

use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::{
    Claim, FenceError,
    claim::governed,
    database::{self, Single, single},
    job::{DeadReason, Done, Job, JobError, Queue},
};

/// A job that a worker can run. `S` is what the host gives every run: its clients, its settings.
pub trait Run<S>: Job {
    /// Does the work. May run again after a crash at any await: whatever it does outside Postgres is repeatable.
    fn run(&self, cx: &Context<S>) -> impl Future<Output = Result<Done, JobError>> + Send;

    /// Settles what depended on the job, in the transaction that makes it `dead`: attempts exhausted, given up,
    /// or its worker killed once too often. Database only, so that it cannot fail for outside reasons; whatever
    /// error it returns rolls that transaction back, and the whole is tried again.
    /// The job itself is already dead in `tx`: its dedupe key is free, a successor may be enqueued.
    fn on_dead(
        &self,
        tx: &mut PgConnection,
        why: &DeadReason,
    ) -> impl Future<Output = Result<(), JobError>> + Send;
}

/// One run's view: the worker's services and the claim it runs under.
pub struct Context<S> {
    services: Arc<S>,
    pool: PgPool,
    claim: Claim,
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self {
            services: Arc::clone(&self.services),
            pool: self.pool.clone(),
            claim: self.claim.clone(),
        }
    }
}

impl<S> Context<S> {
    /// Joins a worker's services with the claim of one run.
    pub(crate) const fn new(services: Arc<S>, pool: PgPool, claim: Claim) -> Self {
        Self {
            services,
            pool,
            claim,
        }
    }

    /// The claim that this run holds: its fencing token, attempt and cancel flag.
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Opens a transaction; a run may be dropped at any await, which `pool.begin()` does not bear
    /// ([`database::begin`]).
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        database::begin(&self.pool).await
    }

    /// A connection for reading, or for a single write: then with a commit, which counts behind a pooler.
    pub async fn single(&self) -> Result<Single, sqlx::Error> {
        single(&self.pool).await
    }

    /// Fails if this run's claim is lost, and keeps the job from being rescued until `tx` has ended. First in every
    /// transaction that a stale runner must not commit.
    pub async fn fence(&self, tx: &mut PgConnection) -> Result<(), FenceError> {
        crate::fence(tx, &self.claim).await
    }

    /// The other side asked for silence (429): no job of this fairness key starts in `queue` for so long, on any
    /// worker; without a key, no job of the queue. Several keys within seconds mean everybody: answers for how long.
    pub async fn hold_back(
        &self,
        queue: Queue,
        key: Option<&str>,
        silence: Duration,
    ) -> Result<Option<Duration>, sqlx::Error> {
        governed::hold_back(&self.pool, queue, key, silence).await
    }

    /// The other side took what this run sent: a silence of the whole `queue` that this was to probe is over.
    pub async fn let_speak(&self, queue: Queue) -> Result<(), sqlx::Error> {
        governed::let_speak(&self.pool, queue).await
    }

    /// Ends the job in `tx`, so that its effect and its end are one commit; the run then returns
    /// [`Done::Committed`]. Last in the transaction. Fences as well.
    pub async fn complete_in(&self, tx: &mut PgConnection) -> Result<(), FenceError> {
        crate::complete_in(tx, &self.claim).await
    }
}

impl<S> Deref for Context<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.services
    }
}
