//! Presses of inline buttons. The bot may answer each one once, within fifteen seconds.

use serde::Serialize;

use super::refusal::{Known, Refusal};

/// Later than this, the person's app has stopped waiting for an answer.
const ANSWER_SECONDS: i64 = 15;

pub(super) struct Callbacks {
    all: Vec<Callback>,
    /// Number of presses so far, those of earlier runs included; the next press gets its id from it.
    pub next: u64,
}

/// One press of an inline button.
#[derive(Debug, Clone, Serialize)]
pub struct Callback {
    /// `callback_query.id`: the bot answers with it.
    pub id: String,
    /// The chat in which it was pressed.
    pub chat_id: i64,
    /// The message that shows the button.
    pub message_id: i64,
    /// The button's `callback_data`.
    pub data: String,
    /// When it was pressed, in unix seconds of the simulator's clock.
    pub date: i64,
    /// The bot's answer; `None` while the button still spins.
    pub answer: Option<CallbackAnswer>,
}

/// What `answerCallbackQuery` shows to the person.
#[derive(Debug, Clone, Serialize)]
pub struct CallbackAnswer {
    /// The text shown; when it is empty, the button only stops spinning.
    pub text: String,
    /// Whether the text is a window that must be closed, instead of a passing note.
    pub show_alert: bool,
    /// A page that is opened instead; empty when the bot gave none.
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
