//! Scripted faults: what goes wrong, in which operation, and at the n-th call.
//!
//! A test scripts a fault before it acts, so nothing depends on timing. An HTTP operation takes the first
//! fault that matches; `webhook`, `delivery` and `execution` take all that match, because those combine.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::simulation::locked;

/// The operations in which a fault can strike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// Submitting a request: `POST` to the queue.
    Submit,
    /// A synchronous call: `POST` to `fal.run`.
    Run,
    /// Reading the status: `GET …/status`.
    Status,
    /// Streaming the status: `GET …/status/stream`.
    Stream,
    /// Reading the result: `GET …/requests/{id}`.
    Result,
    /// Cancelling: `PUT …/cancel`.
    Cancel,
    /// Preparing an upload, or asking for a CDN token.
    Initiate,
    /// Sending the bytes of an upload, with either kind of upload.
    Upload,
    /// Reading a file: GET or HEAD.
    Download,
    /// Reading or searching the request list.
    List,
    /// Deleting what FAL keeps of a request.
    Erase,
    /// Reading prices or FAL's IP addresses.
    Meta,
    /// Reading the key set.
    Jwks,
    /// Running a request. Faults are read once, when it is accepted.
    Execution,
    /// Sending a request's webhook at all. Faults are read once, when the run has ended.
    Webhook,
    /// One attempt to deliver a webhook. Faults are read at each attempt.
    Delivery,
}

/// A scripted fault. As JSON: `{"on":"submit","endpoint":"fal-ai/flux-lora","nth":2,"effect":{"hold":{}}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The operation in which it strikes.
    pub on: Operation,
    /// Only for this full endpoint id, such as `fal-ai/flux-lora`.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// Only for the request with this id.
    #[serde(default)]
    pub request_id: Option<Uuid>,
    /// Only if this text occurs in the path and query (for `webhook` and `delivery`: in the webhook URL).
    #[serde(default)]
    pub contains: Option<String>,
    /// The first match that it strikes, counted from 1.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many matches it strikes; 0: all.
    #[serde(default = "one")]
    pub times: u32,
    /// Whether it strikes before the operation has its effect (nothing is accepted) or after it. HTTP only;
    /// each effect has its default.
    #[serde(default)]
    pub when: Option<When>,
    /// What it does.
    pub effect: Effect,
}

impl Fault {
    /// A fault that strikes once, at the next match.
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

/// Whether a fault strikes before or after the operation has its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// The operation has no effect.
    Before,
    /// The operation has its effect.
    After,
}

/// What a fault does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Effect {
    /// HTTP: hold the answer until it is released (default: after the operation).
    Hold {
        /// Release it by itself when this request's webhook was delivered, so that the webhook overtakes the
        /// submit's answer.
        #[serde(default)]
        until_delivered: bool,
    },
    /// HTTP: cut the connection without sending a byte (default: after the operation).
    Close {},
    /// HTTP: answer late (default: after the operation).
    Delay {
        /// The delay in milliseconds.
        ms: u64,
    },
    /// HTTP: send another answer (default: before the operation, which then does not happen).
    Answer {
        /// The HTTP status of that answer.
        status: u16,
        /// Further headers. A text body is sent as `text/html` unless they say otherwise.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// A string is sent as it is, anything else as JSON.
        #[serde(default)]
        body: Value,
    },
    /// HTTP: announce the whole body, send its beginning, and cut the connection.
    Truncate {
        /// How many bytes of the body to send.
        bytes: usize,
    },

    /// Execution: stay `IN_QUEUE` until released.
    StuckInQueue {},
    /// Execution: stay `IN_PROGRESS`, halfway, until released.
    StuckInProgress {},
    /// Execution: end with this error.
    Fail {
        /// HTTP status of the result.
        status: u16,
        /// Body of the result, as JSON.
        body: Value,
    },
    /// Execution: succeed with this output.
    Output {
        /// Body of the result, as JSON.
        body: Value,
    },
    /// Execution: answer 404 for the result although the status is COMPLETED.
    ExpiredResult {},
    /// Execution: return black pictures that are flagged as unsafe.
    Nsfw {
        /// How many of the first pictures; absent: all.
        #[serde(default)]
        first: Option<u64>,
    },
    /// Execution: return so many pictures, whatever the request asks for.
    PictureCount {
        /// The number; 0 is possible.
        count: u64,
    },
    /// Execution: return a first picture that is not what it should be. The others are good.
    SpoiltPicture {
        /// What is wrong with its file.
        how: Spoilt,
    },
    /// Execution: acknowledge a cancellation of a running request, and complete it nevertheless.
    IgnoreCancel {},

    /// Webhook: never send it.
    Drop {},
    /// Webhook: send it some time after the run has ended.
    Late {
        /// The delay in milliseconds.
        ms: u64,
    },
    /// Webhook: send it again after it was acknowledged.
    Duplicate {
        /// How many more times to send it.
        times: u32,
    },
    /// Webhook: send a null `payload`, with a `payload_error`.
    NullPayload {},

    /// Delivery: sign other bytes than those sent.
    BadSignature {},
    /// Delivery: sign correctly, but a timestamp shifted into the past (or the future, if negative).
    Stale {
        /// The shift in seconds.
        seconds: i64,
    },
    /// Delivery: sign with a key that is not in the published set.
    UnknownKey {},
    /// Delivery: sign correctly, but for another account.
    OtherUser {
        /// The id of that account.
        user_id: String,
    },
    /// Delivery: sign another request id than the one in the body.
    OtherRequestId {},
}

/// What is wrong with a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoilt {
    /// The second half of the file is missing.
    Truncated,
    /// It is an error page, served as `text/html`.
    Page,
    /// It has 48 MiB: a picture, and zeros.
    Huge,
    /// It has half of the width and height that the result says.
    OtherSize,
}

/// The properties of a call that faults are matched against.
pub(super) struct Target<'a> {
    pub endpoint: Option<&'a str>,
    pub request_id: Option<Uuid>,
    pub text: &'a str,
}

/// A fault that matched and is due.
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
            | E::Nsfw { .. }
            | E::PictureCount { .. }
            | E::SpoiltPicture { .. }
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
    /// Number of matching calls so far, struck or not.
    matched: u32,
    /// Number of strikes so far.
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
    /// Adds these faults and returns their ids. If one has an effect that its operation cannot have, it adds
    /// none.
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

    /// How often each fault has struck, by its id.
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

    /// The first fault that is due for this call. Later faults do not count the call, so that two one-time
    /// faults strike two calls in a row.
    pub(super) fn strike(&self, on: Operation, target: &Target<'_>) -> Option<Strike> {
        locked(&self.scripted)
            .iter_mut()
            .find_map(|scripted| scripted.strike(on, target))
    }

    /// All faults that are due for this call.
    pub(super) fn strike_all(&self, on: Operation, target: &Target<'_>) -> Vec<Strike> {
        locked(&self.scripted)
            .iter_mut()
            .filter_map(|scripted| scripted.strike(on, target))
            .collect()
    }
}

impl Scripted {
    /// Counts the call if it matches; returns a strike if it is due.
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
