//! A kind of job whose run is the test's own closure: for tests of the engine and of code around jobs.

use std::sync::Arc;

use futures::{FutureExt, future::BoxFuture};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    Claim, FenceError, Interruption,
    database::Database,
    job::{DeadReason, DedupeKey, DedupeScope, Done, Job, JobError, Policy, Queue},
    registry::{Behaviour, Handler, Kind, KindMeters, Registry, Undecodable},
};

/// The payload of a probe job. The test's closure decides what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Any text for the closure.
    pub says: String,
    /// The dedupe key and its scope. `None`: no key.
    pub key: Option<(String, DedupeScope)>,
}

impl Probe {
    /// A probe without a dedupe key; `says` is for the closure.
    pub fn new(says: impl Into<String>) -> Self {
        Self {
            says: says.into(),
            key: None,
        }
    }

    /// Gives it a key of which one job may be live.
    #[must_use]
    pub fn until_done(mut self, key: impl Into<String>) -> Self {
        self.key = Some((key.into(), DedupeScope::UntilDone));
        self
    }

    /// Gives it a key of which one job may wait and one may run.
    #[must_use]
    pub fn until_started(mut self, key: impl Into<String>) -> Self {
        self.key = Some((key.into(), DedupeScope::UntilStarted));
        self
    }
}

impl Job for Probe {
    const NAME: &'static str = "probe";
    const QUEUE: Queue = Queue::named("upkeep");
    const POLICY: Policy = Policy::attempts(3);

    fn dedupe_key(&self) -> Option<DedupeKey> {
        self.key.clone().map(|(key, scope)| DedupeKey { key, scope })
    }
}

/// One run of a [`Probe`], as its closure sees it.
#[derive(Clone)]
pub struct ProbeRun {
    /// The payload of the job that runs.
    pub probe: Probe,
    /// The claim it runs under.
    pub claim: Claim,
    /// The database that the registry was made for.
    pub database: Database,
}

impl ProbeRun {
    /// Opens a transaction as [`crate::Context::begin`] does: a run that dies here
    /// leaves no open transaction in the pool.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.database.begin().await
    }

    /// As [`crate::Context::fence`].
    pub async fn fence(&self, tx: &mut PgConnection) -> Result<(), FenceError> {
        crate::fence(tx, &self.claim).await
    }

    /// As [`crate::Context::complete_in`].
    pub async fn complete_in(&self, tx: &mut PgConnection) -> Result<(), FenceError> {
        crate::complete_in(tx, &self.claim).await
    }

    /// Interrupts this run as a stopping worker does: the job is handed back, uncharged.
    pub fn release(&self) {
        self.claim.interrupt(Interruption::Released);
    }

    /// Interrupts this run as the heartbeat does when it reads a cancellation.
    pub fn see_cancelled(&self) {
        self.claim.interrupt(Interruption::Cancelled);
    }
}

/// What a probe does when it runs.
type ProbeBody = dyn Fn(ProbeRun) -> BoxFuture<'static, Result<Done, JobError>> + Send + Sync;
type OnDead = dyn for<'a> Fn(Probe, &'a mut PgConnection, &'a DeadReason) -> BoxFuture<'a, Result<(), JobError>>
    + Send
    + Sync;

/// The code that probes run in one registry.
pub struct Probes {
    database: Database,
    policy: Policy,
    version: i16,
    run: Arc<ProbeBody>,
    on_dead: Arc<OnDead>,
}

impl Probes {
    /// Every probe calls `run`.
    pub fn new<F>(database: impl Into<Database>, run: impl Fn(ProbeRun) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Done, JobError>> + Send + 'static,
    {
        Self {
            database: database.into(),
            policy: Probe::POLICY,
            version: Probe::VERSION,
            run: Arc::new(move |probe| run(probe).boxed()),
            on_dead: Arc::new(|_, _, _| async { Ok(()) }.boxed()),
        }
    }

    /// Replaces [`Probe::POLICY`].
    #[must_use]
    pub const fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// The highest payload version that this registry reads.
    #[must_use]
    pub const fn version(mut self, version: i16) -> Self {
        self.version = version;
        self
    }

    /// Called in the transaction that makes a probe dead.
    #[must_use]
    pub fn on_dead(
        mut self,
        on_dead: impl for<'a> Fn(
            Probe,
            &'a mut PgConnection,
            &'a DeadReason,
        ) -> BoxFuture<'a, Result<(), JobError>>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.on_dead = Arc::new(on_dead);
        self
    }

    /// A registry that knows only probes.
    pub fn registry(self) -> Registry {
        let (version, policy) = (self.version, self.policy);
        let kind = Kind {
            name: Probe::NAME,
            version,
            queue: Probe::QUEUE,
            policy,
            behaviour: Box::new(self),
            meters: KindMeters::default(),
        };
        std::iter::once(kind).collect()
    }
}

impl Behaviour for Probes {
    fn run(&self, payload: &RawValue, claim: Claim) -> Result<Handler, Undecodable> {
        let probe = serde_json::from_str(payload.get())?;
        Ok((self.run)(ProbeRun {
            probe,
            claim,
            database: self.database.clone(),
        }))
    }

    fn on_dead<'a>(
        &self,
        payload: &RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> Result<BoxFuture<'a, Result<(), JobError>>, Undecodable> {
        Ok((self.on_dead)(serde_json::from_str(payload.get())?, tx, why))
    }
}
