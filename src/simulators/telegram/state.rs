//! The whole state of the simulator, behind [`Core`](super::core::Core)'s one lock.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::Value;

use super::TelegramSimulatorConfig;
use super::callbacks::Callbacks;
use super::chats::{Chat, Message, User};
use super::faults::Faults;
use super::files::Files;
use super::ledger::Ledger;
use super::refusal::{Known, Refusal};
use super::updates::{Change, Updates};
use super::webhook::{Delivery, Webhook};

pub(super) struct State {
    pub clock: Clock,
    pub bot: User,
    /// By user id, which is the chat id of a private chat.
    pub chats: BTreeMap<i64, Chat>,
    /// One counter for all chats, as the real server has for each account.
    pub last_message_id: i64,
    pub last_media_group: u64,
    /// The highest id given to a person who did not choose one.
    pub last_person: i64,
    pub updates: Updates,
    pub webhook: Option<Webhook>,
    /// Every attempt at sending an update to the webhook, in order.
    pub deliveries: Vec<Delivery>,
    pub files: Files,
    pub callbacks: Callbacks,
    /// Menus of `setMyCommands`, by scope and language.
    pub commands: BTreeMap<String, Value>,
    /// Texts of `setMyDescription` and `setMyShortDescription`, by field and language: `description ru`.
    pub descriptions: BTreeMap<String, String>,
    pub faults: Faults,
    pub ledger: Ledger,
    /// Chats that may have changed since the journal was last written.
    pub touched: BTreeSet<i64>,
}

/// Changes that are to be written to the journal.
pub(super) struct Changes {
    /// Changed chats, each with its changed messages.
    pub chats: Vec<(i64, BTreeSet<i64>)>,
    pub updates: Vec<Change>,
    pub files: Vec<String>,
}

/// The wall clock with an offset, which a test moves instead of waiting for 48 hours.
#[derive(Default)]
pub(super) struct Clock {
    ahead_seconds: i64,
}

impl Clock {
    /// The present time in unix seconds.
    pub fn now(&self) -> i64 {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(wall.as_secs())
            .unwrap_or(i64::MAX)
            .saturating_add(self.ahead_seconds)
    }

    pub fn advance(&mut self, seconds: i64) {
        self.ahead_seconds = self.ahead_seconds.saturating_add(seconds);
    }
}

impl State {
    pub fn new(config: &TelegramSimulatorConfig) -> Self {
        let above = config.memory.first_ids();
        let above_signed = i64::try_from(above).unwrap_or_default();
        let id = config.token.as_deref().and_then(bot_id).unwrap_or(7_000_000_001);
        let bot = User {
            id,
            is_bot: true,
            first_name: config.bot_name.clone(),
            last_name: None,
            username: Some(config.bot_username.clone()),
            language_code: None,
        };
        Self {
            clock: Clock::default(),
            bot,
            chats: BTreeMap::new(),
            last_message_id: above_signed,
            last_media_group: 13_000_000_000_000_000 + above,
            last_person: 5_000_000 + above_signed,
            updates: Updates::new(above),
            webhook: None,
            deliveries: Vec::new(),
            files: Files::default(),
            callbacks: Callbacks::new(above),
            commands: BTreeMap::new(),
            descriptions: BTreeMap::new(),
            faults: Faults::default(),
            ledger: Ledger::default(),
            touched: BTreeSet::new(),
        }
    }

    /// Checks a token. If any token is allowed, the bot's id becomes the number in it.
    pub fn authorise(&mut self, token: &str, configured: Option<&str>) -> Result<(), Refusal> {
        let Some(id) = bot_id(token) else {
            return Err(Refusal {
                code: 401,
                description: "Unauthorized: invalid token specified".to_owned(),
                parameters: None,
            });
        };
        if configured.is_some_and(|configured| configured != token) {
            return Err(Known::Unauthorized.into());
        }
        self.bot.id = id;
        Ok(())
    }

    /// The chat that a `chat_id` parameter names.
    pub fn chat(&mut self, chat_id: &str) -> Result<&mut Chat, Refusal> {
        if chat_id.is_empty() {
            return Err(Refusal::bad_request("chat_id is empty"));
        }
        let id = chat_id.parse::<i64>().ok();
        Ok(id.and_then(|id| self.chat_of(id)).ok_or(Known::ChatNotFound)?)
    }

    /// The chat of this person, which the caller may change.
    pub fn chat_of(&mut self, id: i64) -> Option<&mut Chat> {
        self.touched.insert(id);
        self.chats.get_mut(&id)
    }

    pub fn take_changes(&mut self) -> Changes {
        let touched = std::mem::take(&mut self.touched);
        let of_chat = |id| {
            let chat = self.chats.get_mut(&id)?;
            Some((id, std::mem::take(&mut chat.changed)))
        };
        Changes {
            chats: touched.into_iter().filter_map(of_chat).collect(),
            updates: std::mem::take(&mut self.updates.changes),
            files: std::mem::take(&mut self.files.added),
        }
    }

    /// Stores a message with the next id and the present time, and returns that id.
    pub fn post(&mut self, chat_id: i64, mut message: Message) -> i64 {
        self.last_message_id += 1;
        message.id = self.last_message_id;
        message.date = self.clock.now();
        if let Some(chat) = self.chat_of(chat_id) {
            chat.changed.insert(message.id);
            chat.messages.insert(message.id, message);
        }
        self.last_message_id
    }

    /// The command menu a person sees: the menu of private chats before the general one, their language
    /// before any.
    pub fn commands_for(&self, language: Option<&str>) -> Value {
        let scopes = [r#"{"type":"all_private_chats"}"#, r#"{"type":"default"}"#];
        let languages = [language.unwrap_or_default(), ""];
        let mut menus = scopes
            .iter()
            .flat_map(|scope| languages.map(|language| format!("{scope} {language}")));
        menus
            .find_map(|menu| self.commands.get(&menu))
            .cloned()
            .unwrap_or_default()
    }

    /// The description a person sees before the first message: in their language, or else the one for all.
    pub fn description_for(&self, language: Option<&str>) -> Option<String> {
        let languages = [language.unwrap_or_default(), ""];
        let mut keys = languages.iter().map(|language| format!("description {language}"));
        keys.find_map(|key| self.descriptions.get(&key)).cloned()
    }

    pub fn next_media_group(&mut self) -> String {
        self.last_media_group += 1;
        self.last_media_group.to_string()
    }
}

/// The number before the colon, if the token is well formed.
fn bot_id(token: &str) -> Option<i64> {
    let (id, secret) = token.split_once(':')?;
    let well_formed = token.len() <= 80 && !secret.is_empty() && !id.starts_with('0');
    id.parse().ok().filter(|id| well_formed && *id > 0)
}
