//! `fal_account`: whether FAL accepts uploads and submissions from us. While it does
//! not, there is one row, for all workers.
//!
//! A locked account (balance, key, access) is no training's fault: trainings are parked, not failed. From time to
//! time one of the due ones tries again; an answer that is not a refusal opens the way for all.
//!
//! The calls prove different things. An answered submit proves that all is well. An answered upload does too, unless
//! FAL had refused a submit. A status that can be read proves only that the refusal of a status has passed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

/// A call that is made only while FAL accepts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GuardedCall {
    /// The upload of an archive to FAL's storage.
    Upload,
    /// A submit, which costs money.
    Submit,
}

/// Whether a guarded call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Yes: as far as we know, the account is in order.
    Open,
    /// Yes, as a probe: the account was refused, and this call finds out whether it still is.
    Probe,
    /// No: the account was refused, and the next probe is due after this time.
    Parked(Duration),
}

/// Asks for admission. If several calls are due to probe at once, one may, and the others wait for another
/// `probe_every`. A probe that is due later than that was put off by a database clock that ran ahead: it is due now.
pub(crate) async fn admit(
    tx: &mut PgConnection,
    call: GuardedCall,
    probe_every: Duration,
) -> Result<Admission, sqlx::Error> {
    let is_upload = call == GuardedCall::Upload;
    let probing = sqlx::query!(
        r#"
        update fal_account
           set probe_at = case when $2 then probe_at else now() + make_interval(secs => $1) end,
               upload_probe_at = case when $2 then now() + make_interval(secs => $1) else upload_probe_at end,
               probes = probes + 1
         where case when $2 then upload_probe_at else probe_at end <= now()
            or case when $2 then upload_probe_at else probe_at end > now() + make_interval(secs => $1) + interval '1 min'
        "#,
        probe_every.as_secs_f64(),
        is_upload,
    )
    .execute(&mut *tx)
    .await?;
    if probing.rows_affected() > 0 {
        return Ok(Admission::Probe);
    }
    let wait = sqlx::query_scalar!(
        r#"
        select greatest(extract(epoch from case when $1 then upload_probe_at else probe_at end - now()), 0)::float8 as "seconds!"
          from fal_account
         where not $1 or upload_probe_at is not null
        "#,
        is_upload,
    )
    .fetch_optional(tx)
    .await?;
    Ok(wait.map_or(Admission::Open, |seconds| {
        Admission::Parked(Duration::try_from_secs_f64(seconds).unwrap_or_default())
    }))
}

/// Records that FAL refused `call`. `true`: the account was in order before. A refused read proves nothing about
/// submits: the next submit may probe at once, and the result of an earlier upload or submit stands.
pub(crate) async fn park(
    tx: &mut PgConnection,
    call: &str,
    reason: &str,
    probe_every: Duration,
) -> Result<bool, sqlx::Error> {
    sqlx::query_file_scalar!(
        "src/store/sql/fal_account_park.sql",
        call,
        reason,
        probe_every.as_secs_f64(),
    )
    .fetch_one(tx)
    .await
}

/// Records that FAL answered `call` normally. `true`: that opens the way for all.
pub(crate) async fn passed(tx: &mut PgConnection, call: &str) -> Result<bool, sqlx::Error> {
    let gone = sqlx::query!(
        "delete from fal_account where $1 in ('submit', call) or ($1 = 'upload' and call <> 'submit')",
        call
    )
    .execute(&mut *tx)
    .await?;
    if call == "upload" {
        sqlx::query!("update fal_account set upload_probe_at = null")
            .execute(tx)
            .await?;
    }
    Ok(gone.rows_affected() > 0)
}

/// A refusal of the account that still holds.
#[derive(Debug, Clone)]
pub(crate) struct Parked {
    pub since: DateTime<Utc>,
    pub call: String,
    pub reason: String,
    pub probe_at: DateTime<Utc>,
    pub probes: i32,
}

/// The refusal of the account. `None`: the account is in order.
pub(crate) async fn parked(tx: &mut PgConnection) -> Result<Option<Parked>, sqlx::Error> {
    sqlx::query_as!(
        Parked,
        r#"
        select parked_at as since, call, reason, least(probe_at, upload_probe_at) as "probe_at!", probes from fal_account
        "#
    )
    .fetch_optional(tx)
    .await
}
