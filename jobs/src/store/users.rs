//! `users`: people, found by their Telegram id.

use sqlx::PgConnection;

use uuid::Uuid;

use crate::domain::{Locale, OpenQuestion, UserId};

/// What an update tells about its sender.
#[derive(Debug, Clone)]
pub(crate) struct SeenUser<'a> {
    pub telegram_id: i64,
    pub username: Option<&'a str>,
    pub first_name: &'a str,
    /// `None`: the client did not say, and the language stays as it was.
    pub locale: Option<Locale>,
}

/// The sender's row in `users`, which exists now.
#[derive(Debug)]
pub(crate) struct KnownUser {
    pub id: UserId,
    /// The language in which the bot talks to them.
    pub language: String,
    /// What their next text answers; see [`KnownUser::question`].
    pub open_question: Option<String>,
    pub open_question_about: Option<Uuid>,
    /// Everything about them is being deleted.
    pub is_leaving: bool,
    /// What an administrator decided. `None`: nothing.
    pub listed: Option<bool>,
}

impl KnownUser {
    pub(crate) fn question(&self) -> Option<OpenQuestion> {
        OpenQuestion::stored(self.open_question.as_deref()?, self.open_question_about?)
    }
}

/// Records a user at each contact. A user who writes to us can be reached.
///
/// The language is the first one that Telegram tells: a person with two devices may have two, and a wizard that
/// changes its language between two questions is worse than one that keeps the wrong one.
pub(crate) async fn seen(tx: &mut PgConnection, user: &SeenUser<'_>) -> Result<KnownUser, sqlx::Error> {
    sqlx::query_as!(
        KnownUser,
        r#"
        insert into users (telegram_id, username, first_name, language, language_is_told)
        values ($1, $2, $3, coalesce($4, 'en'), $4::text is not null)
        on conflict (telegram_id) do update
           set username = excluded.username, first_name = excluded.first_name, unreachable_at = null, updated_at = now(),
               language = case when users.language_is_told then users.language else excluded.language end,
               language_is_told = users.language_is_told or excluded.language_is_told
        returning id as "id: UserId", language, open_question, open_question_about,
                  leaving_at is not null as "is_leaving!",
                  (select is_allowed from access_list l where l.telegram_id = users.telegram_id) as "listed?"
        "#,
        user.telegram_id,
        user.username,
        user.first_name,
        user.locale.map(Locale::as_str),
    )
    .fetch_one(tx)
    .await
}

/// The user chose this language; what Telegram tells later no longer counts.
pub(crate) async fn speak(tx: &mut PgConnection, id: UserId, locale: Locale) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set language = $2, language_is_told = true, updated_at = now() where id = $1",
        id.0,
        locale.as_str()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Asks a question that the user's next text answers, instead of any other. `None`: no question is open.
pub(crate) async fn ask(
    tx: &mut PgConnection,
    id: UserId,
    question: Option<OpenQuestion>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set open_question = $2, open_question_about = $3, updated_at = now() where id = $1",
        id.0,
        question.map(OpenQuestion::as_str),
        question.map(OpenQuestion::about),
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The user whose private chat it is. `None`: no chat, a group, or an unknown person.
pub(crate) async fn find_by_chat(
    tx: &mut PgConnection,
    chat_id: Option<i64>,
) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select id as "id: UserId" from users where telegram_id = $1"#,
        chat_id
    )
    .fetch_optional(tx)
    .await
}

/// Records that Telegram accepts nothing for this user: they blocked the bot, or the account is gone.
pub(crate) async fn unreachable(tx: &mut PgConnection, id: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update users set unreachable_at = coalesce(unreachable_at, now()), updated_at = now() where id = $1",
        id.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// As [`unreachable()`], by Telegram's id. Returns the user, if known.
pub(crate) async fn left(tx: &mut PgConnection, telegram_id: i64) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        update users set unreachable_at = coalesce(unreachable_at, now()), updated_at = now()
         where telegram_id = $1
        returning id as "id: UserId"
        "#,
        telegram_id
    )
    .fetch_optional(tx)
    .await
}

/// Records that Telegram wants silence in this user's chat. A longer silence stays, unless it was recorded at a
/// moment that is still to come: then the database's clock ran ahead.
pub(crate) async fn keep_quiet(tx: &mut PgConnection, id: UserId, seconds: f64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update users
           set quiet_until = greatest(case when quiet_asked_at <= now() + interval '1 min' then quiet_until end,
                                      now() + make_interval(secs => $2)),
               quiet_asked_at = now()
         where id = $1
        "#,
        id.0,
        seconds
    )
    .execute(tx)
    .await?;
    Ok(())
}
