//! The state that all services share: settings, ledger, faults, requests, files and keys.
//!
//! Everything is in memory. A simulator that stops loses its requests, which FAL would not, unless it has a
//! directory to write them to ([`super::memory`]).

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::FalSimulatorConfig;
use super::cdn::{Acl, Files};
use super::faults::Faults;
use super::holds::Holds;
use super::ledger::{Event, Ledger};
use super::memory::{Memory, Recalled};
use super::requests::Requests;
use super::signing::SigningKeys;
use super::storage::Uploads;
use super::trainers::Endpoints;

pub(super) struct Simulation {
    pub address: SocketAddr,
    pub config: FalSimulatorConfig,
    pub settings: Mutex<Settings>,
    pub ledger: Ledger,
    pub faults: Faults,
    pub holds: Holds,
    pub endpoints: Endpoints,
    pub requests: Requests,
    /// One permit per request in progress; `None`: no limit.
    pub runners: Option<Semaphore>,
    pub files: Files,
    pub uploads: Uploads,
    pub keys: SigningKeys,
    pub memory: Memory,
    /// Downloads archives and delivers webhooks. It follows no redirect and uses no proxy.
    pub http: reqwest::Client,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
}

/// The settings that the control API can change while the simulator runs.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    /// Time from submit to COMPLETED, without downloads.
    pub request_duration_ms: u64,
    /// The same for a request for pictures; `null`: as long as any other.
    pub picture_duration_ms: Option<u64>,
    /// Time from a request's start until the request list shows it.
    pub listing_delay_ms: u64,
    /// Whether no webhook is ever sent.
    pub drop_webhooks: bool,
    /// Key ids (the part before the colon) that are answered 401.
    pub revoked_key_ids: Vec<String>,
    /// Why the account is locked; `None`: it is not. While it is locked, submits and uploads are answered
    /// 403.
    pub locked: Option<String>,
    /// Who may read files whose upload or submit sets no rule.
    pub initial_acl: Acl,
    /// Whether trainers refuse archives with fewer pictures than FAL advises.
    pub require_advised_pictures: bool,
}

impl Simulation {
    pub(super) fn new(
        config: FalSimulatorConfig,
        address: SocketAddr,
        endpoints: Endpoints,
        recalled: Recalled,
    ) -> Result<Self, reqwest::Error> {
        let settings = Settings {
            request_duration_ms: millis(config.request_duration),
            picture_duration_ms: config.picture_duration.map(millis),
            listing_delay_ms: millis(config.listing_delay),
            drop_webhooks: config.drop_webhooks,
            revoked_key_ids: Vec::new(),
            locked: None,
            initial_acl: config.initial_acl,
            require_advised_pictures: config.require_advised_pictures,
        };
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(10))
            .build()?;
        Ok(Self {
            address,
            runners: config.concurrency.map(Semaphore::new),
            config,
            settings: Mutex::new(settings),
            ledger: recalled.ledger,
            faults: Faults::default(),
            holds: Holds::default(),
            endpoints,
            requests: recalled.requests,
            files: recalled.files,
            uploads: Uploads::default(),
            keys: recalled.keys,
            memory: recalled.memory,
            http,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        })
    }

    pub(super) fn settings(&self) -> Settings {
        locked(&self.settings).clone()
    }

    /// A duration of the real service times `time_scale`; unchanged if the product is not a duration.
    pub(super) fn scaled(&self, real: Duration) -> Duration {
        Duration::try_from_secs_f64(real.as_secs_f64() * self.config.time_scale).unwrap_or(real)
    }

    /// Makes a new key, with which webhooks are signed from here on.
    pub(super) fn rotate_keys(&self, keep_old: bool) {
        self.keys.rotate(keep_old);
        self.ledger.record(Event::KeysRotated { old_kept: keep_old });
    }

    /// Runs a task until it is done or the simulator stops. The stop waits for the task.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(task).await;
        });
    }
}

/// The simulator's wall clock: timestamps on the wire and in the ledger. Durations use tokio's clock.
#[expect(
    clippy::disallowed_methods,
    reason = "the outside world has its own clock; tests cannot move FAL's"
)]
pub(super) fn now() -> DateTime<Utc> {
    Utc::now()
}

/// No code panics in the middle of a change, so the data behind a poisoned lock is still consistent.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
