//! Finds jobs by their dedupe keys, for callers that know the work but not the job's id.

use std::collections::HashSet;

use sqlx::PgConnection;

use crate::job::Job;

/// All pairs of these kinds and keys that have a live job, as (kind, key).
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

/// How many jobs of a kind with `until_started` keys wait, also those whose time has not come; counts up to `most`.
pub async fn count_waiting<J: Job>(db: &mut PgConnection, most: u32) -> Result<u32, sqlx::Error> {
    let waiting = sqlx::query_scalar!(
        r#"
        select count(*) as "waiting!"
          from (select from jobs
                 where kind = $1 and dedupe_scope = 'until_started' and state in ('scheduled', 'ready')
                 limit $2) as waiting
        "#,
        J::NAME,
        i64::from(most),
    )
    .fetch_one(db)
    .await?;
    Ok(u32::try_from(waiting).unwrap_or(most))
}

/// Cancels the waiting job of an `until_done` key, in the caller's transaction. A running job is asked to stop if
/// `may_interrupt`; otherwise it goes on and must find out itself. Returns whether there was such a job.
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

/// Forgets all jobs of a party (its fairness key) or of these dedupe keys, in the caller's transaction: those that wait are
/// cancelled and deleted with those that have ended, and what the party has used of its rate is deleted too. A running job is
/// left alone; returns how many there are.
pub async fn forget(
    tx: &mut PgConnection,
    fair_key: Option<&str>,
    keys: &[String],
) -> Result<i64, sqlx::Error> {
    sqlx::query!(
        "update jobs set state = 'cancelled', finished_at = now()
          where id in (select id from jobs
                        where (fair_key = $1 or dedupe_key = any ($2)) and state in ('scheduled', 'ready')
                          for no key update)",
        fair_key,
        keys
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query_file_scalar!("src/sql/forget.sql", fair_key, keys)
        .fetch_one(tx)
        .await
}
