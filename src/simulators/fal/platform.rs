//! `api.fal.ai`: the request list, prices, and the IP addresses from which webhooks come.
//!
//! It is unknown whether the real list shows queued requests, and with what delay it shows any. Here it shows
//! only started requests, after a configurable delay. That is the pessimistic reading: "not listed" proves
//! nothing.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use super::call::{Answer, Call, Refused, json_answer};
use super::ledger::Event;
use super::requests::Request;
use super::simulation::{Simulation, now};
use super::trainers::Makes;

/// `GET /v1/meta`.
pub(super) fn meta() -> Response {
    json_answer(
        StatusCode::OK,
        &json!({ "webhook_ip_ranges": ["127.0.0.1/32", "::1/128"] }),
    )
}

/// `GET /v1/models`: the requested models that are listed. FAL answers without a key as well.
pub(super) fn models(sim: &Simulation, call: &Call) -> Answer {
    let asked = endpoint_ids(call)?;
    let known = sim
        .endpoints
        .iter()
        // FAL removed this one from the list in December 2025; it is unknown whether its queue still accepts it.
        .filter(|endpoint| endpoint.id != "fal-ai/flux-pro-trainer")
        .filter(|endpoint| asked.iter().any(|id| *id == endpoint.id));
    let models: Vec<Value> = known
        .map(|endpoint| {
            let category = match endpoint.makes {
                Makes::Training(_) => "training",
                Makes::Pictures(_) => "text-to-image",
            };
            json!({
                "endpoint_id": endpoint.id,
                "metadata": { "display_name": endpoint.id, "category": category, "status": "active" },
            })
        })
        .collect();
    Ok(json_answer(
        StatusCode::OK,
        &json!({ "models": models, "next_cursor": null, "has_more": false }),
    ))
}

/// `GET /v1/models/pricing`.
pub(super) fn pricing(sim: &Simulation, call: &Call) -> Answer {
    authorize(sim, call)?;
    let asked = endpoint_ids(call)?;
    let known = sim
        .endpoints
        .iter()
        .filter(|endpoint| asked.iter().any(|id| *id == endpoint.id));
    let prices: Vec<Value> = known
        .filter_map(|endpoint| {
            let (unit, price) = endpoint.price?;
            Some(json!({ "endpoint_id": endpoint.id, "unit_price": price, "unit": unit, "currency": "USD" }))
        })
        .collect();
    if prices.is_empty() {
        return Err(error(
            StatusCode::NOT_FOUND,
            "not_found",
            "none of these endpoints has a price",
        ));
    }
    Ok(json_answer(
        StatusCode::OK,
        &json!({ "prices": prices, "next_cursor": null, "has_more": false }),
    ))
}

/// `GET /v1/models/requests/by-endpoint`: `items`; and `/search`: the same as `results`, newest first.
pub(super) fn list(sim: &Simulation, call: &Call, search: bool) -> Answer {
    authorize(sim, call)?;
    let filter = Filter::of(call, search)?;
    let mut found: Vec<_> = sim
        .requests
        .all()
        .into_iter()
        .filter(|request| filter.takes(sim, request))
        .collect();
    if filter.by_duration {
        found.sort_by(|a, b| {
            b.duration()
                .unwrap_or(0.0)
                .total_cmp(&a.duration().unwrap_or(0.0))
        });
    } else {
        // Sorted by their end, newest first. Running requests, which have no end yet, come before all others.
        let end = |request: &Arc<Request>| {
            request
                .progress
                .borrow()
                .ended_at
                .unwrap_or(DateTime::<Utc>::MAX_UTC)
        };
        found.reverse();
        found.sort_by_key(|request| std::cmp::Reverse(end(request)));
    }
    let page: Vec<Value> = found
        .iter()
        .skip(filter.offset)
        .take(filter.limit)
        .map(|request| row(request, filter.payloads))
        .collect();
    let next = filter.offset + page.len();
    let has_more = next < found.len();
    sim.ledger.record(Event::RequestsListed {
        query: call.query.clone(),
        rows: page.len(),
    });
    let body = json!({
        (if search { "results" } else { "items" }): page,
        "next_cursor": has_more.then(|| next.to_string()),
        "has_more": has_more,
    });
    Ok(json_answer(StatusCode::OK, &body))
}

/// `DELETE /v1/models/requests/{id}/payloads`: forgets a request's input, its output and the files in that. Files that a
/// client uploaded stay.
pub(super) fn erase(sim: &Simulation, call: &Call, id: &str) -> Answer {
    authorize(sim, call)?;
    let Some(request) = sim.requests.find(id) else {
        return Err(error(StatusCode::NOT_FOUND, "not_found", "Request not found"));
    };
    let output = request.erase().unwrap_or_default();
    let files = urls_in(&output)
        .into_iter()
        .filter_map(|url| url.find("/files/").map(|at| url[at + 1..].to_owned()))
        .map(|path| sim.files.expire(&path))
        .sum();
    sim.ledger.record(Event::Erased {
        request_id: request.order.id,
        files,
    });
    Ok(json_answer(StatusCode::OK, &json!({ "cdn_delete_results": [] })))
}

