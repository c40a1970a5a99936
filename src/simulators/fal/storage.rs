//! Uploads, in the two ways that the official clients use.
//!
//! In two steps (JS client and ours): `initiate` at rest.fal.ai returns a signed URL, and the bytes go there
//! by PUT without a key. By token (Python client): rest.fal.ai returns a CDN token, and the bytes go to the
//! CDN's own upload path. Each has a multipart form. Parts are answered with their `ETag` both in a header
//! (Python reads that) and in the body (JS reads that).

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, ETAG};
use axum::http::{HeaderValue, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::call::{Answer, Call, Refused, detail, json_answer, refusal};
use super::cdn::{Lifecycle, new_path};
use super::ledger::Event;
use super::origin::Service;
use super::simulation::{Simulation, locked, now};

/// How long a signed URL or a CDN token is valid.
const GOOD_FOR: TimeDelta = TimeDelta::hours(1);

#[derive(Default)]
pub(super) struct Uploads {
    tickets: Mutex<HashMap<String, Ticket>>,
    tokens: Mutex<HashMap<String, DateTime<Utc>>>,
}

/// An upload that is not complete.
#[derive(Clone)]
struct Ticket {
    /// The path at which the file will be served.
    path: String,
    content_type: String,
    life: Lifecycle,
    good_until: DateTime<Utc>,
    multipart: bool,
    parts: BTreeMap<u32, Part>,
}

#[derive(Clone)]
struct Part {
    etag: String,
    bytes: Bytes,
}

#[derive(Deserialize)]
struct Announced {
    file_name: String,
    content_type: String,
}

#[derive(Deserialize)]
struct Completed {
    parts: Vec<CompletedPart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CompletedPart {
    part_number: u32,
    etag: String,
}

/// `POST /storage/upload/initiate[-multipart]`.
pub(super) fn initiate(sim: &Simulation, call: &Call, multipart: bool) -> Answer {
    call.authorize(sim)?;
    let storage = call.param("storage_type").unwrap_or_default();
    if !matches!(storage.as_str(), "fal-cdn-v3" | "gcs") || (multipart && storage == "gcs") {
        return Err(refusal(
            StatusCode::UNPROCESSABLE_ENTITY,
            "storage_type must be fal-cdn-v3, or gcs in one piece",
        ));
    }
    let announced: Announced = serde_json::from_value(call.json()?)
        .map_err(|error| refusal(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()))?;
    let ticket = Ticket::new(
        sim,
        call,
        &announced.file_name,
        &announced.content_type,
        multipart,
    )?;
    let file_url = call.origin.url(Service::Cdn, &ticket.path);
    let id = open(sim, call, ticket);
    let upload_url = call.origin.url(
        Service::Cdn,
        &format!("signed/{id}?X-Sim-Signature={}", signature(&id)),
    );
    Ok(json_answer(
        StatusCode::OK,
        &json!({ "upload_url": upload_url, "file_url": file_url }),
    ))
}

/// `POST /storage/auth/token`.
pub(super) fn token(sim: &Simulation, call: &Call) -> Answer {
    call.authorize(sim)?;
    let token = Uuid::new_v4().simple().to_string();
    let expires_at = now() + GOOD_FOR;
    locked(&sim.uploads.tokens).insert(token.clone(), expires_at);
    let base_url = call.origin.url(Service::Cdn, "");
    let body = json!({
        "token": token,
        "token_type": "Bearer",
        "base_url": base_url.trim_end_matches('/'),
        // With an offset instead of `Z`, which Python before 3.11 cannot read.
        "expires_at": expires_at.format("%Y-%m-%dT%H:%M:%S+00:00").to_string(),
    });
    Ok(json_answer(StatusCode::OK, &body))
}

/// `PUT` of a whole file to a signed URL; a client may repeat it.
pub(super) fn put_signed(sim: &Simulation, call: &Call, id: &str) -> Answer {
    check_signature(call, id)?;
    let ticket = find(sim, id)?;
    let content_type = call.header(CONTENT_TYPE.as_str()).unwrap_or_default();
    if ticket.multipart || content_type != ticket.content_type {
        // A signed URL accepts only the content type that was announced.
        return Err(refusal(StatusCode::FORBIDDEN, "SignatureDoesNotMatch"));
    }
    store(sim, call, &ticket, call.body.clone(), 1);
    Ok(json_answer(StatusCode::OK, &json!({})))
}

/// `PUT` of one part to a signed URL.
pub(super) fn put_signed_part(sim: &Simulation, call: &Call, id: &str, number: &str) -> Answer {
    check_signature(call, id)?;
    put_part(sim, call, id, number)
}

/// `POST` that completes a multipart upload to a signed URL.
pub(super) fn complete_signed(sim: &Simulation, call: &Call, id: &str) -> Answer {
    check_signature(call, id)?;
    complete(sim, call, id)
}

/// `POST /files/upload`, with a CDN token.
pub(super) fn upload(sim: &Simulation, call: &Call) -> Answer {
    check_token(sim, call)?;
    let ticket = Ticket::of_headers(sim, call, false)?;
    store(sim, call, &ticket, call.body.clone(), 1);
    let access_url = call.origin.url(Service::Cdn, &ticket.path);
    Ok(json_answer(StatusCode::OK, &json!({ "access_url": access_url })))
}

/// `POST /files/upload/multipart`, with a CDN token.
pub(super) fn start_multipart(sim: &Simulation, call: &Call) -> Answer {
    check_token(sim, call)?;
    let ticket = Ticket::of_headers(sim, call, true)?;
    let access_url = call.origin.url(Service::Cdn, &ticket.path);
    let id = open(sim, call, ticket);
    Ok(json_answer(
        StatusCode::OK,
        &json!({ "access_url": access_url, "uploadId": id }),
    ))
}

/// `PUT {access_url}/multipart/{id}/{number}`, with a CDN token.
pub(super) fn put_part_by_token(sim: &Simulation, call: &Call, id: &str, number: &str) -> Answer {
    check_token(sim, call)?;
    put_part(sim, call, id, number)
}

/// `POST {access_url}/multipart/{id}/complete`, with a CDN token.
pub(super) fn complete_by_token(sim: &Simulation, call: &Call, id: &str) -> Answer {
    check_token(sim, call)?;
    complete(sim, call, id)
}

fn put_part(sim: &Simulation, call: &Call, id: &str, number: &str) -> Answer {
    find(sim, id)?;
    let number: u32 = number
        .parse()
        .ok()
        .filter(|number| (1..=10_000).contains(number))
        .ok_or_else(|| refusal(StatusCode::BAD_REQUEST, "part numbers count from 1 to 10000"))?;
    let etag = hex::encode(&Sha256::digest(&call.body)[..16]);
    if let Some(ticket) = locked(&sim.uploads.tickets).get_mut(id) {
        ticket.parts.insert(
            number,
            Part {
                etag: etag.clone(),
                bytes: call.body.clone(),
            },
        );
    }
    let mut response = json_answer(StatusCode::OK, &json!({ "partNumber": number, "etag": etag }));
    if let Ok(value) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, value);
    }
    Ok(response)
}

