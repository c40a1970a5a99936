//! The control API for code in the same process: the calls of `/sim` as typed methods.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::watch;

use super::core::Core;
use super::faults::{Fault, HeldCall, ScriptedFault};
use super::ledger::{LedgerEntry, LedgerFilter};
use super::state::State;
use super::user_side::{self, As, ButtonChoice, MediaOptions, NewUser, SimError, upload};
use super::view::{ChatView, MessageFilter, MessageView, UserView};
use super::webhook::Delivery;

/// A handle on a running simulator. Clones control the same simulator.
#[derive(Clone)]
pub struct Control {
    pub(super) core: Arc<Core>,
}

impl Control {
    /// The user with this id, who is created if missing.
    pub fn user(&self, id: i64) -> SimUser {
        self.create_user(NewUser {
            id: Some(id),
            ..NewUser::default()
        })
    }

    /// Creates a user, or changes the one with this id.
    pub fn create_user(&self, new: NewUser) -> SimUser {
        let view = self.core.write(|state| state.create_user(new));
        SimUser {
            control: self.clone(),
            id: view.id,
        }
    }

    /// A counter that grows with each change in any chat.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.core.changes()
    }

    /// Every person, in the order of their ids.
    pub fn users(&self) -> Vec<UserView> {
        self.core
            .read(|state| state.chats.values().map(UserView::new).collect())
    }

    /// Scripts a fault and returns its id.
    pub fn inject(&self, fault: Fault) -> u64 {
        self.core.write(|state| state.faults.add(fault))
    }

    /// All scripted faults, used-up ones included.
    pub fn faults(&self) -> Vec<ScriptedFault> {
        self.core.read(|state| state.faults.list())
    }

    /// Removes one fault, or all; returns how many. Calls that are held stay held.
    pub fn clear_faults(&self, id: Option<u64>) -> usize {
        self.core.write(|state| state.faults.remove(id))
    }

    /// The calls that are held at the moment.
    pub fn held(&self) -> Vec<HeldCall> {
        self.core.read(|state| state.faults.waiting())
    }

    /// Waits until so many calls are held.
    pub async fn wait_held(&self, count: usize, limit: Duration) -> Option<Vec<HeldCall>> {
        let enough = |held: Vec<HeldCall>| (held.len() >= count).then_some(held);
        self.core
            .until(limit, |state| enough(state.faults.waiting()))
            .await
    }

    /// Lets one held call continue, or all; returns how many.
    pub fn release(&self, id: Option<u64>) -> usize {
        self.core.write(|state| state.faults.release(id))
    }

    /// The calls made so far that match the filter.
    pub fn ledger(&self, filter: &LedgerFilter) -> Vec<LedgerEntry> {
        self.core
            .read(|state| filter.of(&state.ledger).cloned().collect())
    }

    /// Waits until so many such calls were made (begun, not necessarily answered).
    pub async fn wait_ledger(
        &self,
        filter: &LedgerFilter,
        count: usize,
        limit: Duration,
    ) -> Option<Vec<LedgerEntry>> {
        self.core
            .until(limit, |state| {
                let found: Vec<LedgerEntry> = filter.of(&state.ledger).cloned().collect();
                (found.len() >= count).then_some(found)
            })
            .await
    }

    /// Every attempt at sending an update to the webhook.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.core.read(|state| state.deliveries.clone())
    }

    /// Waits until so many attempts have ended.
    pub async fn wait_deliveries(&self, count: usize, limit: Duration) -> Option<Vec<Delivery>> {
        let enough = |state: &State| (state.deliveries.len() >= count).then(|| state.deliveries.clone());
        self.core.until(limit, enough).await
    }

    /// Updates that the bot has not confirmed yet.
    pub fn pending_updates(&self) -> Vec<serde_json::Value> {
        self.core.read(|state| {
            state
                .updates
                .queue
                .iter()
                .map(|pending| pending.update.clone())
                .collect()
        })
    }

    /// Queues any object as an update of any kind, in a chat with any id, and returns its `update_id`.
    /// Telegram adds kinds and shapes without notice, and sends kinds that an earlier deployment of the bot
    /// asked for.
    pub fn send_raw_update(&self, kind: &str, chat_id: i64, object: serde_json::Value) -> i64 {
        self.core
            .write(|state| state.updates.push_anyway(kind, chat_id, object))
    }

    /// Sends an update again, the latest if none is named; `None` when there is no such update.
    pub fn resend_update(&self, update_id: Option<i64>, with_new_id: bool) -> Option<i64> {
        self.core
            .write(|state| state.updates.resend(update_id, with_new_id))
    }

    /// Moves the simulator's clock, which decides message dates, the 48 hours of deletion, the 15 seconds of
    /// a press and the hour of a file path.
    pub fn advance_clock(&self, seconds: i64) {
        self.core.write(|state| state.clock.advance(seconds));
    }

    /// Messages that match at the moment, oldest first.
    pub fn messages(&self, filter: &MessageFilter) -> Vec<MessageView> {
        self.core.read(|state| filter.of(state))
    }

    /// The content of a file, by the `file_id` of a message. `None`: there is no such file.
    pub fn file(&self, file_id: &str) -> Option<Bytes> {
        self.core
            .read(|state| state.files.get(file_id).map(|file| file.bytes.clone()))
    }

    /// Waits until at least so many messages match, and returns them.
    pub async fn wait_for(
        &self,
        filter: &MessageFilter,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<MessageView>, SimError> {
        let look = |found: Vec<MessageView>| (found.len() >= count).then_some(found);
        let found = self.core.until(limit, |state| look(filter.of(state))).await;
        found.ok_or_else(|| {
            let everything = MessageFilter {
                chat_id: filter.chat_id,
                ..MessageFilter::default()
            };
            let mut last: Vec<String> = self
                .messages(&everything)
                .into_iter()
                .rev()
                .take(5)
                .map(summary)
                .collect();
            last.reverse();
            SimError::TimedOut(limit, format!("{count} of {filter:?}"), last)
        })
    }
}

