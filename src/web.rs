//! `aisha web`: receives webhooks from the internet, and serves the health probes. Any number may run behind
//! a balancer.
//!
//! Handlers verify, store and answer. They keep no state, and call no service but FAL's key set. Until a
//! request is verified its sender is a stranger, so every step before that is bounded: [`server`] and
//! [`connections`] bound connections, [`bodies`] memory, [`refusals`] the log. Read next: [`fal_webhook`],
//! [`telegram_webhook`], [`health`].

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, http::StatusCode, middleware::from_fn, routing::post};
use clap::Parser;
use jobs::{Clock, fal::WebhookVerifier, producer::Producer};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};
use tracing::{info, warn};

use crate::{
    connect,
    exit::Failure,
    lifecycle::Stop,
    open_files,
    settings::{Given, WebSettings},
    telemetry,
};

use bodies::Bodies;
use connections::{Connections, ListenerLimits};
use refusals::Refusals;

mod bodies;
mod connections;
pub mod fal_webhook;
pub mod health;
mod refusals;
mod request_log;
mod server;
mod summary;
pub mod telegram_webhook;

/// Open files that are not connections of callers: the log, the listener, FAL's key set. The database's come
/// on top.
const OTHER_FILES: u64 = 64;

/// Receive FAL's and Telegram's webhooks.
///
/// Stores genuine webhooks and answers them; workers and the bot do the rest. Also serves /livez, /readyz,
/// /metrics.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Needs DATABASE_URL; TELEGRAM_WEBHOOK_SECRET when telegram.mode is webhook.

Examples:
  aisha web
  aisha web --listen 0.0.0.0:8000 --log-format json
  AVATAR_TEST_MODE=true aisha web     # takes deliveries signed by the simulator")]
pub struct WebArgs {
    /// Address and port to listen on. Default: web.listen.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// Values that all handlers share.
#[derive(Clone)]
pub(crate) struct Web {
    producer: Producer,
    verifier: Arc<WebhookVerifier>,
    clock: Clock,
    telegram_secret: Option<Arc<SecretString>>,
    bodies: Bodies,
    refusals: Refusals,
}

/// Runs the role to its end.
pub async fn main(args: WebArgs, given: Given) -> Result<(), Failure> {
    let WebSettings {
        log,
        database,
        fal,
        telegram_secret,
        listen,
        max_connections,
        head_timeout,
        idle_timeout,
        max_body_bytes,
        body_memory_bytes,
        request_timeout,
        linger,
        grace,
    } = given
        .with("web.listen", "--listen", args.listen)
        .load::<WebSettings>()?;
    telemetry::start_logging(&log)?;
    let metrics = telemetry::start_metrics("web")?;
    let stop = Stop::at_signals(grace).context("cannot listen for signals")?;
    let others = OTHER_FILES + u64::from(database.max_connections);
    let connections = Connections::new(ListenerLimits {
        connections: as_many_as_files(max_connections, open_files::raise(), others),
        head_timeout,
        idle_timeout,
    });
    let database = connect::database(&database, "web").await?;
    let health = health::Health::new(database.clone(), stop.clone(), metrics);
    let web = Web {
        producer: Producer::new(&database),
        verifier: Arc::new(WebhookVerifier::new(fal).context("FAL's keys cannot be fetched")?),
        clock: Clock::system(),
        telegram_secret: telegram_secret.map(Arc::new),
        bodies: Bodies::new(max_body_bytes, body_memory_bytes, connections.clone()),
        refusals: Refusals::default(),
    };
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|error| Failure::unavailable(format_args!("cannot listen on {listen}: {error}")))?;
    info!(
        "Web is listening on {}",
        listener.local_addr().context("the listener has no address")?
    );
    let router = router(web, health, request_timeout);
    serve(listener, router, connections, &stop, linger).await;
    database.close().await;
    info!("Web has stopped");
    Ok(())
}

/// The wanted number of connections, or fewer if the limit of open files leaves room for fewer.
fn as_many_as_files(wanted: usize, open_files: u64, others: u64) -> usize {
    let left = usize::try_from(open_files.saturating_sub(others)).unwrap_or(usize::MAX);
    let connections = wanted.min(left.max(1));
    if connections < wanted {
        warn!(
            "At most {connections} connections are accepted instead of {wanted} (web.max_connections): {open_files} files may be open"
        );
    }
    connections
}

/// All routes.
fn router(web: Web, health: health::Health, request_timeout: Duration) -> Router {
    let mut inbound = Router::new().route(fal_webhook::PATH, post(fal_webhook::receive));
    if web.telegram_secret.is_some() {
        inbound = inbound.route(telegram_webhook::PATH, post(telegram_webhook::receive));
    }
    inbound
        .with_state(web)
        // A database that hangs is treated like one that is down: the 503 makes the sender send again.
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            request_timeout,
        ))
        .merge(health.routes())
        .layer(CatchPanicLayer::new())
        .layer(from_fn(request_log::log))
}

/// Serves until the soft stop and `linger` longer; then until the last answer is sent, or the hard stop.
async fn serve(
    listener: TcpListener,
    router: Router,
    connections: Connections,
    stop: &Stop,
    linger: Duration,
) {
    let closing = CancellationToken::new();
    let server = server::serve(listener, router, connections, closing.clone());
    let told = async {
        stop.soft().cancelled().await;
        tokio::time::sleep(linger).await;
        closing.cancel();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = server => {}
        () = told => {}
        () = stop.hard().cancelled() => {}
    }
}
