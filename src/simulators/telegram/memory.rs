//! The state that outlives the process: people, chats, files, unconfirmed updates, and the counters of all
//! ids.
//!
//! Forgotten are the ledger, scripted faults, unanswered presses (Telegram forgets those after 15 s as well),
//! and the paths that `getFile` returned.
//!
//! A bot stores ids: it treats an update whose id it has seen as a repetition, edits a message by its id, and
//! knows a person by their id. So one database must never get the same id twice. The counters are therefore
//! part of the journal, and they start from the clock, above any id of an earlier run.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chats::{Chat, Message, User};
use super::files::{KeptFile, StoredFile};
use super::state::State;
use super::updates::{Change, KeptUpdate};
use super::webhook::KeptWebhook;
use super::{StartError, TelegramSimulatorConfig};
use crate::simulators::journal::Journal;

/// 2026-01-01T00:00:00Z. Ids count from here, so that they stay below 2³¹ for ten years.
const BEGINNING: u64 = 1_767_225_600;
/// An id can come again only if an earlier run gave out more ids per second of its life than this.
const IDS_PER_SECOND: u64 = 4;

/// What a simulator keeps from one run to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Memory {
    /// Nothing, and ids begin at the same numbers each time: for a database that is created together with it.
    #[default]
    None,
    /// Nothing, but ids are higher than those of any earlier run: for a database that outlives the simulator.
    Ids,
    /// Everything, in this directory, which is created if missing.
    Directory(PathBuf),
}

impl Memory {
    /// The number added to the lowest ids, so that they are above those of earlier runs.
    pub(super) fn first_ids(&self) -> u64 {
        if *self == Self::None {
            return 0;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        now.as_secs()
            .saturating_sub(BEGINNING)
            .saturating_mul(IDS_PER_SECOND)
    }
}

/// One line of the journal.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Record {
    Rest(Rest),
    Person(Person),
    Message { chat_id: i64, message: Message },
    Update(KeptUpdate),
    Confirmed { key: u64 },
    File { id: String, file: KeptFile },
}

/// All small values in one record, written again whenever one of them changes.
#[derive(Serialize, Deserialize)]
struct Rest {
    bot_id: i64,
    last_person: i64,
    last_message: i64,
    last_media_group: u64,
    next_update: i64,
    next_update_key: u64,
    next_press: u64,
    allowed_updates: Option<Vec<String>>,
    webhook: Option<KeptWebhook>,
    commands: std::collections::BTreeMap<String, Value>,
    /// Missing in journals from before the simulator had it.
    #[serde(default)]
    descriptions: std::collections::BTreeMap<String, String>,
}

/// The record of a chat, without its messages.
#[derive(Serialize, Deserialize)]
struct Person {
    user: User,
    started: bool,
    blocked: bool,
    deactivated: bool,
    keyboard: Option<Value>,
}

impl Person {
    fn of(chat: &Chat) -> Self {
        Self {
            user: chat.user.clone(),
            started: chat.started,
            blocked: chat.blocked,
            deactivated: chat.deactivated,
            keyboard: chat.keyboard.clone(),
        }
    }
}

/// Writes changes to the journal.
pub(super) struct Keeper {
    journal: Journal,
    /// The last [`Rest`] in the journal, as JSON: it is written again only when it differs.
    rest: String,
}

/// The state at the start, with the keeper that writes later changes to the journal.
pub(super) fn recall(config: &TelegramSimulatorConfig) -> Result<(State, Option<Keeper>), StartError> {
    let mut state = State::new(config);
    let Memory::Directory(directory) = &config.memory else {
        return Ok((state, None));
    };
    let (journal, known) = Journal::open(directory)?;
    for record in known {
        state.remember(record, &journal);
    }
    state.take_changes();
    let rest = state.rest();
    let last_rest = serde_json::to_string(&rest).unwrap_or_default();
    let mut all = vec![Record::Rest(rest)];
    for (id, file) in state.files.all() {
        let file = file.kept(journal.store(&file.bytes));
        all.push(Record::File { id: id.clone(), file });
    }
    for chat in state.chats.values() {
        all.push(Record::Person(Person::of(chat)));
        all.extend(chat.messages.values().map(|message| Record::Message {
            chat_id: chat.user.id,
            message: message.clone(),
        }));
    }
    let waiting = state.updates.queue.iter();
    all.extend(waiting.map(|pending| Record::Update(pending.kept())));
    journal.rewrite(all.into_iter())?;
    let keeper = Keeper {
        journal,
        rest: last_rest,
    };
    Ok((state, Some(keeper)))
}

