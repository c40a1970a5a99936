//! What is deleted because of its age: photos of trained avatars, pictures, and drafts that nobody finishes.

use sqlx::PgConnection;

use crate::domain::{AvatarId, UserId};

/// Deletes at most `limit` photo rows of avatars whose last training ended more than `seconds` ago. Returns the keys of
/// their objects. A draft's photos stay, and those of a training that is not at rest.
pub(crate) async fn photos(
    tx: &mut PgConnection,
    seconds: f64,
    limit: i64,
) -> Result<Vec<Option<String>>, sqlx::Error> {
    sqlx::query_file_scalar!("src/store/sql/retire_photos.sql", seconds, limit)
        .fetch_all(tx)
        .await
}

/// Deletes at most `limit` pictures that are older than `seconds`, but no favourites. Returns the keys of their objects.
pub(crate) async fn pictures(
    tx: &mut PgConnection,
    seconds: f64,
    limit: i64,
) -> Result<Vec<Option<String>>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        delete from pictures
         where id in (select id from pictures
                       where created_at < now() - make_interval(secs => $1) and not is_favourite
                       order by created_at limit $2)
        returning storage_key as "storage_key?"
        "#,
        seconds,
        limit
    )
    .fetch_all(tx)
    .await
}

/// At most `limit` drafts that were not touched for `seconds`, with their owners.
pub(crate) async fn idle_drafts(
    db: &mut PgConnection,
    seconds: f64,
    limit: i64,
) -> Result<Vec<(UserId, AvatarId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select user_id as "user_id: UserId", id as "id: AvatarId"
          from avatars a
         where status = 'draft' and deleted_at is null and updated_at < now() - make_interval(secs => $1)
           and not exists (select from avatar_photos p
                            where p.avatar_id = a.id and p.created_at >= now() - make_interval(secs => $1))
         limit $2
        "#,
        seconds,
        limit
    )
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|row| (row.user_id, row.id)).collect())
}

/// Locks a draft that [`idle_drafts`] found. `false`: its user has gone on with it since, or it is none any more.
pub(crate) async fn lock_idle_draft(
    tx: &mut PgConnection,
    avatar: AvatarId,
    seconds: f64,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query_scalar!(
        r#"
        select 1 from avatars a
         where id = $1 and status = 'draft' and deleted_at is null and updated_at < now() - make_interval(secs => $2)
           and not exists (select from avatar_photos p
                            where p.avatar_id = a.id and p.created_at >= now() - make_interval(secs => $2))
           for update of a
        "#,
        avatar.0,
        seconds
    )
    .fetch_optional(tx)
    .await?;
    Ok(found.is_some())
}
