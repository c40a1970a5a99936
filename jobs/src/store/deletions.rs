//! Avatars that their users deleted (`avatars.deleted_at`): what is left of them, and their end.
//!
//! Each statement here is about a deleted avatar only, whatever id it is given: an avatar that its user still has is never
//! erased.

use queue::database::Database;
use sqlx::PgConnection;

use crate::domain::{AvatarId, GenerationId, LateModel, PhotoId, TrainingId, TrainingStatus, UserId};

/// Takes the avatar from its user's view. `None`: it is not theirs, or was deleted before. Otherwise its name, if it has one.
/// The caller has locked the avatar's live training before: the saga locks in that order.
pub(crate) async fn mark(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
) -> Result<Option<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update avatars
           set deleted_at = now(), is_main = false, updated_at = now(),
               status = case when status = 'draft' then 'cancelled' else status end
         where id = $1 and user_id = $2 and deleted_at is null
        returning name
        "#,
        avatar.0,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// A user without a main avatar gets one: the one that was completed last. Returns its name. `None`: nothing changed.
pub(crate) async fn choose_main(tx: &mut PgConnection, user: UserId) -> Result<Option<String>, sqlx::Error> {
    let chosen = sqlx::query_scalar!(
        r#"
        update avatars set is_main = true, updated_at = now()
         where id = (select id from avatars
                      where user_id = $1 and status = 'completed' and deleted_at is null
                      order by completed_at desc, id limit 1)
           and not exists (select from avatars main where main.user_id = $1 and main.is_main)
        returning name
        "#,
        user.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(chosen.flatten())
}

/// Closes all open messages about an avatar as they are, except the progress of its training.
pub(crate) async fn close_messages(tx: &mut PgConnection, avatar: AvatarId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update notifications set closed_at = now(), outcome = 'superseded', updated_at = now()
         where avatar_id = $1 and kind <> 'progress' and closed_at is null
        "#,
        avatar.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// What a deleted avatar still waits for.
#[derive(Debug)]
pub(crate) struct ToErase {
    /// For how long it has been deleted.
    pub seconds: f64,
    /// Whether its user is still to be told something about it, or a message about it is still to be deleted.
    pub is_unsaid: bool,
}

/// The avatar, if its row is there and it was deleted.
pub(crate) async fn find(db: &mut PgConnection, avatar: AvatarId) -> Result<Option<ToErase>, sqlx::Error> {
    sqlx::query_as!(
        ToErase,
        r#"
        select extract(epoch from now() - deleted_at)::float8 as "seconds!",
               exists (select from notifications n
                        where n.avatar_id = a.id
                          and (n.closed_at is null and n.delivered_revision < n.revision
                               or cardinality(array_remove(n.retires, null)) > 0)) as "is_unsaid!"
          from avatars a
         where id = $1 and deleted_at is not null
        "#,
        avatar.0
    )
    .fetch_optional(db)
    .await
}

/// Whether there is a row of this avatar, deleted or not.
pub(crate) async fn exists(db: &mut PgConnection, avatar: AvatarId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from avatars where id = $1) as "exists!""#,
        avatar.0
    )
    .fetch_one(db)
    .await
}

/// A training of a deleted avatar.
#[derive(Debug)]
pub(crate) struct TrainingLeft {
    pub id: TrainingId,
    pub status: TrainingStatus,
    pub late_model: Option<LateModel>,
}

pub(crate) async fn trainings(
    db: &mut PgConnection,
    avatar: AvatarId,
) -> Result<Vec<TrainingLeft>, sqlx::Error> {
    sqlx::query_as!(
        TrainingLeft,
        r#"
        select id as "id: TrainingId", status as "status: TrainingStatus", late_model as "late_model: LateModel"
          from trainings
         where avatar_id = $1
        "#,
        avatar.0
    )
    .fetch_all(db)
    .await
}

/// Whether pictures with the avatar are being made.
pub(crate) async fn is_drawing(db: &mut PgConnection, avatar: AvatarId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from generations
                        where avatar_id = $1 and status not in ('completed', 'failed', 'cancelled')) as "is_drawing!"
        "#,
        avatar.0
    )
    .fetch_one(db)
    .await
}

/// How many pictures there are of the avatar.
pub(crate) async fn pictures(db: &mut PgConnection, avatar: AvatarId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from pictures where avatar_id = $1"#,
        avatar.0
    )
    .fetch_one(db)
    .await
}

pub(crate) async fn photos(db: &mut PgConnection, avatar: AvatarId) -> Result<Vec<PhotoId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: PhotoId" from avatar_photos where avatar_id = $1"#,
        avatar.0
    )
    .fetch_all(db)
    .await
}

pub(crate) async fn generations(
    db: &mut PgConnection,
    avatar: AvatarId,
) -> Result<Vec<GenerationId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: GenerationId" from generations where avatar_id = $1"#,
        avatar.0
    )
    .fetch_all(db)
    .await
}

/// The ids by which jobs know the avatar's photos, trainings and pictures.
pub(crate) async fn keys(db: &mut PgConnection, avatar: AvatarId) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id::text as "id!" from avatar_photos where avatar_id = $1
        union all select id::text from trainings where avatar_id = $1
        union all select id::text from albums where avatar_id = $1
        union all select id::text from generations where avatar_id = $1
        "#,
        avatar.0
    )
    .fetch_all(db)
    .await
}

/// FAL's ids of all requests that were made for the avatar.
pub(crate) async fn requests(db: &mut PgConnection, avatar: AvatarId) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_file_scalar!("src/store/sql/requests_of_avatar.sql", avatar.0)
        .fetch_all(db)
        .await
}

/// Deletes the avatar's row, and with it all rows that refer to it; first FAL's deliveries, which would stay. Deliveries that
/// come later are recognised, and dropped. `false`: there is no such deleted avatar.
pub(crate) async fn erase(tx: &mut PgConnection, avatar: AvatarId) -> Result<bool, sqlx::Error> {
    sqlx::query_file!("src/store/sql/remember_erased_requests.sql", avatar.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query_file!("src/store/sql/erase_deliveries.sql", avatar.0)
        .execute(&mut *tx)
        .await?;
    let erased = sqlx::query!(
        "delete from avatars where id = $1 and deleted_at is not null",
        avatar.0
    )
    .execute(tx)
    .await?;
    Ok(erased.rows_affected() == 1)
}

/// Forgets the requests of avatars that were erased more than a week ago, at most `limit` at a time. Returns how many.
pub(crate) async fn prune_requests(database: &Database, limit: u16) -> Result<u64, sqlx::Error> {
    let mut tx = database.begin().await?;
    let pruned = sqlx::query!(
        r#"
        delete from erased_requests
         where sha256 in (select sha256 from erased_requests where erased_at < now() - interval '7 days'
                           order by erased_at limit $1)
        "#,
        i64::from(limit)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(pruned.rows_affected())
}

/// Avatars that were deleted more than a few minutes ago, at most `limit`, with their owners: whether a job erases them is for
/// the caller to see.
pub(crate) async fn unfinished(
    db: &mut PgConnection,
    limit: i64,
) -> Result<Vec<(UserId, AvatarId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select user_id as "user_id: UserId", id as "id: AvatarId"
          from avatars
         where deleted_at < now() - interval '5 min'
         order by deleted_at
         limit $1
        "#,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.id)).collect())
}
