//! Values and rules without input or output: ids, states, and which state may follow which.
//!
//! No async, no SQL, no clock (`tests/architecture.rs`). Everything here can be tested with plain values.

mod action;
mod avatar;
mod delivery;
pub mod generator;
mod ids;
mod keeping;
mod locale;
mod order;
mod prompt;
mod question;
mod quotas;
mod saga;
mod shelf;
mod stage;
pub mod style;
mod support_code;
pub mod trainer;
mod training;
mod trigger;
mod webhook_url;

pub use action::{Action, MAX_CALLBACK_DATA, UnknownAction, WizardStep};
pub use avatar::{AvatarStatus, AvatarType, Gender, PhotoStatus, TrainingType, UnknownName};
pub use delivery::{DeliveryVerdict, Disposition};
pub use generator::{
    Aspect, Generated, GeneratedPicture, Generator, ModelSource, NoPictureList, PictureOrder, SEEDS,
    UnfitModel,
};
pub use ids::{AlbumId, AvatarId, GenerationId, NotificationId, PhotoId, PictureId, TrainingId, UserId};
pub use keeping::{MediaAges, Privacy};
pub use locale::Locale;
pub use order::{GenerationStatus, OrderId, OrderStatus, Product};
pub use prompt::{PictureRules, PromptRefusal};
pub use question::OpenQuestion;
pub use quotas::{Access, Quotas};
pub use saga::{AtFal, Fact, NextJob, Patience, Saga, Tell, Times, Transition};
pub use shelf::Shelf;
pub use stage::Stage;
pub use style::{DrawnAvatar, Style, Styles};
pub use support_code::{NoSupportCode, SupportCode};
pub use trainer::{
    FinetuneComment, OutputKind, OutputProblem, Preset, TrainedModel, Trainer, Trainers, TrainingOrder,
    UnfitTrainer,
};
pub use training::{
    AttemptEvidence, AttemptOutcome, EndReason, FailureCode, FalRequest, LateModel, TrainingSource,
    TrainingStatus,
};
pub use trigger::{portrait_trigger, style_trigger};
pub use webhook_url::{BadWebhookUrl, PICTURES, WEBHOOK_PATH, WebhookBase};
