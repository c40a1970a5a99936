//! `erasures`: users who have everything about them deleted, and that deletion.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{AvatarId, UserId};

/// What a user would lose.
#[derive(Debug)]
pub(crate) struct Belongings {
    pub avatars: i64,
    pub photos: i64,
    pub pictures: i64,
    /// Live trainings that FAL has or may have.
    pub paid: i64,
}

pub(crate) async fn belongings(db: &mut PgConnection, user: UserId) -> Result<Belongings, sqlx::Error> {
    sqlx::query_as!(
        Belongings,
        r#"
        select (select count(*) from avatars where user_id = $1 and deleted_at is null) as "avatars!",
               (select count(*) from avatar_photos p join avatars a on a.id = p.avatar_id
                 where a.user_id = $1 and a.deleted_at is null and p.status <> 'rejected') as "photos!",
               (select count(*) from pictures where user_id = $1) as "pictures!",
               (select count(*) from trainings
                 where user_id = $1 and status in ('submitting', 'submitted', 'trained')) as "paid!"
        "#,
        user.0
    )
    .fetch_one(db)
    .await
}

/// From now on nothing is accepted from the user. Returns the id of the erasure. `None`: it was asked for before.
pub(crate) async fn begin(tx: &mut PgConnection, user: UserId) -> Result<Option<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with leaving as (
            update users set leaving_at = now() where id = $1 and leaving_at is null returning id, telegram_id, language
        )
        insert into erasures (user_id, telegram_id, language) select id, telegram_id, language from leaving returning id
        "#,
        user.0
    )
    .fetch_optional(tx)
    .await
}

/// The user's avatars that are not deleted yet.
pub(crate) async fn avatars(db: &mut PgConnection, user: UserId) -> Result<Vec<AvatarId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: AvatarId" from avatars where user_id = $1 and deleted_at is null"#,
        user.0
    )
    .fetch_all(db)
    .await
}

#[derive(Debug)]
pub(crate) struct Erasure {
    /// `None`: the user is erased.
    pub user_id: Option<UserId>,
    pub telegram_id: i64,
    pub language: String,
    /// For how long it has been asked for.
    pub seconds: f64,
    /// Avatars whose erasure is not done.
    pub avatars: i64,
    /// Whether a message to the user is on its way.
    pub is_unsaid: bool,
}

pub(crate) async fn find(db: &mut PgConnection, id: Uuid) -> Result<Option<Erasure>, sqlx::Error> {
    sqlx::query_as!(
        Erasure,
        r#"
        select user_id as "user_id: UserId", telegram_id, language,
               extract(epoch from now() - asked_at)::float8 as "seconds!",
               (select count(*) from avatars a where a.user_id = e.user_id) as "avatars!",
               exists (select from notifications n
                        where n.user_id = e.user_id and n.closed_at is null
                          and n.delivered_revision < n.revision) as "is_unsaid!"
          from erasures e
         where id = $1
        "#,
        id
    )
    .fetch_optional(db)
    .await
}

/// Deletes every row about the user but the erasure's own, which forgets whose it was. The caller has seen that the user
/// has no avatar left.
pub(crate) async fn erase(tx: &mut PgConnection, id: Uuid, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query_file!("src/store/sql/erase_updates.sql", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!(
        "update quota_uses set user_id = null, attempt_id = gen_random_uuid() where user_id = $1 and what = 'submit'",
        user.0
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!("delete from users where id = $1", user.0)
        .execute(&mut *tx)
        .await?;
    sqlx::query!("update erasures set erased_at = now() where id = $1", id)
        .execute(tx)
        .await?;
    Ok(())
}

/// The receipt is sent, or given up: nothing is left of the erasure. `false`: the user is not erased yet.
pub(crate) async fn end(tx: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let ended = sqlx::query!("delete from erasures where id = $1 and erased_at is not null", id)
        .execute(tx)
        .await?;
    Ok(ended.rows_affected() == 1)
}

/// Erasures that were asked for more than a few minutes ago, at most `limit`.
pub(crate) async fn unfinished(db: &mut PgConnection, limit: i64) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        "select id from erasures where asked_at < now() - interval '5 min' order by asked_at limit $1",
        limit
    )
    .fetch_all(db)
    .await
}
