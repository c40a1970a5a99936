//! The two sides of a run: the [`Run`] trait that a kind implements, and the [`Context`] that each run gets.

use std::{future::Future, ops::Deref, sync::Arc, time::Duration};

use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    Claim, FenceError,
    claim::governed,
    database::{Database, Reading},
    job::{DeadReason, Done, Job, JobError, Queue},
};

/// A job that a worker can run. `S` is the type of the host's services, which
/// every run gets: its clients, its settings.
pub trait Run<S>: Job {
    /// Does the work. A run may start again after a crash at any await, so every
    /// effect outside Postgres must be repeatable.
    fn run(&self, cx: &Context<S>) -> impl Future<Output = Result<Done, JobError>> + Send;

    /// Settles everything that depended on the job, in the transaction that makes it `dead`: its attempts are used
    /// up, it gave up, or its worker was killed once too often. Use only the database here, so that it cannot fail
    /// for reasons outside. An error rolls that transaction back, and the engine tries again. The job is already dead
    /// in `tx`: its dedupe key is free, and a successor may be enqueued.
    fn on_dead(
        &self,
        tx: &mut PgConnection,
        why: &DeadReason,
    ) -> impl Future<Output = Result<(), JobError>> + Send;
}

/// The host's services and the claim, as one run sees them.
pub struct Context<S> {
    services: Arc<S>,
    database: Database,
    claim: Claim,
}

impl<S> Clone for Context<S> {
    fn clone(&self) -> Self {
        Self {
            services: Arc::clone(&self.services),
            database: self.database.clone(),
            claim: self.claim.clone(),
        }
    }
}

impl<S> Context<S> {
    /// Joins a worker's services with the claim of one run.
    pub(crate) const fn new(services: Arc<S>, database: Database, claim: Claim) -> Self {
        Self {
            services,
            database,
            claim,
        }
    }

    /// The claim that this run holds: its fencing token, attempt and cancel flag.
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Opens a transaction to write in; nothing counts before its commit.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.database.begin().await
    }

    /// Opens a transaction to read in; the server refuses to write in it.
    pub async fn read(&self) -> Result<Reading, sqlx::Error> {
        self.database.read().await
    }

    /// Fails if this run's claim is lost; otherwise keeps the job from being rescued until `tx` has ended. Call it
    /// first in every transaction that a stale run must not commit.
    pub async fn fence(&self, tx: &mut PgConnection) -> Result<(), FenceError> {
        crate::fence(tx, &self.claim).await
    }

    /// Obeys a 429: no job of this fairness key starts in `queue` for the time `silence`, on any worker;
    /// without a key, no job of the queue. If several keys are silenced within seconds, the whole queue is;
    /// returns for how long. `None`: it is not.
    pub async fn hold_back(
        &self,
        queue: Queue,
        key: Option<&str>,
        silence: Duration,
    ) -> Result<Option<Duration>, sqlx::Error> {
        governed::hold_back(&self.database, queue, key, silence).await
    }

    /// The other side accepted a call of this run. If the run was the probe of a silent `queue`, the silence is over.
    pub async fn let_speak(&self, queue: Queue) -> Result<(), sqlx::Error> {
        governed::let_speak(&self.database, queue).await
    }

    /// Ends the job in `tx`, so that its effect and its end are one commit; the run then returns [`Done::Committed`].
    /// Call it last in the transaction. It fences as well.
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
