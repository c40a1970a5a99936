//! The queue of updates, and `getUpdates`.
//!
//! An update stays in the queue until the bot confirms it, by asking for a higher offset or by answering the
//! webhook with 2xx. The control API can send a confirmed update again, with the same `update_id` or a new
//! one, since both happen to real bots.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::core::Core;
use super::refusal::{Known, Refusal};
use super::request::Call;

/// The longest `timeout` that the real server grants.
const LONGEST_POLL: i64 = 50;
const FIRST_UPDATE_ID: i64 = 870_000_001;
/// Kinds of updates that only bots that ask for them get.
const ON_REQUEST: [&str; 3] = ["chat_member", "message_reaction", "message_reaction_count"];

pub(super) struct Updates {
    pub queue: VecDeque<Pending>,
    /// Every update so far, confirmed or not, for `/sim/updates/resend`.
    issued: Vec<(i64, Value)>,
    pub next_id: i64,
    pub next_key: u64,
    /// `allowed_updates`; `None` means Telegram's default set.
    pub allowed: Option<Vec<String>>,
    /// Grows with each poll that starts to wait. The older poll then ends with 409.
    poller: u64,
    /// Changes of the queue that are not in the journal yet.
    pub changes: Vec<Change>,
}

/// A change of the queue.
pub(super) enum Change {
    Queued(KeptUpdate),
    /// The update with this key was confirmed, delivered or dropped.
    Left(u64),
}

/// An update in the journal. Earlier delivery attempts are forgotten: a restarted simulator tries it at once.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptUpdate {
    key: u64,
    chat_id: i64,
    update: Value,
    resent: bool,
}

impl KeptUpdate {
    pub fn again(self) -> Pending {
        Pending {
            key: self.key,
            chat_id: self.chat_id,
            update: self.update,
            resent: self.resent,
            fails: 0,
            delay: Duration::from_secs(1),
            not_before: Instant::now(),
            in_flight: false,
        }
    }
}

/// An update that the bot has not confirmed.
pub(super) struct Pending {
    /// Unlike `update_id`, never used twice.
    pub key: u64,
    /// While an update fails, only later updates of the same chat wait.
    pub chat_id: i64,
    pub update: Value,
    /// Sent again on request: one poll returns it, whatever its offset.
    resent: bool,
    pub fails: u32,
    /// The last backoff, before `time_scale`.
    pub delay: Duration,
    /// The next attempt at the webhook is not before this.
    pub not_before: Instant,
    pub in_flight: bool,
}

impl Updates {
    /// `above` is added to the lowest update id ([`Memory::first_ids`](super::Memory::first_ids)).
    pub fn new(above: u64) -> Self {
        Self {
            queue: VecDeque::new(),
            issued: Vec::new(),
            next_id: FIRST_UPDATE_ID.saturating_add_unsigned(above),
            next_key: 0,
            allowed: None,
            poller: 0,
            changes: Vec::new(),
        }
    }
}

impl Pending {
    pub fn id(&self) -> i64 {
        self.update["update_id"].as_i64().unwrap_or_default()
    }

    pub fn kept(&self) -> KeptUpdate {
        KeptUpdate {
            key: self.key,
            chat_id: self.chat_id,
            update: self.update.clone(),
            resent: self.resent,
        }
    }
}

impl Updates {
    /// Queues an update of this kind, unless the bot did not ask for the kind.
    pub fn push(&mut self, kind: &str, chat_id: i64, object: Value) -> Option<i64> {
        let wanted = match &self.allowed {
            Some(kinds) => kinds.iter().any(|allowed| allowed == kind),
            None => !ON_REQUEST.contains(&kind),
        };
        wanted.then(|| self.push_anyway(kind, chat_id, object))
    }

    /// Queues an update of this kind, whether or not the bot asked for it.
    pub fn push_anyway(&mut self, kind: &str, chat_id: i64, object: Value) -> i64 {
        let id = self.take_id();
        let mut update = json!({ "update_id": id });
        update[kind] = object;
        self.issued.push((chat_id, update.clone()));
        self.enqueue(chat_id, update, false);
        id
    }

