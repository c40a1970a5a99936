#![doc = include_str!("../README.md")]
// The gate: what the shells see. If it is not here, bot and web cannot do it.

pub use archive;

/// What the queue tells operators, and what they may do to it. Claiming, settling and running are a worker's: [`runtime`].
pub mod queue {
    pub use ::queue::{
        Cancelled, Claim, ClaimId, ClaimOutcome, ControlChange, Controls, DeadReasonCount, FenceError,
        JobFilter, JobHistory, JobId, JobRow, JobState, Keep, Limits, Operator, PastClaim, QueueControl,
        QueueCount, Rate, Rates, Retried, Retry, Stretch, UnknownState, prune_stretch,
    };
}

/// The database as shells hold it: they connect, ask whether it answers, and hand it on.
pub mod database {
    pub use ::queue::database::{Database, DatabaseError, DatabaseOptions, words};
}

use ::queue::storable;
#[cfg(feature = "testing")]
pub use ::queue::testing;
/// What a job is, how it is enqueued, and what its log lines and metrics hang on.
pub use ::queue::{enqueue, job, outage, trace};

pub mod chaos;
pub mod domain;
pub mod producer;
pub mod queues;
pub mod reader;
pub mod schema;
pub mod texts;

/// FAL: the verifier of its deliveries for the web role, the client for workers.
pub mod fal {
    pub use crate::clients::fal::{
        CancelOutcome, Delivery, DeliveryReport, Download, Error, FailureClass, FalClient, FalSettings,
        FalTimeouts, FileHosts, ListQuery, Multipart, NotSigned, Rejection, Request, RequestFailure,
        RequestStatus, Result, ResultOutcome, SignedHeaders, SubmitOutcome, Unreadable, VerifiedDelivery,
        VerifierSettings, VerifyError, WebhookVerifier,
    };
}

/// Telegram's Bot API: for workers, and for the bot's own calls (updates in, taps answered).
pub mod telegram {
    pub use crate::clients::telegram::{Command, Intake, TelegramClient, TelegramError};
}

/// The bucket of photos and models, for workers.
pub mod objects {
    pub use crate::clients::object_store::{
        ListedObject, ObjectError, ObjectInfo, ObjectStore, ObjectStoreSettings, ObjectStoreTimeouts,
    };
}

pub use context::{Clock, Retention};

/// What a worker goes by: values, which the settings build. Running one takes [`runtime`].
pub mod worker {
    pub use crate::context::{ArchiveDelivery, SagaSettings};
    pub use crate::runtime::WorkerOptions;
}

// Payloads: shells and tests may enqueue them and look for them, but not run them (`Run` is private).
pub use payloads::{
    ApplyFalDelivery, BuildArchive, CancelTraining, NotifyUser, PollStatus, Prune, ReconcileTrainings,
    StoreModel, StorePhoto, SubmitTraining, SweepOrphans,
};

// Which jobs in the queue this binary's workers would run: for operators, who run none.
pub use runtime::{Understanding, attempts_of, kinds};

// What only `src/worker.rs` may use (tests/architecture.rs).
pub mod runtime;

mod account;
mod payloads;
mod work;

// Underneath. Nothing here knows Telegram updates or HTTP routes.
mod clients;
mod context;
mod notifications;
mod saga;
mod store;
