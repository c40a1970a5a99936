//! One update that is being handled, and the transaction of all its effects.
//!
//! The bot decides what an update means and calls the methods of `drafts.rs`, `request_training.rs` and `status.rs`;
//! it never sees SQL. Nothing here talks to Telegram: answers are outbox rows, so that they are as durable as the
//! changes that they report. Dropping a turn undoes it.

use std::{sync::Arc, time::Duration};

use queue::database;
use serde_json::Value;
use sqlx::{Postgres, Transaction};
use tracing::warn;

use super::{ProducerError, Rules};
use crate::{
    chaos::{Point, reach},
    domain::{Access, OpenQuestion, UserId},
    notifications::{self, Place},
    store::{notifications as outbox, updates, users},
    texts::{Locale, Message},
};

/// How long the server may take to confirm a rollback.
const ROLLBACK: Duration = Duration::from_secs(5);

/// An update and the transaction of its effects.
pub struct Turn {
    pub(super) tx: Transaction<'static, Postgres>,
    pub(super) rules: Arc<Rules>,
    update_id: i64,
    chat_id: Option<i64>,
    body: String,
    user: Option<UserId>,
    pub(super) telegram_id: Option<i64>,
    is_leaving: bool,
    listed: Option<bool>,
    question: Option<OpenQuestion>,
    replies: u32,
    pub(super) message: Option<UserMessage>,
}

/// The message in which an update came.
#[derive(Debug, Clone)]
pub(super) struct UserMessage {
    /// Telegram's id, in the private chat.
    pub id: i64,
    /// Shared by the messages of one album. `None`: it came alone.
    pub album: Option<String>,
}

