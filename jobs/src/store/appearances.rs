//! What the photos of a draft show (`avatar_photos.inspected_at` and the measures beside it), and what their owner
//! answers to hints on them.

use sqlx::PgConnection;

use super::photos::REMOVED;
use crate::{
    archive::{Appearance, Fingerprint},
    domain::{AvatarId, PhotoId},
};

/// A stored photo that was not inspected yet.
#[derive(Debug)]
pub(crate) struct Uninspected {
    pub avatar_id: AvatarId,
    pub storage_key: String,
    /// Length and hash of the object, as in `photos::StoredPhoto`.
    pub bytes: Option<i64>,
    pub sha256: Option<String>,
}

/// `None`: it is gone, was refused, or has been inspected.
pub(crate) async fn uninspected(
    tx: &mut PgConnection,
    photo: PhotoId,
) -> Result<Option<Uninspected>, sqlx::Error> {
    sqlx::query_as!(
        Uninspected,
        r#"
        select avatar_id as "avatar_id: AvatarId", storage_key as "storage_key!", bytes, sha256
          from avatar_photos
         where id = $1 and status = 'stored' and inspected_at is null
        "#,
        photo.0
    )
    .fetch_optional(tx)
    .await
}

/// Notes what a photo shows; `None` if it could not be decoded. `false`: it is not stored any more, or another run
/// inspected it.
pub(crate) async fn inspected(
    tx: &mut PgConnection,
    photo: PhotoId,
    appearance: Option<&Appearance>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update avatar_photos set inspected_at = now(), faces = $2, sharpness = $3, fingerprint = $4
         where id = $1 and status = 'stored' and inspected_at is null
        "#,
        photo.0,
        appearance.map(|seen| i16::from(seen.faces)),
        appearance.map(|seen| i32::from(seen.sharpness)),
        appearance.map(|seen| seen.fingerprint.0.to_vec()),
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// A stored photo, and what it shows.
#[derive(Debug)]
pub(crate) struct SeenPhoto {
    pub id: PhotoId,
    /// Its number from 1, in the order of arrival.
    pub number: i64,
    pub appearance: Appearance,
    /// Whether its owner has chosen to keep it.
    pub is_kept: bool,
}

/// The stored photos of an avatar that could be measured, in the order of arrival.
pub(crate) async fn seen(tx: &mut PgConnection, avatar: AvatarId) -> Result<Vec<SeenPhoto>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        select id as "id!: PhotoId", number as "number!", faces as "faces!", sharpness as "sharpness!",
               fingerprint as "fingerprint!", kept_at is not null as "is_kept!"
          from (select row_number() over (order by position) as number, *
                  from avatar_photos
                 where avatar_id = $1) numbered
         where status = 'stored' and fingerprint is not null
         order by number
        "#,
        avatar.0
    )
    .fetch_all(tx)
    .await?;
    let photos = rows.into_iter().filter_map(|row| {
        Some(SeenPhoto {
            id: row.id,
            number: row.number,
            appearance: Appearance {
                faces: u8::try_from(row.faces).ok()?,
                sharpness: u16::try_from(row.sharpness).ok()?,
                fingerprint: Fingerprint(row.fingerprint.try_into().ok()?),
            },
            is_kept: row.is_kept,
        })
    });
    Ok(photos.collect())
}

/// Takes a photo of a draft away, at its owner's wish. Its object has no name in the database any more, so
/// `sweep_orphans` removes it. Returns its number; `None`: the draft has no such photo.
pub(crate) async fn remove(
    tx: &mut PgConnection,
    draft: AvatarId,
    photo: PhotoId,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update avatar_photos
           set status = 'rejected', reason = $3, detail = null, storage_key = null, settled_at = now()
         where id = $1 and avatar_id = $2 and status in ('pending', 'stored')
        returning (select count(*) from avatar_photos earlier
                    where earlier.avatar_id = $2 and earlier.position <= avatar_photos.position) as "number!"
        "#,
        photo.0,
        draft.0,
        REMOVED,
    )
    .fetch_optional(tx)
    .await
}

/// Whether the owner has removed this photo from the draft.
pub(crate) async fn was_removed(
    tx: &mut PgConnection,
    draft: AvatarId,
    photo: PhotoId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from avatar_photos where id = $1 and avatar_id = $2 and reason = $3) as "removed!"
        "#,
        photo.0,
        draft.0,
        REMOVED,
    )
    .fetch_one(tx)
    .await
}

/// The owner keeps all photos of a draft that were inspected so far: no more hints on them. Returns how many these are.
pub(crate) async fn keep_all(tx: &mut PgConnection, draft: AvatarId) -> Result<u64, sqlx::Error> {
    let kept = sqlx::query!(
        r#"
        update avatar_photos set kept_at = now()
         where avatar_id = $1 and status = 'stored' and inspected_at is not null and kept_at is null
        "#,
        draft.0
    )
    .execute(tx)
    .await?;
    Ok(kept.rows_affected())
}
