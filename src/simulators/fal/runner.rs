//! One run: wait for a runner, check the input as the model would, go through the steps, store the result.
//!
//! This is the only code that changes a request. Cancellation drops the work where it is.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::sync::SemaphorePermit;
use uuid::Uuid;

use super::archive::{self, Refusal};
use super::cdn::{Lifecycle, new_path};
use super::faults::{Effect, Operation};
use super::ledger::Event;
use super::origin::Service;
use super::pictures;
use super::products;
use super::requests::{Outcome, Phase, Request};
use super::schema::Problem;
use super::simulation::Simulation;
use super::trainers::{Makes, Output, Training};
use super::webhooks;

/// How many times a run reports its progress.
const REPORTS: u32 = 20;

/// Runs a request from its submit, or from its status in an earlier run, to the last delivery attempt of its
/// webhook.
pub(super) async fn run(sim: Arc<Simulation>, request: Arc<Request>) {
    if request.phase() != Phase::Completed {
        work_off(&sim, &request).await;
    }
    webhooks::deliver(&sim, &request).await;
    request.mark_delivered();
}

async fn work_off(sim: &Simulation, request: &Request) {
    let (outcome, runner) = match leave_queue(sim, request).await {
        Ok(runner) => (perform(sim, request).await, runner),
        Err(outcome) => (outcome, None),
    };
    let event = Event::RunEnded {
        request_id: request.order.id,
        http_status: outcome.status,
    };
    request.end(outcome);
    sim.ledger.record(event);
    // Only now may the next request start: the ledger never shows more running requests than there are
    // runners.
    drop(runner);
}

async fn leave_queue<'a>(
    sim: &'a Simulation,
    request: &Request,
) -> Result<Option<SemaphorePermit<'a>>, Outcome> {
    tokio::select! {
        runner = wait_for_runner(sim, request) => Ok(runner),
        () = request.cancel.cancelled() => Err(cancelled()),
        () = start_deadline(request) => {
            Err(Outcome::failed(StatusCode::GATEWAY_TIMEOUT, "request_timeout", "Request timed out"))
        }
    }
}

async fn perform(sim: &Simulation, request: &Request) -> Outcome {
    request.start();
    sim.ledger.record(Event::RunStarted {
        request_id: request.order.id,
    });
    tokio::select! {
        outcome = work(sim, request) => outcome.unwrap_or_else(|outcome| outcome),
        () = request.cancel.cancelled(), if !request.has(&Effect::IgnoreCancel {}) => cancelled(),
    }
}

/// Time in the queue: a tenth of the whole duration, and longer while all runners are busy.
async fn wait_for_runner<'a>(sim: &'a Simulation, request: &Request) -> Option<SemaphorePermit<'a>> {
    if request.phase() == Phase::InQueue {
        tokio::time::sleep(total_duration(sim, request) / 10).await;
        if request.has(&Effect::StuckInQueue {}) {
            hold(sim, request).await;
        }
    }
    match &sim.runners {
        // The semaphore is never closed.
        Some(runners) => runners.acquire().await.ok(),
        None => None,
    }
}

async fn start_deadline(request: &Request) {
    match request.order.start_timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
}

fn cancelled() -> Outcome {
    let status = StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST);
    Outcome::failed(status, "client_cancelled", "Request was cancelled by the client")
}

fn total_duration(sim: &Simulation, request: &Request) -> Duration {
    let settings = sim.settings();
    let own = match request.order.endpoint.makes {
        Makes::Training(_) => None,
        Makes::Pictures(_) => settings.picture_duration_ms,
    };
    Duration::from_millis(own.unwrap_or(settings.request_duration_ms))
}

async fn hold(sim: &Simulation, request: &Request) {
    let endpoint = Some(request.order.endpoint.id.clone());
    sim.holds
        .hold(Operation::Execution, endpoint, Some(request.order.id))
        .await;
}

async fn work(sim: &Simulation, request: &Request) -> Result<Outcome, Outcome> {
    let order = &request.order;
    let problems = order.endpoint.problems(&order.input);
    if !problems.is_empty() {
        return Err(Outcome::refused(&problems));
    }
    let product = match &order.endpoint.makes {
        Makes::Training(training) => {
            let photo = fetch_archive(sim, request, training).await?;
            let steps = count(&order.input, &training.steps, training.default_steps);
            proceed(sim, request, steps).await?;
            trained(sim, request, training, photo)
        }
        Makes::Pictures(fields) => {
            let model = pictures::load(sim, &order.input, fields).await?;
            proceed(sim, request, count(&order.input, "num_inference_steps", 28)).await?;
            pictures::draw(sim, request, fields, model).await?
        }
    };
    let scripted = order.script.iter().find_map(|effect| match effect {
        Effect::Output { body } => Some(body.clone()),
        _ => None,
    });
    Ok(Outcome::success(scripted.unwrap_or(product)))
}