/// All texts of an output under the name `url`.
fn urls_in(value: &Value) -> Vec<String> {
    match value {
        Value::Array(values) => values.iter().flat_map(urls_in).collect(),
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(url) if name == "url" => vec![url.clone()],
                value => urls_in(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}

struct Filter {
    endpoints: Vec<String>,
    start: DateTime<Utc>,
    /// The exclusive end of the time range.
    end: DateTime<Utc>,
    status: Option<String>,
    request_id: Option<String>,
    payloads: bool,
    by_duration: bool,
    offset: usize,
    limit: usize,
}

impl Filter {
    fn of(call: &Call, search: bool) -> Result<Self, Refused> {
        let request_id = call.param("request_id");
        if request_id
            .as_deref()
            .is_some_and(|id| uuid::Uuid::parse_str(id).is_err())
        {
            return Err(invalid("request_id must be a uuid"));
        }
        let status = call.param("status");
        if status
            .as_deref()
            .is_some_and(|word| !matches!(word, "success" | "error" | "user_error"))
        {
            return Err(invalid("status must be success, error or user_error"));
        }
        let sort = call.param("sort_by");
        if sort
            .as_deref()
            .is_some_and(|word| !matches!(word, "ended_at" | "duration"))
        {
            return Err(invalid("sort_by must be ended_at or duration"));
        }
        let back = if request_id.is_some() {
            TimeDelta::days(90)
        } else {
            TimeDelta::hours(24)
        };
        Ok(Self {
            endpoints: if search && call.params("endpoint_id").is_empty() {
                Vec::new()
            } else {
                endpoint_ids(call)?
            },
            start: time(call, "start")?.unwrap_or_else(|| now() - back),
            end: time(call, "end")?.unwrap_or(DateTime::<Utc>::MAX_UTC),
            status,
            request_id,
            payloads: call
                .params("expand")
                .iter()
                .flat_map(|words| words.split(','))
                .any(|word| word == "payloads"),
            by_duration: sort.as_deref() == Some("duration"),
            offset: number(call, "cursor", 0, usize::MAX)?,
            limit: number(call, "limit", 50, 100)?,
        })
    }

    fn takes(&self, sim: &Simulation, request: &Request) -> bool {
        let progress = request.progress.borrow();
        let delay =
            TimeDelta::milliseconds(i64::try_from(sim.settings().listing_delay_ms).unwrap_or(i64::MAX / 2));
        let Some(started_at) = progress.started_at else {
            return false;
        };
        let outcome = progress.outcome.as_ref().map(|outcome| match outcome.status {
            200..=299 => "success",
            400..=499 => "user_error",
            _ => "error",
        });
        let instant = progress.ended_at.unwrap_or_else(now);
        started_at + delay <= now()
            && (self.endpoints.is_empty() || self.endpoints.iter().any(|id| *id == request.order.endpoint.id))
            && self
                .request_id
                .as_ref()
                .is_none_or(|id| *id == request.order.id.to_string())
            && self.status.as_deref().is_none_or(|word| outcome == Some(word))
            && (self.start..self.end).contains(&instant)
    }
}

fn row(request: &Request, payloads: bool) -> Value {
    let progress = request.progress.borrow().clone();
    let order = &request.order;
    let mut row = json!({
        "request_id": order.id,
        "endpoint_id": order.endpoint.id,
        "sent_at": order.submitted_at,
        "started_at": progress.started_at,
        "ended_at": progress.ended_at,
        "status_code": progress.outcome.as_ref().map(|outcome| outcome.status),
        "duration": progress.ended_at.and_then(|_| request.duration()),
    });
    if payloads && order.store_io && !progress.erased {
        row["json_input"] = order.input.clone();
        row["json_output"] = progress.outcome.map_or(Value::Null, |outcome| outcome.body);
    }
    row
}

fn endpoint_ids(call: &Call) -> Result<Vec<String>, Refused> {
    let ids: Vec<String> = call
        .params("endpoint_id")
        .iter()
        .flat_map(|ids| ids.split(','))
        .map(str::to_owned)
        .collect();
    if (1..=50).contains(&ids.len()) {
        Ok(ids)
    } else {
        Err(invalid("endpoint_id is required, 1 to 50 of them"))
    }
}

fn time(call: &Call, name: &str) -> Result<Option<DateTime<Utc>>, Refused> {
    let Some(text) = call.param(name) else {
        return Ok(None);
    };
    let midnight = || {
        text.parse::<NaiveDate>()
            .ok()?
            .and_hms_opt(0, 0, 0)
            .map(|time| time.and_utc())
    };
    let time = DateTime::parse_from_rfc3339(&text)
        .map(|time| time.to_utc())
        .ok()
        .or_else(midnight);
    time.map(Some).ok_or_else(|| {
        invalid(&format!(
            "{name} must be an ISO 8601 time with an offset, or a date"
        ))
    })
}

fn number(call: &Call, name: &str, default: usize, most: usize) -> Result<usize, Refused> {
    let Some(text) = call.param(name) else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|number| *number <= most);
    number.ok_or_else(|| invalid(&format!("{name} is out of range")))
}

fn authorize(sim: &Simulation, call: &Call) -> Result<(), Refused> {
    let refused = |_| {
        error(
            StatusCode::UNAUTHORIZED,
            "authorization_error",
            "Authentication is required",
        )
    };
    call.authorize(sim).map(|_| ()).map_err(refused)
}

fn invalid(message: &str) -> Refused {
    error(StatusCode::BAD_REQUEST, "validation_error", message)
}

fn error(status: StatusCode, kind: &str, message: &str) -> Refused {
    json_answer(status, &json!({ "error": { "type": kind, "message": message } })).into()
}
