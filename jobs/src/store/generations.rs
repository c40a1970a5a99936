//! `generations`: one row for each request of pictures at FAL, with the guards of a training.
//!
//! The saga decides on the locked row which status may follow (`jobs/src/saga.rs`); each write names the status that it
//! expects, and another one is an error. `store/orders.rs` calls what trainings have too.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use crate::{
    domain::{
        AlbumId, AtFal, AvatarId, EndReason, FailureCode, FalRequest, GenerationId, GenerationStatus,
        Product, Saga, Times, TrainingSource, UserId,
    },
    storable::error_text,
    store::{
        StoreError, one_row,
        orders::{Observation, OrderEnding},
    },
};

/// One row of `generations`, as the jobs need it. The migration's column comments say who sets what, and when.
#[derive(Debug, Clone)]
pub(crate) struct Generation {
    pub id: GenerationId,
    pub album_id: AlbumId,
    pub avatar_id: AvatarId,
    pub user_id: UserId,
    pub trainer: String,
    pub prompt: String,
    pub negative: Option<String>,
    pub aspect: String,
    pub wanted: i16,
    pub seed: i64,
    pub status: GenerationStatus,
    pub request_id: Option<String>,
    pub status_url: Option<String>,
    pub response_url: Option<String>,
    pub cancel_url: Option<String>,
    pub fal_status: Option<String>,
    pub result: Option<Value>,
    pub failure_code: Option<String>,
    pub status_since: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub end_asked: Option<EndReason>,
    pub end_asked_at: Option<DateTime<Utc>>,
    /// When the attempt without a known outcome was committed. `None`: there is none.
    pub attempted_at: Option<DateTime<Utc>>,
}

impl Generation {
    /// The request that FAL has for it; `None` until one is accepted or adopted.
    pub(crate) fn request(&self) -> Option<FalRequest> {
        FalRequest::known(
            self.request_id.as_ref(),
            self.status_url.as_ref(),
            self.response_url.as_ref(),
            self.cancel_url.as_ref(),
        )
    }

    /// The row as the state machine sees it.
    pub(crate) fn saga(&self) -> Saga {
        Saga {
            product: Product::Pictures,
            status: self.status.into(),
            failure: self.failure_code.as_deref().and_then(|code| code.parse().ok()),
            at_fal: AtFal::seen(self.request_id.is_some(), self.attempted_at.is_some()),
            end_asked: self.end_asked,
            late: None,
        }
    }

    pub(crate) const fn times(&self) -> Times {
        Times {
            status_since: self.status_since,
            archived_at: None,
            started_at: self.started_at,
            end_asked_at: self.end_asked_at,
            archive_expires_at: None,
            is_held_by_account: false,
        }
    }
}

/// A request for pictures that is about to be written.
#[derive(Debug, Clone)]
pub(crate) struct NewGeneration<'a> {
    pub album: AlbumId,
    pub avatar: AvatarId,
    pub user: UserId,
    /// Its place among the album's generations, from 1.
    pub number: i16,
    /// Entry of the trainer table; its generator makes the pictures.
    pub trainer: &'a str,
    pub style: &'a str,
    /// As FAL gets it.
    pub prompt: &'a str,
    pub negative: Option<&'a str>,
    pub aspect: &'a str,
    pub wanted: i16,
    /// Drawn at random, below 2^63.
    pub seed: i64,
}

pub(crate) async fn insert(
    tx: &mut PgConnection,
    new: &NewGeneration<'_>,
) -> Result<GenerationId, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into generations (album_id, avatar_id, user_id, number, trainer, style, prompt, negative, aspect, wanted, seed, status)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'requested')
        returning id as "id: GenerationId"
        "#,
        new.album.0,
        new.avatar.0,
        new.user.0,
        new.number,
        new.trainer,
        new.style,
        new.prompt,
        new.negative,
        new.aspect,
        new.wanted,
        new.seed,
    )
    .fetch_one(tx)
    .await
}

/// Reads one generation without a lock; it may have changed when this returns.
pub(crate) async fn find(tx: &mut PgConnection, id: GenerationId) -> Result<Option<Generation>, sqlx::Error> {
    sqlx::query_file_as!(Generation, "src/store/sql/generation.sql", id.0)
        .fetch_optional(tx)
        .await
}

/// Locks the row until the transaction ends. `false`: it is gone.
pub(crate) async fn lock(tx: &mut PgConnection, id: GenerationId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!("select 1 from generations where id = $1 for update", id.0)
        .fetch_optional(tx)
        .await?;
    Ok(found.is_some())
}

/// The generation with this request id of FAL's.
pub(crate) async fn find_by_request(
    tx: &mut PgConnection,
    request_id: &str,
) -> Result<Option<GenerationId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: GenerationId" from generations where request_id = $1"#,
        request_id
    )
    .fetch_optional(tx)
    .await
}

/// Generations that have not ended, at most `limit`, in order of id after `after`.
pub(crate) async fn live(
    tx: &mut PgConnection,
    after: Option<GenerationId>,
    limit: i64,
) -> Result<Vec<GenerationId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: GenerationId" from generations
         where status not in ('completed', 'failed', 'cancelled') and ($1::uuid is null or id > $1)
         order by id
         limit $2
        "#,
        after.map(|id| id.0),
        limit,
    )
    .fetch_all(tx)
    .await
}

