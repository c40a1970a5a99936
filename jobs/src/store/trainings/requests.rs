//! A training as its user asks for it, and as `/status` shows it.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{AvatarId, TrainingId, TrainingStatus, TrainingType, UserId};

/// A training that a user asks for, before it has an id.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub user_id: UserId,
    pub avatar_id: AvatarId,
    pub training_type: TrainingType,
    pub trainer: &'a str,
    pub preset: &'a str,
    pub trigger_phrase: &'a str,
    /// How long it is expected to take, in seconds; at least 1.
    pub expected_seconds: i32,
}

/// Inserts a training in `requested`. The caller has moved the avatar, in the same transaction.
pub(crate) async fn insert(tx: &mut PgConnection, request: &Request<'_>) -> Result<TrainingId, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, expected_seconds)
        values ($1, $2, $3, $4, $5, $6, 'requested', $7)
        returning id as "id: TrainingId"
        "#,
        request.avatar_id.0,
        request.user_id.0,
        request.training_type as TrainingType,
        request.trainer,
        request.preset,
        request.trigger_phrase,
        request.expected_seconds,
    )
    .fetch_one(tx)
    .await
}

/// The training with this id, or the newest of the avatar with it.
pub(crate) async fn newest(tx: &mut PgConnection, id: Uuid) -> Result<Option<TrainingId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: TrainingId" from trainings where avatar_id = $1 or id = $1 order by created_at desc limit 1
        "#,
        id
    )
    .fetch_optional(tx)
    .await
}

/// A training as its user sees it in the bot.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub id: TrainingId,
    pub name: String,
    pub status: TrainingStatus,
    /// Its end was asked for, and FAL is being told.
    pub is_to_end: bool,
}

/// The user's live trainings, by their avatars as `views::avatars_of` has them: the newest avatar first.
pub(crate) async fn live_of(tx: &mut PgConnection, user: UserId) -> Result<Vec<Seen>, sqlx::Error> {
    sqlx::query_as!(
        Seen,
        r#"
        select t.id as "id: TrainingId", coalesce(a.name, '') as "name!", t.status as "status: TrainingStatus",
               t.end_asked is not null as "is_to_end!"
          from trainings t
          join avatars a on a.id = t.avatar_id
         where t.user_id = $1 and t.status not in ('completed', 'failed', 'cancelled') and a.deleted_at is null
         order by a.created_at desc
        "#,
        user.0
    )
    .fetch_all(tx)
    .await
}

/// A user's training in any status. `None`: it is not theirs, or there is none.
pub(crate) async fn owned(
    tx: &mut PgConnection,
    user: UserId,
    id: TrainingId,
) -> Result<Option<Seen>, sqlx::Error> {
    sqlx::query_as!(
        Seen,
        r#"
        select t.id as "id: TrainingId", coalesce(a.name, '') as "name!", t.status as "status: TrainingStatus",
               t.end_asked is not null as "is_to_end!"
          from trainings t
          join avatars a on a.id = t.avatar_id
         where t.user_id = $1 and t.id = $2 and a.deleted_at is null
        "#,
        user.0,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// The live training of a user's avatar. `None`: it has none, or is not theirs.
pub(crate) async fn live_of_avatar(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
) -> Result<Option<TrainingId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id as "id: TrainingId" from trainings
         where avatar_id = $1 and user_id = $2 and status not in ('completed', 'failed', 'cancelled')
        "#,
        avatar.0,
        user.0
    )
    .fetch_optional(tx)
    .await
}
