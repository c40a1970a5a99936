//! Deletes ended jobs (Q17), one range of ids at a time, so that table and indexes stay as small as the kept rows.

use std::time::Duration;

use crate::{database::Database, storable};

/// How long ended jobs are kept, by how they ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Age at which done jobs are deleted.
    pub done: Duration,
    /// Age at which cancelled jobs are deleted.
    pub cancelled: Duration,
    /// Age at which dead letters are deleted; until then an operator can retry them.
    pub dead: Duration,
}

/// One step of a walk through the jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Number of jobs that were deleted.
    pub pruned: u64,
    /// The `after` of the next stretch. `None`: no later job is old enough.
    pub next: Option<i64>,
}

/// Deletes the jobs that are old enough among the `most` jobs after id `after` (0 for
/// the first), in one short transaction.
pub async fn prune_stretch(
    database: &Database,
    keep: Keep,
    after: i64,
    most: u16,
) -> Result<Stretch, sqlx::Error> {
    let mut tx = database.begin().await?;
    let row = sqlx::query_file!(
        "src/sql/prune.sql",
        after,
        i64::from(most),
        storable::delay(keep.done).as_secs_f64(),
        storable::delay(keep.cancelled).as_secs_f64(),
        storable::delay(keep.dead).as_secs_f64()
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(Stretch {
        pruned: u64::try_from(row.pruned).unwrap_or_default(),
        next: row.last.filter(|_| row.go_on),
    })
}
