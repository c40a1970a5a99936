//! The append-only record of every Bot API call, on which tests and the demo assert.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One call.
#[derive(Debug, Clone, Serialize)]
pub struct LedgerEntry {
    /// Number of the call in the order of arrival: from 1, without gaps.
    pub seq: u64,
    /// When the call arrived: unix seconds with fractions, by the machine's clock.
    pub at: f64,
    /// The method as the client wrote it.
    pub method: String,
    /// The call's `chat_id`, if it has one.
    pub chat_id: Option<i64>,
    /// The parameters as given; an uploaded file is shown as its name, type, size and hash.
    pub params: Value,
    /// Whether the call took effect. With [`Outcome::Lost`] it did, but the client does not know.
    pub accepted: bool,
    /// HTTP status of the answer; `None` if no answer was sent.
    pub status: Option<u16>,
    /// Body of the answer; of a lost answer, the body that would have been sent.
    pub answer: Option<Value>,
    /// How it ended for the client.
    pub outcome: Outcome,
    /// Id of the fault that struck the call.
    pub fault: Option<u64>,
}

/// How a call ended for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The call is still waiting (a long poll) or held.
    Pending,
    /// The client got `status` and `answer`.
    Answered,
    /// The connection was cut before the call was looked at.
    Dropped,
    /// The connection was cut after the call took effect.
    Lost,
    /// The client disconnected before it was answered.
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

/// Selects calls of the ledger; all conditions must hold.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LedgerFilter {
    /// The method's name, compared without case.
    pub method: Option<String>,
    /// Only calls with this `chat_id`.
    pub chat_id: Option<i64>,
    /// Only calls with a greater `seq`.
    pub after: u64,
    /// `true`: only calls that took effect. `false`: only calls that did not.
    pub accepted: Option<bool>,
    /// Only calls that ended this way.
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
