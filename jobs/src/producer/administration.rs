//! What administrators (`bot.admins`) see and do in the chat.

use chrono::{DateTime, Utc};
use tracing::{info, warn};
use uuid::Uuid;

use super::{AvatarLine, ProducerError, Turn};
use crate::{
    domain::{Access, SupportCode},
    enqueue::enqueue,
    payloads::Broadcast,
    store::{access, broadcasts, fal_account, statistics, views},
};

/// The state of the whole bot.
#[derive(Debug, Clone)]
pub struct Statistics {
    /// Users in all.
    pub users: u32,
    /// Users who first wrote within a day.
    pub new_users: u32,
    /// Trainings that have not ended.
    pub live: u32,
    /// Trainings that completed within a day.
    pub completed: u32,
    /// Trainings that failed within a day.
    pub failed: u32,
    /// Trainings that were cancelled within a day.
    pub cancelled: u32,
    /// Pictures that were made within a day.
    pub pictures: u32,
    /// Age in seconds of the oldest job that could run and does not.
    pub oldest_job: u32,
    /// Jobs that were given up and not looked at.
    pub dead_jobs: u32,
    /// What FAL said when it refused our account. `None`: it does not.
    pub parked: Option<String>,
}

/// A user as an administrator sees them.
#[derive(Debug, Clone)]
pub struct FoundUser {
    /// Telegram's id.
    pub telegram_id: i64,
    /// The Telegram name without `@`, or else the first name; empty if there is neither.
    pub name: String,
    /// The language of the bot's answers.
    pub language: String,
    /// When they first wrote.
    pub since: DateTime<Utc>,
    /// Whether they may use the bot.
    pub access: Access,
    /// Their avatars, as they see them.
    pub avatars: Vec<AvatarLine>,
}

/// A broadcast, and what became of its messages.
#[derive(Debug, Clone)]
pub struct BroadcastState {
    /// The text that users get.
    pub text: String,
    /// Users who would get it if it were started now.
    pub receivers: u32,
    /// Whether it was confirmed.
    pub is_started: bool,
    /// Whether no more users are written to: it is finished or stopped.
    pub is_over: bool,
    /// Users who have it in their outbox.
    pub written: u32,
    /// Messages that arrived.
    pub delivered: u32,
    /// Messages that are on their way.
    pub waiting: u32,
    /// Messages that were sent again, since Telegram's answer was lost.
    pub unknown: u32,
}

impl Turn {
    /// Whether the sender is an administrator.
    pub fn is_admin(&self) -> bool {
        self.telegram_id.is_some_and(|id| self.rules.admins.contains(&id))
    }

    /// The state of the whole bot.
    pub async fn statistics(&mut self) -> Result<Statistics, ProducerError> {
        let counted = statistics::of_a_day(&mut self.tx).await?;
        let parked = fal_account::parked(&mut self.tx).await?;
        Ok(Statistics {
            users: small(counted.users),
            new_users: small(counted.new_users),
            live: small(counted.live),
            completed: small(counted.completed),
            failed: small(counted.failed),
            cancelled: small(counted.cancelled),
            pictures: small(counted.pictures),
            oldest_job: small(counted.oldest_job),
            dead_jobs: small(counted.dead_jobs),
            parked: parked.map(|parked| parked.reason),
        })
    }

    /// The user whom these words name: a Telegram id, a Telegram name, an id of ours, or the support code that they read out.
    /// `None`: there is none.
    pub async fn find_user(&mut self, words: &str) -> Result<Option<FoundUser>, ProducerError> {
        let words = words.trim();
        let name = words.strip_prefix('@').unwrap_or(words);
        let (telegram_id, id) = (words.parse().ok(), words.parse::<Uuid>().ok());
        let named = access::find_user(&mut self.tx, telegram_id, name, id).await?;
        // After names and numbers: one of eight letters or digits may look like a code.
        let found = match (named, words.parse::<SupportCode>()) {
            (None, Ok(code)) => self.with_support_code(code).await?,
            (named, _) => named,
        };
        let Some(found) = found else { return Ok(None) };
        let avatars = views::avatars_of(&mut self.tx, found.id, None).await?;
        Ok(Some(FoundUser {
            telegram_id: found.telegram_id,
            name: found.name,
            language: found.language,
            since: found.created_at,
            access: self.rules.access(found.telegram_id, found.listed),
            avatars: avatars.iter().map(AvatarLine::from).collect(),
        }))
    }

    /// The user of the row or the update that has this code.
    async fn with_support_code(
        &mut self,
        code: SupportCode,
    ) -> Result<Option<access::UserRow>, ProducerError> {
        let (first, last) = code.ids();
        for row in views::with_ids(&mut self.tx, first, last).await? {
            let owner = access::find_user(&mut self.tx, None, "", Some(row.id)).await?;
            if owner.is_some() {
                return Ok(owner);
            }
        }
        let update = views::update(&mut self.tx, code.update_id()).await?;
        let Some(chat) = update.and_then(|update| update.chat_id) else {
            return Ok(None);
        };
        Ok(access::find_user(&mut self.tx, Some(chat), "", None).await?)
    }

    /// Lets a Telegram user in, or keeps them out. Returns what holds for them now: the configuration wins.
    pub async fn set_access(&mut self, telegram_id: i64, is_allowed: bool) -> Result<Access, ProducerError> {
        let by = self.telegram_id.ok_or(ProducerError::NoSender)?;
        access::set(&mut self.tx, telegram_id, is_allowed, by).await?;
        let word = if is_allowed { "allowed" } else { "blocked" };
        info!("Administrator {by} {word} Telegram user {telegram_id}");
        Ok(self.rules.access(telegram_id, Some(is_allowed)))
    }

    /// Keeps a text for everybody until it is confirmed. Returns its id.
    pub async fn prepare_broadcast(&mut self, text: &str) -> Result<Uuid, ProducerError> {
        let by = self.telegram_id.ok_or(ProducerError::NoSender)?;
        Ok(broadcasts::create(&mut self.tx, by, text).await?)
    }

    /// Sends it to everybody. Of two taps one starts it.
    pub async fn start_broadcast(&mut self, id: Uuid) -> Result<bool, ProducerError> {
        let is_started = broadcasts::start(&mut self.tx, id).await?;
        if is_started {
            enqueue(&mut self.tx, &Broadcast::new(id)).await?;
            let by = self.telegram_id.unwrap_or_default();
            warn!("Administrator {by} sends broadcast {id} to everybody");
        }
        Ok(is_started)
    }

    /// Stops it: what was not begun to be sent is not sent.
    pub async fn stop_broadcast(&mut self, id: Uuid) -> Result<bool, ProducerError> {
        Ok(broadcasts::stop(&mut self.tx, id).await?)
    }

    /// How it stands. `None`: there is none.
    pub async fn broadcast(&mut self, id: Uuid) -> Result<Option<BroadcastState>, ProducerError> {
        let Some(found) = broadcasts::find(&mut self.tx, id).await? else {
            return Ok(None);
        };
        Ok(Some(BroadcastState {
            text: found.text,
            receivers: small(broadcasts::receivers(&mut self.tx).await?),
            is_started: found.is_started,
            is_over: found.is_finished || found.is_stopped,
            written: small(found.written),
            delivered: small(found.delivered),
            waiting: small(found.waiting),
            unknown: small(found.unknown),
        }))
    }
}

fn small(count: i64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