/// The album's generations that have not ended, in order of id.
pub(crate) async fn live_of_album(
    tx: &mut PgConnection,
    album: AlbumId,
) -> Result<Vec<GenerationId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: GenerationId" from generations
         where album_id = $1 and status not in ('completed', 'failed', 'cancelled')
         order by id
        "#,
        album.0
    )
    .fetch_all(tx)
    .await
}

/// The generations of this user's avatar that have not ended, in order of id.
pub(crate) async fn live_of_avatar(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
) -> Result<Vec<GenerationId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: GenerationId" from generations
         where avatar_id = $1 and user_id = $2 and status not in ('completed', 'failed', 'cancelled')
         order by id
        "#,
        avatar.0,
        user.0,
    )
    .fetch_all(tx)
    .await
}

/// requested → submitting. The caller inserts the attempt in the same transaction.
pub(crate) async fn submitting(tx: &mut PgConnection, id: GenerationId) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        "update generations set status = 'submitting', status_since = now() where id = $1 and status = 'requested'",
        id.0
    )
    .execute(tx)
    .await?;
    one_row("pictures: requested to submitting", id, &changed)
}

/// submitting → requested: the attempt certainly created no request. The time to be submitted is still counted from the
/// user's wish; tries do not lengthen it.
pub(crate) async fn not_submitted(tx: &mut PgConnection, id: GenerationId) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        "update generations set status = 'requested', status_since = created_at where id = $1 and status = 'submitting'",
        id.0
    )
    .execute(tx)
    .await?;
    one_row("pictures: submitting to requested", id, &changed)
}

/// requested | submitting → submitted.
pub(crate) async fn submitted(
    tx: &mut PgConnection,
    id: GenerationId,
    request: &FalRequest,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update generations
           set status = 'submitted', status_since = now(), submitted_at = now(),
               request_id = $2, status_url = $3, response_url = $4, cancel_url = $5
         where id = $1 and request_id is null and status in ('requested', 'submitting')
        "#,
        id.0,
        request.request_id,
        request.status_url,
        request.response_url,
        request.cancel_url,
    )
    .execute(tx)
    .await?;
    one_row("pictures: a request of FAL", id, &changed)
}

/// Notes FAL's answer to a status call. `false`: it had left FAL when the answer came.
pub(crate) async fn observed(
    tx: &mut PgConnection,
    id: GenerationId,
    seen: &Observation<'_>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update generations
           set fal_status = $2, queue_position = $3, polled_at = now(), odd_answers = 0,
               started_at = case when $2 = 'IN_PROGRESS' then coalesce(started_at, now()) else started_at end
         where id = $1 and status = 'submitted'
        "#,
        id.0,
        seen.fal_status,
        seen.queue_position,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Counts an answer in which FAL denied the request or said nothing about it. Returns how many came in a row.
pub(crate) async fn odd_answer(tx: &mut PgConnection, id: GenerationId) -> Result<i16, sqlx::Error> {
    sqlx::query_scalar!(
        "update generations set odd_answers = least(odd_answers, 9999) + 1, polled_at = now() where id = $1 returning odd_answers",
        id.0
    )
    .fetch_one(tx)
    .await
}

/// submitted → generated: FAL's result is stored.
pub(crate) async fn generated(
    tx: &mut PgConnection,
    id: GenerationId,
    result: &Value,
    source: TrainingSource,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update generations
           set status = 'generated', status_since = now(), generated_at = now(), result = $2, result_source = $3, odd_answers = 0
         where id = $1 and status = 'submitted'
        "#,
        id.0,
        result,
        source as TrainingSource,
    )
    .execute(tx)
    .await?;
    one_row("pictures: submitted to generated", id, &changed)
}

/// generated → completed. `flagged`: how many pictures FAL's safety checker held back.
pub(crate) async fn completed(
    tx: &mut PgConnection,
    id: GenerationId,
    flagged: i16,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update generations
           set status = 'completed', status_since = now(), finished_at = now(), flagged = $2
         where id = $1 and status = 'generated'
        "#,
        id.0,
        flagged,
    )
    .execute(tx)
    .await?;
    one_row("pictures: generated to completed", id, &changed)
}

/// Any live status → failed | cancelled.
pub(crate) async fn end(
    tx: &mut PgConnection,
    id: GenerationId,
    ending: &OrderEnding<'_>,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update generations
           set status = case when $2::text is null then 'cancelled' else 'failed' end::generation_status,
               status_since = now(), finished_at = now(), failure_code = $2, failure_detail = $3,
               result_source = coalesce(result_source, $4), odd_answers = 0
         where id = $1 and status not in ('completed', 'failed', 'cancelled')
        "#,
        id.0,
        ending.failure.map(FailureCode::as_str),
        &*error_text(ending.detail),
        ending.source as TrainingSource,
    )
    .execute(tx)
    .await?;
    one_row("pictures: an ending", id, &changed)
}

/// Notes that the end was asked for and FAL has to be told.
pub(crate) async fn ask_to_end(
    tx: &mut PgConnection,
    id: GenerationId,
    reason: EndReason,
    by: Option<&str>,
) -> Result<(), StoreError> {
    let changed = sqlx::query!(
        r#"
        update generations
           set end_asked = $2, end_asked_at = now(), end_asked_by = $3
         where id = $1 and end_asked is null and status in ('submitting', 'submitted')
        "#,
        id.0,
        reason as EndReason,
        by,
    )
    .execute(tx)
    .await?;
    one_row("pictures: a wish to end", id, &changed)
}
