//! Pressed buttons, until the bot answers: once, and within fifteen seconds.

use serde::Serialize;

use super::refusal::{Known, Refusal};

/// After this the person's client has stopped waiting.
const ANSWER_SECONDS: i64 = 15;

pub(super) struct Callbacks {
    all: Vec<Callback>,
    /// Presses of this life and of those before it.
    pub next: u64,
}

/// One press of an inline button.
#[derive(Debug, Clone, Serialize)]
pub struct Callback {
    /// `callback_query.id`.
    pub id: String,
    /// Where it was pressed.
    pub chat_id: i64,
    /// The message with the button.
    pub message_id: i64,
    /// The button's `callback_data`.
    pub data: String,
    /// Unix seconds.
    pub date: i64,
    /// `None` while the button still spins.
    pub answer: Option<CallbackAnswer>,
}

/// What `answerCallbackQuery` shows to the person.
#[derive(Debug, Clone, Serialize)]
pub struct CallbackAnswer {
    /// Empty: the button only stops spinning.
    pub text: String,
    /// In a window that must be closed, not as a passing note.
    pub show_alert: bool,
    /// Opened instead.
    pub url: String,
}

impl Callbacks {
    pub fn new(next: u64) -> Self {
        Self {
            all: Vec::new(),
            next,
        }
    }

    pub fn press(&mut self, chat_id: i64, message_id: i64, data: &str, now: i64) -> &Callback {
        // Shaped like the real ones, which are long numbers kept in strings.
        let id = format!("{}", 4_380_000_000_000_000_000 + self.next);
        self.next += 1;
        let at = self.all.len();
        self.all.push(Callback {
            id,
            chat_id,
            message_id,
            data: data.to_owned(),
            date: now,
            answer: None,
        });
        &self.all[at]
    }

    pub fn answer(&mut self, id: &str, answer: CallbackAnswer, now: i64) -> Result<(), Refusal> {
        let waiting = self
            .all
            .iter_mut()
            .find(|callback| callback.id == id && callback.answer.is_none());
        let callback = waiting.filter(|callback| now - callback.date < ANSWER_SECONDS);
        callback.ok_or(Known::QueryIsTooOld)?.answer = Some(answer);
        Ok(())
    }

    pub fn of_chat(&self, chat_id: i64) -> Vec<Callback> {
        self.all
            .iter()
            .filter(|callback| callback.chat_id == chat_id)
            .cloned()
            .collect()
    }
}
