//! The outbox: `notifications`. One row is one Telegram message, for as long as the message may change.
//!
//! A writer raises `revision`; `notify_user` sends until `delivered_revision` has caught
//! up. A closed row never changes again.

use sqlx::{PgConnection, types::Json};

use crate::{
    domain::{AlbumId, AvatarId, NotificationId, TrainingId, UserId},
    texts::Message,
};

mod chats;

pub(crate) use chats::{
    card_message, leave_place, noticed, retired, standing, stir_card, supersede, to_retire,
};

/// The purpose of a message, stored in `notifications.kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessageKind {
    /// An answer to one update.
    Reply,
    /// The wizard's photo step, which counts the photos.
    Photos,
    /// The progress of a training, edited in place.
    Progress,
    /// The end of a training.
    Final,
}

impl MessageKind {
    /// The word in the database.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Photos => "photos",
            Self::Progress => "progress",
            Self::Final => "final",
        }
    }
}

/// A message that is not in the outbox yet.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub user_id: UserId,
    pub avatar_id: Option<AvatarId>,
    pub training_id: Option<TrainingId>,
    pub album_id: Option<AlbumId>,
    pub kind: MessageKind,
    pub dedupe_key: &'a str,
    pub message: &'a Message,
    /// The message in the chat that this one replaces. `None`: it is sent as a new one.
    pub takes_place_of: Option<i64>,
    /// The user's message that it answers. `None`: none in particular.
    pub reply_to: Option<i64>,
    /// Nothing follows it: the row is closed once it is delivered.
    pub is_last: bool,
}

/// Puts a message into the outbox. `None`: its key was used before, so the
/// message is there already, or was even sent; or it is about an avatar that its user has deleted.
pub(crate) async fn insert(
    tx: &mut PgConnection,
    new: &New<'_>,
) -> Result<Option<NotificationId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        insert into notifications (user_id, avatar_id, training_id, album_id, kind, dedupe_key, message, message_id, is_last,
                                   needs_version, reply_to)
        select $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
         where not exists (select from avatars where id = $2 and deleted_at is not null)
        on conflict (dedupe_key) do nothing
        returning id as "id: NotificationId"
        "#,
        new.user_id.0,
        new.avatar_id.map(|id| id.0),
        new.training_id.map(|id| id.0),
        new.album_id.map(|id| id.0),
        new.kind.as_str(),
        new.dedupe_key,
        Json(new.message) as _,
        new.takes_place_of,
        new.is_last,
        new.message.version(),
        new.reply_to,
    )
    .fetch_optional(tx)
    .await
}

/// How many replies with exactly this text wait for their first send.
pub(crate) async fn replies_waiting(
    tx: &mut PgConnection,
    user: UserId,
    message: &Message,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from notifications
         where user_id = $1 and closed_at is null and kind = 'reply' and delivered_revision = 0
           and message_id is null and sending_since is null and message = $2
        "#,
        user.0,
        Json(message) as _,
    )
    .fetch_one(tx)
    .await
}

/// The subject of an open message: an avatar for the photo step, a training or an album for its progress.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About {
    Avatar(AvatarId),
    Training(TrainingId),
    Album(AlbumId),
}

impl About {
    /// The columns by which it is found: avatar, training, album.
    const fn ids(self) -> (Option<uuid::Uuid>, Option<uuid::Uuid>, Option<uuid::Uuid>) {
        match self {
            Self::Avatar(id) => (Some(id.0), None, None),
            Self::Training(id) => (None, Some(id.0), None),
            Self::Album(id) => (None, None, Some(id.0)),
        }
    }
}

/// The result of changing an open message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Raised {
    /// It has a new text, which `notify_user` must send.
    Changed(NotificationId),
    /// It had this text already.
    Unchanged,
    /// There is no open message of the kind.
    NoneOpen,
}

/// Changes the text of the open message.
pub(crate) async fn raise(
    tx: &mut PgConnection,
    kind: MessageKind,
    about: About,
    message: &Message,
    is_last: bool,
) -> Result<Raised, sqlx::Error> {
    let (avatar, training, album) = about.ids();
    let row = sqlx::query!(
        r#"
        with open as (
            select id, (message is distinct from $4 or is_last is distinct from $5) as differs
              from notifications
             where kind = $1 and closed_at is null and (avatar_id = $2 or training_id = $3 or album_id = $7)
             order by seq desc
             limit 1
               for update
        ), changed as (
            update notifications
               set message = $4, is_last = $5, revision = revision + 1, needs_version = $6, updated_at = now()
              from open
             where notifications.id = open.id and open.differs
            returning notifications.id
        )
        select open.id as "id!: NotificationId", open.differs as "differs!" from open left join changed using (id)
        "#,
        kind.as_str(),
        avatar,
        training,
        Json(message) as _,
        is_last,
        message.version(),
        album,
    )
    .fetch_optional(tx)
    .await?;
    Ok(match row {
        Some(row) if row.differs => Raised::Changed(row.id),
        Some(_) => Raised::Unchanged,
        None => Raised::NoneOpen,
    })
}

