//! Faults to order: what goes wrong, on which operation, the n-th time.
//!
//! A test scripts the fault first and acts then, so nothing depends on timing. HTTP operations take the first fault
//! that matches; `webhook`, `delivery` and `execution` take all that match, because they combine.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::simulation::locked;

/// What a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// `POST` to the queue.
    Submit,
    /// `POST` to the synchronous API.
    Run,
    /// `GET …/status`.
    Status,
    /// `GET …/status/stream`.
    Stream,
    /// `GET …/requests/{id}`.
    Result,
    /// `PUT …/cancel`.
    Cancel,
    /// Preparing an upload, and the CDN token.
    Initiate,
    /// The bytes of an upload, whichever way.
    Upload,
    /// GET or HEAD of a file.
    Download,
    /// The request list and search.
    List,
    /// Prices and addresses.
    Meta,
    /// The key set.
    Jwks,
    /// How the request runs; consulted once, when it is accepted.
    Execution,
    /// Whether and when its webhook is sent; consulted once, when the run has ended.
    Webhook,
    /// One delivery attempt of a webhook; consulted at each attempt.
    Delivery,
}

/// A scripted fault. As JSON: `{"on":"submit","endpoint":"fal-ai/flux-lora","nth":2,"effect":{"hold":{}}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The operation struck.
    pub on: Operation,
    /// Only for this full endpoint id.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Only for this request.
    #[serde(default)]
    pub request_id: Option<Uuid>,
    /// Only if this text occurs in the path and query (for `webhook` and `delivery`: in the webhook URL).
    #[serde(default)]
    pub contains: Option<String>,
    /// Strike from this match on, counted from 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// Strike this often; 0 for ever.
    #[serde(default = "one")]
    pub times: u32,
    /// Before the operation has its effect (nothing was accepted) or after it (accepted, but …). HTTP only.
    #[serde(default)]
    pub when: Option<When>,
    /// What goes wrong.
    pub effect: Effect,
}

impl Fault {
    /// The fault strikes once, at the next match.
    pub fn new(on: Operation, effect: Effect) -> Self {
        Self {
            on,
            endpoint: None,
            request_id: None,
            contains: None,
            nth: 1,
            times: 1,
            when: None,
            effect,
        }
    }
}

/// On which side of the operation's own effect a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The operation has not happened yet.
    Before,
    /// The operation happened.
    After,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// HTTP: withhold the answer until it is released (default: after the operation).
    Hold {
        /// Let go by itself when this request's webhook was delivered: the webhook overtakes the submit's answer.
        #[serde(default)]
        until_delivered: bool,
    },
    /// HTTP: cut the connection without a byte of an answer (default: after the operation).
    Close {},
    /// HTTP: answer late (default: after the operation).
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// HTTP: answer this instead (default: before the operation, which then does not happen).
    Answer {
        /// Status code.
        status: u16,
        /// Further headers; a text body is `text/html` unless they say otherwise.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// A string is sent as it is, anything else as JSON.
        #[serde(default)]
        body: Value,
    },
    /// HTTP: announce the whole body, send this much, cut the connection.
    Truncate {
        /// Bytes of the body sent.
        bytes: usize,
    },

    /// Execution: stay `IN_QUEUE` until released.
    StuckInQueue {},
    /// Execution: stay `IN_PROGRESS`, halfway, until released.
    StuckInProgress {},
    /// Execution: end with this status and body.
    Fail {
        /// Status of the result.
        status: u16,
        /// Body of the result.
        body: Value,
    },
    /// Execution: end well, with this output.
    Output {
        /// Body of the result.
        body: Value,
    },
    /// Execution: the result is 404 although the status says COMPLETED.
    ExpiredResult {},
    /// Execution: pictures come back black and flagged.
    Nsfw {},
    /// Execution: a cancellation while running is acknowledged, yet the run completes.
    IgnoreCancel {},

    /// Webhook: never sent.
    Drop {},
    /// Webhook: sent this long after the end.
    Late {
        /// Milliseconds.
        ms: u64,
    },
    /// Webhook: sent again after it was acknowledged.
    Duplicate {
        /// How many more times.
        times: u32,
    },
    /// Webhook: `payload` is null, with a `payload_error`.
    NullPayload {},

    /// Delivery: a signature over something else.
    BadSignature {},
    /// Delivery: a correct signature over a timestamp shifted into the past (or future, if negative).
    Stale {
        /// Seconds.
        seconds: i64,
    },
    /// Delivery: signed by a key that is not in the set.
    UnknownKey {},
    /// Delivery: correctly signed for another account.
    OtherUser {
        /// That account.
        user_id: String,
    },
    /// Delivery: the signed request id is not the body's.
    OtherRequestId {},
}

/// What the fault is matched against.
pub(super) struct Target<'a> {
    pub endpoint: Option<&'a str>,
    pub request_id: Option<Uuid>,
    pub text: &'a str,
}

