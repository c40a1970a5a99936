//! Scripted trouble: which call it strikes, and what it does.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::refusal::Known;
use super::request::Call;

/// Trouble for calls to come. All conditions must hold; without any, every call matches.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Method, compared without case.
    #[serde(default)]
    pub method: Option<String>,
    /// The call's `chat_id`.
    #[serde(default)]
    pub chat_id: Option<i64>,
    /// Part of the call's `text` or `caption`.
    #[serde(default)]
    pub containing: Option<String>,
    /// Let so many matching calls pass first.
    #[serde(default)]
    pub skip: u32,
    /// Strike so often, then no more; `null`: for ever. Once, when it is left out.
    #[serde(default = "once")]
    pub times: Option<u32>,
    /// What happens.
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
    /// 429; the call has no effect.
    RetryAfter {
        /// The delay in the answer.
        seconds: u32,
        /// Whether the delay is in `parameters` as well as in the text.
        #[serde(default = "yes")]
        parameters: bool,
    },
    /// One of the refusals clients know, by name; the call has no effect.
    Refuse {
        /// Which.
        error: Known,
    },
    /// Any refusal; the call has no effect.
    Error {
        /// HTTP status and `error_code`.
        code: u16,
        /// The text.
        description: String,
        /// `retry_after`, `migrate_to_chat_id`.
        #[serde(default)]
        parameters: Option<Value>,
    },
    /// A page of HTML from a proxy in between; the call has no effect.
    Html {
        /// 502, 504.
        status: u16,
    },
    /// The connection is cut before the call is looked at.
    Drop,
    /// The call takes effect, then the connection is cut.
    LoseAnswer,
    /// The call waits, then goes on as usual.
    Delay {
        /// For so long, of real time.
        seconds: f64,
    },
    /// The call waits until it is released.
    Hold {
        /// Before or after it takes effect.
        when: HoldPoint,
    },
}

fn yes() -> bool {
    true
}

/// Where a held call waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldPoint {
    /// Without effect as yet; none at all if the client goes away.
    Before,
    /// With its effect; only the answer is withheld.
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

    /// Only calls with this `chat_id`.
    #[must_use]
    pub fn in_chat(mut self, chat_id: i64) -> Self {
        self.chat_id = Some(chat_id);
        self
    }

    /// Only calls whose text or caption contains this.
    #[must_use]
    pub fn containing(mut self, part: &str) -> Self {
        self.containing = Some(part.to_owned());
        self
    }

    /// So many matching calls pass first.
    #[must_use]
    pub fn after(mut self, calls: u32) -> Self {
        self.skip = calls;
        self
    }

    /// So many strikes; `None`: for ever.
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

/// A fault with its history.
#[derive(Debug, Clone, Serialize)]
pub struct ScriptedFault {
    /// For `DELETE /sim/faults/{id}`, and in the ledger.
    pub id: u64,
    /// Strikes so far.
    pub struck: u32,
    /// As it was scripted; `skip` and `times` count down.
    #[serde(flatten)]
    pub fault: Fault,
}

/// A call that waits for its release.
#[derive(Debug, Clone, Serialize)]
pub struct HeldCall {
    /// For the release.
    pub id: u64,
    /// The call, in the ledger.
    pub seq: u64,
    /// As the client wrote it.
    pub method: String,
    /// From the parameters.
    pub chat_id: Option<i64>,
    /// Where it waits.
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

    /// Removes one, or all; says how many.
    pub fn remove(&mut self, id: Option<u64>) -> usize {
        let before = self.scripted.len();
        self.scripted.retain(|fault| id.is_some_and(|id| fault.id != id));
        before - self.scripted.len()
    }

    /// The first fault that strikes this call, if any does.
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

    /// Lets one held call go on, or all; says how many.
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