/// How many messages of a kind an avatar has had.
pub(crate) async fn count(
    tx: &mut PgConnection,
    kind: MessageKind,
    avatar: AvatarId,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select count(*) as "count!" from notifications where kind = $1 and avatar_id = $2"#,
        kind.as_str(),
        avatar.0
    )
    .fetch_one(tx)
    .await
}

/// Telegram's id of a training's open message of a kind.
pub(crate) async fn message_of(
    tx: &mut PgConnection,
    kind: MessageKind,
    training: TrainingId,
) -> Result<Option<i64>, sqlx::Error> {
    let row = sqlx::query_scalar!(
        "select message_id from notifications where kind = $1 and training_id = $2 and closed_at is null",
        kind.as_str(),
        training.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.flatten())
}

/// A message that waits to be sent, with its recipient.
#[derive(Debug)]
pub(crate) struct DueMessage {
    pub id: NotificationId,
    pub user_id: UserId,
    pub telegram_id: i64,
    pub language: String,
    pub unreachable: bool,
    /// For how many more seconds Telegram wants silence in this chat. `None`: it does not, or the end is unknown.
    pub quiet_seconds: Option<f64>,
    pub kind: String,
    pub seq: i64,
    /// As stored; another version may have written it.
    pub message: serde_json::Value,
    pub revision: i32,
    pub delivered_revision: i32,
    pub message_id: Option<i64>,
    /// The user's message that it answers. `None`: none in particular.
    pub reply_to: Option<i64>,
    /// The user wants messages without a sound.
    pub is_silent: bool,
    /// Time since it was put into the outbox.
    pub age_seconds: f64,
}

/// A message that was never delivered.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub id: NotificationId,
    /// The lowest version of `notify_user` that can say it.
    pub needs_version: i16,
}

/// The message, if its recipient has not seen its current text.
pub(crate) async fn due(
    tx: &mut PgConnection,
    id: NotificationId,
) -> Result<Option<DueMessage>, sqlx::Error> {
    sqlx::query_as!(
        DueMessage,
        r#"
        select n.id as "id: NotificationId", n.user_id as "user_id: UserId", u.telegram_id, u.language,
               u.unreachable_at is not null as "unreachable!",
               -- Not if it was asked for by a clock that ran ahead: no wait of Telegram's is longer than a week.
               case when coalesce(u.quiet_asked_at, now()) <= now() + interval '1 min'
                     and u.quiet_until <= coalesce(u.quiet_asked_at, now()) + interval '7 days 1 min'
                    then extract(epoch from u.quiet_until - now())::float8 end as quiet_seconds,
               n.kind, n.seq, n.message, n.revision, n.delivered_revision, n.message_id, n.reply_to, u.is_silent,
               extract(epoch from now() - n.created_at)::float8 as "age_seconds!"
          from notifications n
          join users u on u.id = n.user_id
         where n.id = $1 and n.closed_at is null and n.delivered_revision < n.revision
        "#,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// The chat's first message before `due` that was never delivered: it goes first, so that a chat reads in order. A
/// final message waits for no edit here ([`gives_way`]): an edit may fail for hours, and does not change the order. A
/// message for a newer version of the worker delays no other, since that version may never come.
pub(crate) async fn before(
    tx: &mut PgConnection,
    due: &DueMessage,
    version: i16,
) -> Result<Option<Waiting>, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        r#"
        select id as "id: NotificationId", needs_version
          from notifications
         where user_id = $1 and seq < $2 and closed_at is null and delivered_revision = 0
           and (message_id is null or $3 <> 'final') and needs_version <= $4
         order by seq
         limit 1
        "#,
        due.user_id.0,
        due.seq,
        due.kind,
        version,
    )
    .fetch_optional(tx)
    .await
}

/// Seconds until a final message checks again whether the edits to which it gives
/// way are sent. `None`: it is sent now.
pub(crate) async fn gives_way(tx: &mut PgConnection, id: NotificationId) -> Result<Option<f64>, sqlx::Error> {
    sqlx::query_file_scalar!("src/store/sql/final_gives_way.sql", id.0)
        .fetch_optional(tx)
        .await
}

