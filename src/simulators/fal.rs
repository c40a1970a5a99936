//! FAL.ai at the wire: queue, storage, CDN, key set, signed webhooks and the platform's request list, on one port.
//!
//! It is good enough when FAL's own unmodified clients work against it (`tests/official_clients/run`). A
//! training really downloads its archive, opens it and decodes every picture, and its result is a real file.
//! Nothing costs money, nothing takes longer than configured, and every event is in the [`Ledger`](ledger).
//!
//! | prefix | FAL's name | file |
//! |---|---|---|
//! | `/queue`, `/run` | queue.fal.run, fal.run | `queue.rs`, `requests.rs`, `runner.rs`, `trainers.rs`, `pictures.rs` |
//! | `/rest` | rest.fal.ai | `storage.rs`, `signing.rs` |
//! | `/cdn` | v3.fal.media | `cdn.rs`, `storage.rs` |
//! | `/api` | api.fal.ai | `platform.rs` |
//! | `/proxy` | – | `call.rs`: what the JS client calls `proxyUrl` |
//! | `/__sim` | – | `control.rs`: ledger, faults, holds |
//!
//! Start reading at `routes.rs`. Everything is in memory and lost when the simulator stops, unless `state`
//! names a directory to keep it in (`memory.rs`).

mod archive;
mod call;
mod cdn;
mod control;
pub mod faults;
mod generators;
mod holds;
pub mod ledger;
mod listener;
mod memory;
mod origin;
mod pictures;
mod platform;
mod products;
mod queue;
mod requests;
mod routes;
mod runner;
mod schema;
mod signing;
mod simulation;
mod storage;
mod trainers;
mod webhooks;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use archive::Facts;
pub use cdn::Acl;
pub use generators::DeclaredGenerator;
pub use holds::Held;
pub use trainers::DeclaredTrainer;

use super::JournalError;
use faults::Fault;
use holds::Release;
use ledger::Entry;
use listener::{CuttableListener, Switch};
use simulation::Simulation;
use trainers::Endpoints;

/// How the simulator behaves. The defaults suit a person at a terminal; tests shorten the durations.
#[derive(Clone, Debug)]
pub struct FalSimulatorConfig {
    /// The address to listen on; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Base of all URLs in answers, for callers behind an address that differs from the `Host` header that
    /// arrives.
    pub public_base: Option<String>,
    /// Time from submit to COMPLETED, without the archive's download.
    pub request_duration: Duration,
    /// The same for requests for pictures; `None`: as long as any other.
    pub picture_duration: Option<Duration>,
    /// Multiplies FAL's own long times: webhook timeouts (15 s, 120 s; never below 2 s), retry delays (1 s to
    /// 60 s), keep-alives.
    pub time_scale: f64,
    /// How many requests may be in progress at once; `None`: no limit.
    pub concurrency: Option<usize>,
    /// How long a started request stays out of the request list.
    pub listing_delay: Duration,
    /// The account that webhooks are signed for.
    pub webhook_user_id: String,
    /// Whether no webhook is ever sent.
    pub drop_webhooks: bool,
    /// Whether webhooks go to loopback and private addresses, which FAL refuses.
    pub allow_private_webhooks: bool,
    /// Directory that keeps requests, files, keys and the ledger; `None`: they are lost when the process
    /// ends.
    pub state: Option<PathBuf>,
    /// Who may read files whose upload or submit sets no rule of its own.
    pub initial_acl: Acl,
    /// Whether to refuse archives with fewer pictures than FAL advises, which FAL accepts.
    pub require_advised_pictures: bool,
    /// Trainers in addition to those from FAL's published schemas, and the generators that they name.
    pub trainers: Vec<DeclaredTrainer>,
}

impl Default for FalSimulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_base: None,
            request_duration: Duration::from_secs(2),
            picture_duration: None,
            time_scale: 1.0,
            concurrency: None,
            listing_delay: Duration::ZERO,
            webhook_user_id: "github|simulated".to_owned(),
            drop_webhooks: false,
            allow_private_webhooks: true,
            state: None,
            initial_acl: Acl::Allow,
            require_advised_pictures: false,
            trainers: Vec::new(),
        }
    }
}

