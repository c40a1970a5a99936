//! Every SQL statement about people, avatars and trainings; one file a table group.
//!
//! Functions take `&mut PgConnection`, so that the caller owns the transaction. Nothing here decides; it
//! compares and sets. A write that races with another answers whether it did (`bool`, `Option`), and its caller goes
//! by that. A write of a row that its caller has locked, in a state that it has seen, can only change that row:
//! if it does not, it answers [`StoreError::NotOneRow`], and the transaction is rolled back.

pub(crate) mod attempts;
pub(crate) mod avatars;
pub(crate) mod deliveries;
pub(crate) mod fal_account;
pub(crate) mod inbox_history;
pub(crate) mod notifications;
pub(crate) mod photos;
pub(crate) mod quotas;
pub(crate) mod trainings;
pub(crate) mod updates;
pub(crate) mod users;
pub(crate) mod views;

use std::fmt::Display;

use sqlx::postgres::PgQueryResult;
use tracing::error;

use crate::job::JobError;

/// Why a write under its caller's lock was not made.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or did not answer.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// A bug: the row was not in the state in which its caller had locked it. Permanent until a new version.
    #[error(
        "the write {write:?} of {id} changed {rows} rows instead of one; everything with it was rolled back"
    )]
    NotOneRow {
        /// What was to be written.
        write: &'static str,
        /// Of which row.
        id: String,
        /// Changed by the statement.
        rows: u64,
    },
}

impl StoreError {
    /// A broken invariant, which operators see at once: whatever depends on the row stands still.
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

/// Holds a write to the one row that its caller has locked.
fn one_row(write: &'static str, id: impl Display, done: &PgQueryResult) -> Result<(), StoreError> {
    match done.rows_affected() {
        1 => Ok(()),
        rows => Err(StoreError::not_one_row(write, &id, rows)),
    }
}
