//! Checks before any SQL: a statement that the database refuses would cost the caller the whole transaction.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::value::RawValue;

use super::{Options, When};
use crate::{
    job::{DedupeKey, Job, JobError},
    storable::{self, MAX_DELAY, Unstorable},
};

/// Largest payload, as JSON text, in bytes. Payloads hold ids; large data belongs in a table or the bucket.
pub const MAX_PAYLOAD_BYTES: usize = 256 * 1024;
/// Longest dedupe key in bytes: it must fit an index entry with room to spare.
pub const MAX_KEY_BYTES: usize = 512;

/// Why an enqueue was refused; nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum EnqueueError {
    /// The payload is larger than [`MAX_PAYLOAD_BYTES`].
    #[error(
        "payload of {kind} has {bytes} bytes, the limit is {MAX_PAYLOAD_BYTES}: store the data and enqueue its id"
    )]
    PayloadTooLarge {
        /// The kind, [`Job::NAME`].
        kind: &'static str,
        /// Size of the payload as JSON, in bytes.
        bytes: usize,
    },
    /// The payload's type cannot be written as JSON.
    #[error("payload of {kind} cannot be written as JSON: {source}")]
    Unserializable {
        /// The kind, [`Job::NAME`].
        kind: &'static str,
        /// The error of serde, which names the field.
        source: serde_json::Error,
    },
    /// The key is empty, which would make all jobs of the kind the same.
    #[error("dedupe key of {kind} is empty: return None for jobs that are never the same")]
    EmptyKey {
        /// The kind, [`Job::NAME`].
        kind: &'static str,
    },
    /// The key is longer than [`MAX_KEY_BYTES`].
    #[error("dedupe key of {kind} has {bytes} bytes, the limit is {MAX_KEY_BYTES}: hash it")]
    KeyTooLong {
        /// The kind, [`Job::NAME`].
        kind: &'static str,
        /// Size of the key in bytes.
        bytes: usize,
    },
    /// A fairness key that is empty, or longer than [`MAX_KEY_BYTES`].
    #[error("fairness key of {kind} has {bytes} bytes: use 1 to {MAX_KEY_BYTES}, such as a user's id")]
    UnfitFairKey {
        /// The kind, [`Job::NAME`].
        kind: &'static str,
        /// Size of the key in bytes.
        bytes: usize,
    },
    /// A text or a number that Postgres could not store, or that could not be read back.
    #[error("{field} of {kind} holds {problem}")]
    Unstorable {
        /// The kind, [`Job::NAME`].
        kind: &'static str,
        /// `payload`, `dedupe key` or `fairness key`.
        field: &'static str,
        /// The reason why it cannot be stored or read back.
        problem: Unstorable,
    },
    /// The delay is longer than [`MAX_DELAY`].
    #[error(
        "delay of {kind} is {delay:?}, the limit is 100 years: a job that shall never run is not enqueued"
    )]
    DelayTooLong {
        /// The kind, [`Job::NAME`].
        kind: &'static str,
        /// The value that the caller asked for.
        delay: Duration,
    },
    /// A moment outside the years 1970 to 9999, which Postgres or its readers cannot represent.
    #[error(
        "start of {kind} is {at}: use a moment in the years 1970 to 9999, or no moment for a job that may run now"
    )]
    MomentOutOfRange {
        /// The kind, [`Job::NAME`].
        kind: &'static str,
        /// The value that the caller asked for.
        at: DateTime<Utc>,
    },
    /// The database refused the statement or did not answer. The transaction can no longer be committed.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl From<EnqueueError> for JobError {
    fn from(error: EnqueueError) -> Self {
        match error {
            EnqueueError::Database(error) => error.into(),
            unfit => Self::give_up("unenqueueable", unfit),
        }
    }
}

/// The payload as JSON text for its row.
pub(super) fn payload<J: Job>(job: &J) -> Result<Box<RawValue>, EnqueueError> {
    let raw = serde_json::value::to_raw_value(job).map_err(|source| EnqueueError::Unserializable {
        kind: J::NAME,
        source,
    })?;
    let bytes = raw.get().len();
    if bytes > MAX_PAYLOAD_BYTES {
        return Err(EnqueueError::PayloadTooLarge { kind: J::NAME, bytes });
    }
    storable::check_json(raw.get()).map_err(unstorable::<J>("payload"))?;
    Ok(raw)
}

/// The job's dedupe key, if it has one.
pub(super) fn key<J: Job>(job: &J) -> Result<Option<DedupeKey>, EnqueueError> {
    match job.dedupe_key() {
        Some(key) if key.key.is_empty() => Err(EnqueueError::EmptyKey { kind: J::NAME }),
        Some(key) if key.key.len() > MAX_KEY_BYTES => Err(EnqueueError::KeyTooLong {
            kind: J::NAME,
            bytes: key.key.len(),
        }),
        Some(key) => {
            storable::check_text(&key.key).map_err(unstorable::<J>("dedupe key"))?;
            Ok(Some(key))
        }
        None => Ok(None),
    }
}

/// Refuses options that the database could not store.
pub(super) fn options<J: Job>(options: &Options) -> Result<(), EnqueueError> {
    match options.when {
        When::In(delay) if delay > MAX_DELAY => {
            return Err(EnqueueError::DelayTooLong { kind: J::NAME, delay });
        }
        When::At(at) if !storable::is_storable(at) => {
            return Err(EnqueueError::MomentOutOfRange { kind: J::NAME, at });
        }
        When::Now | When::In(_) | When::At(_) => {}
    }
    let Some(key) = &options.fair_key else {
        return Ok(());
    };
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(EnqueueError::UnfitFairKey {
            kind: J::NAME,
            bytes: key.len(),
        });
    }
    storable::check_text(key).map_err(unstorable::<J>("fairness key"))
}

fn unstorable<J: Job>(field: &'static str) -> impl FnOnce(Unstorable) -> EnqueueError {
    move |problem| EnqueueError::Unstorable {
        kind: J::NAME,
        field,
        problem,
    }
}