fn complete(sim: &Simulation, call: &Call, id: &str) -> Answer {
    let ticket = find(sim, id)?;
    let wrong = |text: &str| refusal(StatusCode::BAD_REQUEST, text);
    let mut claimed: Completed =
        serde_json::from_value(call.json()?).map_err(|error| wrong(&error.to_string()))?;
    // Python lists the parts in the order in which they happened to finish.
    claimed.parts.sort_by_key(|part| part.part_number);
    let mut whole = Vec::new();
    for (part, number) in claimed.parts.iter().zip(1..) {
        match ticket.parts.get(&part.part_number) {
            Some(sent) if part.part_number == number && sent.etag == part.etag => {
                whole.extend_from_slice(&sent.bytes);
            }
            _ => {
                return Err(wrong(
                    "InvalidPart: parts must be sent, numbered without gaps, and named by their etag",
                ));
            }
        }
    }
    if claimed.parts.is_empty() {
        return Err(wrong("InvalidPart: no parts"));
    }
    store(sim, call, &ticket, whole.into(), claimed.parts.len());
    let access_url = call.origin.url(Service::Cdn, &ticket.path);
    Ok(json_answer(StatusCode::OK, &json!({ "access_url": access_url })))
}

impl Ticket {
    fn new(
        sim: &Simulation,
        call: &Call,
        file_name: &str,
        content_type: &str,
        multipart: bool,
    ) -> Result<Self, Refused> {
        Ok(Self {
            path: new_path(file_name),
            content_type: content_type.to_owned(),
            life: lifecycle(
                sim,
                call,
                &["x-fal-object-lifecycle", "x-fal-object-lifecycle-preference"],
            )?,
            good_until: now() + GOOD_FOR,
            multipart,
            parts: BTreeMap::new(),
        })
    }

