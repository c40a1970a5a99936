//! "The user wants …": what the shells may change, each change in one transaction with the jobs that follow.
//!
//! Telegram speaks to us in two steps (docs/adr/0004-inbox-before-acknowledgement.md). Whoever receives an update
//! stores it ([`Producer::accept_telegram_update`]) before it is acknowledged; the bot takes stored updates one by
//! one as a [`Turn`]: the update and the transaction of everything that it causes.
//!
//! # If we die …
//! | …                        | then                                                                        |
//! |--------------------------|-----------------------------------------------------------------------------|
//! | before the update's commit | Telegram still has it and sends it again                                  |
//! | after it                 | the row is there; somebody takes its turn                                   |
//! | in a turn                | all of it is rolled back, the answer to the user included; it is taken again |
//! | after the turn's commit  | effect, answer (an outbox row) and `handled_at` are there, once             |
//!
//! Read next: `producer/turn.rs`, `producer/drafts.rs`, `producer/request_training.rs` (the intents), `src/bot/` (who
//! has them).

mod cancel;
mod deliveries;
mod drafts;
mod guard;
mod inbox;
mod request_training;
mod status;
mod turn;

use std::sync::Arc;

use sqlx::PgPool;

pub use cancel::{Cancellation, CancelledTraining};
pub use deliveries::{Accepted, DeliveryQuery, Replay, Replayed};
pub use drafts::{Draft, PhotoTaken, RetryOutcome};
pub use guard::Handled;
pub use inbox::{PollingLead, UpdateSignal, read_update};
pub use request_training::Started;
pub use status::{AvatarLine, LiveTraining, Stopped};
pub use turn::{Sender, Turn};

pub use crate::notifications::Place;
pub use crate::store::StoreError;

use crate::{
    archive::PhotoLimits,
    context::Chance,
    domain::{Quotas, Trainers},
    enqueue::EnqueueError,
    saga::SagaError,
};

/// Writes what users and the outside world want. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Producer {
    pool: PgPool,
}

/// What the wizard asks for, and what a new training is made with.
#[derive(Clone)]
pub struct Rules {
    pub(crate) photos: PhotoLimits,
    pub(crate) trainers: Trainers,
    pub(crate) quotas: Quotas,
    pub(crate) chance: Chance,
}

impl Rules {
    /// From the settings, for everybody and without limits.
    pub fn new(photos: PhotoLimits, trainers: Trainers) -> Arc<Self> {
        Self::with_quotas(photos, trainers, Quotas::default())
    }

    /// From the settings.
    pub fn with_quotas(photos: PhotoLimits, trainers: Trainers, quotas: Quotas) -> Arc<Self> {
        Arc::new(Self {
            photos,
            trainers,
            quotas,
            chance: Chance::system(),
        })
    }

    /// What a photo may be, and how many a training takes.
    pub const fn photos(&self) -> &PhotoLimits {
        &self.photos
    }

    /// What a user may cost.
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// It has no `update_id`, so it is no update of Telegram's.
    #[error("this is no Telegram update: it has no update_id")]
    NotAnUpdate,
    /// A delivery that may be anybody's, for a request that we do not know, while many others wait for theirs. It may be
    /// taken later.
    #[error("{0} deliveries wait for their trainings, and this one's is not known; set FAL_WEBHOOK_USER_ID")]
    TooManyUnknown(i64),
    /// [`Turn::sender`] was not called: a bug.
    #[error("nobody was named as the sender of this update")]
    NoSender,
    /// The database refused or did not answer; nothing was changed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A job that cannot be enqueued: a bug, since payloads are ids.
    #[error(transparent)]
    Enqueue(EnqueueError),
    /// A row was not in the state in which it had been locked: a bug; nothing was changed.
    #[error(transparent)]
    Store(StoreError),
}

impl From<StoreError> for ProducerError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => Self::Database(error),
            bug @ StoreError::NotOneRow { .. } => Self::Store(bug),
        }
    }
}

impl From<SagaError> for ProducerError {
    fn from(error: SagaError) -> Self {
        match error {
            SagaError::Store(error) => error.into(),
            SagaError::Enqueue(error) => error.into(),
        }
    }
}

impl From<EnqueueError> for ProducerError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(error) => Self::Database(error),
            other => Self::Enqueue(other),
        }
    }
}

impl Producer {
    /// Over an open pool.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }
}
