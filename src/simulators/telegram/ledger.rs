//! The append-only record of every Bot API call: what tests and the demo assert on.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerEntry {
    /// From 1, without gaps, in the order of arrival.
    pub seq: u64,
    /// Unix seconds, with fractions, of the machine's clock.
    pub at: f64,
    /// As the client wrote it.
    pub method: String,
    /// From the parameters.
    pub chat_id: Option<i64>,
    /// As given; an uploaded file is its name, type, size and hash.
    pub params: Value,
    /// Whether the call took effect. With [`Outcome::Lost`] it did, and the client does not know.
    pub accepted: bool,
    /// HTTP status of the answer.
    pub status: Option<u16>,
    /// Body of the answer; of a lost one, what would have been answered.
    pub answer: Option<Value>,
    /// How it ended for the client.
    pub outcome: Outcome,
    /// The fault that struck, by its id.
    pub fault: Option<u64>,
}

/// How a call ended for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Still waiting (a long poll) or held.
    Pending,
    /// It got `status` and `answer`.
    Answered,
    /// The connection was cut before the call was looked at.
    Dropped,
    /// The connection was cut after the call took effect.
    Lost,
    /// The client went away first.
    Abandoned,
}

#[derive(Default)]
pub(super) struct Ledger {
    pub entries: Vec<LedgerEntry>,
}

impl Ledger {
    pub fn open(&mut self, at: f64, method: &str, chat_id: Option<i64>, params: Value) -> u64 {
        let seq = self.entries.len() as u64 + 1;
        self.entries.push(LedgerEntry {
            seq,
            at,
            method: method.to_owned(),
            chat_id,
            params,
            accepted: false,
            status: None,
            answer: None,
            outcome: Outcome::Pending,
            fault: None,
        });
        seq
    }

    pub fn entry(&mut self, seq: u64) -> Option<&mut LedgerEntry> {
        let at = usize::try_from(seq).ok()?.checked_sub(1)?;
        self.entries.get_mut(at)
    }
}

/// Which calls are meant.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LedgerFilter {
    /// Compared without case.
    pub method: Option<String>,
    /// Only calls with this `chat_id`.
    pub chat_id: Option<i64>,
    /// Only later ones.
    pub after: u64,
    /// Only those that took effect, or only those that did not.
    pub accepted: Option<bool>,
    /// Only those that ended so.
    pub outcome: Option<Outcome>,
}

impl LedgerFilter {
    pub(super) fn of<'a>(&'a self, ledger: &'a Ledger) -> impl Iterator<Item = &'a LedgerEntry> {
        ledger.entries.iter().filter(|entry| {
            let method = self.method.as_deref();
            entry.seq > self.after
                && method.is_none_or(|method| entry.method.eq_ignore_ascii_case(method))
                && self.chat_id.is_none_or(|chat_id| entry.chat_id == Some(chat_id))
                && self.accepted.is_none_or(|accepted| entry.accepted == accepted)
                && self.outcome.is_none_or(|outcome| entry.outcome == outcome)
        })
    }
}
