//! Deletes rows of inbox and outbox that have had their effect. Rows that still wait for it are never touched.

use std::time::Duration;

use queue::database::Database;

use crate::storable;

/// Deletes at most `most` updates that were handled at least `age` ago, lowest ids first. Telegram may repeat an
/// update for a day; until then the row makes a second arrival harmless.
pub(crate) async fn prune_updates(database: &Database, age: Duration, most: u16) -> Result<u64, sqlx::Error> {
    let mut tx = database.begin().await?;
    let pruned = sqlx::query!(
        "delete from telegram_updates where update_id = any (array (
            select update_id from telegram_updates
             where handled_at < now() - make_interval(secs => $1) order by update_id limit $2))",
        storable::delay(age).as_secs_f64(),
        i64::from(most)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(pruned.rows_affected())
}

/// Deletes at most `most` deliveries that arrived and were applied at least `age` ago, oldest first. A delivery that
/// was never applied stays for ever, so that an operator can look at it.
pub(crate) async fn prune_deliveries(
    database: &Database,
    age: Duration,
    most: u16,
) -> Result<u64, sqlx::Error> {
    let mut tx = database.begin().await?;
    let pruned = sqlx::query!(
        "delete from fal_deliveries where id = any (array (
            select id from fal_deliveries
             where received_at < now() - make_interval(secs => $1) and applied_at < now() - make_interval(secs => $1)
             order by id limit $2))",
        storable::delay(age).as_secs_f64(),
        i64::from(most)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(pruned.rows_affected())
}

/// Deletes at most `most` answers of the bot that were settled at least `age` ago. They repeat what their user wrote, names and
/// words. What the bot said of trainings and albums stays with these.
pub(crate) async fn prune_answers(database: &Database, age: Duration, most: u16) -> Result<u64, sqlx::Error> {
    let mut tx = database.begin().await?;
    let pruned = sqlx::query!(
        "delete from notifications where id = any (array (
            select id from notifications
             where kind = 'reply' and closed_at < now() - make_interval(secs => $1)
               and avatar_id is null and training_id is null and album_id is null
             order by closed_at limit $2))",
        storable::delay(age).as_secs_f64(),
        i64::from(most)
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(pruned.rows_affected())
}
