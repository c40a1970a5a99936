//! The steps of a live training: each write from one status to the next, and the notes in between.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::{
    domain::{FalRequest, TrainingId, TrainingSource},
    store::{StoreError, one_row, orders::Observation},
};

/// An archive that FAL can fetch, as `build_archive` notes it in the row.
#[derive(Debug, Clone)]
pub(crate) struct StoredArchive {
    pub url: String,
    pub sha256: String,
    pub bytes: u64,
    pub photos: usize,
    /// When the copy that FAL reads is deleted.
    pub expires_at: DateTime<Utc>,
}

/// A verified model, in one of the two shapes that the database allows for a completed avatar.
#[derive(Debug, Clone)]
pub(crate) enum VerifiedModel {
    /// Our copy of the LoRA, and FAL's URL of it as a cache.
    Lora {
        key: String,
        sha256: String,
        bytes: u64,
        url: String,
    },
    /// A finetune that stays at FAL, by its id there.
    Finetune { id: String },
}

impl VerifiedModel {
    /// Object key, hash, bytes, FAL's URL; or the finetune's id.
    pub(super) fn columns(&self) -> ModelColumns<'_> {
        match self {
            VerifiedModel::Lora {
                key,
                sha256,
                bytes,
                url,
            } => (
                Some(key.as_str()),
                Some(sha256.as_str()),
                i64::try_from(*bytes).ok(),
                Some(url.as_str()),
                None,
            ),
            VerifiedModel::Finetune { id } => (None, None, None, None, Some(id.as_str())),
        }
    }
}

/// As [`VerifiedModel::columns`] says.
type ModelColumns<'a> = (
    Option<&'a str>,
    Option<&'a str>,
    Option<i64>,
    Option<&'a str>,
    Option<&'a str>,
);

/// requested → archived. An archive that replaces a lost one does not give the training more time.
pub(crate) async fn archived(
    tx: &mut PgConnection,
    id: TrainingId,
    archive: &StoredArchive,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update trainings
           set status = 'archived', status_since = coalesce(archived_at, now()), archived_at = coalesce(archived_at, now()),
               archive_url = $2, archive_sha256 = $3, archive_bytes = $4, archive_photos = $5, archive_expires_at = $6
         where id = $1 and status = 'requested'
        "#,
        id.0,
        archive.url,
        archive.sha256,
        i64::try_from(archive.bytes).unwrap_or(i64::MAX),
        i32::try_from(archive.photos).unwrap_or(i32::MAX),
        archive.expires_at,
    )
    .execute(tx)
    .await?;
    one_row("requested to archived", id, &changed)
}

/// archived → requested: FAL could not fetch the archive, so it is built again, and the loss is counted. The time to be
/// submitted is still counted from `archived_at`. Versions before the rebuild count the time of every build from
/// `status_since`: without a new one, such a worker, beside ours during a deploy, would end a training whose archive had
/// waited for longer than a build may take.
pub(crate) async fn archive_lost(tx: &mut PgConnection, id: TrainingId) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update trainings set status = 'requested', status_since = now(), archives_lost = archives_lost + 1
         where id = $1 and status = 'archived'
        "#,
        id.0
    )
    .execute(tx)
    .await?;
    one_row("archived to requested", id, &changed)
}

/// archived → submitting. The caller inserts the attempt in the same transaction.
pub(crate) async fn submitting(tx: &mut PgConnection, id: TrainingId) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        "update trainings set status = 'submitting', status_since = now() where id = $1 and status = 'archived'",
        id.0
    )
    .execute(tx)
    .await?;
    one_row("archived to submitting", id, &changed)
}

/// submitting → archived: the attempt certainly did not reach FAL, or FAL did not take it. The time to be submitted is still
/// counted from the archive; tries do not lengthen it.
pub(crate) async fn not_submitted(tx: &mut PgConnection, id: TrainingId) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        "update trainings set status = 'archived', status_since = archived_at where id = $1 and status = 'submitting'",
        id.0
    )
    .execute(tx)
    .await?;
    one_row("submitting to archived", id, &changed)
}