impl Keeper {
    /// Writes down what changed since the last call.
    pub fn note(&mut self, state: &mut State) {
        let changes = state.take_changes();
        for id in &changes.files {
            if let Some(file) = state.files.get(id) {
                let file = file.kept(self.journal.store(&file.bytes));
                self.journal.append(&Record::File { id: id.clone(), file });
            }
        }
        for (chat_id, messages) in &changes.chats {
            let Some(chat) = state.chats.get(chat_id) else {
                continue;
            };
            self.journal.append(&Record::Person(Person::of(chat)));
            for message in messages.iter().filter_map(|id| chat.messages.get(id)) {
                self.journal.append(&Record::Message {
                    chat_id: *chat_id,
                    message: message.clone(),
                });
            }
        }
        for change in changes.updates {
            self.journal.append(&match change {
                Change::Queued(update) => Record::Update(update),
                Change::Left(key) => Record::Confirmed { key },
            });
        }
        let rest = state.rest();
        let written = serde_json::to_string(&rest).unwrap_or_default();
        if written != self.rest {
            self.journal.append(&Record::Rest(rest));
            self.rest = written;
        }
    }
}

impl State {
    fn rest(&self) -> Rest {
        Rest {
            bot_id: self.bot.id,
            last_person: self.last_person,
            last_message: self.last_message_id,
            last_media_group: self.last_media_group,
            next_update: self.updates.next_id,
            next_update_key: self.updates.next_key,
            next_press: self.callbacks.next,
            allowed_updates: self.updates.allowed.clone(),
            webhook: self.webhook.as_ref().map(super::webhook::Webhook::kept),
            commands: self.commands.clone(),
            descriptions: self.descriptions.clone(),
        }
    }

    /// Counters only rise, since the clock may be ahead of the journal.
    fn remember(&mut self, record: Record, journal: &Journal) {
        match record {
            Record::Rest(rest) => {
                self.bot.id = rest.bot_id;
                self.last_person = self.last_person.max(rest.last_person);
                self.last_message_id = self.last_message_id.max(rest.last_message);
                self.last_media_group = self.last_media_group.max(rest.last_media_group);
                self.updates.next_id = self.updates.next_id.max(rest.next_update);
                self.updates.next_key = self.updates.next_key.max(rest.next_update_key);
                self.callbacks.next = self.callbacks.next.max(rest.next_press);
                self.updates.allowed = rest.allowed_updates;
                self.webhook = rest.webhook.and_then(KeptWebhook::again);
                self.commands = rest.commands;
                self.descriptions = rest.descriptions;
            }
            Record::Person(person) => {
                let chat = self
                    .chats
                    .entry(person.user.id)
                    .or_insert_with(|| Chat::new(person.user.clone()));
                chat.user = person.user;
                chat.started = person.started;
                chat.blocked = person.blocked;
                chat.deactivated = person.deactivated;
                chat.keyboard = person.keyboard;
            }
            Record::Message { chat_id, message } => {
                if let Some(chat) = self.chats.get_mut(&chat_id) {
                    chat.messages.insert(message.id, message);
                }
            }
            Record::Update(update) => self.updates.queue.push_back(update.again()),
            Record::Confirmed { key } => self.updates.queue.retain(|pending| pending.key != key),
            Record::File { id, file } => {
                // `Err`: the disk was full when the file was stored.
                if let Ok(bytes) = journal.bytes(&file.sha256) {
                    self.files.put_back(id, StoredFile::again(file, bytes));
                }
            }
        }
    }
}
