//! `avatars`, as the wizard uses it. `trainings.rs` has a training's changes of its avatar.
//!
//! Every change names the owner and the status that it expects. Zero changed rows is a normal result: a stale button,
//! a double tap or another user's avatar, which all look the same here.

use sqlx::PgConnection;

use crate::domain::{AvatarId, AvatarStatus, Gender, TrainingType, UserId};

/// An avatar whose wizard is not finished. The first `None` is asked next.
#[derive(Debug, Clone)]
pub(crate) struct DraftRow {
    pub id: AvatarId,
    pub user_id: UserId,
    pub training_type: TrainingType,
    pub gender: Option<Gender>,
    pub name: Option<String>,
    /// A word of `Preset`, or of a newer version. `None`: none was chosen.
    pub preset: Option<String>,
}

/// The user's draft. There is at most one.
pub(crate) async fn draft_of(tx: &mut PgConnection, user: UserId) -> Result<Option<DraftRow>, sqlx::Error> {
    sqlx::query_as!(
        DraftRow,
        r#"
        select id as "id: AvatarId", user_id as "user_id: UserId", training_type as "training_type: TrainingType",
               gender as "gender: Gender", name, preset
          from avatars
         where user_id = $1 and status = 'draft' and deleted_at is null
           for update
        "#,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// This avatar, if it is a draft, locked until the transaction ends: several workers store the photos of one album at
/// once, and only this lock makes each count the others' photos.
pub(crate) async fn lock_draft(tx: &mut PgConnection, id: AvatarId) -> Result<Option<DraftRow>, sqlx::Error> {
    sqlx::query_as!(
        DraftRow,
        r#"
        select id as "id: AvatarId", user_id as "user_id: UserId", training_type as "training_type: TrainingType",
               gender as "gender: Gender", name, preset
          from avatars
         where id = $1 and status = 'draft'
           for update
        "#,
        id.0
    )
    .fetch_optional(tx)
    .await
}

#[derive(Debug, Clone)]
pub(crate) struct Owned {
    pub name: Option<String>,
    pub status: AvatarStatus,
}

/// The avatar, if it belongs to the user.
pub(crate) async fn owned(
    tx: &mut PgConnection,
    user: UserId,
    id: AvatarId,
) -> Result<Option<Owned>, sqlx::Error> {
    sqlx::query_as!(
        Owned,
        r#"
        select name, status as "status: AvatarStatus" from avatars
         where id = $1 and user_id = $2 and deleted_at is null
        "#,
        id.0,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// Begins a draft. `false`: the user has one already.
pub(crate) async fn create_draft(
    tx: &mut PgConnection,
    user: UserId,
    kind: TrainingType,
) -> Result<bool, sqlx::Error> {
    let created = sqlx::query!(
        r#"
        insert into avatars (user_id, avatar_type, training_type, status, preset)
        values ($1, 'character', $2, 'draft', (select preset from users where id = $1))
        on conflict (user_id) where status = 'draft' do nothing
        "#,
        user.0,
        kind as TrainingType,
    )
    .execute(tx)
    .await?;
    Ok(created.rows_affected() == 1)
}

/// Answers the first question.
pub(crate) async fn set_type(
    tx: &mut PgConnection,
    user: UserId,
    id: AvatarId,
    kind: TrainingType,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update avatars set training_type = $3, updated_at = now() where id = $1 and user_id = $2 and status = 'draft'",
        id.0,
        user.0,
        kind as TrainingType,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Chooses between speed and quality.
pub(crate) async fn set_preset(
    tx: &mut PgConnection,
    user: UserId,
    id: AvatarId,
    preset: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update avatars set preset = $3, updated_at = now() where id = $1 and user_id = $2 and status = 'draft'",
        id.0,
        user.0,
        preset,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Answers the second question. `None` takes the answer back.
pub(crate) async fn set_gender(
    tx: &mut PgConnection,
    user: UserId,
    id: AvatarId,
    gender: Option<Gender>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update avatars set gender = $3, updated_at = now() where id = $1 and user_id = $2 and status = 'draft'",
        id.0,
        user.0,
        gender as Option<Gender>,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Answers the third question, with a message of the user. `None` takes the answer back.
pub(crate) async fn set_name(
    tx: &mut PgConnection,
    user: UserId,
    id: AvatarId,
    name: Option<&str>,
    message: Option<i64>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update avatars set name = $3, name_message_id = $4, updated_at = now()
         where id = $1 and user_id = $2 and status = 'draft'
        "#,
        id.0,
        user.0,
        name,
        message,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Whether this message of the user gave the draft its name.
pub(crate) async fn is_named_by(
    tx: &mut PgConnection,
    user: UserId,
    id: AvatarId,
    message: i64,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from avatars
                        where id = $1 and user_id = $2 and status = 'draft' and name is not null
                          and name_message_id = $3) as "is_named!"
        "#,
        id.0,
        user.0,
        message,
    )
    .fetch_one(tx)
    .await
}

/// failed | cancelled → draft: the user tries again, perhaps with other photos. The caller has
/// checked that there is no other draft.
pub(crate) async fn reopen(tx: &mut PgConnection, user: UserId, id: AvatarId) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update avatars set status = 'draft', updated_at = now()
         where id = $1 and user_id = $2 and status in ('failed', 'cancelled') and deleted_at is null
        "#,
        id.0,
        user.0,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// draft → training, if all questions are answered. Of two taps one gets `true`.
pub(crate) async fn begin_training(
    tx: &mut PgConnection,
    user: UserId,
    id: AvatarId,
    trigger: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update avatars
           set status = 'training', trigger_phrase = $3, training_started_at = now(), updated_at = now()
         where id = $1 and user_id = $2 and status = 'draft' and name is not null and gender is not null
        "#,
        id.0,
        user.0,
        trigger,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// The gender that the user chose. `None`: the avatar is gone, or its wizard is not finished.
pub(crate) async fn gender(tx: &mut PgConnection, id: AvatarId) -> Result<Option<Gender>, sqlx::Error> {
    let gender = sqlx::query_scalar!(
        r#"select gender as "gender: Gender" from avatars where id = $1"#,
        id.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(gender.flatten())
}

/// Where the model of a completed avatar is.
#[derive(Debug, Clone)]
pub(crate) struct ModelRow {
    /// Our copy's object key. `None`: it is a finetune.
    pub model_key: Option<String>,
    /// SHA-256 of our copy, in hex.
    pub model_sha256: Option<String>,
    /// FAL's URL of the LoRA: a cache that may expire.
    pub lora_url: Option<String>,
    pub finetune_id: Option<String>,
}

/// The model of a user's avatar. `None`: the avatar is not theirs, was deleted, or has none.
pub(crate) async fn model(
    tx: &mut PgConnection,
    user: UserId,
    id: AvatarId,
) -> Result<Option<ModelRow>, sqlx::Error> {
    sqlx::query_as!(
        ModelRow,
        r#"
        select model_key, model_sha256, lora_url, finetune_id
          from avatars
         where id = $1 and user_id = $2 and status = 'completed' and deleted_at is null
        "#,
        id.0,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// FAL has the same LoRA under a new URL: the old one had expired.
pub(crate) async fn lora_moved(tx: &mut PgConnection, id: AvatarId, url: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update avatars set lora_url = $2, updated_at = now() where id = $1",
        id.0,
        url
    )
    .execute(tx)
    .await?;
    Ok(())
}
