//! Jobs by what makes them unique: for those who know the work and not the job.

use std::collections::HashSet;

use sqlx::PgConnection;

/// Which of the kinds have a live job of which of the keys: (kind, key).
pub async fn live_by_key(
    db: &mut PgConnection,
    kinds: &[&str],
    keys: &[String],
) -> Result<HashSet<(String, String)>, sqlx::Error> {
    let rows = sqlx::query_file!("src/sql/live_by_key.sql", kinds as _, keys)
        .fetch_all(db)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|row| Some((row.kind?, row.dedupe_key?)))
        .collect())
}

/// Cancels the waiting job of an `until_done` key in the caller's transaction; a running one is asked to stop if it
/// may be interrupted, else it is left alone and finds out by itself. `true`: there was one.
pub async fn withdraw(
    tx: &mut PgConnection,
    kind: &str,
    key: &str,
    may_interrupt: bool,
) -> Result<bool, sqlx::Error> {
    let withdrawn = sqlx::query_file!("src/sql/withdraw.sql", kind, key, may_interrupt)
        .execute(tx)
        .await?;
    Ok(withdrawn.rows_affected() > 0)
}
