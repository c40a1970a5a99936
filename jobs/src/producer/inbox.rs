//! Accepts Telegram's updates, each stored once however it comes, and hands them to turns.

use std::{sync::Arc, time::Duration};

use queue::database::{self, Database};
use serde_json::Value;
use sqlx::{Connection, PgConnection, postgres::PgListener};
use tracing::{error, warn};

use super::{Producer, ProducerError, Rules, Turn};
use crate::{
    chaos::{Point, reach},
    domain::SupportCode,
    notifications::{self, Place},
    storable,
    store::{
        updates::{self, NewUpdate},
        users,
    },
    texts::{Message, Phrase},
};

/// Attempts at an update before it is given up, so that its chat can go on.
const MAX_ATTEMPTS: i32 = 5;

/// Statements here take milliseconds. One without an answer for this long never gets one: its connection went silent,
/// as when a firewall forgets it. The connection is then given up, or its caller would wait for ever.
const LONGEST_SILENCE: Duration = Duration::from_secs(5);

impl Producer {
    /// Stores one update. Returns whether it is new. Once this returns, it may be acknowledged to Telegram.
    pub async fn accept_telegram_update(&self, update: Value) -> Result<bool, ProducerError> {
        let update = incoming(update).ok_or(ProducerError::NotAnUpdate)?;
        let mut tx = self.database.begin().await?;
        let new = updates::store(&mut tx, &[update]).await?;
        tx.commit().await?;
        Ok(new == 1)
    }

    /// Stores a batch. Returns its highest `update_id`. Once this returns, the offset may be moved beyond that.
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
            let mut tx = self.database.begin().await?;
            updates::store(&mut tx, &batch).await?;
            tx.commit().await
        })
        .await?;
        reach(Point::UpdatesStored);
        Ok(batch.iter().map(|update| update.update_id).max())
    }

    /// The right to ask Telegram for updates. `None`: another process has it; two
    /// that poll would only disturb each other.
    pub async fn lead_polling(&self) -> Result<Option<PollingLead>, ProducerError> {
        // A connection of its own: the lock belongs to the session, and ends with it even if this process dies.
        let mut session = self.database.session().await?.detach();
        let ask = sqlx::query_scalar!(
            r#"select pg_try_advisory_lock(hashtextextended('aisha telegram polling', 0)) as "got!""#
        )
        .fetch_one(&mut session);
        let got = database::within(LONGEST_SILENCE, ask).await?;
        Ok(got.then_some(PollingLead { session }))
    }

    /// A signal that wakes when updates are stored.
    pub async fn update_signal(&self) -> UpdateSignal {
        UpdateSignal {
            listener: listen(&self.database).await,
            database: self.database.clone(),
        }
    }

    /// The next update of some chat. Any number of processes can take updates of different chats at once, but only
    /// one update of a chat is taken at a time. `after` is the chat that the caller had last: other chats come
    /// first, so that no chat occupies a caller.
    pub async fn next_turn(
        &self,
        rules: &Arc<Rules>,
        after: Option<i64>,
    ) -> Result<Option<Turn>, ProducerError> {
        let mut tx = self.database.begin().await?;
        let take = updates::take(&mut tx, after.unwrap_or(i64::MIN));
        match database::within(LONGEST_SILENCE * 2, take).await? {
            Some(update) => Ok(Some(Turn::new(tx, update, Arc::clone(rules)))),
            None => Ok(None),
        }
    }

    /// Records that a turn failed and was rolled back. The update is taken again; after [`MAX_ATTEMPTS`]
    /// it is given up, and its sender is told.
    pub async fn turn_failed(&self, update_id: i64, why: &str) -> Result<(), ProducerError> {
        let why = storable::error_text(why);
        let mut tx = self.database.begin().await?;
        let Some(failed) = updates::failed(&mut tx, update_id, &why, MAX_ATTEMPTS).await? else {
            return Ok(());
        };
        if failed.given_up {
            error!(
                telegram.update_id = update_id,
                "Update {update_id} is given up after {MAX_ATTEMPTS} attempts: {why}"
            );
            if let Some(user) = users::find_by_chat(&mut tx, failed.chat_id).await? {
                let mut sorry = Message::new(Phrase::Trouble {});
                if let Some(code) = SupportCode::of_update(update_id) {
                    let reference = code.to_string();
                    sorry = sorry.and(Phrase::SupportCode { reference });
                }
                let key = format!("update:{update_id}");
                notifications::reply(&mut tx, user, &key, &sorry, Place::New, None).await?;
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

/// Reads an update that Telegram posts. Half of a surrogate pair in a text is no reason to refuse it: Telegram would
/// send the update again and again, and nothing else meanwhile.
pub fn read_update(body: &[u8]) -> Result<Value, serde_json::Error> {
    storable::read_json(body)
}

/// The fields that the inbox needs. `None`: there is no `update_id`.
fn incoming(mut body: Value) -> Option<NewUpdate> {
    // One update that Postgres cannot store must not keep Telegram from sending the others.
    storable::mend_json(&mut body);
    let update_id = body.get("update_id")?.as_i64()?;
    // An update has its id and one other field: a message, something with a message, or something with a sender,
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

/// The right to poll, for as long as its database session lives.
#[derive(Debug)]
pub struct PollingLead {
    session: PgConnection,
}

impl PollingLead {
    /// Whether the session, and so the right, still exists.
    pub async fn is_held(&mut self) -> bool {
        database::within(LONGEST_SILENCE, self.session.ping())
            .await
            .is_ok()
    }

    /// Lets another process poll at once.
    pub async fn release(self) {
        // If the session does not close in order, it ends with its socket, only a little later.
        let _ = database::within(LONGEST_SILENCE, self.session.close()).await;
    }
}

/// Waits for stored updates. Behind a pooler that passes no notifications on, each wait lasts for its limit.
#[derive(Debug)]
pub struct UpdateSignal {
    listener: Option<PgListener>,
    database: Database,
}

impl UpdateSignal {
    /// Waits until updates are stored, but at most `at_most`. May return without a new update.
    pub async fn wait(&mut self, at_most: Duration) {
        let Some(listener) = &mut self.listener else {
            let again = tokio::time::timeout(at_most, std::future::pending::<()>()).await;
            debug_assert!(again.is_err(), "nothing ends the wait but its limit");
            self.listener = listen(&self.database).await;
            return;
        };
        match tokio::time::timeout(at_most, listener.try_recv()).await {
            // `None`: the connection was lost and is back. Notifications may have been missed, so look for updates.
            Ok(Ok(_)) | Err(_) => {}
            Ok(Err(problem)) => {
                warn!("No wake-ups for Telegram updates until the database answers: {problem}");
                self.listener = None;
            }
        }
    }
}

async fn listen(database: &Database) -> Option<PgListener> {
    let listener = database.listen(updates::CHANNEL);
    database::within(LONGEST_SILENCE, listener).await.ok()
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
