//! `/sim`: the control API over HTTP. The parent module lists its calls.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use super::core::Core;
use super::faults::Fault;
use super::handle::Control;
use super::ledger::LedgerFilter;
use super::render;
use super::request::Upload;
use super::user_side::{self, As, ButtonChoice, MediaOptions, NewUser, SimError};
use super::view::{ChatView, MessageFilter};

/// Room for ten files of 20 MB, the largest a bot can download, and for some that are too large on purpose.
const MAX_UPLOAD: usize = 300 << 20;
const LONGEST_WAIT: f64 = 600.0;

pub(super) fn router() -> Router<Arc<Core>> {
    Router::new()
        .route("/bot", get(bot))
        .route("/users", get(users).post(create_user))
        .route("/users/{id}/text", post(send_text))
        .route("/users/{id}/photos", post(send_photos))
        .route("/users/{id}/documents", post(send_documents))
        .route("/users/{id}/press", post(press))
        .route("/users/{id}/block", post(block))
        .route("/users/{id}/unblock", post(unblock))
        .route("/users/{id}/deactivate", post(deactivate))
        .route("/chats/{id}", get(chat))
        .route("/wait", get(wait))
        .route("/ledger", get(ledger))
        .route("/deliveries", get(deliveries))
        .route("/faults", get(faults).post(add_fault).delete(remove_faults))
        .route("/faults/{id}", delete(remove_fault))
        .route("/held", get(held))
        .route("/held/release", post(release))
        .route("/updates", get(pending_updates))
        .route("/updates/resend", post(resend))
        .route("/clock", post(advance_clock))
        .route("/files/{unique_id}", get(file))
        .layer(DefaultBodyLimit::max(MAX_UPLOAD))
}

type Sim = State<Arc<Core>>;
type Answer = Result<Json<Value>, SimError>;

impl IntoResponse for SimError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NoSuchUser(_) => StatusCode::NOT_FOUND,
            Self::Blocked(_) => StatusCode::CONFLICT,
            Self::NoSuchButton { .. } | Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::TimedOut(..) => StatusCode::REQUEST_TIMEOUT,
        };
        (status, Json(json!({ "error": self.to_string() }))).into_response()
    }
}

/// Parameters of a waiting call: how long to wait, and for how many entries.
#[derive(Deserialize)]
#[serde(default)]
struct Waiting {
    /// Seconds, at most [`LONGEST_WAIT`].
    timeout: f64,
    count: usize,
}

impl Default for Waiting {
    fn default() -> Self {
        Self {
            timeout: 30.0,
            count: 0,
        }
    }
}

impl Waiting {
    fn limit(&self) -> Duration {
        Duration::try_from_secs_f64(self.timeout.min(LONGEST_WAIT)).unwrap_or_default()
    }
}

fn timed_out() -> Response {
    (
        StatusCode::REQUEST_TIMEOUT,
        Json(json!({ "error": "it did not happen in time" })),
    )
        .into_response()
}

async fn bot(State(core): Sim) -> Json<Value> {
    Json(core.read(|state| render::me(&state.bot)))
}

async fn users(State(core): Sim) -> Json<Value> {
    Json(json!(Control { core }.users()))
}