/// Why the simulator did not start, or could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum FalSimulatorError {
    /// The address is in use, or is not one of this machine.
    #[error("the FAL simulator cannot listen on {address}")]
    Listen {
        /// The address as configured.
        address: SocketAddr,
        /// The operating system's error.
        source: io::Error,
    },
    /// The HTTP client for archives and webhooks cannot be built.
    #[error("the FAL simulator cannot build its HTTP client")]
    HttpClient(#[from] reqwest::Error),
    /// The directory of an earlier run cannot be read, or another simulator uses it.
    #[error("the FAL simulator cannot remember: {0}")]
    Memory(#[from] JournalError),
    /// The fault has an effect that its operation cannot have.
    #[error("this fault makes no sense: {0}")]
    Fault(String),
    /// An awaited event did not happen within 30 seconds.
    #[error("the FAL simulator waited 30 s in vain for {what}; its ledger: {ledger:#?}")]
    InVain {
        /// The event, in the caller's words.
        what: String,
        /// The ledger when the wait ended.
        ledger: Vec<Entry>,
    },
}

/// Starts simulators.
pub struct FalSimulator;

impl FalSimulator {
    /// Listens and serves until [`Running::stop`], or until the handle is dropped.
    pub async fn start(config: FalSimulatorConfig) -> Result<Running, FalSimulatorError> {
        let address = config.listen;
        let failed = |source| FalSimulatorError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let endpoints = Endpoints::new(&config.trainers);
        let recalled = memory::recall(config.state.as_deref(), &endpoints)?;
        let sim = Arc::new(Simulation::new(config, address, endpoints, recalled)?);
        for request in sim.requests.all() {
            if !request.progress.borrow().delivered {
                sim.spawn(runner::run(Arc::clone(&sim), request));
            }
        }
        let service = routes::router(Arc::clone(&sim)).into_make_service_with_connect_info::<Switch>();
        let server = axum::serve(CuttableListener(listener), service)
            .with_graceful_shutdown(sim.stop.clone().cancelled_owned())
            .into_future();
        tracing::info!("The FAL simulator listens on http://{address}");
        Ok(Running {
            address,
            sim,
            server: Some(tokio::spawn(server)),
        })
    }
}

/// A running simulator, with what `/__sim` offers as methods.
pub struct Running {
    address: SocketAddr,
    sim: Arc<Simulation>,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// How long the waiting methods wait.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// The address it listens on, with the port it was given.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://<address>`. With `/queue`, `/run`, `/rest`, `/cdn` or `/api` appended it is a base URL for a
    /// client of FAL, with `/__sim` the control API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every event so far, oldest first.
    pub fn ledger(&self) -> Vec<Entry> {
        self.sim.ledger.since(0)
    }

    /// Looks at the ledger after each new entry until `look` finds something.
    pub async fn wait_for<T>(
        &self,
        what: &str,
        look: impl Fn(&[Entry]) -> Option<T>,
    ) -> Result<T, FalSimulatorError> {
        self.sim
            .ledger
            .wait_for(Self::PATIENCE, look)
            .await
            .ok_or_else(|| self.in_vain(what))
    }

    /// Scripts a fault and returns its id.
    pub fn script(&self, fault: Fault) -> Result<u64, FalSimulatorError> {
        let ids = self
            .sim
            .faults
            .script(vec![fault])
            .map_err(FalSimulatorError::Fault)?;
        Ok(ids.first().copied().unwrap_or_default())
    }

    /// How often each scripted fault has struck, by its id.
    pub fn struck(&self) -> BTreeMap<u64, u32> {
        self.sim.faults.struck()
    }

    /// Removes all scripted faults. Held answers stay held.
    pub fn clear_faults(&self) {
        self.sim.faults.clear();
    }

    /// Waits for the `count`-th hold since the start, and returns what is held then.
    pub async fn held(&self, count: u64) -> Result<Vec<Held>, FalSimulatorError> {
        let happened = tokio::time::timeout(Self::PATIENCE, self.sim.holds.wait_for(count)).await;
        happened.map_err(|_| self.in_vain(&format!("hold number {count}")))?;
        Ok(self.sim.holds.held().1)
    }

    /// Whether an answer is held at the moment; a stuck run does not count.
    pub fn holds_an_answer(&self) -> bool {
        self.sim.holds.held().1.iter().any(Held::is_an_answer)
    }

    /// Whether a run is stuck at the moment.
    pub fn holds_a_run(&self) -> bool {
        self.sim.holds.held().1.iter().any(|held| !held.is_an_answer())
    }

    /// Releases all held answers and stuck runs; returns how many.
    pub fn release(&self) -> usize {
        self.sim.holds.release(Release::Answer, |_| true)
    }

    /// Cuts the connection of every held answer; returns how many. Stuck runs stay stuck.
    pub fn release_answers_by_closing(&self) -> usize {
        self.sim.holds.release(Release::Close, Held::is_an_answer)
    }

    /// Sets who may read files that are made from now on and whose upload or submit sets no rule.
    pub fn set_initial_acl(&self, acl: Acl) {
        simulation::locked(&self.sim.settings).initial_acl = acl;
    }

    /// Replaces the signing key. With `keep_old`, the old key stays in the published set.
    pub fn rotate_keys(&self, keep_old: bool) {
        self.sim.rotate_keys(keep_old);
    }

    /// Stops listening, cuts held answers, drops the runs in progress, and returns when all tasks have ended.
    pub async fn stop(mut self) {
        self.sim.stop.cancel();
        self.sim.tasks.close();
        self.sim.tasks.wait().await;
        if let Some(server) = self.server.take()
            && let Err(error) = server.await
        {
            tracing::error!(%error, "The FAL simulator's server did not end well");
        }
        tracing::info!("The FAL simulator on {} has stopped", self.address);
    }

    fn in_vain(&self, what: &str) -> FalSimulatorError {
        FalSimulatorError::InVain {
            what: what.to_owned(),
            ledger: self.ledger(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.sim.stop.cancel();
    }
}

/// Simulates FAL.ai on one port: queue, storage, CDN, webhooks. Nothing is charged.
///
/// Point clients at the paths /queue, /run, /rest, /cdn and /api of the address it listens on; any key of the
/// form id:secret is accepted. /__sim/ledger shows every event.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    aisha fal-simulator\n  \
    aisha fal-simulator --listen 127.0.0.1:9700 --request-duration 10s\n  \
    aisha fal-simulator --drop-webhooks --concurrency 2")]
pub struct FalSimulatorArgs {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9700")]
    listen: SocketAddr,
    /// Base of the URLs in answers, if it differs from the Host header that callers send
    #[arg(long, value_name = "URL")]
    public_base: Option<String>,
    /// From submit to completed (ms, s or m)
    #[arg(long, default_value = "2s", value_parser = duration)]
    request_duration: Duration,
    /// The same for requests for pictures; as long as any other if not given
    #[arg(long, value_parser = duration, value_name = "DURATION")]
    picture_duration: Option<Duration>,
    /// Factor on webhook timeouts and retry delays
    #[arg(long, default_value_t = 1.0)]
    time_scale: f64,
    /// Requests in progress at once; unlimited if not given
    #[arg(long)]
    concurrency: Option<usize>,
    /// How long a started request stays out of the request list
    #[arg(long, default_value = "0s", value_parser = duration)]
    listing_delay: Duration,
    /// Account that signs webhooks
    #[arg(long, default_value = "github|simulated")]
    webhook_user_id: String,
    /// Never send a webhook
    #[arg(long)]
    drop_webhooks: bool,
    /// Drop webhooks to loopback and private addresses, as FAL does
    #[arg(long)]
    refuse_private_webhooks: bool,
    /// Keep requests, files, keys and the ledger in this directory; without it they end with the process
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Who may read files whose upload or submit sets no rule: everybody, nobody (403), nobody (404)
    #[arg(long, value_enum, default_value_t = Acl::Allow)]
    initial_acl: Acl,
    /// Refuse trainings with fewer pictures than FAL advises (10, 4 or 5 by trainer), which FAL does not
    #[arg(long)]
    require_advised_pictures: bool,
}

impl From<FalSimulatorArgs> for FalSimulatorConfig {
    fn from(args: FalSimulatorArgs) -> Self {
        Self {
            listen: args.listen,
            public_base: args.public_base,
            request_duration: args.request_duration,
            picture_duration: args.picture_duration,
            time_scale: args.time_scale,
            concurrency: args.concurrency,
            listing_delay: args.listing_delay,
            webhook_user_id: args.webhook_user_id,
            drop_webhooks: args.drop_webhooks,
            allow_private_webhooks: !args.refuse_private_webhooks,
            state: args.state,
            initial_acl: args.initial_acl,
            require_advised_pictures: args.require_advised_pictures,
            trainers: Vec::new(),
        }
    }
}

/// `aisha fal-simulator`: serves, `trainers` too, until `stop` is done.
pub async fn run(
    args: FalSimulatorArgs,
    trainers: Vec<DeclaredTrainer>,
    stop: impl Future<Output = ()>,
) -> Result<(), FalSimulatorError> {
    let config = FalSimulatorConfig {
        trainers,
        ..args.into()
    };
    let running = FalSimulator::start(config).await?;
    stop.await;
    running.stop().await;
    Ok(())
}

/// `500ms`, `2s` or `10m`.
fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        _ => return Err("give a number with ms, s or m, like 500ms or 2s".to_owned()),
    };
    let number: f64 = number
        .parse()
        .map_err(|error| format!("{number:?} is no number: {error}"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}
