//! A request in FAL's queue: what was ordered, and its progress.
//!
//! `IN_QUEUE → IN_PROGRESS → COMPLETED` is the only path: a failed or cancelled request is COMPLETED too, and
//! its result has a status other than 200. Only the runner changes a request; all other code only reads it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::cdn::Lifecycle;
use super::faults::Effect;
use super::memory::Memory;
use super::origin::Origin;
use super::simulation::{locked, now};
use super::trainers::{Endpoint, Endpoints};

/// The order as submitted; it never changes.
pub(super) struct Order {
    pub id: Uuid,
    /// Differs from the id, as after a platform retry, so that code that confuses the two fails.
    pub gateway_id: Uuid,
    pub endpoint: Arc<Endpoint>,
    pub input: Value,
    pub webhook: Option<String>,
    /// How the submitter reached us, which decides the form of the URLs in answers.
    pub origin: Origin,
    pub submitted_at: DateTime<Utc>,
    /// The request fails if no runner has started it by then (`X-Fal-Request-Start-Timeout`).
    pub start_timeout: Option<Duration>,
    /// False with `X-Fal-Store-IO: 0`: the request list then shows no payloads.
    pub store_io: bool,
    /// Lifecycle of generated files (`X-Fal-Object-Lifecycle-Preference`).
    pub output_life: Lifecycle,
    /// The execution faults that were scripted for this request.
    pub script: Vec<Effect>,
}

/// The record of an order in the journal.
#[derive(Serialize, Deserialize)]
pub(super) struct KeptOrder {
    id: Uuid,
    gateway_id: Uuid,
    endpoint: String,
    input: Value,
    webhook: Option<String>,
    origin: Origin,
    submitted_at: DateTime<Utc>,
    start_timeout: Option<Duration>,
    store_io: bool,
    output_life: Lifecycle,
    script: Vec<Effect>,
}

impl Order {
    pub(super) fn kept(&self) -> KeptOrder {
        KeptOrder {
            id: self.id,
            gateway_id: self.gateway_id,
            endpoint: self.endpoint.id.clone(),
            input: self.input.clone(),
            webhook: self.webhook.clone(),
            origin: self.origin.clone(),
            submitted_at: self.submitted_at,
            start_timeout: self.start_timeout,
            store_io: self.store_io,
            output_life: self.output_life,
            script: self.script.clone(),
        }
    }
}

impl KeptOrder {
    /// `None` if this version does not have the order's endpoint.
    pub(super) fn again(self, endpoints: &Endpoints) -> Option<Order> {
        Some(Order {
            id: self.id,
            gateway_id: self.gateway_id,
            endpoint: endpoints.get(&self.endpoint)?,
            input: self.input,
            webhook: self.webhook,
            origin: self.origin,
            submitted_at: self.submitted_at,
            start_timeout: self.start_timeout,
            store_io: self.store_io,
            output_life: self.output_life,
            script: self.script,
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Phase {
    InQueue,
    InProgress,
    Completed,
}

impl Phase {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::InQueue => "IN_QUEUE",
            Self::InProgress => "IN_PROGRESS",
            Self::Completed => "COMPLETED",
        }
    }
}

/// How far the request has come.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Progress {
    pub phase: Phase,
    pub logs: Vec<LogLine>,
    pub started_at: Option<DateTime<Utc>>,
    pub ended_at: Option<DateTime<Utc>>,
    pub outcome: Option<Outcome>,
    /// Whether the delivery attempts are over, or there is nothing to deliver.
    pub delivered: bool,
    /// Whether its payloads were deleted: the list shows none, and the result is gone.
    #[serde(default)]
    pub erased: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct LogLine {
    pub message: String,
    pub level: Cow<'static, str>,
    pub source: Cow<'static, str>,
    pub timestamp: String,
}

/// The answer to a call for the result.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub status: u16,
    pub body: Value,
    /// Set for infrastructure failures. A model error names its type only in the body.
    pub error_type: Option<Cow<'static, str>>,
}

impl Outcome {
    pub(super) fn success(body: Value) -> Self {
        Self {
            status: 200,
            body,
            error_type: None,
        }
    }

    /// The failure as a status shows it: the first text in `detail`.
    pub(super) fn in_words(&self) -> String {
        let detail = &self.body["detail"];
        let words = detail.as_str().or_else(|| detail[0]["msg"].as_str());
        words.map_or_else(|| format!("Invalid status code: {}", self.status), str::to_owned)
    }