    fn take_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id - 1
    }

    fn enqueue(&mut self, chat_id: i64, update: Value, resent: bool) {
        self.next_key += 1;
        let update = KeptUpdate {
            key: self.next_key,
            chat_id,
            update,
            resent,
        };
        let pending = update.again();
        self.changes.push(Change::Queued(pending.kept()));
        self.queue.push_back(pending);
    }

    /// Sends an earlier update again, the latest if none is named; returns the id it now has.
    pub fn resend(&mut self, update_id: Option<i64>, with_new_id: bool) -> Option<i64> {
        let mut latest_first = self.issued.iter().rev();
        let found = latest_first
            .find(|(_, update)| update_id.is_none_or(|wanted| update["update_id"].as_i64() == Some(wanted)));
        let (chat_id, mut update) = found.cloned()?;
        if with_new_id {
            update["update_id"] = self.take_id().into();
            self.issued.push((chat_id, update.clone()));
        }
        let id = update["update_id"].as_i64();
        self.enqueue(chat_id, update, !with_new_id);
        id
    }

    /// Sets `allowed_updates` if the parameter was given. An empty list restores the default.
    pub fn allow(&mut self, json: &str) {
        if let Ok(kinds) = serde_json::from_str::<Vec<String>>(json) {
            self.allowed = (!kinds.is_empty()).then_some(kinds);
        }
    }

    fn confirm(&mut self, offset: i64) {
        if offset < 0 {
            let keep = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
            let mut older = self.queue.len().saturating_sub(keep);
            self.keep_those(|_| {
                let kept = older == 0;
                older = older.saturating_sub(1);
                kept
            });
        }
        self.keep_those(|pending| pending.resent || pending.id() >= offset);
    }

    /// Keeps the updates for which `stays` is true and removes the others.
    pub fn keep_those(&mut self, mut stays: impl FnMut(&Pending) -> bool) {
        let changes = &mut self.changes;
        self.queue.retain(|pending| {
            let stays = stays(pending);
            if !stays {
                changes.push(Change::Left(pending.key));
            }
            stays
        });
    }

    fn ready(&self, limit: usize) -> Vec<Value> {
        self.queue
            .iter()
            .take(limit)
            .map(|pending| pending.update.clone())
            .collect()
    }

    /// Removes resent updates from the queue: the poll that returned them confirms them.
    fn forget_resent(&mut self, returned: usize) {
        let mut position = 0;
        self.keep_those(|pending| {
            position += 1;
            position > returned || !pending.resent
        });
    }
}

/// Waits for updates, at most for the `timeout` the client asked for.
pub(super) async fn get_updates(core: &Core, call: &Call) -> Result<Value, Refusal> {
    let limit = match call.integer("limit") {
        0 => 100,
        limit => usize::try_from(limit.clamp(1, 100)).unwrap_or(100),
    };
    let seconds = u64::try_from(call.integer("timeout").clamp(0, LONGEST_POLL)).unwrap_or_default();
    let poller = core.write(|state| {
        if state.webhook.is_some() {
            return Err(Refusal::from(Known::WebhookIsActive));
        }
        state.updates.allow(call.text("allowed_updates"));
        state.updates.confirm(call.integer("offset"));
        if seconds > 0 && state.updates.queue.is_empty() {
            state.updates.poller += 1;
        }
        Ok(state.updates.poller)
    })?;
    let found = core
        .until(Duration::from_secs(seconds), |state| {
            if state.webhook.is_some() {
                return Some(Err(Refusal::from(Known::TerminatedBySetWebhook)));
            }
            if state.updates.poller != poller {
                return Some(Err(Known::OtherGetUpdates.into()));
            }
            let ready = state.updates.ready(limit);
            (!ready.is_empty()).then_some(Ok(ready))
        })
        .await;
    let ready = found.unwrap_or_else(|| Ok(Vec::new()))?;
    if !ready.is_empty() {
        core.write(|state| state.updates.forget_resent(ready.len()));
    }
    Ok(Value::Array(ready))
}
