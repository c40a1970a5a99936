//! Telegram's updates on their way in: stored once, in whatever way they come, and whose turn is next.

use std::{sync::Arc, time::Duration};

use queue::database;
use serde_json::Value;
use sqlx::{Connection, PgConnection, postgres::PgListener};
use tracing::{error, warn};

use super::{Producer, ProducerError, Rules, Turn};
use crate::{
    chaos::{Point, reach},
    notifications::{self, Place},
    storable,
    store::{
        updates::{self, NewUpdate},
        users,
    },
    texts::{Message, Phrase},
};

/// An update that fails so often is given up, so that its chat goes on.
const MAX_ATTEMPTS: i32 = 5;

/// What takes milliseconds and is not answered for so long never will be: the connection went silent, as one that a
/// firewall forgot does. It is given up, and the next one is asked. Whoever waited for it would hear nobody any more.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

impl Producer {
    /// Stores one update; answers whether it is new. Once this returns, Telegram may be told that we have it.
    pub async fn accept_telegram_update(&self, update: Value) -> Result<bool, ProducerError> {
        let update = incoming(update).ok_or(ProducerError::NotAnUpdate)?;
        let mut tx = database::begin(&self.pool).await?;
        let new = updates::store(&mut tx, &[update]).await?;
        tx.commit().await?;
        Ok(new == 1)
    }

    /// Stores a batch; answers the highest `update_id` in it. Once this returns, the offset may be moved beyond that.
    pub async fn accept_telegram_updates(&self, batch: Vec<Value>) -> Result<Option<i64>, ProducerError> {
        let count = batch.len();
        let batch: Vec<_> = batch.into_iter().filter_map(incoming).collect();
        if batch.len() < count {
            error!(
                "{} of {count} updates from Telegram have no update_id and are skipped",
                count - batch.len()
            );
        }
        database::within(LONGEST_SILENCE * 2, async {
            let mut tx = database::begin(&self.pool).await?;
            updates::store(&mut tx, &batch).await?;
            tx.commit().await
        })
        .await?;
        reach(Point::UpdatesStored);
        Ok(batch.iter().map(|update| update.update_id).max())
    }

    /// The right to ask Telegram for updates, if nobody else has it: two who poll would only disturb each other.
    pub async fn lead_polling(&self) -> Result<Option<PollingLead>, ProducerError> {
        // A connection of its own: the lock is the session's, and ends with it however we end.
        let mut session = self.pool.acquire().await?.detach();
        let ask = sqlx::query_scalar!(
            r#"select pg_try_advisory_lock(hashtextextended('aisha telegram polling', 0)) as "got!""#
        )
        .fetch_one(&mut session);
        let got = database::within(LONGEST_SILENCE, ask).await?;
        Ok(got.then_some(PollingLead { session }))
    }

    /// Wakes when updates are stored.
    pub async fn update_signal(&self) -> UpdateSignal {
        UpdateSignal {
            listener: listen(&self.pool).await,
            pool: self.pool.clone(),
        }
    }

    /// The next update of some chat. Different chats can be taken at the same time, by any number of processes; of
    /// one chat only one update is out at a time. `after` is the chat that the caller had last: the others come
    /// before it, so that no chat keeps a caller to itself.
    pub async fn next_turn(
        &self,
        rules: &Arc<Rules>,
        after: Option<i64>,
    ) -> Result<Option<Turn>, ProducerError> {
        let mut tx = database::begin(&self.pool).await?;
        let take = updates::take(&mut tx, after.unwrap_or(i64::MIN));
        match database::within(LONGEST_SILENCE * 2, take).await? {
            Some(update) => Ok(Some(Turn::new(tx, update, Arc::clone(rules)))),
            None => Ok(None),
        }
    }

    /// Notes that a turn failed and was rolled back. It will be taken again; after [`MAX_ATTEMPTS`] it is given up
    /// and its sender is told.
    pub async fn turn_failed(&self, update_id: i64, why: &str) -> Result<(), ProducerError> {
        let why = storable::error_text(why);
        let mut tx = database::begin(&self.pool).await?;
        let Some(failed) = updates::failed(&mut tx, update_id, &why, MAX_ATTEMPTS).await? else {
            return Ok(());
        };
        if failed.given_up {
            error!(
                telegram.update_id = update_id,
                "Update {update_id} is given up after {MAX_ATTEMPTS} attempts: {why}"
            );
            if let Some(user) = users::find_by_chat(&mut tx, failed.chat_id).await? {
                let sorry = Message::new(Phrase::Trouble {});
                notifications::reply(&mut tx, user, &format!("update:{update_id}"), &sorry, Place::New)
                    .await?;
            }
        } else {
            warn!(
                telegram.update_id = update_id,
                "Handling update {update_id} failed, it will be tried again: {why}"
            );
        }
        tx.commit().await?;
        Ok(())
    }
}

