//! `training_attempts`: one row for each POST, committed before the POST.
//!
//! A row without an outcome is AMBIGUOUS: FAL may have the request (K12). The POST's own answer settles it, a signed
//! delivery with its token, or FAL's request list, whichever comes first; time alone never does. Only an operator can
//! accept the risk of a second request (`abandoned`, fal.md 6.3). Proof may come late, but it counts: it overrides
//! our classification of an error, and an abandonment. The partial unique index `training_attempts_one_open` allows
//! one attempt that FAL has or may have.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{AttemptEvidence, AttemptOutcome, TrainingId},
    storable::error_text,
};

/// An attempt that is about to be made.
#[derive(Debug)]
pub(crate) struct NewAttempt<'a> {
    /// 128 random bits as 32 hex digits.
    pub token: &'a str,
    pub endpoint: &'a str,
    pub input: &'a Value,
    pub input_sha256: &'a str,
    pub webhook_url: Option<&'a str>,
}

#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub id: Uuid,
    pub training_id: TrainingId,
    pub token: String,
    pub endpoint: String,
    pub created_at: DateTime<Utc>,
}

/// Writes the attempt that is about to be posted. It gets the training's next number.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    training: TrainingId,
    new: &NewAttempt<'_>,
) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into training_attempts (training_id, number, token, endpoint, input, input_sha256, webhook_url)
        select $1::uuid, coalesce(max(number), 0) + 1, $2, $3, $4::jsonb, $5, $6 from training_attempts where training_id = $1
        returning id
        "#,
        training.0,
        new.token,
        new.endpoint,
        new.input,
        new.input_sha256,
        new.webhook_url,
    )
    .fetch_one(tx)
    .await
}

/// The attempt that FAL has or may have. `None`: there is none.
pub(crate) async fn find_open(
    tx: &mut PgConnection,
    training: TrainingId,
) -> Result<Option<Attempt>, sqlx::Error> {
    sqlx::query_as!(
        Attempt,
        r#"
        select id, training_id as "training_id: TrainingId", token, endpoint, created_at
          from training_attempts
         where training_id = $1 and (outcome is null or outcome = 'accepted')
        "#,
        training.0
    )
    .fetch_optional(tx)
    .await
}

/// The attempt whose webhook URL carried `token`.
pub(crate) async fn find_by_token(
    tx: &mut PgConnection,
    token: &str,
) -> Result<Option<Attempt>, sqlx::Error> {
    sqlx::query_as!(
        Attempt,
        r#"
        select id, training_id as "training_id: TrainingId", token, endpoint, created_at
          from training_attempts
         where token = $1
        "#,
        token
    )
    .fetch_optional(tx)
    .await
}

/// → accepted, whatever its outcome was before: proof overrides a classification. `false`: it was accepted before, or
/// another attempt of its training is open, which then counts. The caller has locked the training.
pub(crate) async fn accepted(
    tx: &mut PgConnection,
    id: Uuid,
    request_id: &str,
    evidence: AttemptEvidence,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update training_attempts a
           set outcome = 'accepted', request_id = $2, evidence = $3, settled_at = now()
         where id = $1 and outcome is distinct from 'accepted'
           and not exists (select from training_attempts other
                            where other.training_id = a.training_id and other.id <> a.id
                              and (other.outcome is null or other.outcome = 'accepted'))
        "#,
        id,
        request_id,
        evidence as AttemptEvidence,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// unknown → `not_sent` | refused | abandoned. `false`: it was settled before, for
/// instance by a delivery with its token.
pub(crate) async fn not_accepted(
    tx: &mut PgConnection,
    id: Uuid,
    outcome: AttemptOutcome,
    error: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update training_attempts
           set outcome = $2::attempt_outcome, error = $3, settled_at = now()
         where id = $1 and outcome is null and $2::attempt_outcome <> 'accepted'
        "#,
        id,
        outcome as AttemptOutcome,
        &*error_text(error),
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Whether an earlier attempt of this training was abandoned for another.
pub(crate) async fn has_abandoned(tx: &mut PgConnection, training: TrainingId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from training_attempts where training_id = $1 and outcome = 'abandoned') as "exists!""#,
        training.0
    )
    .fetch_one(tx)
    .await
}

/// Stores for operators why an attempt's outcome is unknown; the attempt stays open. `false`: its outcome has become
/// known, for instance from a delivery with its token.
pub(crate) async fn unknown(tx: &mut PgConnection, id: Uuid, error: &str) -> Result<bool, sqlx::Error> {
    let noted = sqlx::query!(
        "update training_attempts set error = $2 where id = $1 and outcome is null",
        id,
        &*error_text(error)
    )
    .execute(tx)
    .await?;
    Ok(noted.rows_affected() == 1)
}