async fn create_user(State(core): Sim, Json(new): Json<NewUser>) -> Json<Value> {
    Json(json!(core.write(|state| state.create_user(new))))
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

async fn send_text(State(core): Sim, Path(id): Path<i64>, Json(body): Json<Text>) -> Answer {
    let message_id = core.write(|state| state.user_sends_text(id, &body.text))?;
    Ok(Json(json!({ "message_id": message_id })))
}

async fn send_photos(State(core): Sim, Path(id): Path<i64>, form: Multipart) -> Answer {
    send_media(&core, id, As::Photo, form).await
}

async fn send_documents(State(core): Sim, Path(id): Path<i64>, form: Multipart) -> Answer {
    send_media(&core, id, As::File, form).await
}

async fn send_media(core: &Core, id: i64, kind: As, mut form: Multipart) -> Answer {
    let broken = |error: axum::extract::multipart::MultipartError| SimError::Refused(error.body_text());
    let mut uploads = Vec::new();
    let mut options = MediaOptions::default();
    while let Some(part) = form.next_field().await.map_err(broken)? {
        if let Some(name) = part.file_name().map(ToOwned::to_owned) {
            let mime = part.content_type().map(ToOwned::to_owned);
            uploads.push(Upload {
                name,
                mime,
                bytes: part.bytes().await.map_err(broken)?,
            });
            continue;
        }
        let name = part.name().unwrap_or_default().to_owned();
        let text = part.text().await.map_err(broken)?;
        let no_number = || SimError::Refused(format!("{name} is no number"));
        match name.as_str() {
            "caption" => options.caption = text,
            "delay_ms" => options.delay = Duration::from_millis(text.parse().map_err(|_| no_number())?),
            "order" => {
                let positions = text.split(',').map(|position| position.trim().parse());
                options.order = positions.collect::<Result<_, _>>().map_err(|_| no_number())?;
            }
            other => return Err(SimError::Refused(format!("unknown field {other}"))),
        }
    }
    let ids = user_side::send_media(core, id, kind, uploads, options).await?;
    Ok(Json(json!({ "message_ids": ids })))
}

async fn press(State(core): Sim, Path(id): Path<i64>, Json(choice): Json<ButtonChoice>) -> Answer {
    let query_id = core.write(|state| state.user_presses(id, &choice))?;
    Ok(Json(json!({ "callback_query_id": query_id })))
}

async fn block(State(core): Sim, Path(id): Path<i64>) -> Answer {
    core.write(|state| state.user_sets_blocked(id, true))?;
    Ok(Json(json!({ "blocked": true })))
}

async fn unblock(State(core): Sim, Path(id): Path<i64>) -> Answer {
    core.write(|state| state.user_sets_blocked(id, false))?;
    Ok(Json(json!({ "blocked": false })))
}

async fn deactivate(State(core): Sim, Path(id): Path<i64>) -> Answer {
    core.write(|state| state.user_leaves(id))?;
    Ok(Json(json!({ "deactivated": true })))
}

#[derive(Deserialize)]
struct Since {
    since: Option<u64>,
}

/// With `since`, waits until the version is greater. When the time is over, it returns the chat as it is.
async fn chat(
    State(core): Sim,
    Path(id): Path<i64>,
    Query(Since { since }): Query<Since>,
    Query(waiting): Query<Waiting>,
) -> Answer {
    if let Some(since) = since {
        core.until(waiting.limit(), |_| (core.version() > since).then_some(()))
            .await;
    }
    // The version is read before the chat: a change in between is then shown twice, never missed.
    let version = core.version();
    core.read(|state| {
        let chat = state.chats.get(&id).ok_or(SimError::NoSuchUser(id))?;
        Ok(Json(json!(ChatView::new(state, chat, version))))
    })
}

async fn wait(
    State(core): Sim,
    Query(filter): Query<MessageFilter>,
    Query(waiting): Query<Waiting>,
) -> Answer {
    let found = Control { core }
        .wait_for(&filter, waiting.count.max(1), waiting.limit())
        .await?;
    Ok(Json(json!({ "messages": found })))
}

/// With `count`, waits until there are so many entries.
async fn ledger(
    State(core): Sim,
    Query(filter): Query<LedgerFilter>,
    Query(waiting): Query<Waiting>,
) -> Response {
    match (Control { core })
        .wait_ledger(&filter, waiting.count, waiting.limit())
        .await
    {
        Some(entries) => Json(json!(entries)).into_response(),
        None => timed_out(),
    }
}

/// With `count`, waits until there are so many attempts.
async fn deliveries(State(core): Sim, Query(waiting): Query<Waiting>) -> Response {
    match (Control { core })
        .wait_deliveries(waiting.count, waiting.limit())
        .await
    {
        Some(deliveries) => Json(json!(deliveries)).into_response(),
        None => timed_out(),
    }
}

async fn faults(State(core): Sim) -> Json<Value> {
    Json(json!(Control { core }.faults()))
}

async fn add_fault(State(core): Sim, Json(fault): Json<Fault>) -> Json<Value> {
    Json(json!({ "id": Control { core }.inject(fault) }))
}

async fn remove_faults(State(core): Sim) -> Json<Value> {
    Json(json!({ "removed": Control { core }.clear_faults(None) }))
}

async fn remove_fault(State(core): Sim, Path(id): Path<u64>) -> Json<Value> {
    Json(json!({ "removed": Control { core }.clear_faults(Some(id)) }))
}

/// With `count`, waits until so many calls are held.
async fn held(State(core): Sim, Query(waiting): Query<Waiting>) -> Response {
    match (Control { core }).wait_held(waiting.count, waiting.limit()).await {
        Some(held) => Json(json!(held)).into_response(),
        None => timed_out(),
    }
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Release {
    id: Option<u64>,
}

async fn release(State(core): Sim, body: Option<Json<Release>>) -> Json<Value> {
    let id = body.and_then(|Json(release)| release.id);
    Json(json!({ "released": Control { core }.release(id) }))
}

async fn pending_updates(State(core): Sim) -> Json<Value> {
    Json(json!(Control { core }.pending_updates()))
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct Resend {
    update_id: Option<i64>,
    new_id: bool,
}

async fn resend(State(core): Sim, Json(body): Json<Resend>) -> Answer {
    let sent = Control { core }.resend_update(body.update_id, body.new_id);
    let id = sent.ok_or_else(|| SimError::Refused("there was no such update".to_owned()))?;
    Ok(Json(json!({ "update_id": id })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: i64,
}

async fn advance_clock(State(core): Sim, Json(body): Json<Advance>) -> Json<Value> {
    Control {
        core: Arc::clone(&core),
    }
    .advance_clock(body.advance_seconds);
    Json(json!({ "now": core.read(|state| state.clock.now()) }))
}

/// A file's bytes by its `file_unique_id`, for the page and for tests.
async fn file(State(core): Sim, Path(unique_id): Path<String>) -> Response {
    let found = core.read(|state| {
        state
            .files
            .by_unique_id(&unique_id)
            .map(|file| (file.mime.clone(), file.bytes.clone()))
    });
    match found {
        Some((mime, bytes)) => ([(header::CONTENT_TYPE, mime)], bytes).into_response(),
        None => (StatusCode::NOT_FOUND, Json(json!({ "error": "no such file" }))).into_response(),
    }
}