fn summary(message: MessageView) -> String {
    let side = if message.from_bot { "bot" } else { "user" };
    let labels: Vec<String> = message
        .buttons
        .into_iter()
        .flatten()
        .map(|button| button.text)
        .collect();
    format!("#{} {side}: {} {labels:?}", message.message_id, message.text)
}

/// A person whom a test plays.
#[derive(Clone)]
pub struct SimUser {
    control: Control,
    id: i64,
}

impl SimUser {
    /// The person's id, which is also the id of the chat.
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Writes to the bot; returns the message's id.
    pub fn send_text(&self, text: &str) -> Result<i64, SimError> {
        self.control
            .core
            .write(|state| state.user_sends_text(self.id, text))
    }

    /// Sends one picture as a photo.
    pub async fn send_photo(&self, bytes: impl Into<Bytes>, caption: &str) -> Result<i64, SimError> {
        let options = MediaOptions {
            caption: caption.to_owned(),
            ..MediaOptions::default()
        };
        let ids = self
            .send_media(As::Photo, vec![upload("photo.jpg", None, bytes)], options)
            .await?;
        Ok(ids[0])
    }

    /// Sends pictures at once: in albums of up to ten, as a person's app does.
    pub async fn send_album(&self, photos: Vec<Bytes>, options: MediaOptions) -> Result<Vec<i64>, SimError> {
        let uploads = photos
            .into_iter()
            .map(|bytes| upload("photo.jpg", None, bytes))
            .collect();
        self.send_media(As::Photo, uploads, options).await
    }

    /// Sends a file. Without `mime`, the type is guessed from the name.
    pub async fn send_document(
        &self,
        name: &str,
        mime: Option<&str>,
        bytes: impl Into<Bytes>,
        caption: &str,
    ) -> Result<i64, SimError> {
        let options = MediaOptions {
            caption: caption.to_owned(),
            ..MediaOptions::default()
        };
        let ids = self
            .send_media(As::File, vec![upload(name, mime, bytes)], options)
            .await?;
        Ok(ids[0])
    }

    async fn send_media(
        &self,
        kind: As,
        uploads: Vec<super::request::Upload>,
        options: MediaOptions,
    ) -> Result<Vec<i64>, SimError> {
        user_side::send_media(&self.control.core, self.id, kind, uploads, options).await
    }

    /// Presses the latest button whose label contains this; returns the id of the callback query.
    pub fn press(&self, label: &str) -> Result<String, SimError> {
        self.press_button(&ButtonChoice {
            label: Some(label.to_owned()),
            ..ButtonChoice::default()
        })
    }

    /// Presses the latest button that has exactly this `callback_data`.
    pub fn press_data(&self, data: &str) -> Result<String, SimError> {
        self.press_button(&ButtonChoice {
            data: Some(data.to_owned()),
            ..ButtonChoice::default()
        })
    }

    /// Presses the button that `choice` describes; returns the id of the callback query.
    pub fn press_button(&self, choice: &ButtonChoice) -> Result<String, SimError> {
        self.control
            .core
            .write(|state| state.user_presses(self.id, choice))
    }

    /// Blocks the bot: its messages are refused with 403.
    pub fn block(&self) -> Result<(), SimError> {
        self.control
            .core
            .write(|state| state.user_sets_blocked(self.id, true))
    }

    /// Unblocks the bot, which may then write again.
    pub fn unblock(&self) -> Result<(), SimError> {
        self.control
            .core
            .write(|state| state.user_sets_blocked(self.id, false))
    }

    /// Deletes the person's account: the bot's messages are refused with 403.
    pub fn deactivate(&self) -> Result<(), SimError> {
        self.control.core.write(|state| state.user_leaves(self.id))
    }

    /// The chat as the person sees it.
    pub fn chat(&self) -> Result<ChatView, SimError> {
        let version = self.control.core.version();
        self.control.core.read(|state| {
            let chat = state.chats.get(&self.id).ok_or(SimError::NoSuchUser(self.id))?;
            Ok(ChatView::new(state, chat, version))
        })
    }

    /// Waits until `look` returns something for the chat; `None` when the time is over.
    pub async fn wait_until<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&ChatView) -> Option<T>,
    ) -> Option<T> {
        let chat = |state: &State| {
            state
                .chats
                .get(&self.id)
                .map(|chat| ChatView::new(state, chat, 0))
        };
        self.control.core.until(limit, |state| look(&chat(state)?)).await
    }

    /// Waits for a message in this chat; if several match, returns the latest.
    pub async fn wait_for(&self, filter: MessageFilter, limit: Duration) -> Result<MessageView, SimError> {
        let mut found = self.wait_for_many(filter, 1, limit).await?;
        Ok(found.swap_remove(found.len() - 1))
    }

    /// Waits until so many messages in this chat match.
    pub async fn wait_for_many(
        &self,
        filter: MessageFilter,
        count: usize,
        limit: Duration,
    ) -> Result<Vec<MessageView>, SimError> {
        let filter = MessageFilter {
            chat_id: Some(self.id),
            ..filter
        };
        self.control.wait_for(&filter, count, limit).await
    }
}