fn count(input: &Value, field: &str, default: u64) -> u64 {
    input.get(field).and_then(Value::as_u64).unwrap_or(default)
}

/// Returns the first photo, small.
async fn fetch_archive(sim: &Simulation, request: &Request, training: &Training) -> Result<Bytes, Outcome> {
    let input = &request.order.input;
    let url = input
        .get(&training.archive)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let (fewest, most) = (*training.pictures.start(), *training.pictures.end());
    let fewest = if sim.settings().require_advised_pictures {
        training.advised
    } else {
        fewest
    };
    let checked = archive::check(sim, url, input, fewest..=most).await;
    let refused = checked
        .as_ref()
        .err()
        .map(|refusal| format!("{}: {}", refusal.kind, refusal.message));
    sim.ledger.record(Event::ArchiveChecked {
        request_id: request.order.id,
        url: url.to_owned(),
        facts: checked.as_ref().ok().map(|(facts, _)| facts.clone()),
        refused,
    });
    let (facts, photo) = checked.map_err(|refusal| refusal.outcome(&training.archive, url))?;
    request.log(format!("Loaded {} images", facts.images));
    Ok(photo)
}

impl Refusal {
    /// The refusal as the model's error about the field that named the file.
    pub(super) fn outcome(self, field: &str, input: &str) -> Outcome {
        Outcome::refused(&[Problem::new(self.kind, self.message).at(field, &json!(input))])
    }
}

/// Waits for the duration of the run and logs its progress.
async fn proceed(sim: &Simulation, request: &Request, steps: u64) -> Result<(), Outcome> {
    let pause = total_duration(sim, request) * 9 / 10 / REPORTS;
    for report in 1..=REPORTS {
        tokio::time::sleep(pause).await;
        request.log(format!(
            "step {}/{steps}",
            steps * u64::from(report) / u64::from(REPORTS)
        ));
        if report == REPORTS / 2 {
            if request.has(&Effect::StuckInProgress {}) {
                hold(sim, request).await;
            }
            if let Some(failure) = request.order.script.iter().find_map(scripted_failure) {
                return Err(failure);
            }
        }
    }
    Ok(())
}

fn scripted_failure(effect: &Effect) -> Option<Outcome> {
    let Effect::Fail { status, body } = effect else {
        return None;
    };
    // The header repeats the body's error type if it is one of FAL's own failures.
    let error_type = match body.get("error_type").and_then(Value::as_str) {
        Some("request_timeout") => Some("request_timeout"),
        Some("runner_disconnected") => Some("runner_disconnected"),
        Some("runner_server_error") => Some("runner_server_error"),
        Some(_) => Some("internal_error"),
        None => None,
    };
    Some(Outcome {
        status: *status,
        body: body.clone(),
        error_type: error_type.map(Into::into),
    })
}

fn trained(sim: &Simulation, request: &Request, training: &Training, photo: Bytes) -> Value {
    let input = &request.order.input;
    let trigger = ["trigger_phrase", "trigger_word", "default_caption"]
        .iter()
        .find_map(|field| input.get(field)?.as_str());
    match &training.output {
        Output::Finetune => {
            let id = Uuid::new_v4();
            let path = pictures::finetune_path(id);
            sim.files.put(&path, "image/jpeg", photo, Lifecycle::default());
            json!({ "finetune_id": id })
        }
        Output::Lora(key) => {
            let seed = request.order.id.as_u64_pair().0;
            let weights = products::lora_weights(seed, trigger.unwrap_or_default(), &photo);
            let config = json!({ "instance_prompt": trigger, "trigger_phrase": trigger, "input": input });
            let config = Bytes::from(config.to_string());
            json!({
                key: publish(sim, request, "pytorch_lora_weights.safetensors", "application/octet-stream", weights),
                "config_file": publish(sim, request, "config.json", "application/json", config),
            })
        }
    }
}

/// Puts a file on the CDN and describes it as FAL's `File`.
pub(super) fn publish(
    sim: &Simulation,
    request: &Request,
    name: &str,
    content_type: &str,
    bytes: Bytes,
) -> Value {
    let path = new_path(name);
    let file = sim
        .files
        .put(&path, content_type, bytes, request.order.output_life);
    json!({
        "url": request.order.origin.url(Service::Cdn, &path),
        "content_type": content_type,
        "file_name": name,
        "file_size": file.bytes.len(),
    })
}
