//! The place of our messages in a chat: which one is the newest, and which older ones a newer one makes out of date.

use sqlx::PgConnection;

use super::{About, MessageKind};
use crate::domain::{AvatarId, NotificationId, UserId};

/// Records that the chat has this message, the user's or ours.
pub(crate) async fn noticed(tx: &mut PgConnection, user: UserId, message_id: i64) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update users set newest_message_id = $2, newest_message_at = now()
         where id = $1 and (newest_message_id is null or newest_message_id < $2)
        "#,
        user.0,
        message_id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The photo card in its chat.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    /// Whether the chat has newer messages than the card.
    pub is_above_others: bool,
    /// Time since the newest message. `None`: none was ever noted.
    pub quiet_seconds: Option<f64>,
    /// Whether photos of the draft are being fetched.
    pub is_loading: bool,
    /// Whether a reply to the user was just written and not sent yet.
    pub is_reply_on_its_way: bool,
}

/// `None`: the row is no open photo card with a message.
pub(crate) async fn standing(
    tx: &mut PgConnection,
    card: NotificationId,
) -> Result<Option<Standing>, sqlx::Error> {
    sqlx::query_file_as!(Standing, "src/store/sql/card_standing.sql", card.0)
        .fetch_optional(tx)
        .await
}

/// The card's message stays where it is until the card has been sent anew below; then it is retired.
pub(crate) async fn leave_place(
    tx: &mut PgConnection,
    card: NotificationId,
    message_id: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update notifications set retires = array_append(retires, message_id), message_id = null
         where id = $1 and message_id = $2 and closed_at is null
        "#,
        card.0,
        message_id
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Has the avatar's photo card shown again, though it says nothing new. `None`: no card is open.
pub(crate) async fn stir_card(
    tx: &mut PgConnection,
    avatar: AvatarId,
) -> Result<Option<(NotificationId, i16)>, sqlx::Error> {
    let row = sqlx::query!(
        r#"
        update notifications set revision = revision + 1, updated_at = now()
         where kind = $1 and avatar_id = $2 and closed_at is null
        returning id as "id: NotificationId", needs_version
        "#,
        MessageKind::Photos.as_str(),
        avatar.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.map(|row| (row.id, row.needs_version)))
}

/// Telegram's id of the newest message of an avatar's open photo card. `None`: no card is open, or it was never sent.
pub(crate) async fn card_message(
    tx: &mut PgConnection,
    avatar: AvatarId,
) -> Result<Option<i64>, sqlx::Error> {
    let row = sqlx::query_scalar!(
        "select message_id from notifications where kind = $1 and avatar_id = $2 and closed_at is null order by seq desc limit 1",
        MessageKind::Photos.as_str(),
        avatar.0
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.flatten())
}

/// A message that another one took over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Superseded {
    pub id: NotificationId,
    /// Whether it leaves messages in the chat that are to be retired.
    pub retires: bool,
}

/// Closes the open messages of a kind as they are: another message takes over. Those in the chat are retired, except
/// `keep`, which the other message replaces.
pub(crate) async fn supersede(
    tx: &mut PgConnection,
    kind: MessageKind,
    about: About,
    keep: Option<i64>,
) -> Result<Vec<Superseded>, sqlx::Error> {
    let (avatar, training, album) = about.ids();
    sqlx::query_as!(
        Superseded,
        r#"
        update notifications
           set closed_at = now(), outcome = 'superseded', updated_at = now(),
               retires = array_remove(array_append(retires, message_id), $4)
         where kind = $1 and closed_at is null and (avatar_id = $2 or training_id = $3 or album_id = $5)
        returning id as "id: NotificationId", cardinality(array_remove(retires, null)) > 0 as "retires!"
        "#,
        kind.as_str(),
        avatar,
        training,
        keep,
        album,
    )
    .fetch_all(tx)
    .await
}

/// Messages of ours that a row makes out of date, and the chat that they are in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outdated {
    pub telegram_id: i64,
    pub messages: Vec<i64>,
}

/// `None`: there are none. A row that is open makes them out of date once its own message is in the chat.
pub(crate) async fn to_retire(
    tx: &mut PgConnection,
    id: NotificationId,
) -> Result<Option<Outdated>, sqlx::Error> {
    sqlx::query_as!(
        Outdated,
        r#"
        select u.telegram_id, array_remove(n.retires, null) as "messages!"
          from notifications n
          join users u on u.id = n.user_id
         where n.id = $1 and cardinality(array_remove(n.retires, null)) > 0
           and (n.message_id is not null or n.closed_at is not null) and u.unreachable_at is null
        "#,
        id.0
    )
    .fetch_optional(tx)
    .await
}

/// These messages are gone, or can no longer be changed.
pub(crate) async fn retired(
    tx: &mut PgConnection,
    id: NotificationId,
    messages: &[i64],
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        update notifications
           set retires = array(select gone from unnest(retires) gone where gone <> all($2))
         where id = $1
        "#,
        id.0,
        messages
    )
    .execute(tx)
    .await?;
    Ok(())
}
