//! `exports`: users who asked for a copy of their data, and that data.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::UserId;

/// Seconds until the user may ask again. `None`: now.
pub(crate) async fn wait(db: &mut PgConnection, user: UserId) -> Result<Option<f64>, sqlx::Error> {
    let seconds = sqlx::query_scalar!(
        r#"
        select extract(epoch from max(asked_at) + interval '1 day' - now())::float8
          from exports where user_id = $1 and asked_at > now() - interval '1 day'
        "#,
        user.0
    )
    .fetch_one(db)
    .await?;
    Ok(seconds)
}

/// Notes that the user asked; what they asked for before is forgotten.
pub(crate) async fn begin(tx: &mut PgConnection, user: UserId) -> Result<Uuid, sqlx::Error> {
    sqlx::query!("delete from exports where user_id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query_scalar!("insert into exports (user_id) values ($1) returning id", user.0)
        .fetch_one(tx)
        .await
}

#[derive(Debug)]
pub(crate) struct Export {
    pub user_id: UserId,
    pub telegram_id: i64,
    pub language: String,
    pub parts_sent: i32,
}

/// An export that is not finished, of a user who is not leaving.
pub(crate) async fn find(db: &mut PgConnection, id: Uuid) -> Result<Option<Export>, sqlx::Error> {
    sqlx::query_as!(
        Export,
        r#"
        select user_id as "user_id: UserId", telegram_id, language, parts_sent
          from exports join users on users.id = exports.user_id
         where exports.id = $1 and finished_at is null and leaving_at is null
        "#,
        id
    )
    .fetch_optional(db)
    .await
}

/// Everything that is stored about the user, as JSON.
pub(crate) async fn data(db: &mut PgConnection, user: UserId) -> Result<String, sqlx::Error> {
    sqlx::query_file_scalar!("src/store/sql/user_data.sql", user.0)
        .fetch_one(db)
        .await
}

/// An object of the user.
#[derive(Debug)]
pub(crate) struct UserObject {
    /// `photos` or `pictures`.
    pub folder: String,
    pub key: String,
    pub bytes: i64,
}

/// The photos and pictures of the avatars that the user has, always in the same order: newer ones come last.
pub(crate) async fn objects(db: &mut PgConnection, user: UserId) -> Result<Vec<UserObject>, sqlx::Error> {
    sqlx::query_as!(
        UserObject,
        r#"
        select folder as "folder!", key as "key!", bytes as "bytes!"
          from (select 'photos' as folder, p.storage_key as key, coalesce(p.bytes, 0) as bytes, p.created_at, p.id
                  from avatar_photos p join avatars a on a.id = p.avatar_id
                 where a.user_id = $1 and a.deleted_at is null and p.storage_key is not null
                union all
                select 'pictures', c.storage_key, c.bytes, c.created_at, c.id
                  from pictures c join avatars a on a.id = c.avatar_id
                 where c.user_id = $1 and a.deleted_at is null) mine
         order by created_at, id
        "#,
        user.0
    )
    .fetch_all(db)
    .await
}

/// Telegram has accepted this many parts.
pub(crate) async fn sent(tx: &mut PgConnection, id: Uuid, parts: i32) -> Result<(), sqlx::Error> {
    sqlx::query!("update exports set parts_sent = $2 where id = $1", id, parts)
        .execute(tx)
        .await?;
    Ok(())
}

pub(crate) async fn finished(tx: &mut PgConnection, id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("update exports set finished_at = now() where id = $1", id)
        .execute(tx)
        .await?;
    Ok(())
}

/// It could not be sent: the user may ask again at once. Returns the user.
pub(crate) async fn give_up(tx: &mut PgConnection, id: Uuid) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"delete from exports where id = $1 and finished_at is null returning user_id as "user_id: UserId""#,
        id
    )
    .fetch_optional(tx)
    .await
}
