//! Every statement about the table `trainings`, and about the avatar that moves with its training.
//!
//! This file reads and locks. `trainings/steps.rs` writes the steps of a live training, `trainings/endings.rs` its end and what comes
//! after the end; `trainings/requests.rs` inserts a training and reads what its user sees.
//!
//! [`Saga::after`] decides on the locked row which status may follow (`jobs/src/saga.rs`). Each write still names the status
//! that it expects: another one is an error, which rolls back the jobs and messages of the same transaction.
//! A training and its avatar change in one statement, so that nobody sees one without the other.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{
    AtFal, AvatarId, EndReason, FalRequest, LateModel, Product, Saga, Times, TrainingId, TrainingStatus,
    TrainingType, UserId,
};

mod durations;
mod endings;
mod requests;
mod steps;

pub(crate) use durations::{elapsed, usual};
pub(crate) use endings::{ask_to_end, complete_late, end, expect_late, keep_late, was_completed_late};
pub(crate) use requests::{Request, insert, live_of, live_of_avatar, newest, owned};
pub(crate) use steps::{
    StoredArchive, VerifiedModel, archive_lost, archived, completed, held_by_account, not_submitted,
    observed, odd_answer, submitted, submitting, trained,
};

/// One row of `trainings`, as the jobs need it. The migration's column comments say who sets what, and when.
#[expect(clippy::struct_field_names, reason = "the columns' names")]
#[derive(Debug, Clone)]
pub(crate) struct Training {
    pub id: TrainingId,
    pub avatar_id: AvatarId,
    pub user_id: UserId,
    pub training_type: TrainingType,
    pub trainer: String,
    pub preset: String,
    pub trigger_phrase: String,
    pub status: TrainingStatus,
    pub archive_url: Option<String>,
    pub request_id: Option<String>,
    pub status_url: Option<String>,
    pub response_url: Option<String>,
    pub cancel_url: Option<String>,
    pub fal_status: Option<String>,
    pub progress: i16,
    pub result: Option<Value>,
    pub failure_code: Option<String>,
    pub status_since: DateTime<Utc>,
    pub archived_at: Option<DateTime<Utc>>,
    pub archives_lost: i16,
    pub started_at: Option<DateTime<Utc>>,
    pub archive_expires_at: Option<DateTime<Utc>>,
    pub held_by_account_at: Option<DateTime<Utc>>,
    pub end_asked: Option<EndReason>,
    pub end_asked_at: Option<DateTime<Utc>>,
    pub late_model: Option<LateModel>,
    /// The avatar's name, for messages; empty if it has none.
    pub avatar_name: String,
    /// Photos in the archive; before there is one, those in our bucket and on their way there.
    pub photos: i64,
    /// When the attempt without a known outcome was committed. `None`: there is none.
    pub attempted_at: Option<DateTime<Utc>>,
}

impl Training {
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
            product: Product::Model,
            status: self.status.into(),
            failure: self.failure_code.as_deref().and_then(|code| code.parse().ok()),
            at_fal: AtFal::seen(self.request_id.is_some(), self.attempted_at.is_some()),
            end_asked: self.end_asked,
            late: self.late_model,
        }
    }

    pub(crate) const fn times(&self) -> Times {
        Times {
            status_since: self.status_since,
            archived_at: self.archived_at,
            started_at: self.started_at,
            end_asked_at: self.end_asked_at,
            archive_expires_at: self.archive_expires_at,
            is_held_by_account: self.held_by_account_at.is_some(),
        }
    }
}

/// Reads one training without a lock; it may have changed when this returns.
pub(crate) async fn find(tx: &mut PgConnection, id: TrainingId) -> Result<Option<Training>, sqlx::Error> {
    sqlx::query_file_as!(Training, "src/store/sql/training.sql", id.0)
        .fetch_optional(tx)
        .await
}

/// Trainings that still need a job, at most `limit`, in order of id after `after`: live ones, and ended ones whose model
/// may still come or is being copied.
pub(crate) async fn restless(
    tx: &mut PgConnection,
    after: Option<TrainingId>,
    limit: i64,
) -> Result<Vec<TrainingId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        -- Two partial indexes, each as small as what it is about.
        select id as "id!: TrainingId" from (
            (select id from trainings
              where status not in ('completed', 'failed', 'cancelled') and ($1::uuid is null or id > $1)
              order by id limit $2)
            union all
            (select id from trainings
              where late_model in ('watched', 'kept') and ($1::uuid is null or id > $1)
              order by id limit $2)
        ) restless
         order by id
         limit $2
        "#,
        after.map(|id| id.0),
        limit,
    )
    .fetch_all(tx)
    .await
}

/// The ones of these object keys that a training or an avatar may still need; see `sweep_orphans`.
pub(crate) async fn wanted(
    tx: &mut PgConnection,
    keys: &[String],
    avatars: &[Uuid],
    names: &[String],
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_file_scalar!("src/store/sql/wanted_objects.sql", keys, avatars, names)
        .fetch_all(tx)
        .await
}

/// Locks the row until the transaction ends. `false`: it is gone.
pub(crate) async fn lock(tx: &mut PgConnection, id: TrainingId) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!("select 1 from trainings where id = $1 for update", id.0)
        .fetch_optional(tx)
        .await?;
    Ok(found.is_some())
}

/// The owner of a training, as the comment that FAL stores with a finetune names them (M11).
#[derive(Debug)]
pub(crate) struct Owner {
    pub avatar_name: Option<String>,
    pub username: Option<String>,
}

pub(crate) async fn owner(tx: &mut PgConnection, id: TrainingId) -> Result<Owner, sqlx::Error> {
    sqlx::query_as!(
        Owner,
        r#"
        select avatars.name as avatar_name, users.username
          from trainings
          join avatars on avatars.id = trainings.avatar_id
          join users on users.id = trainings.user_id
         where trainings.id = $1
        "#,
        id.0
    )
    .fetch_one(tx)
    .await
}

/// The training with this request id of FAL's.
pub(crate) async fn find_by_request(
    tx: &mut PgConnection,
    request_id: &str,
) -> Result<Option<TrainingId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: TrainingId" from trainings where request_id = $1"#,
        request_id
    )
    .fetch_optional(tx)
    .await
}
