//! What users have chosen for themselves in /settings: columns of `users`.

use sqlx::PgConnection;

use crate::domain::UserId;

/// A user's choices.
#[derive(Debug, Clone)]
pub(crate) struct Preferences {
    pub language: String,
    /// The preset of new drafts. `None`: none was chosen.
    pub preset: Option<String>,
    /// Messages come without a sound.
    pub is_silent: bool,
}

pub(crate) async fn of(tx: &mut PgConnection, user: UserId) -> Result<Preferences, sqlx::Error> {
    sqlx::query_as!(
        Preferences,
        "select language, preset, is_silent from users where id = $1",
        user.0
    )
    .fetch_one(tx)
    .await
}

pub(crate) async fn set_preset(tx: &mut PgConnection, user: UserId, preset: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set preset = $2, updated_at = now() where id = $1",
        user.0,
        preset
    )
    .execute(tx)
    .await?;
    Ok(())
}

pub(crate) async fn set_silent(
    tx: &mut PgConnection,
    user: UserId,
    is_silent: bool,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set is_silent = $2, updated_at = now() where id = $1",
        user.0,
        is_silent
    )
    .execute(tx)
    .await?;
    Ok(())
}
