//! `quota_uses`: how much users have used up within a day. It has rows of its own, since a deleted draft takes its
//! photos, trainings and attempts with it.

use std::time::Duration;

use queue::database::Database;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::{AlbumId, UserId};

/// A thing that a user uses up, by its word in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// The user began a draft.
    Draft,
    /// The user sent a photo, even if it was refused later.
    Photo,
    /// The user started a training.
    Training,
    /// A picture was asked for; given back if it does not come.
    Picture,
}

impl Use {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Photo => "photo",
            Self::Training => "training",
            Self::Picture => "picture",
        }
    }
}

/// Makes other turns of this user wait until the transaction ends, so that two taps, taken by two bots, do
/// not both find the last free place. It does not lock the key: that is not needed, and would wait for a
/// worker that writes the user a message.
pub(crate) async fn lock(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    sqlx::query!("select id from users where id = $1 for no key update", user.0)
        .fetch_optional(tx)
        .await?;
    Ok(())
}

/// Time until the user may use another one, if a day allows `most`. `None`: now. A limit of 0 is none.
pub(crate) async fn wait(
    tx: &mut PgConnection,
    user: UserId,
    what: Use,
    most: u32,
) -> Result<Option<Duration>, sqlx::Error> {
    let Some(others) = most.checked_sub(1) else {
        return Ok(None);
    };
    let seconds = sqlx::query_scalar!(
        r#"
        -- The oldest of the last `most`: when its day is over, there is room for one.
        select extract(epoch from at + interval '1 day' - now())::float8 as "seconds!"
          from quota_uses
         where user_id = $1 and what = $2 and at > now() - interval '1 day'
         order by at desc
        offset $3
         limit 1
        "#,
        user.0,
        what.as_str(),
        i64::from(others),
    )
    .fetch_optional(tx)
    .await?;
    Ok(seconds.map(seconds_from))
}

/// Records one more use by the user.
pub(crate) async fn note(tx: &mut PgConnection, user: UserId, what: Use) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into quota_uses (user_id, what) values ($1, $2)",
        user.0,
        what.as_str()
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The number of the user's trainings that have not ended.
pub(crate) async fn live_trainings(tx: &mut PgConnection, user: UserId) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from trainings
         where user_id = $1 and status not in ('completed', 'failed', 'cancelled')
        "#,
        user.0
    )
    .fetch_one(tx)
    .await
}

/// Lets workers count submits one after the other, until the transaction ends.
pub(crate) async fn lock_submits(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('aisha: submits of a day'))")
        .execute(tx)
        .await?;
    Ok(())
}

/// Time until the account may submit another training, if a day allows `most`. `None`: now. A limit of 0 is none.
pub(crate) async fn submit_wait(tx: &mut PgConnection, most: u32) -> Result<Option<Duration>, sqlx::Error> {
    let Some(others) = most.checked_sub(1) else {
        return Ok(None);
    };
    let seconds = sqlx::query_scalar!(
        r#"
        select extract(epoch from at + interval '1 day' - now())::float8 as "seconds!"
          from quota_uses
         where what = 'submit' and at > now() - interval '1 day'
         order by at desc
        offset $1
         limit 1
        "#,
        i64::from(others),
    )
    .fetch_optional(tx)
    .await?;
    Ok(seconds.map(seconds_from))
}

/// Records once that FAL has or may have this attempt.
pub(crate) async fn note_submit(
    tx: &mut PgConnection,
    user: UserId,
    attempt: Uuid,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        r#"
        insert into quota_uses (user_id, what, attempt_id) values ($1, 'submit', $2)
        on conflict (attempt_id) do nothing
        "#,
        user.0,
        attempt
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes the use back: FAL certainly does not have this attempt.
pub(crate) async fn give_back_submit(tx: &mut PgConnection, attempt: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query!("delete from quota_uses where attempt_id = $1", attempt)
        .execute(tx)
        .await?;
    Ok(())
}

/// Counts the pictures of an album that its user has asked for.
pub(crate) async fn note_pictures(
    tx: &mut PgConnection,
    user: UserId,
    album: AlbumId,
    pictures: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into quota_uses (user_id, what, album_id) select $1, 'picture', $2 from generate_series(1, $3::bigint)",
        user.0,
        album.0,
        pictures
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Takes the uses of pictures back that never came.
pub(crate) async fn give_back_pictures(
    tx: &mut PgConnection,
    album: AlbumId,
    missing: i64,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from quota_uses where id in (select id from quota_uses where album_id = $1 order by id limit $2)",
        album.0,
        missing.max(0)
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// How many more pictures the user may ask for within this day, if a day allows `most`. `None`: there is no limit.
pub(crate) async fn pictures_left(
    tx: &mut PgConnection,
    user: UserId,
    most: u32,
) -> Result<Option<u32>, sqlx::Error> {
    if most == 0 {
        return Ok(None);
    }
    let count = sqlx::query_scalar!(
        r#"
        select count(*) as "count!" from quota_uses
         where user_id = $1 and what = 'picture' and at > now() - interval '1 day'
        "#,
        user.0
    )
    .fetch_one(tx)
    .await?;
    Ok(Some(
        most.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX)),
    ))
}

/// Deletes at most `most` uses that no longer count.
pub(crate) async fn prune(database: &Database, most: u16) -> Result<u64, sqlx::Error> {
    let mut tx = database.begin().await?;
    let pruned = sqlx::query!(
        "delete from quota_uses where id = any (array (
            select id from quota_uses where at < now() - interval '2 days' order by at limit $1))",
        i64::from(most)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(pruned.rows_affected())
}

/// At least one second: a use that is due now is asked for again.
fn seconds_from(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(1.0)).unwrap_or(Duration::from_secs(1))
}
