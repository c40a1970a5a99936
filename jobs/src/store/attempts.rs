//! `training_attempts`: one row for each POST, committed before the POST. It is a training's or a generation's.
//!
//! A row without an outcome is AMBIGUOUS: FAL may have the request (K12). The POST's own answer settles it, a signed
//! delivery with its token, or FAL's request list, whichever comes first; time alone never does. Only an operator can
//! accept the risk of a second training (`abandoned`, fal.md 6.3); of pictures, which cost cents, one is accepted by default. Proof may come late, but it counts: it overrides
//! our classification of an error, and an abandonment. Partial unique indexes (`training_attempts_one_open…`) allow one
//! attempt of an order that FAL has or may have.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    domain::{AttemptEvidence, AttemptOutcome, GenerationId, OrderId, TrainingId},
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
    pub order: OrderId,
    pub token: String,
    pub endpoint: String,
    pub created_at: DateTime<Utc>,
}

/// A row as the table has it.
struct SubmitRow {
    id: Uuid,
    training_id: Option<TrainingId>,
    generation_id: Option<GenerationId>,
    token: String,
    endpoint: String,
    created_at: DateTime<Utc>,
}

impl SubmitRow {
    /// `None` cannot be: the table's CHECK demands one of the two.
    fn attempt(self) -> Option<Attempt> {
        let training = self.training_id.map(OrderId::Training);
        Some(Attempt {
            id: self.id,
            order: training.or_else(|| self.generation_id.map(OrderId::Generation))?,
            token: self.token,
            endpoint: self.endpoint,
            created_at: self.created_at,
        })
    }
}

/// The two columns that name the order.
fn columns(order: OrderId) -> (Option<Uuid>, Option<Uuid>) {
    (order.training().map(|id| id.0), order.generation().map(|id| id.0))
}

/// Writes the attempt that is about to be posted. It gets the order's next number.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    order: OrderId,
    new: &NewAttempt<'_>,
) -> Result<Uuid, sqlx::Error> {
    let (training, generation) = columns(order);
    sqlx::query_scalar!(
        r#"
        insert into training_attempts (training_id, generation_id, number, token, endpoint, input, input_sha256, webhook_url)
        select $1::uuid, $2::uuid, coalesce(max(number), 0) + 1, $3, $4, $5::jsonb, $6, $7
          from training_attempts where training_id = $1 or generation_id = $2
        returning id
        "#,
        training,
        generation,
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
pub(crate) async fn find_open(tx: &mut PgConnection, order: OrderId) -> Result<Option<Attempt>, sqlx::Error> {
    let (training, generation) = columns(order);
    let row = sqlx::query_as!(
        SubmitRow,
        r#"
        select id, training_id as "training_id: TrainingId", generation_id as "generation_id: GenerationId", token, endpoint, created_at
          from training_attempts
         where (training_id = $1 or generation_id = $2) and (outcome is null or outcome = 'accepted')
        "#,
        training,
        generation,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.and_then(SubmitRow::attempt))
}

/// The attempt whose webhook URL carried `token`.
pub(crate) async fn find_by_token(
    tx: &mut PgConnection,
    token: &str,
) -> Result<Option<Attempt>, sqlx::Error> {
    let row = sqlx::query_as!(
        SubmitRow,
        r#"
        select id, training_id as "training_id: TrainingId", generation_id as "generation_id: GenerationId", token, endpoint, created_at
          from training_attempts
         where token = $1
        "#,
        token
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.and_then(SubmitRow::attempt))
}

/// → accepted, whatever its outcome was before: proof overrides a classification. `false`: it was accepted before, or
/// another attempt of its order is open, which then counts. The caller has locked the order.
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
                            where (other.training_id = a.training_id or other.generation_id = a.generation_id) and other.id <> a.id
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

/// Whether an earlier attempt of this order was abandoned for another.
pub(crate) async fn has_abandoned(tx: &mut PgConnection, order: OrderId) -> Result<bool, sqlx::Error> {
    let (training, generation) = columns(order);
    sqlx::query_scalar!(
        r#"
        select exists (select from training_attempts
                        where (training_id = $1 or generation_id = $2) and outcome = 'abandoned') as "exists!"
        "#,
        training,
        generation,
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
