//! `broadcasts`: what administrators write to everybody, and how far it has come.

use sqlx::{PgConnection, types::Json};
use uuid::Uuid;

use crate::{
    domain::{NotificationId, UserId},
    texts::Message,
};

/// A broadcast as it stands.
#[derive(Debug)]
pub(crate) struct BroadcastRow {
    pub text: String,
    pub is_started: bool,
    pub is_finished: bool,
    pub is_stopped: bool,
    /// Users who have an outbox row.
    pub written: i64,
    pub delivered: i64,
    /// Written, and neither delivered nor given up.
    pub waiting: i64,
    /// Messages of which Telegram's answer was lost: they were sent again, and may stand in the chat twice.
    pub unknown: i64,
}

pub(crate) async fn create(tx: &mut PgConnection, by: i64, text: &str) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar!(
        "insert into broadcasts (by, text) values ($1, $2) returning id",
        by,
        text
    )
    .fetch_one(tx)
    .await
}

pub(crate) async fn find(db: &mut PgConnection, id: Uuid) -> Result<Option<BroadcastRow>, sqlx::Error> {
    sqlx::query_as!(
        BroadcastRow,
        r#"
        select b.text, b.started_at is not null as "is_started!", b.finished_at is not null as "is_finished!",
               b.stopped_at is not null as "is_stopped!", count(n.id) as "written!",
               count(n.id) filter (where n.delivered_revision > 0) as "delivered!",
               count(n.id) filter (where n.closed_at is null) as "waiting!",
               coalesce(sum(n.possible_duplicates), 0)::bigint as "unknown!"
          from broadcasts b
          left join notifications n on n.broadcast_id = b.id
         where b.id = $1
         group by b.id
        "#,
        id
    )
    .fetch_optional(db)
    .await
}

/// How many users a broadcast reaches.
pub(crate) async fn receivers(db: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from users u
         where unreachable_at is null and leaving_at is null
           and not exists (select from access_list l where l.telegram_id = u.telegram_id and not l.is_allowed)
        "#
    )
    .fetch_one(db)
    .await
}

/// The administrator confirms. `false`: it was started or stopped before.
pub(crate) async fn start(tx: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let started = sqlx::query!(
        "update broadcasts set started_at = now() where id = $1 and started_at is null and stopped_at is null",
        id
    )
    .execute(tx)
    .await?;
    Ok(started.rows_affected() == 1)
}

/// Stops it: no further user gets a row, and rows whose send has not begun are closed. `false`: there is nothing to stop.
pub(crate) async fn stop(tx: &mut PgConnection, id: Uuid) -> Result<bool, sqlx::Error> {
    let stopped = sqlx::query!(
        "update broadcasts set stopped_at = now() where id = $1 and stopped_at is null",
        id
    )
    .execute(&mut *tx)
    .await?;
    sqlx::query!(
        r#"
        update notifications set closed_at = now(), outcome = 'superseded', updated_at = now()
         where broadcast_id = $1 and closed_at is null and delivered_revision = 0 and sending_since is null
        "#,
        id
    )
    .execute(tx)
    .await?;
    Ok(stopped.rows_affected() == 1)
}

/// Locks the broadcast while it is to go on. `None`: it is not started, or at an end. Otherwise the last user who was
/// written to, and the text.
pub(crate) async fn lock_live(
    tx: &mut PgConnection,
    id: Uuid,
) -> Result<Option<(Option<Uuid>, String)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        select position, text from broadcasts
         where id = $1 and started_at is not null and finished_at is null and stopped_at is null
           for update
        "#,
        id
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| (row.position, row.text)))
}

/// The next users by id who can be written to, after the last one.
pub(crate) async fn page(
    tx: &mut PgConnection,
    after: Option<Uuid>,
    limit: i64,
) -> Result<Vec<Uuid>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select id from users u
         where ($1::uuid is null or id > $1) and unreachable_at is null and leaving_at is null
           and not exists (select from access_list l where l.telegram_id = u.telegram_id and not l.is_allowed)
         order by id
         limit $2
        "#,
        after,
        limit
    )
    .fetch_all(tx)
    .await
}

/// Puts the message into the outbox of each of these users who does not have it yet.
pub(crate) async fn write(
    tx: &mut PgConnection,
    id: Uuid,
    users: &[Uuid],
    message: &Message,
) -> Result<Vec<(NotificationId, UserId)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"
        insert into notifications (user_id, kind, dedupe_key, message, is_last, needs_version, broadcast_id)
        select id, 'reply', 'broadcast:' || $1::uuid || ':' || id, $3, true, $4, $1
          from users where id = any ($2)
        on conflict (dedupe_key) do nothing
        returning id as "id: NotificationId", user_id as "user_id: UserId"
        "#,
        id,
        users,
        Json(message) as _,
        message.version(),
    )
    .fetch_all(tx)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.user_id)).collect())
}

/// Notes how far the walk has come. `None`: to its end.
pub(crate) async fn walked(
    tx: &mut PgConnection,
    id: Uuid,
    position: Option<Uuid>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update broadcasts set position = $2, finished_at = case when $2::uuid is null then now() end where id = $1
        "#,
        id,
        position
    )
    .execute(tx)
    .await?;
    Ok(())
}
