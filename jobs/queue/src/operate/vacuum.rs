//! Vacuums the table of jobs as often as a fast queue needs it (Q17).
//!
//! A claim walks past the index entries of jobs that were claimed before it, until a vacuum removes them. Autovacuum
//! knows from the table's settings when that is due, but looks only once per `autovacuum_naptime`, by default a
//! minute. At ten thousand jobs a second a million rows are dead by then, and a claim takes three times as long as
//! after a vacuum. So every worker looks as well, and more often (`docs/adr/0007-workers-vacuum.md`).
//!
//! A slow queue never gets here: below [`DEAD_ROWS`] the server's own pace is good enough. If the process dies during
//! a vacuum, the server finishes or aborts it, and nothing depends on which.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tracing::{debug, warn};

use crate::{Engine, backoff::jittered, database::within};

/// A claim walks past this many dead rows in about half a millisecond.
const DEAD_ROWS: f64 = 100_000.0;
/// Limit of one vacuum: a connection that went silent never answers.
const LONGEST: Duration = Duration::from_hours(1);
/// The pause is at least this many times as long as the vacuum took: a table that takes long, or whose dead rows an
/// old snapshot keeps, is not vacuumed over and over.
const AT_LEAST: u32 = 10;

/// Looks for ever, as often as for expired leases, and vacuums if it is due.
pub(crate) async fn vacuum_forever(engine: Arc<Engine>) {
    let mut pause = engine.timing.sweep;
    loop {
        sleep(jittered(pause)).await;
        let begun = Instant::now();
        match within(LONGEST, vacuum_if_due(&engine)).await {
            Ok(false) => {}
            Ok(true) => debug!("Vacuumed the table of jobs in {:?}", begun.elapsed()),
            Err(error) => warn!("The table of jobs could not be vacuumed, trying again: {error}"),
        }
        pause = engine.timing.sweep.max(begun.elapsed() * AT_LEAST);
    }
}

/// Vacuums the table if that is due. Returns whether it was.
async fn vacuum_if_due(engine: &Engine) -> Result<bool, sqlx::Error> {
    let mut db = engine.database.read().await?;
    let due = sqlx::query_file_scalar!("src/sql/vacuum_due.sql", DEAD_ROWS)
        .fetch_optional(&mut *db)
        .await?;
    drop(db);
    if due != Some(true) {
        return Ok(false);
    }
    let mut db = engine.database.session().await?;
    // A worker that stops does not wait for the vacuum's end.
    db.close_on_drop();
    // The role's own limit is meant for people's queries: it would end every vacuum of a large table.
    sqlx::raw_sql("set statement_timeout = 0")
        .execute(&mut *db)
        .await?;
    // No truncation: it needs a lock that excludes all other use of the table.
    sqlx::raw_sql("vacuum (skip_locked, index_cleanup on, truncate off) jobs")
        .execute(&mut *db)
        .await?;
    Ok(true)
}