/// A fault that matched.
pub(super) struct Strike {
    pub id: u64,
    pub when: When,
    pub effect: Effect,
}

impl Effect {
    fn suits(&self, on: Operation) -> bool {
        use Effect as E;
        match self {
            E::Hold { .. } | E::Close {} | E::Delay { .. } | E::Answer { .. } | E::Truncate { .. } => {
                !matches!(
                    on,
                    Operation::Execution | Operation::Webhook | Operation::Delivery
                )
            }
            E::StuckInQueue {}
            | E::StuckInProgress {}
            | E::Fail { .. }
            | E::Output { .. }
            | E::ExpiredResult {}
            | E::Nsfw {}
            | E::IgnoreCancel {} => on == Operation::Execution,
            E::Drop {} | E::Late { .. } | E::Duplicate { .. } | E::NullPayload {} => on == Operation::Webhook,
            E::BadSignature {}
            | E::Stale { .. }
            | E::UnknownKey {}
            | E::OtherUser { .. }
            | E::OtherRequestId {} => on == Operation::Delivery,
        }
    }

    fn usual_time(&self) -> When {
        if matches!(self, Effect::Answer { .. }) {
            When::Before
        } else {
            When::After
        }
    }

    /// The effect's name in JSON.
    pub(super) fn name(&self) -> String {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields.keys().next().cloned().unwrap_or_default(),
            _ => String::new(),
        }
    }
}

#[derive(Clone, Serialize)]
pub(super) struct Scripted {
    id: u64,
    /// Matches so far, struck or not.
    matched: u32,
    /// Strikes so far.
    struck: u32,
    #[serde(flatten)]
    fault: Fault,
}

/// All scripted faults, in the order in which they were scripted.
#[derive(Default)]
pub(super) struct Faults {
    scripted: Mutex<Vec<Scripted>>,
}

impl Faults {
    /// Adds these faults and returns their ids. Refuses them all when one has an effect that cannot happen to its
    /// operation.
    pub(super) fn script(&self, faults: Vec<Fault>) -> Result<Vec<u64>, String> {
        for fault in &faults {
            if !fault.effect.suits(fault.on) {
                return Err(format!(
                    "effect {} cannot strike operation {:?}",
                    fault.effect.name(),
                    fault.on
                ));
            }
            if fault.nth == 0 {
                return Err("nth counts from 1".to_owned());
            }
        }
        let mut scripted = locked(&self.scripted);
        let first = scripted.last().map_or(1, |last| last.id + 1);
        let numbered = (first..).zip(faults);
        scripted.extend(numbered.map(|(id, fault)| Scripted {
            id,
            matched: 0,
            struck: 0,
            fault,
        }));
        Ok(scripted
            .iter()
            .map(|scripted| scripted.id)
            .filter(|id| *id >= first)
            .collect())
    }

    pub(super) fn all(&self) -> Vec<Scripted> {
        locked(&self.scripted).clone()
    }

    /// How often each fault struck, by its id.
    pub(super) fn struck(&self) -> BTreeMap<u64, u32> {
        let scripted = locked(&self.scripted);
        scripted
            .iter()
            .map(|scripted| (scripted.id, scripted.struck))
            .collect()
    }

    pub(super) fn clear(&self) {
        locked(&self.scripted).clear();
    }

    /// The first fault due for this call. Faults after it do not see the call, so that two one-time faults strike
    /// two calls in a row.
    pub(super) fn strike(&self, on: Operation, target: &Target<'_>) -> Option<Strike> {
        locked(&self.scripted)
            .iter_mut()
            .find_map(|scripted| scripted.strike(on, target))
    }

    /// All faults due, together.
    pub(super) fn strike_all(&self, on: Operation, target: &Target<'_>) -> Vec<Strike> {
        locked(&self.scripted)
            .iter_mut()
            .filter_map(|scripted| scripted.strike(on, target))
            .collect()
    }
}

impl Scripted {
    /// Counts the call if it matches, and strikes if it is due.
    fn strike(&mut self, on: Operation, target: &Target<'_>) -> Option<Strike> {
        if !self.fault.matches(on, target) {
            return None;
        }
        self.matched = self.matched.saturating_add(1);
        let fault = &self.fault;
        let due = self.matched >= fault.nth && (fault.times == 0 || self.matched - fault.nth < fault.times);
        self.struck += u32::from(due);
        due.then(|| Strike {
            id: self.id,
            when: fault.when.unwrap_or_else(|| fault.effect.usual_time()),
            effect: fault.effect.clone(),
        })
    }
}

impl Fault {
    fn matches(&self, on: Operation, target: &Target<'_>) -> bool {
        self.on == on
            && self
                .endpoint
                .as_deref()
                .is_none_or(|endpoint| target.endpoint == Some(endpoint))
            && self.request_id.is_none_or(|id| target.request_id == Some(id))
            && self
                .contains
                .as_deref()
                .is_none_or(|text| target.text.contains(text))
    }
}

fn one() -> u32 {
    1
}
