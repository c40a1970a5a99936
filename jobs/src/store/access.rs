//! `access_list`: whom administrators let in or keep out; and users as administrators look for them.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::UserId;

/// Lets a Telegram user in, or keeps them out.
pub(crate) async fn set(
    tx: &mut PgConnection,
    telegram_id: i64,
    is_allowed: bool,
    by: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into access_list (telegram_id, is_allowed, by) values ($1, $2, $3)
        on conflict (telegram_id) do update set is_allowed = excluded.is_allowed, by = excluded.by, at = now()
        "#,
        telegram_id,
        is_allowed,
        by
    )
    .execute(tx)
    .await?;
    Ok(())
}

#[derive(Debug)]
pub(crate) struct UserRow {
    pub id: UserId,
    pub telegram_id: i64,
    /// The Telegram name, or else the first name.
    pub name: String,
    pub language: String,
    pub created_at: DateTime<Utc>,
    /// What an administrator decided. `None`: nothing.
    pub listed: Option<bool>,
}

/// The user with this Telegram id, this Telegram name, or to whom this id of ours belongs.
pub(crate) async fn find_user(
    db: &mut PgConnection,
    telegram_id: Option<i64>,
    name: &str,
    id: Option<Uuid>,
) -> Result<Option<UserRow>, sqlx::Error> {
    sqlx::query_file_as!(UserRow, "src/store/sql/find_user.sql", telegram_id, name, id)
        .fetch_optional(db)
        .await
}
