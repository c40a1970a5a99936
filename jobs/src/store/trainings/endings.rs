//! How a training fails or is cancelled, and what happens to a model that comes afterwards.

use serde_json::Value;
use sqlx::PgConnection;

use super::{VerifiedModel, steps::lock_owner};
use crate::{
    domain::{EndReason, FailureCode, LateModel, TrainingId, TrainingSource},
    storable::error_text,
    store::{StoreError, one_row, orders::OrderEnding},
};

/// Any live status → failed | cancelled, and its avatar with it.
pub(crate) async fn end(
    tx: &mut PgConnection,
    id: TrainingId,
    ending: &OrderEnding<'_>,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        with training as (
            update trainings
               set status = case when $2::text is null then 'cancelled' else 'failed' end::training_status,
                   status_since = now(), finished_at = now(), failure_code = $2, failure_detail = $3,
                   result_source = coalesce(result_source, $4), late_model = $5, odd_answers = 0
             where id = $1 and status not in ('completed', 'failed', 'cancelled')
            returning avatar_id, status
        )
        update avatars
           set status = training.status::text::avatar_status, updated_at = now()
          from training
         where avatars.id = training.avatar_id
        "#,
        id.0,
        ending.failure.map(FailureCode::as_str),
        &*error_text(ending.detail),
        ending.source as TrainingSource,
        ending.late as Option<LateModel>,
    )
    .execute(tx)
    .await?;
    one_row("an ending", id, &changed)
}

/// Notes that the end was asked for and FAL has to be told. An earlier note stands: a second one is an error.
pub(crate) async fn ask_to_end(
    tx: &mut PgConnection,
    id: TrainingId,
    reason: EndReason,
    by: Option<&str>,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update trainings
           set end_asked = $2, end_asked_at = now(), end_asked_by = $3
         where id = $1 and end_asked is null and status in ('submitting', 'submitted')
        "#,
        id.0,
        reason as EndReason,
        by,
    )
    .execute(tx)
    .await?;
    one_row("a wish to end", id, &changed)
}

/// Changes whether a model of an ended training is still expected.
pub(crate) async fn expect_late(
    tx: &mut PgConnection,
    id: TrainingId,
    late: Option<LateModel>,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        "update trainings set late_model = $2 where id = $1 and status in ('failed', 'cancelled')",
        id.0,
        late as Option<LateModel>,
    )
    .execute(tx)
    .await?;
    one_row("what is still expected", id, &changed)
}

/// Keeps FAL's output of a training that had ended. The row has a result already if the training ended while its model was
/// being copied; the newer one replaces it, since its address of the file is at least as fresh.
pub(crate) async fn keep_late(
    tx: &mut PgConnection,
    id: TrainingId,
    result: &Value,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update trainings
           set late_model = 'kept', result = $2, progress = 100, odd_answers = 0
         where id = $1 and status in ('failed', 'cancelled') and (late_model is null or late_model = 'watched')
        "#,
        id.0,
        result,
    )
    .execute(tx)
    .await?;
    one_row("a late result", id, &changed)
}

/// The late model is verified. It is attached to its avatar, or only kept if the owner has started another training.
pub(crate) async fn complete_late(
    tx: &mut PgConnection,
    id: TrainingId,
    model: &VerifiedModel,
) -> Result<(), StoreError> {
    let (key, sha256, bytes, url, finetune) = model.columns();
    lock_owner(tx, id).await?;
    let taken = sqlx::query_file!(
        "src/store/sql/training_completed_late.sql",
        id.0,
        key,
        sha256,
        bytes,
        url,
        finetune
    )
    .execute(&mut *tx)
    .await?
    .rows_affected()
        == 1;
    let settled = sqlx::query!(
        r#"
        update trainings
           set late_model = 'settled', late_model_key = $2, late_completed_at = case when $3 then now() end
         where id = $1 and late_model = 'kept'
        "#,
        id.0,
        key,
        taken,
    )
    .execute(tx)
    .await?;
    one_row("the end of a late model", id, &settled)
}

/// Whether the avatar took a model that came after the training had ended.
pub(crate) async fn was_completed_late(tx: &mut PgConnection, id: TrainingId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select late_completed_at is not null as "taken!" from trainings where id = $1"#,
        id.0
    )
    .fetch_one(tx)
    .await
}