    /// A model error, whose `detail` is a list.
    pub(super) fn refused(details: &[Value]) -> Self {
        Self {
            status: 422,
            body: json!({ "detail": details }),
            error_type: None,
        }
    }

    /// An infrastructure failure, whose `detail` is a string.
    pub(super) fn failed(status: StatusCode, error_type: &'static str, detail: &str) -> Self {
        let body = json!({ "detail": detail, "error_type": error_type });
        Self {
            status: status.as_u16(),
            body,
            error_type: Some(error_type.into()),
        }
    }
}

pub(super) struct Request {
    pub order: Order,
    pub progress: watch::Sender<Progress>,
    pub cancel: CancellationToken,
    memory: Memory,
}

impl Request {
    pub(super) fn new(order: Order, memory: Memory) -> Self {
        let progress = Progress {
            phase: Phase::InQueue,
            logs: Vec::new(),
            started_at: None,
            ended_at: None,
            outcome: None,
            delivered: false,
            erased: false,
        };
        Self {
            order,
            progress: watch::Sender::new(progress),
            cancel: CancellationToken::new(),
            memory,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.progress.borrow().phase
    }

    fn change(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|progress| {
            change(progress);
            self.memory.progress(self.order.id, progress);
        });
    }

    pub(super) fn start(&self) {
        self.change(|progress| {
            progress.phase = Phase::InProgress;
            progress.started_at.get_or_insert_with(now);
        });
    }

    pub(super) fn log(&self, message: String) {
        let timestamp = now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        self.change(|progress| {
            progress.logs.push(LogLine {
                message,
                level: "INFO".into(),
                source: "USER".into(),
                timestamp,
            });
        });
    }

    pub(super) fn end(&self, outcome: Outcome) {
        self.change(|progress| {
            progress.phase = Phase::Completed;
            progress.ended_at = Some(now());
            progress.outcome = Some(outcome);
        });
    }

    /// Forgets input and output. Returns the output that it had.
    pub(super) fn erase(&self) -> Option<Value> {
        let mut output = None;
        self.change(|progress| {
            progress.erased = true;
            output = progress.outcome.as_mut().map(|outcome| outcome.body.take());
        });
        output
    }

    pub(super) fn mark_delivered(&self) {
        self.change(|progress| progress.delivered = true);
    }

    /// Waits until the request's progress satisfies `state`.
    pub(super) async fn reach(&self, state: impl FnMut(&Progress) -> bool) {
        // The sender lives as long as `self`, so the wait cannot fail.
        let _ = self.progress.subscribe().wait_for(state).await;
    }

    /// Seconds from start to end, or to now while it runs.
    pub(super) fn duration(&self) -> Option<f64> {
        let progress = self.progress.borrow();
        let span = progress.ended_at.unwrap_or_else(now) - progress.started_at?;
        Some(span.as_seconds_f64())
    }

    pub(super) fn has(&self, effect: &Effect) -> bool {
        self.order.script.contains(effect)
    }
}

/// All accepted requests, earlier runs' included.
#[derive(Default)]
pub(super) struct Requests {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    by_id: HashMap<Uuid, Arc<Request>>,
    in_order: Vec<Arc<Request>>,
}

impl Requests {
    pub(super) fn add(&self, request: Arc<Request>) {
        let mut book = locked(&self.book);
        book.by_id.insert(request.order.id, Arc::clone(&request));
        book.in_order.push(request);
    }

    pub(super) fn find(&self, id: &str) -> Option<Arc<Request>> {
        self.of(id.parse().ok()?)
    }

    pub(super) fn of(&self, id: Uuid) -> Option<Arc<Request>> {
        locked(&self.book).by_id.get(&id).cloned()
    }

    /// All requests, oldest first.
    pub(super) fn all(&self) -> Vec<Arc<Request>> {
        locked(&self.book).in_order.clone()
    }

    /// Number of waiting requests of the endpoint: those submitted before `ahead_of`, or all.
    pub(super) fn waiting(&self, endpoint: &Endpoint, ahead_of: Option<Uuid>) -> usize {
        self.all()
            .iter()
            .take_while(|request| Some(request.order.id) != ahead_of)
            .filter(|request| request.order.endpoint.id == endpoint.id && request.phase() == Phase::InQueue)
            .count()
    }
}
