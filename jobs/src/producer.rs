//! The changes that the bot, the web role and operators' verbs may make, each in one
//! transaction with the jobs that follow.
//!
//! Updates of Telegram's are handled in two steps (docs/adr/0004-inbox-before-acknowledgement.md). The role that
//! receives an update stores it ([`Producer::accept_telegram_update`]) before it is acknowledged. The bot takes
//! stored updates one by one, each as a [`Turn`]: the update, and the transaction of all its effects.
//!
//! # If we die …
//! | …                        | then                                                                        |
//! |--------------------------|-----------------------------------------------------------------------------|
//! | before the update's commit | Telegram still has it and sends it again                                  |
//! | after it                 | the row is there, and a bot process handles it later                         |
//! | in a turn                | all of it is rolled back, the answer to the user included; it is taken again |
//! | after the turn's commit  | effect, answer (an outbox row) and `handled_at` are there, once             |
//!
//! Read next: `producer/turn.rs`, then `producer/drafts.rs` and `producer/request_training.rs` (the user's
//! requests), and `src/bot/` (which calls them).

mod administration;
mod albums;
mod cancel;
mod deletion;
mod deliveries;
mod drafts;
mod export;
mod gallery;
mod guard;
mod inbox;
mod leaving;
mod photo_hints;
mod pictures;
mod request_training;
mod settings;
mod status;
mod turn;

use std::{collections::BTreeSet, sync::Arc};

use queue::database::Database;

pub use administration::{BroadcastState, FoundUser, Statistics};
pub use albums::{AlbumDraft, Ordered};
pub use cancel::{Cancellation, CancelledTraining};
pub use deletion::{Deleted, WillBeLost};
pub use deliveries::{Accepted, DeliveryQuery, Replay, Replayed};
pub use drafts::{Draft, PhotoTaken, RetryOutcome};
pub use gallery::GalleryCard;
pub use guard::Handled;
pub use inbox::{PollingLead, UpdateSignal, read_update};
pub use leaving::Everything;
pub use photo_hints::PhotoRemoved;
pub use pictures::PictureCard;
pub use request_training::Started;
pub use settings::UserSettings;
pub use status::{AvatarLine, LiveTraining, Stopped};
pub use turn::{Sender, Turn};

pub use crate::notifications::Place;
pub use crate::store::StoreError;

use crate::{
    archive::PhotoLimits,
    context::Chance,
    domain::{Access, PictureRules, Privacy, Quotas, Trainers},
    enqueue::EnqueueError,
    notifications::PhotoStep,
    saga::SagaError,
};

/// Writes changes for users, operators and the outside world. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Producer {
    database: Database,
}

/// The limits and defaults by which the wizard works and a new training is made.
#[derive(Clone)]
pub struct Rules {
    pub(crate) photos: PhotoLimits,
    pub(crate) trainers: Trainers,
    pub(crate) pictures: Arc<PictureRules>,
    pub(crate) quotas: Quotas,
    pub(crate) privacy: Privacy,
    pub(crate) admins: BTreeSet<i64>,
    pub(crate) chance: Chance,
}

impl Rules {
    /// Without limits, and open to everybody.
    pub fn new(photos: PhotoLimits, trainers: Trainers, pictures: Arc<PictureRules>) -> Arc<Self> {
        Self::with_quotas(photos, trainers, pictures, Quotas::default())
    }

    /// With limits, and lists of who may use the bot.
    pub fn with_quotas(
        photos: PhotoLimits,
        trainers: Trainers,
        pictures: Arc<PictureRules>,
        quotas: Quotas,
    ) -> Arc<Self> {
        Self::with_policy(
            photos,
            trainers,
            pictures,
            quotas,
            Privacy::default(),
            BTreeSet::new(),
        )
    }

    /// As [`Rules::with_quotas`], with what users are told about their data, and the Telegram ids of administrators.
    pub fn with_policy(
        photos: PhotoLimits,
        trainers: Trainers,
        pictures: Arc<PictureRules>,
        quotas: Quotas,
        privacy: Privacy,
        admins: BTreeSet<i64>,
    ) -> Arc<Self> {
        Arc::new(Self {
            photos,
            trainers,
            pictures,
            quotas,
            privacy,
            admins,
            chance: Chance::system(),
        })
    }

    pub(crate) const fn photo_step(&self) -> PhotoStep<'_> {
        PhotoStep {
            limits: &self.photos,
            trainers: &self.trainers,
        }
    }

    /// Limits of photos, and how many a training takes.
    pub const fn photos(&self) -> &PhotoLimits {
        &self.photos
    }

    /// The styles, and what users may ask for.
    pub fn pictures(&self) -> &PictureRules {
        &self.pictures
    }

    /// Whether a Telegram user may use the bot. `listed`: what an administrator decided; the configuration's lists win.
    pub(crate) fn access(&self, telegram_id: i64, listed: Option<bool>) -> Access {
        let by_config = self.quotas.access(telegram_id);
        let is_named = self.quotas.allowed.contains(&telegram_id) || self.admins.contains(&telegram_id);
        match (by_config, listed) {
            (Access::Blocked, _) => Access::Blocked,
            _ if is_named => Access::Open,
            (_, Some(true)) => Access::Open,
            (_, Some(false)) => Access::Blocked,
            (by_config, None) => by_config,
        }
    }

    /// How long users' things are kept, from the settings.
    pub const fn privacy(&self) -> &Privacy {
        &self.privacy
    }

    /// Limits on what a user can cost, from the settings.
    pub const fn quotas(&self) -> &Quotas {
        &self.quotas
    }
}

/// Why a change was not written. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ProducerError {
    /// The JSON has no `update_id`, so it is no update of Telegram's.
    #[error("this is no Telegram update: it has no update_id")]
    NotAnUpdate,
    /// A delivery of an unknown request and perhaps of another customer of FAL's, while many others wait for their
    /// requests. It may be accepted later.
    #[error("{0} deliveries wait for their trainings, and this one's is not known; set FAL_WEBHOOK_USER_ID")]
    TooManyUnknown(i64),
    /// [`Turn::sender`] was not called: a bug.
    #[error("nobody was named as the sender of this update")]
    NoSender,
    /// The database refused or did not answer; nothing was changed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A job cannot be enqueued: a bug, since payloads are ids.
    #[error(transparent)]
    Enqueue(EnqueueError),
    /// A row was not in the state in which it had been locked: a bug. Nothing was changed.
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
    /// Writes to this database.
    pub fn new(database: impl Into<Database>) -> Self {
        Self {
            database: database.into(),
        }
    }
}
