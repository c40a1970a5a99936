//! `/livez`, `/readyz`, `/metrics`: on the web role's own address, and on `--health-listen` of bot and worker.
//!
//! | route      | 200 means                                                       | 503 means                           |
//! |------------|-----------------------------------------------------------------|-------------------------------------|
//! | `/livez`   | the process turns over; a restart would not help                | –                                   |
//! | `/readyz`  | it can do its work: database, migrations, what the role adds    | not now, or draining; the body says |
//! | `/metrics` | Prometheus text                                                 | –                                   |
//!
//! The body names the problem, but never a host or a password: those go to the log. However many callers ask
//! `/readyz`, the checks run once a second (proven by `two_hundred_probes_at_once_are_one_look`).

use std::{
    fmt,
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use jobs::{
    database::{Database, DatabaseError},
    schema,
};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::{net::TcpListener, sync::Mutex, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::{
    connections::{Connections, ListenerLimits},
    server,
};
use crate::{connect, exit::Failure, lifecycle::Stop};

/// Limits of a listener that serves only health, to a few probes.
const LIMITS: ListenerLimits = ListenerLimits {
    connections: 64,
    head_timeout: Duration::from_secs(5),
    idle_timeout: Duration::from_secs(75),
};
/// How long the result of the checks is reused.
const FRESH: Duration = Duration::from_secs(1);
/// Limit for one check. With the pool's own, longer limit the probe's caller would give up first.
const PATIENCE: Duration = Duration::from_secs(4);

type CheckAnswer = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// The state that the probes report. Cheap to clone.
#[derive(Clone)]
pub struct Health {
    database: Database,
    stop: Stop,
    metrics: PrometheusHandle,
    checks: Vec<Arc<HealthCheck>>,
    /// The last result. The lock is held while the checks run, so that other callers wait for their result.
    last: Arc<Mutex<Option<Look>>>,
}

/// The result of the checks, and when they ran.
#[derive(Debug)]
struct Look {
    at: Instant,
    problems: Vec<String>,
}

/// A further dependency that a role cannot work without.
struct HealthCheck {
    name: &'static str,
    run: Box<dyn Fn() -> CheckAnswer + Send + Sync>,
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.checks.iter().map(|check| check.name).collect::<Vec<_>>();
        f.debug_struct("Health")
            .field("checks", &names)
            .finish_non_exhaustive()
    }
}

impl Health {
    /// Checks the database, its migrations, and whether the process is draining.
    pub fn new(database: Database, stop: Stop, metrics: PrometheusHandle) -> Self {
        Self {
            database,
            stop,
            metrics,
            checks: Vec::new(),
            last: Arc::default(),
        }
    }

    /// Adds a check. It returns the problem as text, which must not contain a host or a secret.
    #[must_use]
    pub fn and<F>(mut self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.checks.push(Arc::new(HealthCheck {
            name,
            run: Box::new(move || Box::pin(check())),
        }));
        self
    }

    /// The routes `/livez`, `/readyz` and `/metrics`.
    pub fn routes(self) -> Router {
        Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics))
            .with_state(self)
    }

    /// Serves the three routes on an address of their own until the process ends. It binds before it returns,
    /// so that an address in use is an error at start-up.
    pub async fn serve_on(self, listen: SocketAddr) -> Result<(), Failure> {
        let listener = TcpListener::bind(listen).await.map_err(|error| {
            Failure::unavailable(format_args!("cannot serve health on {listen}: {error}"))
        })?;
        let listen = listener.local_addr().unwrap_or(listen);
        info!("Health is served on {listen}");
        let (routes, connections) = (self.routes(), Connections::new(LIMITS));
        // They are served during the drain too, to say that the role is draining.
        tokio::spawn(server::serve(
            listener,
            routes,
            connections,
            CancellationToken::new(),
        ));
        Ok(())
    }

    /// All problems, one sentence each.
    async fn problems(&self) -> Vec<String> {
        let draining = self.stop.is_draining();
        let draining = draining.then(|| "draining: the process was told to stop".to_owned());
        draining.into_iter().chain(self.looked().await).collect()
    }

    /// The last result if it is fresh, else a new one.
    async fn looked(&self) -> Vec<String> {
        let mut last = self.last.lock().await;
        if let Some(look) = last.as_ref().filter(|look| look.at.elapsed() < FRESH) {
            return look.problems.clone();
        }
        let problems = self.look().await;
        *last = Some(Look {
            at: Instant::now(),
            problems: problems.clone(),
        });
        problems
    }

    async fn look_at_database(&self) -> Option<String> {
        match self.database.writable().await {
            Ok(()) => {}
            // An old primary after a failover still answers, but accepts no writes.
            Err(error @ (DatabaseError::Standby | DatabaseError::ReadOnly)) => {
                debug!("Not ready: {error}");
                return Some("database: it cannot be written to".to_owned());
            }
            Err(error) => {
                debug!("Not ready: {error}");
                return Some("database: it does not answer as it should".to_owned());
            }
        }
        match schema::pending(&self.database).await {
            Ok(pending) if pending.is_empty() => None,
            Ok(pending) => Some(format!(
                "migrations: {} pending, run `aisha migrate`",
                pending.len()
            )),
            Err(error) => {
                debug!("Not ready: {error}");
                Some("database: it does not answer as it should".to_owned())
            }
        }
    }

    async fn look(&self) -> Vec<String> {
        let mut problems = Vec::new();
        match timeout(PATIENCE, self.look_at_database()).await {
            Ok(problem) => problems.extend(problem),
            Err(_) => problems.push(format!("database: no answer within {PATIENCE:?}")),
        }
        // The check above already reports a database that cannot be asked.
        if let Ok(Ok(hidden)) = timeout(PATIENCE, schema::hidden_tables(&self.database)).await {
            problems.extend(connect::hidden(&hidden).map(|problem| format!("database: {problem}")));
        }
        for check in &self.checks {
            match timeout(PATIENCE, (check.run)()).await {
                Ok(Ok(())) => {}
                Ok(Err(problem)) => problems.push(format!("{}: {problem}", check.name)),
                Err(_) => problems.push(format!("{}: no answer within {PATIENCE:?}", check.name)),
            }
        }
        problems
    }
}

async fn readyz(State(health): State<Health>) -> impl IntoResponse {
    let problems = health.problems().await;
    let status = if problems.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (
        status,
        Json(serde_json::json!({ "ready": problems.is_empty(), "problems": problems })),
    )
}

async fn metrics(State(health): State<Health>) -> String {
    // Moves buffered values of the histograms into their buckets, which nothing else in this process does.
    health.metrics.run_upkeep();
    health.metrics.render()
}
