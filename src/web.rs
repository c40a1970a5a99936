//! `aisha web`: what the internet may post to us, and the probes. Any number of them may run behind a balancer.
//!
//! Handlers verify, store and answer; they hold no state and call nobody but FAL's key set. Read next:
//! [`fal_webhook`], [`telegram_webhook`], [`health`].

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Router, extract::DefaultBodyLimit, http::StatusCode, middleware::from_fn, routing::post};
use clap::Parser;
use jobs::{
    Clock,
    fal::{VerifierSettings, WebhookVerifier},
    producer::Producer,
};
use secrecy::SecretString;
use tokio::net::TcpListener;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};
use tracing::info;

use crate::{
    connect,
    exit::Failure,
    lifecycle::Stop,
    settings::{Given, WebSettings, WebhookVerification},
    telemetry,
};

pub mod fal_webhook;
pub mod health;
mod request_log;
pub mod telegram_webhook;

/// Receive FAL's and Telegram's webhooks.
///
/// Stores what is genuine and answers; workers and the bot do the rest. Also serves /livez, /readyz, /metrics.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Needs DATABASE_URL; TELEGRAM_WEBHOOK_SECRET when telegram.mode is webhook.

Examples:
  aisha web
  aisha web --listen 0.0.0.0:8000 --log-format json
  AVATAR_TEST_MODE=true aisha web     # takes deliveries signed by the simulator")]
pub struct Args {
    /// Address and port to listen on. Default: web.listen.
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

/// What handlers share.
#[derive(Clone)]
pub(crate) struct Web {
    producer: Producer,
    verifier: Arc<WebhookVerifier>,
    clock: Clock,
    telegram_secret: Option<Arc<SecretString>>,
}

/// Runs the role to its end.
pub async fn main(args: Args, given: Given) -> Result<(), Failure> {
    let settings = given
        .with("web.listen", "--listen", args.listen)
        .load::<WebSettings>()?;
    telemetry::start_logging(&settings.log)?;
    let metrics = telemetry::start_metrics("web")?;
    let stop = Stop::at_signals(settings.grace).context("signals cannot be listened to")?;
    let database = connect::database(&settings.database, "web").await?;
    let health = health::Health::new(database.clone(), stop.clone(), metrics);
    let web = Web {
        producer: Producer::new(database.pool().clone()),
        verifier: Arc::new(
            WebhookVerifier::new(verification(&settings)).context("FAL's keys cannot be fetched")?,
        ),
        clock: Clock::system(),
        telegram_secret: settings.telegram_secret.clone().map(Arc::new),
    };
    let listener = TcpListener::bind(settings.listen).await.map_err(|error| {
        Failure::unavailable(format_args!("cannot listen on {}: {error}", settings.listen))
    })?;
    info!(
        "Web is listening on {}",
        listener.local_addr().context("the listener has no address")?
    );
    serve(listener, router(web, health, &settings), &stop, settings.linger).await?;
    database.close().await;
    info!("Web has stopped");
    Ok(())
}

fn verification(settings: &WebSettings) -> VerifierSettings {
    let WebhookVerification {
        jwks_url,
        user_id,
        timeout,
    } = settings.fal.clone();
    VerifierSettings {
        jwks_url,
        timeout,
        user_id,
    }
}

/// All routes.
fn router(web: Web, health: health::Health, settings: &WebSettings) -> Router {
    let mut inbound = Router::new().route(fal_webhook::PATH, post(fal_webhook::receive));
    if web.telegram_secret.is_some() {
        inbound = inbound.route(telegram_webhook::PATH, post(telegram_webhook::receive));
    }
    inbound
        .with_state(web)
        .layer(DefaultBodyLimit::max(settings.max_body_bytes))
        // A database that hangs is as good as one that is down: the sender shall come again.
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            settings.request_timeout,
        ))
        .merge(health.routes())
        .layer(CatchPanicLayer::new())
        .layer(from_fn(request_log::log))
}

/// Until the soft stop and a little longer; then until the last answer is out, or the hard stop.
async fn serve(listener: TcpListener, router: Router, stop: &Stop, linger: Duration) -> Result<(), Failure> {
    let (soft, hard) = (stop.soft().clone(), stop.hard().clone());
    let shutdown = async move {
        soft.cancelled().await;
        tokio::time::sleep(linger).await;
    };
    let server = axum::serve(listener, router).with_graceful_shutdown(shutdown);
    tokio::select! {
        ended = server => ended.context("the server broke down")?,
        () = hard.cancelled() => {}
    }
    Ok(())
}
