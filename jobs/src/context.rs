//! The services of a running job: the store, the clients, the clock, chance, and its own claim.
//!
//! [`Services`] are built once per worker; each run gets them in a [`Context`], with its claim. Time, randomness and
//! HTTP come from here only, so that tests can control them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use queue::{Keep, database::Database};
use rand::{RngCore, SeedableRng, rngs::StdRng};

use crate::{
    archive::{PhotoLimits, Workbench},
    chaos,
    clients::{fal::FalClient, object_store::ObjectStore, telegram::TelegramClient},
    domain::{MediaAges, Patience, PictureRules, Product, Saga, Trainers, WebhookBase},
    texts::Texts,
};

/// Everything that outlives a single run. Clones share it.
#[derive(Clone)]
pub struct Services {
    /// The database.
    pub database: Database,
    /// The wall clock of this process. Never used for leases.
    pub clock: Clock,
    /// The source of tokens and other unguessable values.
    pub chance: Chance,
    /// The client for FAL, with our key.
    pub fal: FalClient,
    /// The client for our bucket of photos and models.
    pub objects: ObjectStore,
    /// The client for Telegram's Bot API, with the bot's token.
    pub telegram: TelegramClient,
    /// The bot's texts, in each language.
    pub texts: Texts,
    /// The trainer table: which trainer a training uses, and what input it takes.
    pub trainers: Arc<Trainers>,
    /// The styles, and what users may ask for.
    pub pictures: Arc<PictureRules>,
    /// The memory and threads that the process may spend on decoding photos.
    pub workbench: Workbench,
    /// Deadlines, pauses, limits and addresses of trainings.
    pub settings: Arc<TrainingSettings>,
    /// How long ended rows are kept.
    pub retention: Retention,
}

/// The settings of trainings; `config/default.toml` says what each means to an operator.
#[derive(Debug, Clone)]
pub struct TrainingSettings {
    /// Limits of photos, and how many a training takes.
    pub photos: PhotoLimits,
    /// How FAL gets an archive.
    pub archive_delivery: ArchiveDelivery,
    /// The URL to which FAL delivers. `None`: trainings advance by polling alone.
    pub webhook: Option<WebhookBase>,
    /// Pause from the commit of an attempt to the first status call.
    pub first_poll: Duration,
    /// Pause between status calls.
    pub poll_every: Duration,
    /// How long a poll that saw COMPLETED leaves the webhook to come first.
    pub webhook_grace: Duration,
    /// Pause between searches of FAL's request list for an attempt without an answer.
    pub list_every: Duration,
    /// Pause between probes whether FAL accepts submissions again.
    pub probe_every: Duration,
    /// Whether a submit with unknown outcome is posted again, once, at the risk of paying twice (fal.md 6.3).
    pub resubmit_unknown: bool,
    /// Most trainings submitted for all users together within 24 hours; further ones wait. 0: no limit.
    pub submits_a_day: u32,
    /// How long each step of a training may take.
    pub patience: Patience,
    /// How pictures are asked for.
    pub generation: GenerationSettings,
    /// Pause between two runs of `reconcile_trainings`.
    pub reconcile_every: Duration,
    /// Pause between two sweeps of the bucket.
    pub sweep_every: Duration,
    /// Age from which an object that no row names is removed from the bucket.
    pub orphan_age: Duration,
}

/// The settings of pictures.
#[derive(Debug, Clone)]
pub struct GenerationSettings {
    /// How long the outcome of a submit may stay unknown before the pictures are asked for again, once. Zero: never; they
    /// fail.
    pub resubmit_after: Duration,
    /// How many first pictures a new avatar gets. 0: none.
    pub samples: u8,
    /// How long each step of a generation may take.
    pub patience: Patience,
}

impl GenerationSettings {
    /// `resubmit_after` and `samples` as the fields. `deadline`: how long pictures may wait to be submitted, then in FAL's
    /// queue, and then be made.
    pub fn new(resubmit_after: Duration, samples: u8, deadline: Duration) -> Self {
        /// Longest wait for FAL to stop pictures.
        const CANCEL: Duration = Duration::from_mins(10);
        let decide = if resubmit_after.is_zero() {
            deadline
        } else {
            resubmit_after
        };
        Self {
            resubmit_after,
            samples,
            patience: Patience {
                prepare: deadline,
                submit: deadline,
                decide,
                queue_alarm: deadline / 2,
                run: deadline,
                cancel: deadline.min(CANCEL),
                // A bucket that is away is waited for longer: FAL has made them.
                store: deadline * 12,
                // A queue may hold them for six sevenths of this (`Patience::queue_end`), which is the deadline.
                archive_lifecycle: deadline * 7 / 6,
            },
        }
    }
}

impl TrainingSettings {
    /// How long each step of this order may take.
    pub(crate) const fn patience_for(&self, saga: Saga) -> &Patience {
        match saga.product {
            Product::Model => &self.patience,
            Product::Pictures => &self.generation.patience,
        }
    }
}

/// How FAL gets an archive of photos.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveDelivery {
    /// We upload it to FAL's storage.
    FalStorage,
    /// FAL fetches it from our store, by a presigned URL.
    Presigned,
}

/// Ages at which ended rows are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// For jobs, by how they ended.
    pub jobs: Keep,
    /// For Telegram's updates, counted from when they were handled.
    pub updates: Duration,
    /// For FAL's deliveries, counted from when they were applied.
    pub deliveries: Duration,
    /// For users' photos, pictures and drafts.
    pub media: MediaAges,
}

/// A source of unguessable values. Clones share it.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>);

impl Chance {
    /// A source that the operating system seeds.
    pub fn system() -> Self {
        Self(Arc::new(Mutex::new(StdRng::from_os_rng())))
    }

    /// A source with the same values in every run, for tests.
    pub fn from_seed(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
    }

    /// Returns what `draw` makes of the next random numbers.
    pub fn draw<T>(&self, draw: impl FnOnce(&mut StdRng) -> T) -> T {
        // A thread that panicked with the lock held left no half-drawn number behind.
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// An attempt's token: 128 random bits as 32 hex digits.
    pub fn token(&self) -> String {
        let mut bytes = [0; 16];
        self.draw(|rng| rng.fill_bytes(&mut bytes));
        hex::encode(bytes)
    }
}

/// A source of the present time. Clones share it.
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

    /// A clock that the caller controls.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present time, by this clock.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

/// The services and the claim of one run.
pub type Context = queue::Context<Services>;