/// The chat's undelivered messages whose turn it is: the first one, and the first
/// final one if only edits are before it.
pub(crate) async fn next_waiting(
    tx: &mut PgConnection,
    user: UserId,
    version: i16,
) -> Result<Vec<Waiting>, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        r#"
        with waiting as (
            select id, seq, kind, message_id, needs_version from notifications
             where user_id = $1 and closed_at is null and delivered_revision = 0 and needs_version <= $2
        )
        select id as "id!: NotificationId", needs_version as "needs_version!" from waiting
         where seq = (select min(seq) from waiting)
            or seq = (select min(seq) from waiting where message_id is null) and kind = 'final'
         order by seq
        "#,
        user.0,
        version,
    )
    .fetch_all(tx)
    .await
}

/// Records that workers of versions below `needs` cannot say the message.
pub(crate) async fn cannot_be_said(
    tx: &mut PgConnection,
    id: NotificationId,
    needs: i16,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update notifications set needs_version = $2 where id = $1 and needs_version < $2",
        id.0,
        needs
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Records that a first send is about to begin. `Some(true)`: an earlier send began and its outcome is unknown, so
/// this one may be a duplicate, which is counted. `None`: there is nothing to send any more.
pub(crate) async fn begin_send(
    tx: &mut PgConnection,
    id: NotificationId,
) -> Result<Option<bool>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        with before as (select id, sending_since from notifications where id = $1 for update)
        update notifications n
           set sending_since = now(),
               possible_duplicates = possible_duplicates + (before.sending_since is not null)::int
          from before
         where n.id = before.id and n.closed_at is null and n.message_id is null
        returning before.sending_since is not null as "repeated!"
        "#,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// The send certainly did not arrive, so that the next one is a first send again.
pub(crate) async fn not_sent(tx: &mut PgConnection, id: NotificationId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "update notifications set sending_since = null where id = $1",
        id.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The message that was to be edited is gone: the next send makes a new one.
pub(crate) async fn forget_message_id(tx: &mut PgConnection, id: NotificationId) -> Result<(), sqlx::Error> {
    sqlx::query!("update notifications set message_id = null where id = $1", id.0)
        .execute(tx)
        .await?;
    Ok(())
}

/// Records that `revision` was delivered as `message_id`. Closes the row if nothing follows. If another message took over
/// while this one was being sent, this one is retired, unless the other one has taken its place.
pub(crate) async fn delivered(
    tx: &mut PgConnection,
    id: NotificationId,
    revision: i32,
    message_id: Option<i64>,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update notifications n
           set delivered_revision = greatest(delivered_revision, $2), message_id = coalesce($3, message_id),
               sending_since = null, updated_at = now(),
               closed_at = case when is_last and revision = $2 then coalesce(closed_at, now()) else closed_at end,
               outcome = case when is_last and revision = $2 then coalesce(outcome, 'delivered') else outcome end,
               retires = case when outcome = 'superseded' and message_id is null
                               and not exists (select from notifications o where o.user_id = n.user_id and o.message_id = $3)
                              then array_append(retires, $3) else retires end
         where id = $1
        "#,
        id.0,
        revision,
        message_id,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Closes the row: nothing more is sent for it. Returns whether it was open.
pub(crate) async fn close(
    tx: &mut PgConnection,
    id: NotificationId,
    outcome: &str,
) -> Result<bool, sqlx::Error> {
    let closed = sqlx::query!(
        "update notifications set closed_at = now(), outcome = $2, updated_at = now() where id = $1 and closed_at is null",
        id.0,
        outcome
    )
    .execute(tx)
    .await?;
    Ok(closed.rows_affected() == 1)
}

/// Closes all waiting messages of this user: Telegram accepts nothing for them.
pub(crate) async fn close_all(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update notifications set closed_at = now(), outcome = 'unreachable', updated_at = now()
         where user_id = $1 and closed_at is null
        "#,
        user.0
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Reopens the final messages that never reached the user, oldest first. A message that was lost because the user was
/// unreachable is reopened each time they return. A message that Telegram refused, or could not accept for too long,
/// is reopened once: it would be refused again, at each message of the user.
pub(crate) async fn reopen_finals(tx: &mut PgConnection, user: UserId) -> Result<Vec<Waiting>, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        r#"
        with reopened as (
            update notifications
               set closed_at = null, outcome = null, sending_since = null, updated_at = now(),
                   reopened_at = case when outcome = 'unreachable' then reopened_at else now() end
             where user_id = $1 and kind = 'final' and delivered_revision = 0
               and outcome in ('unreachable', 'rejected', 'undeliverable')
               and (outcome = 'unreachable' or reopened_at is null)
            returning id, seq, needs_version
        )
        select id as "id!: NotificationId", needs_version as "needs_version!" from reopened order by seq
        "#,
        user.0
    )
    .fetch_all(tx)
    .await
}

/// The user to whom the message goes.
pub(crate) async fn reader_of(
    tx: &mut PgConnection,
    id: NotificationId,
) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select user_id as "user_id: UserId" from notifications where id = $1"#,
        id.0
    )
    .fetch_optional(tx)
    .await
}
