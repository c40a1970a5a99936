//! `avatars`, as their owner walks through them. Every statement names the owner: another user's avatar is not there.

use sqlx::PgConnection;

use crate::domain::{AvatarId, UserId};

/// An avatar's place among its owner's: the main one first, then the newest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Position {
    pub id: AvatarId,
    /// From 1.
    pub place: i64,
    pub total: i64,
    /// The one before it; before the first comes the last.
    pub before: AvatarId,
    /// The one after it; after the last comes the first.
    pub after: AvatarId,
}

/// The place of this avatar, or of the first one. `None`: the user has no such avatar, or none at all.
pub(crate) async fn position(
    tx: &mut PgConnection,
    user: UserId,
    avatar: Option<AvatarId>,
) -> Result<Option<Position>, sqlx::Error> {
    sqlx::query_file_as!(
        Position,
        "src/store/sql/gallery_position.sql",
        user.0,
        avatar.map(|id| id.0)
    )
    .fetch_optional(tx)
    .await
}

/// Makes a trained avatar the user's main one, instead of any other. `None`: it is not the user's or not trained.
/// Otherwise its name. The caller holds the user's lock: two of these at once would both find no other main avatar.
pub(crate) async fn make_main(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
) -> Result<Option<String>, sqlx::Error> {
    let name = sqlx::query_scalar!(
        r#"
        with next as (
            select id from avatars where id = $2 and user_id = $1 and status = 'completed' and deleted_at is null
        ), before as (
            update avatars set is_main = false, updated_at = now()
             where user_id = $1 and is_main and id <> $2 and exists (select from next)
            returning id
        )
        -- Counting them makes sure that they are written first: the index allows one main avatar at any moment.
        update avatars set is_main = true, updated_at = now()
         where id = (select id from next) and (select count(*) from before) >= 0
        returning name
        "#,
        user.0,
        avatar.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(name.map(Option::unwrap_or_default))
}

/// Gives an avatar another name. A draft gets its name from the wizard.
pub(crate) async fn rename(
    tx: &mut PgConnection,
    user: UserId,
    avatar: AvatarId,
    name: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update avatars set name = $3, updated_at = now()
         where id = $1 and user_id = $2 and status <> 'draft' and deleted_at is null
        "#,
        avatar.0,
        user.0,
        name,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}
