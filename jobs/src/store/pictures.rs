//! `pictures`: what FAL made and we checked, one row an object in our bucket.

use sqlx::PgConnection;

use super::generations::Generation;
use crate::domain::{AlbumId, AvatarId, PictureId};

/// A picture that is in our bucket and has no row yet.
#[derive(Debug, Clone)]
pub(crate) struct NewPicture {
    pub id: PictureId,
    /// Its place in FAL's result, from 1.
    pub number: i16,
    pub storage_key: String,
    pub content_type: &'static str,
    pub bytes: i64,
    pub width: i32,
    pub height: i32,
    pub sha256: String,
}

pub(crate) async fn insert(
    tx: &mut PgConnection,
    generation: &Generation,
    new: &NewPicture,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into pictures (id, generation_id, album_id, avatar_id, user_id, number, storage_key, content_type, bytes, width, height, sha256)
        values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
        "#,
        new.id.0,
        generation.id.0,
        generation.album_id.0,
        generation.avatar_id.0,
        generation.user_id.0,
        new.number,
        new.storage_key,
        new.content_type,
        new.bytes,
        new.width,
        new.height,
        new.sha256,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The pictures of an album, in the order in which they are shown.
pub(crate) async fn of_album(tx: &mut PgConnection, album: AlbumId) -> Result<Vec<PictureId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select p.id as "id: PictureId" from pictures p join generations g on g.id = p.generation_id
         where p.album_id = $1
         order by g.number, p.number
        "#,
        album.0
    )
    .fetch_all(tx)
    .await
}

/// What is needed to send a picture.
#[derive(Debug, Clone)]
pub(crate) struct SendablePicture {
    pub id: PictureId,
    pub storage_key: String,
    pub bytes: i64,
    pub sha256: String,
    /// Telegram's handle. `None`: it was not sent yet.
    pub file_id: Option<String>,
}

/// The ones of these pictures that still exist, in the order given.
pub(crate) async fn sendable(
    tx: &mut PgConnection,
    ids: &[PictureId],
) -> Result<Vec<SendablePicture>, sqlx::Error> {
    let ids: Vec<_> = ids.iter().map(|id| id.0).collect();
    sqlx::query_as!(
        SendablePicture,
        r#"
        select p.id as "id: PictureId", p.storage_key, p.bytes, p.sha256, p.file_id
          from unnest($1::uuid[]) with ordinality as wanted (id, place)
          join pictures p on p.id = wanted.id
         order by wanted.place
        "#,
        &ids
    )
    .fetch_all(tx)
    .await
}

pub(crate) async fn exists(db: &mut PgConnection, id: PictureId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select exists (select from pictures where id = $1) as "exists!""#,
        id.0
    )
    .fetch_one(db)
    .await
}

/// Keeps Telegram's handle of a picture. `None` forgets it: Telegram does not take it any more.
pub(crate) async fn remember_file(
    tx: &mut PgConnection,
    id: PictureId,
    file_id: Option<&str>,
) -> Result<(), sqlx::Error> {
    sqlx::query!("update pictures set file_id = $2 where id = $1", id.0, file_id)
        .execute(tx)
        .await?;
    Ok(())
}

/// Makes it what the gallery shows of its avatar, unless the avatar has a cover.
pub(crate) async fn make_cover(
    tx: &mut PgConnection,
    avatar: AvatarId,
    picture: PictureId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update avatars set cover_id = $2, updated_at = now() where id = $1 and cover_id is null",
        avatar.0,
        picture.0
    )
    .execute(tx)
    .await?;
    Ok(())
}
