//! What a running job is given: the store, the clients, the clock, chance, and its own claim.
//!
//! Built once per worker ([`Services`]); each run gets a [`Context`] with its claim added. Time, randomness
//! and HTTP come from here only, so that a test can set them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use queue::Keep;
use rand::{RngCore, SeedableRng, rngs::StdRng};
use sqlx::PgPool;

use crate::{
    archive::{PhotoLimits, Workbench},
    chaos,
    clients::{fal::FalClient, object_store::ObjectStore, telegram::TelegramClient},
    domain::{Patience, Trainers, WebhookBase},
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
    pub photos: PhotoLimits,
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

/// One run's view of them: with the claim that it runs under.
pub type Context = queue::Context<Services>;