    fn of_headers(sim: &Simulation, call: &Call, multipart: bool) -> Result<Self, Refused> {
        let name = call.header("x-fal-file-name").unwrap_or("upload.bin");
        let content_type = call
            .header(CONTENT_TYPE.as_str())
            .unwrap_or("application/octet-stream");
        Self::new(sim, call, name, content_type, multipart)
    }
}

/// Reads the first of these headers that is present. The account's rule fills in what the header leaves open.
pub(super) fn lifecycle(sim: &Simulation, call: &Call, headers: &[&str]) -> Result<Lifecycle, Refused> {
    let mut life = Lifecycle {
        expires_after: None,
        acl: sim.settings().initial_acl,
    };
    let Some(header) = headers.iter().find_map(|name| call.header(name)) else {
        return Ok(life);
    };
    let wrong = |_| {
        detail(
            StatusCode::UNPROCESSABLE_ENTITY,
            "the object lifecycle header is no JSON",
        )
    };
    let lifecycle: Value = serde_json::from_str(header).map_err(wrong)?;
    life.expires_after = lifecycle
        .get("expiration_duration_seconds")
        .and_then(Value::as_u64)
        .map(Duration::from_secs);
    if let Some(word) = lifecycle.pointer("/initial_acl/default") {
        life.acl = serde_json::from_value(word.clone()).map_err(|_| {
            detail(
                StatusCode::UNPROCESSABLE_ENTITY,
                "initial_acl.default is allow, forbid or hide",
            )
        })?;
    }
    Ok(life)
}

fn open(sim: &Simulation, call: &Call, ticket: Ticket) -> String {
    let id = Uuid::new_v4().simple().to_string();
    sim.ledger.record(Event::UploadInitiated {
        file_url: call.origin.url(Service::Cdn, &ticket.path),
        content_type: ticket.content_type.clone(),
        multipart: ticket.multipart,
        expires_in_seconds: ticket.life.expires_after.map(|life| life.as_secs()),
    });
    locked(&sim.uploads.tickets).insert(id.clone(), ticket);
    id
}

fn find(sim: &Simulation, id: &str) -> Result<Ticket, Refused> {
    let ticket = locked(&sim.uploads.tickets).get(id).cloned();
    ticket
        .filter(|ticket| ticket.good_until > now())
        .ok_or_else(|| refusal(StatusCode::FORBIDDEN, "Request has expired"))
}

fn store(sim: &Simulation, call: &Call, ticket: &Ticket, bytes: Bytes, parts: usize) {
    let file = sim
        .files
        .put(&ticket.path, &ticket.content_type, bytes, ticket.life);
    sim.ledger.record(Event::Uploaded {
        file_url: call.origin.url(Service::Cdn, &ticket.path),
        bytes: file.bytes.len() as u64,
        sha256: file.sha256,
        parts,
        leaked_authorization: call.path.starts_with("signed/") && call.headers.contains_key(AUTHORIZATION),
    });
}

/// The signature holds no secret: the check finds URLs that a client changed by mistake, not attackers.
fn signature(id: &str) -> String {
    hex::encode(&Sha256::digest(format!("signed for {id}"))[..16])
}

fn check_signature(call: &Call, id: &str) -> Result<(), Refused> {
    if call.param("X-Sim-Signature").as_deref() != Some(&signature(id)) {
        return Err(refusal(StatusCode::FORBIDDEN, "SignatureDoesNotMatch"));
    }
    Ok(())
}

fn check_token(sim: &Simulation, call: &Call) -> Result<(), Refused> {
    let token = call
        .header(AUTHORIZATION.as_str())
        .and_then(|header| header.strip_prefix("Bearer "));
    let good_until = token.and_then(|token| locked(&sim.uploads.tokens).get(token).copied());
    if good_until.is_none_or(|until| until <= now()) {
        return Err(refusal(StatusCode::UNAUTHORIZED, "Invalid or expired CDN token"));
    }
    Ok(())
}
