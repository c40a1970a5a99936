//! `/__sim`: our additions to FAL's API. It shows the ledger, scripts faults, and waits for holds and
//! releases them.
//!
//! | call | does |
//! |---|---|
//! | `GET ledger[?since=N][&event=NAME][&count=N]` | entries; with `count`, waits until so many match |
//! | `GET requests` | all requests with their progress and outcome |
//! | `GET` · `POST` · `DELETE faults` | shows · scripts (one or a list, all or none) · forgets them |
//! | `GET held[?count=N]` | answers and runs that are held; with `count`, waits for the N-th hold since the start |
//! | `POST release` | `{"hold": id, "close": bool}`, both optional: releases one or all |
//! | `POST keys/rotate` | `{"keep_old": bool}`: signs with a new key |
//! | `GET` · `POST settings` | shows · changes settings (`request_duration_ms`, `locked`, …) |
//! | `POST files/expire` | `{"contains": text}`: lets files expire |
//!
//! Waiting calls are answered 408 after 30 seconds.

use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::call::{Answer, Call, Refused, json_answer, refusal};
use super::faults::Fault;
use super::holds::Release;
use super::ledger::{Entry, Event};
use super::requests::Request;
use super::simulation::{Simulation, locked};

const LONGEST_WAIT: Duration = Duration::from_secs(30);

pub(super) async fn answer(sim: &Arc<Simulation>, call: &Call) -> Response {
    let answer = match (call.method.as_str(), call.segments().as_slice()) {
        ("GET", ["ledger"]) => ledger(sim, call).await,
        ("GET", ["requests"]) => {
            let requests: Vec<Value> = sim.requests.all().iter().map(|request| show(request)).collect();
            Ok(ok(&json!({ "requests": requests })))
        }
        ("GET", ["faults"]) => Ok(ok(&json!({ "faults": sim.faults.all() }))),
        ("POST", ["faults"]) => script(sim, call),
        ("DELETE", ["faults"]) => {
            sim.faults.clear();
            Ok(ok(&json!({})))
        }
        ("GET", ["held"]) => held(sim, call).await,
        ("POST", ["release"]) => release(sim, call),
        ("POST", ["keys", "rotate"]) => rotate(sim, call),
        ("GET", ["settings"]) => Ok(ok(&json!(sim.settings()))),
        ("POST", ["settings"]) => change_settings(sim, call),
        ("POST", ["files", "expire"]) => {
            body(call).map(|Expire { contains }| ok(&json!({ "expired": sim.files.expire(&contains) })))
        }
        _ => Err(refusal(
            StatusCode::NOT_FOUND,
            "see the module documentation of control.rs for the calls",
        )),
    };
    answer.unwrap_or_else(|refused| *refused.0)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    contains: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReleaseOrder {
    #[serde(default)]
    hold: Option<u64>,
    #[serde(default)]
    close: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default)]
    keep_old: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Faults {
    Many(Vec<Fault>),
    One(Fault),
}

async fn ledger(sim: &Simulation, call: &Call) -> Answer {
    let since = number(call, "since")?.unwrap_or(0);
    let event = call.param("event");
    let matching = |entries: &[Entry]| -> Vec<Entry> {
        let after = entries.iter().filter(|entry| entry.seq > since);
        after
            .filter(|entry| event.as_deref().is_none_or(|event| entry.event.name() == event))
            .cloned()
            .collect()
    };
    let count = number(call, "count")?.unwrap_or(0);
    let found = sim
        .ledger
        .wait_for(LONGEST_WAIT, |entries| {
            let found = matching(entries);
            (found.len() as u64 >= count).then_some(found)
        })
        .await;
    match found {
        Some(entries) => Ok(ok(&json!({ "entries": entries }))),
        None => Err(refusal(
            StatusCode::REQUEST_TIMEOUT,
            "the ledger did not grow that far",
        )),
    }
}

async fn held(sim: &Simulation, call: &Call) -> Answer {
    let count = number(call, "count")?.unwrap_or(0);
    let happened = tokio::time::timeout(LONGEST_WAIT, sim.holds.wait_for(count)).await;
    happened.map_err(|_| refusal(StatusCode::REQUEST_TIMEOUT, "there were not so many holds"))?;
    let (total, held) = sim.holds.held();
    Ok(ok(&json!({ "total": total, "held": held })))
}

fn script(sim: &Simulation, call: &Call) -> Answer {
    let faults = match body(call)? {
        Faults::Many(faults) => faults,
        Faults::One(fault) => vec![fault],
    };
    let ids = sim
        .faults
        .script(faults)
        .map_err(|wrong| refusal(StatusCode::BAD_REQUEST, &wrong))?;
    Ok(ok(&json!({ "faults": ids })))
}

fn release(sim: &Simulation, call: &Call) -> Answer {
    let order: ReleaseOrder = body(call)?;
    let how = if order.close {
        Release::Close
    } else {
        Release::Answer
    };
    let released = sim
        .holds
        .release(how, |held| order.hold.is_none_or(|id| id == held.id));
    Ok(ok(&json!({ "released": released })))
}

fn rotate(sim: &Simulation, call: &Call) -> Answer {
    let rotation: Rotation = body(call)?;
    sim.rotate_keys(rotation.keep_old);
    Ok(ok(&sim.keys.set()))
}

/// Changes only the settings that the body names.
fn change_settings(sim: &Simulation, call: &Call) -> Answer {
    let wanted: serde_json::Map<String, Value> = body(call)?;
    let mut settings = locked(&sim.settings);
    let mut changed = json!(*settings);
    for (name, value) in wanted {
        changed[name] = value;
    }
    *settings = serde_json::from_value(changed)
        .map_err(|error| refusal(StatusCode::BAD_REQUEST, &format!("settings: {error}")))?;
    Ok(ok(&json!(*settings)))
}

fn show(request: &Request) -> Value {
    let order = &request.order;
    json!({
        "request_id": order.id,
        "gateway_request_id": order.gateway_id,
        "endpoint": order.endpoint.id,
        "input": order.input,
        "webhook": order.webhook,
        "submitted_at": order.submitted_at,
        "progress": *request.progress.borrow(),
    })
}

/// An empty body is an empty object.
fn body<T: DeserializeOwned>(call: &Call) -> Result<T, Refused> {
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(bytes).map_err(|error| refusal(StatusCode::BAD_REQUEST, &error.to_string()))
}

fn number(call: &Call, name: &str) -> Result<Option<u64>, Refused> {
    let wrong = |_| refusal(StatusCode::BAD_REQUEST, &format!("{name} must be a number"));
    call.param(name)
        .map(|text| text.parse().map_err(wrong))
        .transpose()
}

fn ok(body: &Value) -> Response {
    json_answer(StatusCode::OK, body)
}

impl Event {
    /// The name in JSON.
    fn name(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        json.get("event")
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    }
}
