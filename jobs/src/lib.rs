#![doc = include_str!("../README.md")]
// The gate for `src/`: code there can only do what is exported here.

pub use archive;

/// What operators see of the queue and can change in it. Claiming, settling and running are a worker's: [`runtime`].
pub mod queue {
    pub use ::queue::{
        Cancelled, Claim, ClaimId, ClaimOutcome, ControlChange, Controls, DeadReasonCount, FenceError,
        JobFilter, JobHistory, JobId, JobRow, JobState, Keep, Limits, Operator, PastClaim, QueueControl,
        QueueCount, Rate, Rates, Retried, Retry, Stretch, UnknownState, prune_stretch,
    };
}

/// The database, as code in `src/` sees it: it connects, asks whether the database answers, and hands it on.
pub mod database {
    pub use ::queue::database::{Database, DatabaseError, DatabaseOptions, words};
}

use ::queue::storable;
#[cfg(feature = "testing")]
pub use ::queue::testing;
/// Jobs, how they are enqueued, and their traces and outages in log lines.
pub use ::queue::{enqueue, job, outage, trace};

pub mod chaos;
pub mod domain;
pub mod producer;
pub mod queues;
pub mod reader;
pub mod schema;
pub mod texts;

/// FAL: the verifier of its deliveries for the web role, and the client for workers.
pub mod fal {
    pub use crate::clients::fal::{
        CancelOutcome, Delivery, DeliveryReport, Download, Error, FailureClass, FalClient, FalSettings,
        FalTimeouts, FileHosts, ListQuery, Listing, Multipart, NotSigned, Rejection, Request, RequestFailure,
        RequestMark, RequestStatus, Result, ResultOutcome, SignedHeaders, SubmitOutcome, Unreadable,
        VerifiedDelivery, VerifierSettings, VerifyError, WebhookVerifier,
    };
}

/// Telegram's Bot API: for workers, and for the bot's own calls (get updates, answer taps).
pub mod telegram {
    pub use crate::clients::telegram::{Intake, MenuEntry, TelegramClient, TelegramError};
}

/// The bucket of photos and models, for workers.
pub mod objects {
    pub use crate::clients::object_store::{
        ListedObject, ObjectError, ObjectInfo, ObjectStore, ObjectStoreSettings, ObjectStoreTimeouts,
    };
}

pub use context::{Clock, Retention};

/// A worker's configuration, which the settings build. [`runtime`] runs the worker.
pub mod worker {
    pub use crate::context::{ArchiveDelivery, GenerationSettings, TrainingSettings};
    pub use crate::runtime::WorkerOptions;
}

// Payloads, all of them: code in `src/` and tests may enqueue them and look for them, but cannot run them (`Run` is private).
pub use payloads::*;

// Which jobs in the queue this binary's workers would run: for operators' verbs, which run none.
pub use work::{Understanding, attempts_of, kinds, kinds_by_the_clock};

// Only `src/worker.rs` may use this (tests/architecture.rs).
pub mod runtime;

mod account;
mod asking;
mod deletion;
mod payloads;
mod work;

// Internal modules. None of them knows Telegram updates or HTTP routes.
mod clients;
mod context;
mod estimates;
mod notifications;
mod saga;
mod store;
