//! Every SQL statement about people, avatars and trainings; one file per group of tables.
//!
//! Functions take `&mut PgConnection`, so that the caller owns the transaction. Nothing is decided here; the
//! statements compare and set. A write that races with others returns whether it changed a row (`bool`, `Option`),
//! and its caller acts on that. A write to a row that the caller has locked, in a state that the caller has read,
//! must change exactly that row: otherwise it returns [`StoreError::NotOneRow`], and the transaction is rolled back.

pub(crate) mod access;
pub(crate) mod album_drafts;
pub(crate) mod albums;
pub(crate) mod appearances;
pub(crate) mod attempts;
pub(crate) mod avatars;
pub(crate) mod broadcasts;
pub(crate) mod deletions;
pub(crate) mod deliveries;
pub(crate) mod erasures;
pub(crate) mod exports;
pub(crate) mod fal_account;
pub(crate) mod gallery;
pub(crate) mod generations;
pub(crate) mod inbox_history;
pub(crate) mod notifications;
pub(crate) mod orders;
pub(crate) mod photos;
pub(crate) mod pictures;
pub(crate) mod preferences;
pub(crate) mod quotas;
pub(crate) mod retention;
pub(crate) mod shelf;
pub(crate) mod statistics;
pub(crate) mod trainings;
pub(crate) mod updates;
pub(crate) mod users;
pub(crate) mod views;

use std::fmt::Display;

use sqlx::postgres::PgQueryResult;
use tracing::error;

use crate::job::JobError;

/// Why a write under the caller's lock was not made.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused the statement or did not answer.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A bug: the row was not in the state in which the caller had locked it. Permanent until a new version.
    #[error(
        "the write {write:?} of {id} changed {rows} rows instead of one; everything with it was rolled back"
    )]
    NotOneRow {
        /// Name of the write, for logs and metrics.
        write: &'static str,
        /// Id of the row that was to be written.
        id: String,
        /// How many rows the statement changed.
        rows: u64,
    },
}

impl StoreError {
    /// Reports a broken invariant to operators at once: everything that depends on the row stands still.
    fn not_one_row(write: &'static str, id: &dyn Display, rows: u64) -> Self {
        metrics::counter!("aisha_broken_invariants_total", "write" => write).increment(1);
        let error = Self::NotOneRow {
            write,
            id: id.to_string(),
            rows,
        };
        error!("This is a bug: {error}");
        error
    }
}

impl From<StoreError> for JobError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => error.into(),
            bug @ StoreError::NotOneRow { .. } => Self::retry(bug),
        }
    }
}

/// Checks that a write changed exactly the row that its caller has locked.
fn one_row(write: &'static str, id: impl Display, done: &PgQueryResult) -> Result<(), StoreError> {
    match done.rows_affected() {
        1 => Ok(()),
        rows => Err(StoreError::not_one_row(write, &id, rows)),
    }
}