/// An update as Telegram posts it. Half of a character in some text is no reason to refuse it: Telegram would bring it
/// again and again, and nothing else meanwhile.
pub fn read_update(body: &[u8]) -> Result<Value, serde_json::Error> {
    storable::read_json(body)
}

/// What the inbox needs to know of an update. `None`: it has no `update_id`.
fn incoming(mut body: Value) -> Option<NewUpdate> {
    // One update that cannot be stored must not keep Telegram from handing out the others.
    storable::mend_json(&mut body);
    let update_id = body.get("update_id")?.as_i64()?;
    // An update has its id and one further field: a message, something with a message, or something with a sender,
    // whose private chat has the sender's id.
    let chat_id = body.as_object()?.values().find_map(|content| {
        let paths = ["/chat/id", "/message/chat/id", "/from/id"];
        paths.into_iter().find_map(|path| content.pointer(path)?.as_i64())
    });
    Some(NewUpdate {
        update_id,
        chat_id,
        body,
    })
}

/// The right to poll, for as long as the session behind it lives.
#[derive(Debug)]
pub struct PollingLead {
    session: PgConnection,
}

impl PollingLead {
    /// Whether the session still lives, and so the right.
    pub async fn is_held(&mut self) -> bool {
        database::within(LONGEST_SILENCE, self.session.ping())
            .await
            .is_ok()
    }

    /// Lets somebody else lead at once.
    pub async fn release(self) {
        // A session that does not close in order ends with its socket, only a little later.
        let _ = database::within(LONGEST_SILENCE, self.session.close()).await;
    }
}

/// A wait for stored updates. Behind a pooler that does not pass notifications on, it ends by its limit alone.
#[derive(Debug)]
pub struct UpdateSignal {
    listener: Option<PgListener>,
    pool: sqlx::PgPool,
}

impl UpdateSignal {
    /// Until updates were stored, or `at_most` so long. May wake for nothing.
    pub async fn wait(&mut self, at_most: Duration) {
        let Some(listener) = &mut self.listener else {
            let again = tokio::time::timeout(at_most, std::future::pending::<()>()).await;
            debug_assert!(again.is_err(), "nothing ends the wait but its limit");
            self.listener = listen(&self.pool).await;
            return;
        };
        match tokio::time::timeout(at_most, listener.try_recv()).await {
            // `None`: the connection was lost and is back; what was said meanwhile must be looked for.
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(problem)) => {
                warn!("No wake-ups for Telegram updates until the database answers: {problem}");
                self.listener = None;
            }
        }
    }
}

async fn listen(pool: &sqlx::PgPool) -> Option<PgListener> {
    let mut listener = PgListener::connect_with(pool).await.ok()?;
    let listen = listener.listen(updates::CHANNEL);
    database::within(LONGEST_SILENCE, listen).await.ok()?;
    Some(listener)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_chat_of_an_update_is_found_in_each_kind_that_we_handle() {
        let message =
            json!({"update_id": 1, "message": {"message_id": 5, "chat": {"id": 7}, "from": {"id": 8}}});
        let tap = json!({"update_id": 2, "callback_query": {"id": "x", "from": {"id": 9}, "message": {"chat": {"id": 7}}}});
        let old_tap = json!({"update_id": 3, "callback_query": {"id": "x", "from": {"id": 7}}});
        let blocked = json!({"update_id": 4, "my_chat_member": {"chat": {"id": 7}, "from": {"id": 8}}});
        for update in [message, tap, old_tap, blocked] {
            assert_eq!(
                incoming(update.clone()).expect("an update").chat_id,
                Some(7),
                "{update}"
            );
        }
        assert_eq!(
            incoming(json!({"update_id": 5, "poll": {"id": "p"}}))
                .expect("an update")
                .chat_id,
            None
        );
    }

    #[test]
    fn what_has_no_update_id_is_no_update() {
        for body in [json!({}), json!([]), json!({"update_id": "7"}), json!(null)] {
            assert!(incoming(body).is_none());
        }
    }
}
