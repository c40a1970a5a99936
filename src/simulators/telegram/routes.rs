//! The HTTP side: Bot API calls, file downloads, the control API and the page, on one port.

use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Request, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};

use super::calls;
use super::control;
use super::core::Core;
use super::listener::Switch;
use super::refusal::{Known, Refusal};
use super::request::Call;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const SCRIPT: &str = include_str!("page/page.js");

pub(super) fn router(core: Arc<Core>) -> Router {
    let mut router = Router::new()
        .route("/{bot}/{method}", any(bot_call))
        .route("/file/{bot}/{*path}", get(download))
        .nest("/sim", control::router());
    if core.config.page {
        let file = |kind: &'static str, text: &'static str| {
            get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
        };
        router = router
            .route("/", get(|| async { Html(PAGE) }))
            .route("/page/page.css", file("text/css", STYLE))
            .route("/page/page.js", file("text/javascript", SCRIPT));
    }
    let beside = core.config.beside.clone();
    let router = router
        .fallback(|| async { Refusal::from(Known::NotFound) })
        // Each handler that reads a body sets its own limit.
        .layer(DefaultBodyLimit::disable())
        .with_state(core);
    match beside {
        Some(beside) => router.nest("/dev", beside),
        None => router,
    }
}

async fn bot_call(
    State(core): State<Arc<Core>>,
    Path((bot, method)): Path<(String, String)>,
    ConnectInfo(switch): ConnectInfo<Switch>,
    request: Request,
) -> Response {
    if let Err(refusal) = authorise(&core, &bot) {
        return refusal.into_response();
    }
    let reply = match Call::decode(&method, request).await {
        Ok(call) => calls::serve(&core, call).await,
        Err(refusal) => calls::refuse(&core, &method, refusal),
    };
    reply.into_response().unwrap_or_else(|| {
        switch.cut();
        // Never sent: the switch makes the connection fail at the first write.
        Response::default()
    })
}

/// Checks the path segment `bot<token>`.
fn authorise(core: &Core, segment: &str) -> Result<(), Refusal> {
    let token = segment.strip_prefix("bot").ok_or(Known::NotFound)?;
    core.quietly(|state| state.authorise(token, core.config.token.as_deref()))
}

async fn download(State(core): State<Arc<Core>>, Path((bot, path)): Path<(String, String)>) -> Response {
    if let Err(refusal) = authorise(&core, &bot) {
        return refusal.into_response();
    }
    let found = core.read(|state| {
        let file = state.files.by_path(&path, state.clock.now());
        file.map(|file| file.bytes.clone())
    });
    match found {
        // The real server does not name a type either.
        Some(bytes) => {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::CONTENT_TYPE,
                header::HeaderValue::from_static("application/octet-stream"),
            );
            (headers, bytes).into_response()
        }
        None => Refusal::from(Known::NotFound).into_response(),
    }
}
