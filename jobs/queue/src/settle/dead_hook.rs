//! Makes a job a dead letter, together with everything that depended on it.

use futures::future::BoxFuture;
use serde_json::value::RawValue;
use sqlx::{PgConnection, types::Json};
use tracing::error;

use crate::{
    ClaimId, ClaimOutcome, JobId,
    job::{DeadReason, JobError},
    storable,
    trace::{self, TraceContext},
};

/// Calls the `on_dead` of a kind; implemented by [`crate::Registry`].
pub(crate) trait DeadHook: Send + Sync {
    /// Settles what depended on a job of `kind`, in the transaction that makes it dead.
    fn on_dead<'a>(
        &'a self,
        kind: &'a str,
        payload: &'a RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> BoxFuture<'a, Result<(), MakeDeadError>>;
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum MakeDeadError {
    /// The kind's `on_dead` failed.
    #[error("on_dead: {0}")]
    OnDead(JobError),
    /// No `on_dead` can be called: the kind is unknown here, or the payload does not decode.
    #[error("{0}")]
    Nobody(String),
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

/// Makes a running job dead and calls its kind's `on_dead`, in the caller's transaction. `false`: the claim is lost.
pub(crate) async fn make_dead(
    tx: &mut PgConnection,
    job: JobId,
    claim: ClaimId,
    reason: &DeadReason,
    how: ClaimOutcome,
    uncharged: bool,
    dead_hook: &dyn DeadHook,
) -> Result<bool, MakeDeadError> {
    // Made storable here, since `on_dead` may store it elsewhere.
    let reason = &DeadReason {
        code: storable::code(&reason.code).into_owned().into(),
        message: storable::error_text(&reason.message).into_owned(),
    };
    let code = reason.code.as_ref();
    let dead = sqlx::query_file!(
        "src/sql/make_dead.sql",
        job.0,
        claim.0,
        uncharged,
        how as _,
        code,
        reason.message
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = dead else { return Ok(false) };
    let trace = row.traceparent.as_deref().and_then(TraceContext::parse);
    let settled = dead_hook.on_dead(&row.kind, &row.payload.0, tx, reason);
    match trace::scope(trace.unwrap_or_default().child(), settled).await {
        Ok(()) => {}
        Err(MakeDeadError::Nobody(why)) => {
            error!(job.id = %job, job.kind = row.kind, "Nobody settles what depended on dead job {job}: {why}");
        }
        Err(failed) => return Err(failed),
    }
    metrics::counter!("aisha_jobs_dead_total", "kind" => row.kind, "reason" => reason.code.clone())
        .increment(1);
    Ok(true)
}
