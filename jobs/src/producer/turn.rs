//! One update being handled, and the transaction of all its effects.
//!
//! The shell decides what an update means and calls the intents (`drafts.rs`, `request_training.rs`, `status.rs`);
//! it never sees SQL. Nothing here talks to Telegram: answers are outbox rows, so that they are as durable as what
//! they speak of. Dropping a turn undoes it.

use std::sync::Arc;

use serde_json::Value;
use sqlx::{Postgres, Transaction};

use super::{ProducerError, Rules};
use crate::{
    chaos::{Point, reach},
    domain::UserId,
    notifications::{self, Place},
    store::{notifications as outbox, updates, users},
    texts::{Locale, Message},
};

/// An update and the transaction of its effects.
pub struct Turn {
    pub(super) tx: Transaction<'static, Postgres>,
    pub(super) rules: Arc<Rules>,
    update_id: i64,
    body: Value,
    user: Option<UserId>,
    replies: u32,
}

/// Who sent an update.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Telegram's user id, which is the private chat's id as well.
    pub telegram_id: i64,
    /// Without `@`.
    pub username: Option<String>,
    /// As they call themselves.
    pub first_name: String,
    /// `None` when the client did not say.
    pub locale: Option<Locale>,
}

impl Turn {
    pub(super) fn new(
        tx: Transaction<'static, Postgres>,
        update: updates::Stored,
        rules: Arc<Rules>,
    ) -> Self {
        Self {
            tx,
            rules,
            update_id: update.update_id,
            body: update.body,
            user: None,
            replies: 0,
        }
    }

    /// Telegram's id of the update.
    pub const fn update_id(&self) -> i64 {
        self.update_id
    }

    /// The update as it came.
    pub const fn body(&self) -> &Value {
        &self.body
    }

    /// What the wizard goes by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Notes who is speaking; every intent acts for them. Who was away hears how their trainings ended meanwhile.
    pub async fn sender(&mut self, sender: &Sender) -> Result<(), ProducerError> {
        let seen = users::Seen {
            telegram_id: sender.telegram_id,
            username: sender.username.as_deref(),
            first_name: &sender.first_name,
            locale: sender.locale,
        };
        let known = users::seen(&mut self.tx, &seen).await?;
        if known.was_unreachable {
            notifications::resume_finals(&mut self.tx, known.id).await?;
        }
        self.user = Some(known.id);
        Ok(())
    }

    /// The user blocked the bot or deleted the chat: nothing more is sent until they come back.
    pub async fn sender_left(&mut self, telegram_id: i64) -> Result<(), ProducerError> {
        if let Some(user) = users::left(&mut self.tx, telegram_id).await? {
            outbox::close_all(&mut self.tx, user).await?;
        }
        Ok(())
    }

    pub(super) fn user(&self) -> Result<UserId, ProducerError> {
        self.user.ok_or(ProducerError::NoSender)
    }

    /// Answers the user. Several answers of one update come in the order of these calls.
    pub async fn reply(&mut self, message: &Message, place: Place) -> Result<(), ProducerError> {
        let key = match self.replies {
            0 => format!("update:{}", self.update_id),
            more => format!("update:{}:{more}", self.update_id),
        };
        self.replies += 1;
        self.reply_as(&key, message, place).await
    }

    /// Answers several updates of one sort together: only the first with this `subject` is answered.
    pub async fn reply_once(&mut self, subject: &str, message: &Message) -> Result<(), ProducerError> {
        let key = format!("{subject}:{}", self.user()?);
        self.reply_as(&key, message, Place::New).await
    }

    async fn reply_as(&mut self, key: &str, message: &Message, place: Place) -> Result<(), ProducerError> {
        let user = self.user()?;
        notifications::reply(&mut self.tx, user, key, message, place).await?;
        Ok(())
    }

    /// Commits everything, and that the update is handled.
    pub async fn finish(mut self) -> Result<(), ProducerError> {
        updates::handled(&mut self.tx, self.update_id, None).await?;
        reach(Point::TurnBeforeCommit);
        self.tx.commit().await?;
        Ok(())
    }

    /// Commits that the update cannot be read and is left at that.
    pub async fn finish_unreadable(mut self, why: &str) -> Result<(), ProducerError> {
        updates::handled(&mut self.tx, self.update_id, Some(why)).await?;
        self.tx.commit().await?;
        Ok(())
    }
}
