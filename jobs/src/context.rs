//! What a running job is given: the store, the clients, the clock, chance, and its own claim.
//!
//! Built once per worker ([`Services`]); each run gets a [`Context`] with its claim added. Time, randomness
//! and HTTP come from here only, so that a test can set them.

use std::{
    ops::Deref,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use rand::{RngCore, SeedableRng, rngs::StdRng};
use sqlx::{PgConnection, PgPool, Postgres, Transaction};

use crate::{
    archive::{Limits, Workbench},
    chaos,
    clients::{fal::FalClient, object_store::ObjectStore, telegram::TelegramClient},
    database::{self, Single, single},
    domain::{Patience, Trainers, WebhookBase},
    job::Queue,
    queue::{self, Claim, FenceError, Keep},
    texts::Texts,
};

/// Everything that outlives a single run.
#[derive(Clone)]
pub struct Services {
    /// The one database.
    pub pool: PgPool,
    /// Now, as the wall clock of this process says (never used for leases).
    pub clock: Clock,
    /// Where unguessable values come from.
    pub chance: Chance,
    /// FAL.
    pub fal: FalClient,
    /// The bucket of photos and models.
    pub objects: ObjectStore,
    /// Telegram's Bot API.
    pub telegram: TelegramClient,
    /// What the bot says.
    pub texts: Texts,
    /// Which trainer a training uses, and what it wants to be sent.
    pub trainers: Arc<Trainers>,
    /// What the process may spend on decoding photos.
    pub workbench: Workbench,
    /// The saga's numbers.
    pub saga: Arc<SagaSettings>,
    /// How long what has ended is kept.
    pub retention: Retention,
}

/// The saga's numbers and addresses; `config/default.toml` says what each means to an operator.
#[derive(Debug, Clone)]
pub struct SagaSettings {
    /// What a photo may be, and how many a training takes.
    pub photos: Limits,
    /// How FAL gets at an archive.
    pub archive_delivery: ArchiveDelivery,
    /// Where FAL delivers. `None`: polling alone carries trainings.
    pub webhook: Option<WebhookBase>,
    /// From the commit of an attempt to the first status call.
    pub first_poll: Duration,
    /// Between status calls.
    pub poll_every: Duration,
    /// What a webhook is given between a poll that saw COMPLETED and one that acts on it.
    pub webhook_grace: Duration,
    /// Between looks into FAL's request list for an attempt without an answer.
    pub list_every: Duration,
    /// Between tries whether FAL takes submissions again.
    pub probe_every: Duration,
    /// A submit that stayed unknown is posted again, once, at the risk of paying twice (fal.md 6.3).
    pub resubmit_unknown: bool,
    /// Trainings that may be submitted for all users together within 24 hours; the others wait. 0: no limit.
    pub submits_a_day: u32,
    /// How long each step may take.
    pub patience: Patience,
    /// Between two looks at all trainings.
    pub reconcile_every: Duration,
    /// Between two sweeps of the bucket.
    pub sweep_every: Duration,
    /// From this age on, an object that no row names is removed from the bucket.
    pub orphan_age: Duration,
}

/// How an archive of photos reaches FAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveDelivery {
    /// Uploaded to FAL's storage.
    FalStorage,
    /// Fetched by FAL from our store.
    Presigned,
}

/// How long everything that has ended is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Jobs.
    pub jobs: Keep,
    /// Telegram's updates, since they were handled.
    pub updates: Duration,
    /// FAL's deliveries, since they were applied.
    pub deliveries: Duration,
}

/// A source of unguessable values.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    /// Seeded by the operating system.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }

    /// The same values in every run, for tests.
    pub fn from_seed(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Whatever `draw` makes of the next random numbers.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A thread that panicked while it held the lock left no half-drawn number behind.
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// 128 random bits as 32 hex digits: an attempt's token.
    pub fn token(&self) -> String {
        let mut bytes = [0; 16];
        self.draw(|rng| rng.fill_bytes(&mut bytes));
        hex::encode(bytes)
    }
}

/// A source of the present moment.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    pub fn system() -> Self {
        Self(Arc::new(|| Utc::now() + chaos::clock_offset()))
    }

    /// A clock that the caller moves.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present moment.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

/// One run's view: the worker's services and the claim it runs under.
#[derive(Clone)]
pub struct Context {
    services: Arc<Services>,
    claim: Claim,
}

impl Context {
    /// Joins a worker's services with the claim of one run.
    pub(crate) const fn new(services: Arc<Services>, claim: Claim) -> Self {
        Self { services, claim }
    }

    /// The claim that this run holds: its fencing token, attempt and cancel flag.
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }

    /// Opens a transaction; a run may be dropped at any await, which `pool.begin()` does not bear
    /// ([`database::begin`]).
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        database::begin(&self.pool).await
    }

    /// A connection for reading, or for a single write: then with a commit, which counts behind a pooler.
    pub(crate) async fn single(&self) -> Result<Single, sqlx::Error> {
        single(&self.pool).await
    }

    /// Fails if this run's claim is lost, and keeps the job from being rescued until `tx` has ended. First in every
    /// transaction that a stale runner must not commit.
    pub async fn fence(&self, tx: &mut PgConnection) -> Result<(), FenceError> {
        queue::fence(tx, &self.claim).await
    }

    /// The other side asked for silence (429): no job of this fairness key starts in `queue` for so long, on any
    /// worker; without a key, no job of the queue. Several keys within seconds mean everybody: answers for how long.
    pub(crate) async fn hold_back(
        &self,
        queue: Queue,
        key: Option<&str>,
        silence: Duration,
    ) -> Result<Option<Duration>, sqlx::Error> {
        queue::hold_back(&self.pool, queue, key, silence).await
    }

    /// The other side took what this run sent: a silence of the whole `queue` that this was to probe is over.
    pub(crate) async fn let_speak(&self, queue: Queue) -> Result<(), sqlx::Error> {
        queue::let_speak(&self.pool, queue).await
    }

    /// Ends the job in `tx`, so that its effect and its end are one commit; the run then returns
    /// [`Done::Committed`](crate::job::Done::Committed). Last in the transaction. Fences as well.
    pub async fn complete_in(&self, tx: &mut PgConnection) -> Result<(), FenceError> {
        queue::complete_in(tx, &self.claim).await
    }
}

impl Deref for Context {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}