/// The user who sent an update, as the update says.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Telegram's user id, which is also the id of the private chat.
    pub telegram_id: i64,
    /// The Telegram name, without `@`. `None`: the user has none.
    pub username: Option<String>,
    /// The user's first name at Telegram.
    pub first_name: String,
    /// The language of the user's client. `None`: unknown.
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
            chat_id: update.chat_id,
            body: update.body,
            user: None,
            telegram_id: None,
            is_leaving: false,
            listed: None,
            question: None,
            replies: 0,
            message: None,
        }
    }

    /// Telegram's id of the update.
    pub const fn update_id(&self) -> i64 {
        self.update_id
    }

    /// The chat whose order it belongs to. `None`: none.
    pub const fn chat_id(&self) -> Option<i64> {
        self.chat_id
    }

    /// The update as it came, or why it cannot be read.
    pub fn body(&self) -> Result<Value, serde_json::Error> {
        serde_json::from_str(&self.body)
    }

    /// The limits and defaults of the wizard.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Records the sender; every later call acts for them. If final messages could not reach them before, those are
    /// queued again. Returns their language.
    pub async fn sender(&mut self, sender: &Sender) -> Result<Locale, ProducerError> {
        let seen = users::SeenUser {
            telegram_id: sender.telegram_id,
            username: sender.username.as_deref(),
            first_name: &sender.first_name,
            locale: sender.locale,
        };
        let known = users::seen(&mut self.tx, &seen).await?;
        notifications::resume_finals(&mut self.tx, known.id).await?;
        self.user = Some(known.id);
        self.telegram_id = Some(sender.telegram_id);
        self.question = known.question();
        self.is_leaving = known.is_leaving;
        self.listed = known.listed;
        Ok(Locale::from_code(&known.language))
    }

    /// The question that a text of the sender answers. `None`: the wizard's, if any.
    pub const fn question(&self) -> Option<OpenQuestion> {
        self.question
    }

    /// Asks a question that the sender's next text answers.
    pub(super) async fn ask(&mut self, question: OpenQuestion) -> Result<(), ProducerError> {
        let user = self.user()?;
        users::ask(&mut self.tx, user, Some(question)).await?;
        self.question = Some(question);
        Ok(())
    }

    /// The open question was answered or left. Returns it.
    pub async fn end_question(&mut self) -> Result<Option<OpenQuestion>, ProducerError> {
        let user = self.user()?;
        let question = self.question.take();
        if question.is_some() {
            users::ask(&mut self.tx, user, None).await?;
        }
        Ok(question)
    }

    /// The update is a new message of the sender, part of an album or alone. Answers can reply to it, and the photo card
    /// comes below it.
    pub async fn message(&mut self, id: i64, album: Option<&str>) -> Result<(), ProducerError> {
        let user = self.user()?;
        outbox::noticed(&mut self.tx, user, id).await?;
        self.message = Some(UserMessage {
            id,
            album: album.map(ToOwned::to_owned),
        });
        Ok(())
    }

    /// Whether the sender may use the bot.
    pub fn access(&self) -> Result<Access, ProducerError> {
        let telegram_id = self.telegram_id.ok_or(ProducerError::NoSender)?;
        if self.is_leaving {
            return Ok(Access::Leaving);
        }
        Ok(self.rules.access(telegram_id, self.listed))
    }

    /// The user chose a language. Answers of this update, and all that is not sent yet, are in it.
    pub async fn speak(&mut self, locale: Locale) -> Result<(), ProducerError> {
        let user = self.user()?;
        Ok(users::speak(&mut self.tx, user, locale).await?)
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

    /// Answers the user. The answers of one update are sent in the order of these calls.
    pub async fn reply(&mut self, message: &Message, place: Place) -> Result<(), ProducerError> {
        let key = match self.replies {
            0 => format!("update:{}", self.update_id),
            more => format!("update:{}:{more}", self.update_id),
        };
        self.replies += 1;
        self.reply_as(&key, message, place).await
    }

    /// Answers several updates once: only the first with this `subject` gets an answer.
    pub async fn reply_once(&mut self, subject: &str, message: &Message) -> Result<(), ProducerError> {
        let key = format!("{subject}:{}", self.user()?);
        self.reply_as(&key, message, Place::New).await
    }

    /// As [`Turn::reply_once`], as a reply to the message of this update. The photo card comes below the answer.
    pub async fn answer_message(&mut self, subject: &str, message: &Message) -> Result<(), ProducerError> {
        let user = self.user()?;
        let reply_to = self.message.as_ref().map(|message| message.id);
        let key = format!("{subject}:{user}");
        notifications::reply(&mut self.tx, user, &key, message, Place::New, reply_to).await?;
        if let Some(draft) = self.draft().await? {
            notifications::keep_card_in_view(&mut self.tx, user, draft.id).await?;
        }
        Ok(())
    }

    /// Answers all updates of a day once: only the first with this `subject` gets an answer.
    pub async fn reply_once_a_day(&mut self, subject: &str, message: &Message) -> Result<(), ProducerError> {
        let today = database::now(&mut self.tx).await?.date_naive();
        let key = format!("{subject}:{}:{today}", self.user()?);
        self.reply_as(&key, message, Place::New).await
    }

    async fn reply_as(&mut self, key: &str, message: &Message, place: Place) -> Result<(), ProducerError> {
        let user = self.user()?;
        notifications::reply(&mut self.tx, user, key, message, place, None).await?;
        Ok(())
    }

    /// Commits all effects, and marks the update as handled.
    pub async fn finish(mut self) -> Result<(), ProducerError> {
        updates::handled(&mut self.tx, self.update_id, None).await?;
        reach(Point::TurnBeforeCommit);
        self.tx.commit().await?;
        Ok(())
    }

    /// Commits all effects, and stores which part of the update was not understood.
    pub async fn finish_noting(mut self, not_understood: &str) -> Result<(), ProducerError> {
        updates::handled(&mut self.tx, self.update_id, Some(not_understood)).await?;
        reach(Point::TurnBeforeCommit);
        self.tx.commit().await?;
        Ok(())
    }

    /// Rolls everything back, and returns when the locks of this turn are gone.
    pub async fn abandon(self) {
        let update_id = self.update_id;
        if let Err(problem) = database::within(ROLLBACK, self.tx.rollback()).await {
            // The connection is broken or silent; when it closes, the server rolls back.
            warn!(
                telegram.update_id = update_id,
                "The turn of update {update_id} was not rolled back in order: {problem}"
            );
        }
    }
}
