//! `fal_account`: whether FAL takes submissions from us at all. One row while it does not, for all workers.
//!
//! A locked account (balance, key, access) is nobody's training's fault: submissions are parked, not failed. One of
//! them tries again from time to time; an answer that is no refusal opens the way for all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// Whether a submit may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The account is in order as far as we know.
    Open,
    /// It was refused; this submit is the one that finds out whether it still is.
    Probe,
    /// It was refused, and the next probe is due in this time.
    Parked(Duration),
}

/// Asks. Of several that are due to probe at once, one may, and the others wait for another `probe_every`.
pub(crate) async fn admit(tx: &mut PgConnection, probe_every: Duration) -> Result<Admission, sqlx::Error> {
    let probing = sqlx::query!(
        "update fal_account set probe_at = now() + make_interval(secs => $1), probes = probes + 1 where probe_at <= now()",
        probe_every.as_secs_f64()
    )
    .execute(&mut *tx)
    .await?;
    if probing.rows_affected() > 0 {
        return Ok(Admission::Probe);
    }
    let wait = sqlx::query_scalar!(
        r#"select greatest(extract(epoch from probe_at - now()), 0)::float8 as "seconds!" from fal_account"#
    )
    .fetch_optional(tx)
    .await?;
    Ok(wait.map_or(Admission::Open, |seconds| {
        Admission::Parked(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }))
}

/// FAL refused. `true`: it did not before.
pub(crate) async fn park(
    tx: &mut PgConnection,
    reason: &str,
    probe_every: Duration,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into fal_account (parked_at, reason, probe_at)
        values (now(), $1, now() + make_interval(secs => $2))
        on conflict (only_row) do update set reason = excluded.reason, probe_at = excluded.probe_at
        returning (xmax = 0) as "is_new!"
        "#,
        reason,
        probe_every.as_secs_f64(),
    )
    .fetch_one(tx)
    .await
}

/// FAL answered as it should. `true`: it had refused before.
pub(crate) async fn reopen(tx: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query!("delete from fal_account").execute(tx).await?;
    Ok(gone.rows_affected() > 0)
}

/// A refusal that lasts.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub since: DateTime<Utc>,
    pub reason: String,
    pub probe_at: DateTime<Utc>,
    pub probes: i32,
}

/// The refusal that lasts, if one does.
pub(crate) async fn parked(tx: &mut PgConnection) -> Result<Option<Parked>, sqlx::Error> {
    sqlx::query_as!(
        Parked,
        "select parked_at as since, reason, probe_at, probes from fal_account"
    )
    .fetch_optional(tx)
    .await
}
