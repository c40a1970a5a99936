//! `queue.fal.run` and `fal.run`: submit, status, stream, result, cancel; and the synchronous call.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::{HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream::{self, Stream};
use serde_json::{Value, json};
use tokio::sync::watch;
use uuid::Uuid;

use super::call::{Answer, Call, Refused, detail, json_answer, refusal};
use super::faults::{Effect, Operation, Target};
use super::ledger::Event;
use super::origin::{Origin, Service};
use super::requests::{Order, Phase, Progress, Request};
use super::runner;
use super::simulation::{Simulation, now};
use super::storage::lifecycle;
use super::trainers::Endpoint;

/// `POST /{full endpoint id}`. A submit that gets here is accepted and billed, whatever the model makes of it
/// later.
pub(super) fn submit(sim: &Arc<Simulation>, call: &Call, endpoint_id: &str) -> Answer {
    let request = accept(sim, call, endpoint_id, false)?;
    let order = &request.order;
    let mut body = urls(&call.origin, order);
    body["status"] = json!(Phase::InQueue);
    body["request_id"] = json!(order.id);
    body["gateway_request_id"] = json!(order.gateway_id);
    body["queue_position"] = json!(sim.requests.waiting(&order.endpoint, Some(order.id)));
    let mut response = json_answer(StatusCode::OK, &body);
    response.extensions_mut().insert(request);
    Ok(response)
}

/// `POST /{full endpoint id}` at the synchronous API. It is answered with the result.
pub(super) async fn run(sim: &Arc<Simulation>, call: &Call, endpoint_id: &str) -> Answer {
    if sim
        .runners
        .as_ref()
        .is_some_and(|runners| runners.available_permits() == 0)
    {
        let body =
            json!({ "detail": "Too many concurrent requests", "error_type": "concurrent_requests_limit" });
        let retry = [("x-fal-needs-retry", "1")];
        return Err((StatusCode::TOO_MANY_REQUESTS, retry, axum::Json(body))
            .into_response()
            .into());
    }
    let request = accept(sim, call, endpoint_id, true)?;
    request.reach(|progress| progress.phase == Phase::Completed).await;
    Ok(outcome_of(&request))
}

fn accept(
    sim: &Arc<Simulation>,
    call: &Call,
    endpoint_id: &str,
    sync: bool,
) -> Result<Arc<Request>, Refused> {
    let refused = |(status, text): (StatusCode, String)| {
        let (endpoint, http_status) = (endpoint_id.to_owned(), status.as_u16());
        sim.ledger.record(Event::SubmitRefused {
            endpoint,
            http_status,
            detail: text.clone(),
        });
        refusal(status, &text)
    };
    let key = call.authorize(sim).inspect_err(|answer| {
        refused((answer.0.status(), "the key was refused".to_owned()));
    })?;
    Call::unlocked(sim).inspect_err(|answer| {
        refused((answer.0.status(), "the account is locked".to_owned()));
    })?;
    let endpoint = admit(sim, call, endpoint_id).map_err(refused)?;
    let input = call.json().ok().filter(Value::is_object).ok_or_else(|| {
        refused((
            StatusCode::BAD_REQUEST,
            "The body must be a JSON object".to_owned(),
        ))
    })?;
    let id = Uuid::new_v4();
    let target = call.target();
    let target = Target {
        endpoint: Some(&endpoint.id),
        request_id: None,
        text: &target,
    };
    let order = Order {
        id,
        gateway_id: Uuid::new_v4(),
        endpoint: Arc::clone(&endpoint),
        input,
        webhook: call.param("fal_webhook").filter(|url| !url.is_empty() && !sync),
        origin: call.origin.clone(),
        submitted_at: now(),
        start_timeout: start_timeout(call),
        store_io: call.header("x-fal-store-io") != Some("0"),
        output_life: lifecycle(sim, call, &["x-fal-object-lifecycle-preference"])?,
        script: sim
            .faults
            .strike_all(Operation::Execution, &target)
            .into_iter()
            .map(|s| s.effect)
            .collect(),
    };
    sim.ledger.record(Event::Submitted {
        request_id: id,
        endpoint: endpoint.id.clone(),
        input: order.input.clone(),
        webhook: order.webhook.clone(),
        key,
        sync,
    });
    let request = Arc::new(Request::new(order, sim.memory.clone()));
    sim.memory.order(&request);
    sim.requests.add(Arc::clone(&request));
    sim.spawn(runner::run(Arc::clone(sim), Arc::clone(&request)));
    Ok(request)
}

