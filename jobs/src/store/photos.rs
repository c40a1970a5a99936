//! `avatar_photos`: the photos of an avatar. pending → stored | rejected; a stored photo can still be rejected when
//! the archive is built, which reads all of it.

use sqlx::PgConnection;

use crate::domain::{AvatarId, PhotoId, PhotoStatus, UserId};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Photos in our bucket.
    pub stored: u32,
    /// Photos that are being fetched.
    pub pending: u32,
}

impl Counts {
    /// The photos that count against the limit.
    pub(crate) const fn taken(self) -> u32 {
        self.stored + self.pending
    }
}

pub(crate) async fn counts(tx: &mut PgConnection, avatar: AvatarId) -> Result<Counts, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select count(*) filter (where status = 'stored') as "stored!",
               count(*) filter (where status = 'pending') as "pending!"
          from avatar_photos
         where avatar_id = $1
        "#,
        avatar.0
    )
    .fetch_one(tx)
    .await?;
    let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
    Ok(Counts {
        stored: count(row.stored),
        pending: count(row.pending),
    })
}

/// A refused photo, for the message to the user.
#[derive(Debug)]
pub(crate) struct RejectedPhoto {
    /// Its number from 1, in the order of arrival.
    pub number: i64,
    /// The code: `PhotoProblem::code`.
    pub reason: String,
    /// The value in the code's text: `PhotoProblem::detail`.
    pub detail: Option<String>,
}

/// An avatar's refused photos, in the order of arrival, without those that their owner took away.
pub(crate) async fn rejected(
    tx: &mut PgConnection,
    avatar: AvatarId,
) -> Result<Vec<RejectedPhoto>, sqlx::Error> {
    sqlx::query_as!(
        RejectedPhoto,
        r#"
        select number as "number!", reason as "reason!", detail
          from (select row_number() over (order by position) as number, status, reason, detail
                  from avatar_photos
                 where avatar_id = $1) numbered
         where status = 'rejected' and reason <> $2
         order by number
        "#,
        avatar.0,
        REMOVED,
    )
    .fetch_all(tx)
    .await
}

/// Whether the avatar has ever had this photo, whatever its outcome.
pub(crate) async fn is_known(
    tx: &mut PgConnection,
    avatar: AvatarId,
    file_unique_id: &str,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select exists (select from avatar_photos where avatar_id = $1 and file_unique_id = $2) as "is_known!"
        "#,
        avatar.0,
        file_unique_id
    )
    .fetch_one(tx)
    .await
}

/// Why the avatar refused this photo, with the reason's detail. `None`: it did not refuse it.
pub(crate) async fn refusal(
    tx: &mut PgConnection,
    avatar: AvatarId,
    file_unique_id: &str,
) -> Result<Option<(String, Option<String>)>, sqlx::Error> {
    let row = sqlx::query!(
        "select reason, detail from avatar_photos where avatar_id = $1 and file_unique_id = $2",
        avatar.0,
        file_unique_id
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.and_then(|row| Some((row.reason?, row.detail))))
}

#[derive(Debug, Clone)]
pub(crate) struct StoredPhoto {
    pub id: PhotoId,
    pub storage_key: String,
    /// Length of the object when it was written. `None` in rows that are older than the column.
    pub bytes: Option<i64>,
    /// Hash of the object in hex. `None` in rows that are older than the column.
    pub sha256: Option<String>,
}

/// An avatar's photos in our bucket, in the order of arrival.
pub(crate) async fn stored_of(
    tx: &mut PgConnection,
    avatar: AvatarId,
) -> Result<Vec<StoredPhoto>, sqlx::Error> {
    sqlx::query_as!(
        StoredPhoto,
        r#"
        select id as "id: PhotoId", storage_key as "storage_key!", bytes, sha256
          from avatar_photos
         where avatar_id = $1 and status = 'stored'
         order by position
        "#,
        avatar.0
    )
    .fetch_all(tx)
    .await
}

/// Reason for a photo that Telegram never handed out. Sending it again can cure that.
pub(crate) const UNAVAILABLE: &str = "unavailable";

/// Reason of a photo that its owner took away. It may come again.
pub(crate) const REMOVED: &str = "removed";

/// A photo as the user sent it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewPhoto<'a> {
    pub file_id: &'a str,
    pub file_unique_id: &'a str,
    /// Telegram's id of its message. `None`: unknown.
    pub message_id: Option<i64>,
    /// Shared by the photos of one album. `None`: it came alone.
    pub album: Option<&'a str>,
}

/// Adds a photo that the user sent. `None`: the avatar has it already.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    avatar: AvatarId,
    sent: &NewPhoto<'_>,
) -> Result<Option<PhotoId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into avatar_photos (avatar_id, file_id, file_unique_id, status, message_id, album)
        values ($1, $2, $3, 'pending', $5, $6)
        on conflict (avatar_id, file_unique_id) do update
           set status = 'pending', file_id = excluded.file_id, message_id = excluded.message_id, album = excluded.album,
               reason = null, detail = null, settled_at = null,
               inspected_at = null, faces = null, sharpness = null, fingerprint = null, kept_at = null
         where avatar_photos.reason in ($4, $7)
        returning id as "id: PhotoId"
        "#,
        avatar.0,
        sent.file_id,
        sent.file_unique_id,
        UNAVAILABLE,
        sent.message_id,
        sent.album,
        REMOVED,
    )
    .fetch_optional(tx)
    .await
}

#[derive(Debug, Clone)]
pub(crate) struct OwnedPhoto {
    pub id: PhotoId,
    pub avatar_id: AvatarId,
    pub user_id: UserId,
    pub file_id: String,
    pub status: PhotoStatus,
    /// Telegram's id of the message that brought it. `None`: unknown.
    pub message_id: Option<i64>,
    /// Shared by the photos of one album. `None`: it came alone.
    pub album: Option<String>,
}

pub(crate) async fn find(tx: &mut PgConnection, id: PhotoId) -> Result<Option<OwnedPhoto>, sqlx::Error> {
    sqlx::query_as!(
        OwnedPhoto,
        r#"
        select p.id as "id: PhotoId", p.avatar_id as "avatar_id: AvatarId", a.user_id as "user_id: UserId",
               p.file_id, p.status as "status: PhotoStatus", p.message_id, p.album
          from avatar_photos p
          join avatars a on a.id = p.avatar_id
         where p.id = $1
        "#,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// pending → stored.
pub(crate) async fn stored(
    tx: &mut PgConnection,
    id: PhotoId,
    key: &str,
    content_type: &str,
    bytes: u64,
    sha256: &str,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update avatar_photos
           set status = 'stored', storage_key = $2, content_type = $3, bytes = $4, sha256 = $5, settled_at = now()
         where id = $1 and status = 'pending'
        "#,
        id.0,
        key,
        content_type,
        i64::try_from(bytes).unwrap_or(i64::MAX),
        sha256,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// pending | stored → rejected, with the reason for the user. The original stays in the bucket as long as its avatar,
/// so that nothing is lost if the verdict turns out to be wrong.
pub(crate) async fn reject(
    tx: &mut PgConnection,
    id: PhotoId,
    reason: &str,
    detail: Option<&str>,
) -> Result<bool, sqlx::Error> {
    let changed = sqlx::query!(
        r#"
        update avatar_photos
           set status = 'rejected', reason = $2, detail = $3, settled_at = now()
         where id = $1 and status in ('pending', 'stored')
        "#,
        id.0,
        reason,
        detail,
    )
    .execute(tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}
