//! What outlives the process: people, chats, files, updates that the bot has not confirmed, and every counter of ids.
//!
//! Not the ledger, the scripted faults, presses that wait for an answer (Telegram forgets them after 15 s as well), nor
//! the paths that `getFile` handed out.
//!
//! A bot keeps what it was told by id: an update whose id it has seen is a repetition and stays unanswered, an edit goes
//! to the message of that id, a person is who had that id before. So an id is never given twice to one database:
//! counters are part of each record of the rest, and begin where the clock says that no earlier life can have come.

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

/// 2026-01-01T00:00:00Z: ids that the clock gives are counted from here, to stay below 2³¹ for ten years.
const BEGINNING: u64 = 1_767_225_600;
/// So many ids a second an earlier life may have given out, over its whole length, before one could come again.
const IDS_PER_SECOND: u64 = 4;

/// What a simulator knows of its earlier lives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Memory {
    /// Nothing, and ids begin at the same numbers each time: for a database that is made with it.
    #[default]
    None,
    /// Nothing, but ids are higher than those of any earlier life: for a database that is kept.
    Ids,
    /// Everything: in this directory, made when missing.
    Directory(PathBuf),
}

impl Memory {
    /// By how much this life's first ids are higher than the lowest ones.
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

/// All that is small, whole after each change of it.
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
}

/// A chat without its messages.
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

/// Writes down what changes.
pub(super) struct Keeper {
    journal: Journal,
    /// What the journal says of it, to write it only when it differs.
    rest: String,
}

/// The state at the start of a life, and who writes down what becomes of it.
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
        }
    }

    /// Counters only rise: the clock may be ahead of what was kept.
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
                // `Err`: the disk was full when it came.
                if let Ok(bytes) = journal.bytes(&file.sha256) {
                    self.files.put_back(id, StoredFile::again(file, bytes));
                }
            }
        }
    }
}
