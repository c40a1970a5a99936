//! `pictures`, as their owner walks through them. Every statement names the owner: another user's picture is not there.

use sqlx::PgConnection;

use crate::domain::{AvatarId, PictureId, Shelf, UserId};

/// A picture with its place on the shelf: the newest album first, each in its own order.
#[derive(Debug, Clone)]
pub(crate) struct ShelfPicture {
    pub id: PictureId,
    /// From 1.
    pub place: i64,
    pub total: i64,
    /// The one before it; before the first comes the last.
    pub before: PictureId,
    /// The one after it; after the last comes the first.
    pub after: PictureId,
    pub is_favourite: bool,
    pub avatar_name: Option<String>,
    pub style: String,
    /// The words of its album. `None`: it is one of the first pictures of an avatar.
    pub words: Option<String>,
}

/// This picture, or the first one. `None`: it is not on the user's shelf, or nothing is.
pub(crate) async fn picture(
    tx: &mut PgConnection,
    user: UserId,
    shelf: Shelf,
    picture: Option<PictureId>,
) -> Result<Option<ShelfPicture>, sqlx::Error> {
    sqlx::query_file_as!(
        ShelfPicture,
        "src/store/sql/picture_position.sql",
        user.0,
        picture.map(|id| id.0),
        shelf == Shelf::Favourites,
    )
    .fetch_optional(tx)
    .await
}

/// Marks a picture as a favourite, or takes the mark back. `false`: the user has no such picture.
pub(crate) async fn set_favourite(
    tx: &mut PgConnection,
    user: UserId,
    picture: PictureId,
    is_favourite: bool,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        "update pictures set is_favourite = $3 where id = $1 and user_id = $2",
        picture.0,
        user.0,
        is_favourite
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Deletes the row of a picture, and returns its avatar. The object in the bucket is left to the caller. `None`: the user has no
/// such picture.
pub(crate) async fn delete(
    tx: &mut PgConnection,
    user: UserId,
    picture: PictureId,
) -> Result<Option<AvatarId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"delete from pictures where id = $1 and user_id = $2 returning avatar_id as "avatar_id: AvatarId""#,
        picture.0,
        user.0
    )
    .fetch_optional(tx)
    .await
}