/// Checks that come before anything reads the input.
fn admit(sim: &Simulation, call: &Call, endpoint_id: &str) -> Result<Arc<Endpoint>, (StatusCode, String)> {
    let Some(endpoint) = sim.endpoints.get(endpoint_id) else {
        return Err((
            StatusCode::NOT_FOUND,
            format!("Application {endpoint_id:?} not found"),
        ));
    };
    let limit = call
        .param("fal_max_queue_length")
        .and_then(|limit| limit.parse().ok());
    if limit.is_some_and(|limit: usize| sim.requests.waiting(&endpoint, None) > limit) {
        return Err((
            StatusCode::TOO_MANY_REQUESTS,
            "The queue is longer than fal_max_queue_length".to_owned(),
        ));
    }
    Ok(endpoint)
}

/// Both headers mean the same; the newer name wins.
fn start_timeout(call: &Call) -> Option<Duration> {
    ["x-fal-request-start-timeout", "x-fal-request-timeout"]
        .iter()
        .find_map(|name| call.header(name))
        .and_then(|seconds| seconds.parse().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

fn urls(origin: &Origin, order: &Order) -> Value {
    let base = origin.url(
        Service::Queue,
        &format!("{}/requests/{}", order.endpoint.app(), order.id),
    );
    json!({
        "response_url": base,
        "status_url": format!("{base}/status"),
        "cancel_url": format!("{base}/cancel"),
    })
}

/// The part after `…/requests/` in a URL of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum About {
    Status,
    Stream,
    Result,
    Cancel,
}

impl About {
    pub(super) fn of(method: &Method, tail: &[&str]) -> Option<Self> {
        match (method.as_str(), tail) {
            ("GET", ["status"]) => Some(Self::Status),
            ("GET", ["status", "stream"]) => Some(Self::Stream),
            ("GET", [] | ["response"]) => Some(Self::Result),
            ("PUT", ["cancel"]) => Some(Self::Cancel),
            _ => None,
        }
    }
}

/// Handles every call about a request. `app` is the short or the full endpoint id.
pub(super) async fn about(sim: &Arc<Simulation>, call: &Call, about: About, app: &str, id: &str) -> Answer {
    call.authorize(sim)?;
    let found = sim.requests.find(id);
    let found = found.filter(|it| app == it.order.endpoint.id || app == it.order.endpoint.app());
    let mut word = None;
    let response = match (&found, about) {
        (None, _) => json_answer(StatusCode::NOT_FOUND, &json!({ "status": "NOT_FOUND" })),
        (Some(request), About::Cancel) => cancel(request).await,
        (Some(request), About::Result) => result(request),
        (Some(request), About::Status) => {
            let progress = request.progress.borrow().clone();
            word = Some(progress.phase.word().to_owned());
            let first_log = wants_logs(call).then_some(0);
            let body = status(sim, &call.origin, request, &progress, first_log);
            let code = if progress.phase == Phase::Completed {
                StatusCode::OK
            } else {
                StatusCode::ACCEPTED
            };
            json_answer(code, &body)
        }
        (Some(request), About::Stream) => stream(sim, call, request),
    };
    let (request_id, http_status) = (id.to_owned(), response.status().as_u16());
    let operation = match about {
        About::Cancel => {
            sim.ledger.record(Event::Cancelled {
                request_id,
                http_status,
            });
            return Ok(response);
        }
        About::Status => Operation::Status,
        About::Stream => Operation::Stream,
        About::Result => Operation::Result,
    };
    sim.ledger.record(Event::Polled {
        operation,
        request_id,
        http_status,
        word,
    });
    Ok(response)
}

fn wants_logs(call: &Call) -> bool {
    matches!(call.param("logs").as_deref(), Some("1" | "true" | "True"))
}

/// The status as JSON. `logs` is null unless asked for, and begins at line `first_log`.
fn status(
    sim: &Simulation,
    origin: &Origin,
    request: &Request,
    progress: &Progress,
    first_log: Option<usize>,
) -> Value {
    let mut body = urls(origin, &request.order);
    body["status"] = json!(progress.phase);
    body["request_id"] = json!(request.order.id);
    if progress.phase == Phase::InQueue {
        body["queue_position"] = json!(
            sim.requests
                .waiting(&request.order.endpoint, Some(request.order.id))
        );
        return body;
    }
    body["logs"] = json!(first_log.map(|first| &progress.logs[first.min(progress.logs.len())..]));
    if let Some(outcome) = &progress.outcome {
        body["metrics"] = json!({ "inference_time": request.duration() });
        // FAL documents this field, but answers without it have been seen too: a client must read the result.
        if outcome.status >= 400 {
            body["error"] = json!(outcome.in_words());
        }
        if let Some(error_type) = &outcome.error_type {
            body["error_type"] = json!(error_type);
        }
    }
    body
}

/// Server-sent events: the status at each change, with the new log lines. The stream ends after COMPLETED.
fn stream(sim: &Arc<Simulation>, call: &Call, request: &Arc<Request>) -> Response {
    let state = Watched {
        sim: Arc::clone(sim),
        request: Arc::clone(request),
        origin: call.origin.clone(),
        progress: request.progress.subscribe(),
        logs_sent: wants_logs(call).then_some(0),
        first: true,
        over: false,
    };
    let keep_alive = sse::KeepAlive::new().interval(
        sim.scaled(Duration::from_secs(15))
            .max(Duration::from_millis(100)),
    );
    Sse::new(events(state)).keep_alive(keep_alive).into_response()
}

struct Watched {
    sim: Arc<Simulation>,
    request: Arc<Request>,
    origin: Origin,
    progress: watch::Receiver<Progress>,
    /// Number of log lines sent so far; `None`: the client wants no logs.
    logs_sent: Option<usize>,
    first: bool,
    over: bool,
}

fn events(watched: Watched) -> impl Stream<Item = Result<sse::Event, Infallible>> {
    stream::unfold(watched, |mut it| async move {
        if it.over {
            return None;
        }
        if !it.first {
            // The stream is cut when the simulator stops, which would otherwise wait for it.
            it.sim
                .stop
                .clone()
                .run_until_cancelled(it.progress.changed())
                .await?
                .ok()?;
        }
        it.first = false;
        let progress = it.progress.borrow_and_update().clone();
        let body = status(&it.sim, &it.origin, &it.request, &progress, it.logs_sent);
        it.logs_sent = it.logs_sent.map(|_| progress.logs.len());
        it.over = progress.phase == Phase::Completed;
        Some((Ok(sse::Event::default().data(body.to_string())), it))
    })
}

fn result(request: &Request) -> Response {
    if request.phase() != Phase::Completed {
        return detail(StatusCode::BAD_REQUEST, "Request is still in progress");
    }
    if request.has(&Effect::ExpiredResult {}) || request.progress.borrow().erased {
        return json_answer(StatusCode::NOT_FOUND, &json!({ "status": "NOT_FOUND" }));
    }
    outcome_of(request)
}

/// The model's status and body, with the platform's headers.
fn outcome_of(request: &Request) -> Response {
    let Some(outcome) = request.progress.borrow().outcome.clone() else {
        return detail(StatusCode::INTERNAL_SERVER_ERROR, "The request has not ended");
    };
    let status = StatusCode::from_u16(outcome.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = json_answer(status, &outcome.body);
    let mut header = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    };
    header("x-fal-request-id", &request.order.id.to_string());
    header("x-fal-served-from", &request.order.endpoint.id);
    if status.is_success() {
        header("x-fal-billable-units", "1");
    } else {
        header("x-fal-retryable", "0");
        header("x-fal-needs-retry", "0");
    }
    if let Some(error_type) = outcome.error_type {
        header("x-fal-error-type", &error_type);
        if error_type == "request_timeout" && request.order.start_timeout.is_some() {
            header("x-fal-request-timeout-type", "user");
        }
    }
    response
}

async fn cancel(request: &Request) -> Response {
    let phase = request.phase();
    if phase == Phase::Completed {
        return json_answer(StatusCode::BAD_REQUEST, &json!({ "status": "ALREADY_COMPLETED" }));
    }
    request.cancel.cancel();
    if phase == Phase::InProgress {
        return json_answer(
            StatusCode::ACCEPTED,
            &json!({ "status": "CANCELLATION_REQUESTED" }),
        );
    }
    // After this 200, every reader of the status finds the request out of the queue.
    request.reach(|progress| progress.phase != Phase::InQueue).await;
    json_answer(StatusCode::OK, &json!({ "status": "OK" }))
}
