//! `telegram_updates`: the inbox of Telegram's updates. They are stored before they are
//! acknowledged, and handled in order in each chat.

use serde_json::Value;
use sqlx::PgConnection;

use super::{StoreError, one_row};

/// The channel on which bots wait for updates. PostgreSQL delivers when the storing transaction commits.
pub(crate) const CHANNEL: &str = "telegram_updates";

#[derive(Debug)]
pub(crate) struct NewUpdate {
    pub update_id: i64,
    /// `None`: it belongs to no chat, so it has no order to keep.
    pub chat_id: Option<i64>,
    pub body: Value,
}

/// Stores the updates that are new, wakes the bots, and returns how many were new.
pub(crate) async fn store(tx: &mut PgConnection, updates: &[NewUpdate]) -> Result<u64, sqlx::Error> {
    let ids: Vec<i64> = updates.iter().map(|update| update.update_id).collect();
    let chats: Vec<Option<i64>> = updates.iter().map(|update| update.chat_id).collect();
    let bodies: Vec<Value> = updates.iter().map(|update| update.body.clone()).collect();
    let stored = sqlx::query!(
        r#"
        insert into telegram_updates (update_id, chat_id, body)
        select * from unnest($1::bigint[], $2::bigint[], $3::jsonb[])
        on conflict (update_id) do nothing
        "#,
        &ids,
        &chats as &[Option<i64>],
        &bodies,
    )
    .execute(&mut *tx)
    .await?
    .rows_affected();
    if stored > 0 {
        sqlx::query!("select pg_notify($1, '')", CHANNEL)
            .execute(tx)
            .await?;
    }
    Ok(stored)
}

/// A stored update whose turn it is.
#[derive(Debug)]
pub(crate) struct Stored {
    pub update_id: i64,
    /// `None`: it belongs to no chat.
    pub chat_id: Option<i64>,
    /// Unparsed JSON: a text that Postgres accepts as JSON and we do not must not fail the search for others.
    pub body: String,
}

/// Takes the first open update of a chat of which no update is taken, and locks it until the transaction ends. Chats
/// take turns: those after `chat` come first.
pub(crate) async fn take(tx: &mut PgConnection, chat: i64) -> Result<Option<Stored>, sqlx::Error> {
    sqlx::query_file_as!(Stored, "src/store/sql/take_update.sql", chat)
        .fetch_optional(tx)
        .await
}

/// Marks the update as handled: its effects are in this transaction, or, for the reason in `error`,
/// it has none. The caller has taken it.
pub(crate) async fn handled(
    tx: &mut PgConnection,
    update_id: i64,
    error: Option<&str>,
) -> Result<(), StoreError> {
    let handled = sqlx::query!(
        "update telegram_updates set handled_at = now(), error = $2 where update_id = $1",
        update_id,
        error
    )
    .execute(tx)
    .await?;
    one_row("the end of an update", update_id, &handled)
}

/// The result of recording a failed update, whose turn was rolled back.
#[derive(Debug)]
pub(crate) struct Failed {
    /// Whether it was tried often enough, so that its chat goes on without it.
    pub given_up: bool,
    pub chat_id: Option<i64>,
}

/// Records a failure: the update is tried again after 1 s, 2 s, 4 s …, or given up after
/// `max_attempts`. `None`: it was handled meanwhile.
pub(crate) async fn failed(
    tx: &mut PgConnection,
    update_id: i64,
    error: &str,
    max_attempts: i32,
) -> Result<Option<Failed>, sqlx::Error> {
    sqlx::query_as!(
        Failed,
        r#"
        update telegram_updates
           set attempts = attempts + 1,
               retry_at = now() + interval '1 second' * power(2, attempts),
               handled_at = case when attempts + 1 >= $3 then now() end,
               error = case when attempts + 1 >= $3 then $2 end
         where update_id = $1 and handled_at is null
        returning handled_at is not null as "given_up!", chat_id
        "#,
        update_id,
        error,
        max_attempts,
    )
    .fetch_optional(tx)
    .await
}