/// submitting | archived → submitted. A training that ended meanwhile keeps its status, but its request id is noted, so that
/// FAL's delivery for it is recognised; from now on it is watched.
pub(crate) async fn submitted(
    tx: &mut PgConnection,
    id: TrainingId,
    request: &FalRequest,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update trainings
           set status = case when status in ('archived', 'submitting') then 'submitted' else status end,
               status_since = case when status in ('archived', 'submitting') then now() else status_since end,
               late_model = case when status in ('archived', 'submitting') then null else 'watched'::training_late_model end,
               submitted_at = now(), request_id = $2, status_url = $3, response_url = $4, cancel_url = $5
         where id = $1 and request_id is null and status in ('archived', 'submitting', 'failed', 'cancelled')
        "#,
        id.0,
        request.request_id,
        request.status_url,
        request.response_url,
        request.cancel_url,
    )
    .execute(tx)
    .await?;
    one_row("a request of FAL", id, &changed)
}

/// Notes FAL's answer to a status call. Progress never goes down. `false`: the training had left FAL when the answer came,
/// since the row is not locked during the call.
pub(crate) async fn observed(
    tx: &mut PgConnection,
    id: TrainingId,
    seen: &Observation<'_>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update trainings
           set fal_status = $2, queue_position = $3, progress = greatest(progress, coalesce($4, progress)),
               progress_message = coalesce($5, progress_message), polled_at = now(),
               started_at = case when $2 = 'IN_PROGRESS' then coalesce(started_at, now()) else started_at end,
               odd_answers = 0
         where id = $1 and (status = 'submitted' or late_model = 'watched')
        "#,
        id.0,
        seen.fal_status,
        seen.queue_position,
        seen.progress.map(i16::from),
        seen.message,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Counts an answer in which FAL denied the request or said nothing about it. Returns how many came in a row.
pub(crate) async fn odd_answer(tx: &mut PgConnection, id: TrainingId) -> Result<i16, sqlx::Error> {
    sqlx::query_scalar!(
        "update trainings set odd_answers = least(odd_answers, 9999) + 1, polled_at = now() where id = $1 returning odd_answers",
        id.0
    )
    .fetch_one(tx)
    .await
}

/// Notes that the training waits for our account at FAL before its archive is uploaded. Only the first time is noted.
pub(crate) async fn held_by_account(tx: &mut PgConnection, id: TrainingId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update trainings set held_by_account_at = now() where id = $1 and status = 'requested' and held_by_account_at is null",
        id.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// submitted → trained: FAL's result is stored.
pub(crate) async fn trained(
    tx: &mut PgConnection,
    id: TrainingId,
    result: &Value,
    source: TrainingSource,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update trainings
           set status = 'trained', status_since = now(), trained_at = now(), result = $2, result_source = $3, progress = 100,
               odd_answers = 0
         where id = $1 and status = 'submitted'
        "#,
        id.0,
        result,
        source as TrainingSource,
    )
    .execute(tx)
    .await?;
    one_row("submitted to trained", id, &changed)
}

/// Locks the training's owner: two avatars of one user that complete at once must not both find "no main one yet".
pub(super) async fn lock_owner(tx: &mut PgConnection, id: TrainingId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "select u.id from users u join trainings t on t.user_id = u.id where t.id = $1 for update of u",
        id.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(())
}

/// trained → completed, and its avatar with it. The first completed avatar of a user becomes their main one.
pub(crate) async fn completed(
    tx: &mut PgConnection,
    id: TrainingId,
    model: &VerifiedModel,
) -> Result<(), StoreError> {
    let (key, sha256, bytes, url, finetune) = model.columns();
    lock_owner(tx, id).await?;
    let changed = sqlx::query_file!(
        "src/store/sql/training_completed.sql",
        id.0,
        key,
        sha256,
        bytes,
        url,
        finetune
    )
    .execute(tx)
    .await?;
    one_row("trained to completed", id, &changed)
}
