//! Scripted failures: which call one strikes, and what it does to that call.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refusal::Known;
use super::request::Call;

/// A failure for later calls. A call matches when all conditions hold; without conditions, every call
/// matches.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The method's name, compared without case.
    #[serde(default)]
    pub method: Option<String>,
    /// Only calls with this `chat_id`.
    #[serde(default)]
    pub chat_id: Option<i64>,
    /// Only calls whose `text` or `caption` contains this.
    #[serde(default)]
    pub containing: Option<String>,
    /// The number of matching calls that pass before the first strike.
    #[serde(default)]
    pub skip: u32,
    /// The number of strikes. Left out: one. `null`: no limit.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// What it does to the call.
    pub action: FaultAction,
}

#[expect(clippy::unnecessary_wraps, reason = "serde wants the field's type")]
fn once() -> Option<u32> {
    Some(1)
}

/// What a fault does to the call it strikes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum FaultAction {
    /// Answers 429; the call has no effect.
    RetryAfter {
        /// The delay in the answer, in seconds.
        seconds: u32,
        /// Whether the delay is in `parameters` as well as in the text.
        #[serde(default = "yes")]
        parameters: bool,
    },
    /// Answers with an error that clients recognise; the call has no effect.
    Refuse {
        /// The error's name, such as `chat_not_found`.
        error: Known,
    },
    /// Answers with any error; the call has no effect.
    Error {
        /// The HTTP status, also sent as `error_code`.
        code: u16,
        /// The error's text, as the client sees it.
        description: String,
        /// An object with `retry_after` or `migrate_to_chat_id`.
        #[serde(default)]
        parameters: Option<Value>,
    },
    /// Answers with a page of HTML, as a proxy on the way would; the call has no effect.
    Html {
        /// The HTTP status, usually 502 or 504.
        status: u16,
    },
    /// Cuts the connection before the call is looked at.
    Drop,
    /// Lets the call take effect, then cuts the connection.
    LoseAnswer,
    /// Delays the call, which then continues as usual.
    Delay {
        /// The delay in seconds of real time.
        seconds: f64,
    },
    /// Holds the call until it is released.
    Hold {
        /// Whether it waits before or after it takes effect.
        when: HoldPoint,
    },
}

fn yes() -> bool {
    true
}

/// The point at which a held call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldPoint {
    /// Before the call takes effect. If the client disconnects, it never does.
    Before,
    /// After the call took effect; only the answer is held back.
    After,
}

impl Fault {
    /// A fault that strikes the next call of this method once.
    pub fn on(method: &str, action: FaultAction) -> Self {
        Self {
            method: Some(method.to_owned()),
            chat_id: None,
            containing: None,
            skip: 0,
            times: Some(1),
            action,
        }
    }

    /// Limits the fault to calls with this `chat_id`.
    #[must_use]
    pub fn in_chat(mut self, chat_id: i64) -> Self {
        self.chat_id = Some(chat_id);
        self
    }

    /// Limits the fault to calls whose text or caption contains this.
    #[must_use]
    pub fn containing(mut self, part: &str) -> Self {
        self.containing = Some(part.to_owned());
        self
    }

    /// Lets so many matching calls pass first.
    #[must_use]
    pub fn after(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// Sets the number of strikes; `None`: no limit.
    #[must_use]
    pub fn times(mut self, times: Option<u32>) -> Self {
        self.times = times;
        self
    }

    fn matches(&self, call: &Call) -> bool {
        self.method
            .as_deref()
            .is_none_or(|method| call.method.eq_ignore_ascii_case(method))
            && self.chat_id.is_none_or(|chat_id| call.chat_id() == Some(chat_id))
            && self
                .containing
                .as_deref()
                .is_none_or(|part| call.text("text").contains(part) || call.text("caption").contains(part))
    }
}

/// A fault with the number of its strikes.
#[derive(Debug, Clone, Serialize)]
pub struct ScriptedFault {
    /// Its id, for `DELETE /sim/faults/{id}`; the ledger names it too.
    pub id: u64,
    /// How often it has struck so far.
    pub struck: u32,
    /// The fault as scripted, except that `skip` and `times` count down.
    #[serde(flatten)]
    pub fault: Fault,
}

/// A call that is held until it is released.
#[derive(Debug, Clone, Serialize)]
pub struct HeldCall {
    /// Its id, for `POST /sim/held/release`.
    pub id: u64,
    /// The call's `seq` in the ledger.
    pub seq: u64,
    /// The method as the client wrote it.
    pub method: String,
    /// The call's `chat_id`, if it has one.
    pub chat_id: Option<i64>,
    /// Whether it waits before or after it takes effect.
    pub when: HoldPoint,
    #[serde(skip)]
    pub(super) released: bool,
}

#[derive(Default)]
pub(super) struct Faults {
    scripted: Vec<ScriptedFault>,
    last_id: u64,
    pub held: BTreeMap<u64, HeldCall>,
    last_held: u64,
}

impl Faults {
    pub fn add(&mut self, fault: Fault) -> u64 {
        self.last_id += 1;
        self.scripted.push(ScriptedFault {
            id: self.last_id,
            struck: 0,
            fault,
        });
        self.last_id
    }

    pub fn list(&self) -> Vec<ScriptedFault> {
        self.scripted.clone()
    }

    /// Removes one fault, or all; returns how many.
    pub fn remove(&mut self, id: Option<u64>) -> usize {
        let before = self.scripted.len();
        self.scripted.retain(|fault| id.is_some_and(|id| fault.id != id));
        before - self.scripted.len()
    }

    /// Finds the first fault that strikes this call and counts the strike.
    pub fn strike(&mut self, call: &Call) -> Option<(u64, FaultAction)> {
        for scripted in &mut self.scripted {
            if scripted.fault.times == Some(0) || !scripted.fault.matches(call) {
                continue;
            }
            if scripted.fault.skip > 0 {
                scripted.fault.skip -= 1;
                continue;
            }
            if let Some(times) = &mut scripted.fault.times {
                *times -= 1;
            }
            scripted.struck += 1;
            return Some((scripted.id, scripted.fault.action.clone()));
        }
        None
    }

    pub fn hold(&mut self, seq: u64, call: &Call, when: HoldPoint) -> u64 {
        self.last_held += 1;
        let held = HeldCall {
            id: self.last_held,
            seq,
            method: call.method.clone(),
            chat_id: call.chat_id(),
            when,
            released: false,
        };
        self.held.insert(self.last_held, held);
        self.last_held
    }

    /// Lets one held call continue, or all; returns how many.
    pub fn release(&mut self, id: Option<u64>) -> usize {
        let chosen = self
            .held
            .values_mut()
            .filter(|held| !held.released && id.is_none_or(|id| held.id == id));
        chosen.map(|held| held.released = true).count()
    }

    pub fn waiting(&self) -> Vec<HeldCall> {
        self.held
            .values()
            .filter(|held| !held.released)
            .cloned()
            .collect()
    }
}
