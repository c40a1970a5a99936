//! Dead rows are taken out as often as a fast queue needs it (Q17).
//!
//! A claim walks past the index entries of what was claimed before it until a vacuum takes them out. Autovacuum knows
//! when that is due, by the settings in the table's migration, but looks only once in `autovacuum_naptime`, by default
//! a minute: at ten thousand jobs a second a million rows are dead by then, and a claim takes three times as long as
//! after a vacuum. So every worker looks as well, and does not wait (`docs/adr/0007-workers-vacuum.md`).
//!
//! A slow queue never comes here: up to [`DEAD_ROWS`] the server's own pace is good enough. If the process dies in a
//! vacuum, the server ends it one way or the other, and nothing depends on it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::sleep;
use tracing::{debug, warn};

use crate::{
    Engine,
    backoff::jittered,
    database::{single, within},
};

/// So many are walked past in about half a millisecond.
const DEAD_ROWS: f64 = 100_000.0;
/// A connection that went silent never answers.
const LONGEST: Duration = Duration::from_hours(1);
/// The pause in vacuums: a table that takes long, or whose dead rows some old snapshot holds, is not vacuumed again and
/// again.
const AT_LEAST: u32 = 10;

/// Looks for ever, as often as for expired leases.
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

/// Whether it was due, and is done.
async fn vacuum_if_due(engine: &Engine) -> Result<bool, sqlx::Error> {
    let mut db = single(&engine.pool).await?;
    let due = sqlx::query_file_scalar!("src/sql/vacuum_due.sql", DEAD_ROWS)
        .fetch_optional(&mut *db)
        .await?;
    db.commit().await?;
    if due != Some(true) {
        return Ok(false);
    }
    let mut db = engine.pool.acquire().await?;
    // A worker that stops does not wait for the end of it.
    db.close_on_drop();
    // A role's own limit is for people's queries: it would end every vacuum of a large table, for ever.
    sqlx::raw_sql("set statement_timeout = 0")
        .execute(&mut *db)
        .await?;
    // Never cut off at the end: that asks for a lock against everybody.
    sqlx::raw_sql("vacuum (skip_locked, index_cleanup on, truncate off) jobs")
        .execute(&mut *db)
        .await?;
    Ok(true)
}
