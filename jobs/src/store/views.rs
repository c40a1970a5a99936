//! Read models for `Reader` and /status. No locks, and nothing is changed here.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{AvatarId, AvatarStatus, PictureId, TrainingId, TrainingStatus, TrainingType, UserId};

/// An avatar with its newest training.
#[derive(Debug, Clone)]
pub(crate) struct Avatar {
    pub id: AvatarId,
    pub name: Option<String>,
    pub training_type: TrainingType,
    pub status: AvatarStatus,
    pub is_main: bool,
    /// The picture that the gallery shows. `None`: there is none.
    pub cover: Option<PictureId>,
    pub photos: i64,
    pub created_at: DateTime<Utc>,
    pub training_id: Option<TrainingId>,
    pub training_status: Option<TrainingStatus>,
    pub queue_position: Option<i32>,
    pub progress: i16,
    /// Whether FAL is training it.
    pub is_running: bool,
    /// Whether its end was requested.
    pub is_to_end: bool,
    pub failure_code: Option<String>,
}

/// An ended training, and a job that is left for it.
#[derive(Debug, Clone)]
pub(crate) struct TrainingOfJob {
    pub job: i64,
    pub training: TrainingId,
    pub status: TrainingStatus,
}

/// The jobs among these whose training has ended.
pub(crate) async fn ended_trainings(
    db: &mut PgConnection,
    jobs: &[i64],
) -> Result<Vec<TrainingOfJob>, sqlx::Error> {
    sqlx::query_file_as!(TrainingOfJob, "src/store/sql/ended_trainings.sql", jobs)
        .fetch_all(db)
        .await
}

/// A user's newest avatars: drafts and live trainings first. At most 20, which is more than fits a message well. With
/// `only` that one, if it is the user's.
pub(crate) async fn avatars_of(
    tx: &mut PgConnection,
    user: UserId,
    only: Option<AvatarId>,
) -> Result<Vec<Avatar>, sqlx::Error> {
    sqlx::query_as!(
        Avatar,
        r#"
        select a.id as "id: AvatarId", a.name, a.training_type as "training_type: TrainingType",
               a.status as "status: AvatarStatus", a.is_main, a.created_at,
               coalesce(a.cover_id, (select p.id from pictures p where p.avatar_id = a.id
                                      order by p.is_favourite desc, p.created_at, p.id limit 1)) as "cover?: PictureId",
               (select count(*) from avatar_photos p where p.avatar_id = a.id and p.status <> 'rejected') as "photos!",
               t.id as "training_id?: TrainingId", t.status as "training_status?: TrainingStatus", t.queue_position as "queue_position?",
               coalesce(t.progress, 0::smallint) as "progress!",
               coalesce(t.fal_status = 'IN_PROGRESS', false) as "is_running!",
               coalesce(t.end_asked is not null, false) as "is_to_end!", t.failure_code as "failure_code?"
          from avatars a
          left join lateral (select * from trainings where avatar_id = a.id order by created_at desc limit 1) t on true
         where a.user_id = $1 and a.deleted_at is null and ($2::uuid is null or a.id = $2)
         order by a.status in ('draft', 'training') desc, a.created_at desc
         limit 20
        "#,
        user.0,
        only.map(|id| id.0)
    )
    .fetch_all(tx)
    .await
}

/// A training for operators and /status.
#[derive(Debug, Clone)]
pub(crate) struct TrainingOverview {
    pub status: TrainingStatus,
    pub progress: i16,
    pub progress_message: Option<String>,
    pub queue_position: Option<i32>,
    pub failure_code: Option<String>,
    pub failure_detail: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// Whether its end was requested.
    pub is_to_end: bool,
    /// When its avatar took the model that came after the end. `None`: it did not.
    pub late_completed_at: Option<DateTime<Utc>>,
}

/// The newest training of the avatar with this id, or the training with this id.
pub(crate) async fn training(
    tx: &mut PgConnection,
    id: Uuid,
) -> Result<Option<TrainingOverview>, sqlx::Error> {
    sqlx::query_as!(
        TrainingOverview,
        r#"
        select status as "status: TrainingStatus", progress, progress_message,
               queue_position, failure_code, failure_detail, created_at, finished_at,
               end_asked is not null as "is_to_end!", late_completed_at
          from trainings
         where avatar_id = $1 or id = $1
         order by created_at desc
         limit 1
        "#,
        id
    )
    .fetch_optional(tx)
    .await
}

/// When the avatar with this id was made. `None`: there is none.
pub(crate) async fn avatar_created_at(
    tx: &mut PgConnection,
    id: Uuid,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!("select created_at from avatars where id = $1", id)
        .fetch_optional(tx)
        .await
}

pub(crate) async fn user_by_telegram_id(
    tx: &mut PgConnection,
    telegram_id: i64,
) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: UserId" from users where telegram_id = $1"#,
        telegram_id
    )
    .fetch_optional(tx)
    .await
}

/// How many trainings have an archive but no request at FAL.
pub(crate) async fn waiting_for_fal(tx: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!"
          from trainings
         where status = 'archived' or (status = 'requested' and held_by_account_at is not null)
        "#
    )
    .fetch_one(tx)
    .await
}

/// When FAL last accepted a submit.
pub(crate) async fn last_accepted_submit(
    tx: &mut PgConnection,
) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    sqlx::query_scalar!(
        "select max(settled_at) from training_attempts where outcome = 'accepted' and evidence = 'answer'"
    )
    .fetch_one(tx)
    .await
}

/// Whether FAL has the live training of this avatar, or may have it.
pub(crate) async fn is_at_fal(db: &mut PgConnection, avatar: AvatarId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from trainings
                        where avatar_id = $1 and status in ('submitting', 'submitted', 'trained')) as "is_at_fal!"
        "#,
        avatar.0
    )
    .fetch_one(db)
    .await
}

/// A row, by its table.
#[derive(Debug)]
pub(crate) struct KnownRow {
    /// `training`, `avatar` or `album`.
    pub kind: String,
    pub id: Uuid,
}

/// The trainings, avatars and albums with ids from `first` to `last`.
pub(crate) async fn with_ids(
    db: &mut PgConnection,
    first: Uuid,
    last: Uuid,
) -> Result<Vec<KnownRow>, sqlx::Error> {
    sqlx::query_as!(
        KnownRow,
        r#"
        select 'training' as "kind!", id as "id!" from trainings where id between $1 and $2
        union all
        select 'avatar', id from avatars where id between $1 and $2
        union all
        select 'album', id from albums where id between $1 and $2
        "#,
        first,
        last
    )
    .fetch_all(db)
    .await
}

/// An update of Telegram's, as far as operators need it.
#[derive(Debug)]
pub(crate) struct UpdateOverview {
    pub update_id: i64,
    pub chat_id: Option<i64>,
    pub attempts: i16,
    pub error: Option<String>,
}

/// `None`: there is none of this number whose handling failed.
pub(crate) async fn update(
    db: &mut PgConnection,
    update_id: i64,
) -> Result<Option<UpdateOverview>, sqlx::Error> {
    sqlx::query_as!(
        UpdateOverview,
        "select update_id, chat_id, attempts, error from telegram_updates where update_id = $1 and attempts > 0",
        update_id
    )
    .fetch_optional(db)
    .await
}
