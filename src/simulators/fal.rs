//! FAL.ai at the wire: queue, storage, CDN, key set, signed webhooks and the platform's request list, on one port.
//!
//! Done means that FAL's own unmodified clients work against it (`tests/official_clients/run`). A training really
//! downloads its archive, opens it and decodes every picture; what it leaves behind is a real file. Nothing costs
//! money, nothing waits longer than it is told to, and everything that happened is in the [`Ledger`](ledger).
//!
//! | prefix | FAL's name | file |
//! |---|---|---|
//! | `/queue`, `/run` | queue.fal.run, fal.run | `queue.rs`, `requests.rs`, `runner.rs`, `trainers.rs` |
//! | `/rest` | rest.fal.ai | `storage.rs`, `signing.rs` |
//! | `/cdn` | v3.fal.media | `cdn.rs`, `storage.rs` |
//! | `/api` | api.fal.ai | `platform.rs` |
//! | `/proxy` | – | `call.rs`: what the JS client calls `proxyUrl` |
//! | `/__sim` | – | `control.rs`: ledger, faults, holds |
//!
//! Start reading at `routes.rs`. Everything is in memory, and gone when the simulator dies, unless `state` names a directory
//! for it (`memory.rs`).

mod archive;
mod call;
mod cdn;
mod control;
pub mod faults;
mod holds;
pub mod ledger;
mod line;
mod memory;
mod origin;
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
pub use holds::Held;

use super::JournalError;
use faults::Fault;
use holds::Release;
use ledger::Entry;
use line::{Cord, Exchange};
use simulation::Simulation;

/// How the simulator behaves. The defaults suit a person at a terminal; tests shorten the durations.
#[derive(Clone, Debug)]
pub struct FalSimulatorConfig {
    /// Where to listen; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Base of all URLs in answers, when the address that callers see is not the `Host` that arrives here.
    pub public_base: Option<String>,
    /// From submit to COMPLETED, the archive's download apart.
    pub request_duration: Duration,
    /// Factor on FAL's own long times: webhook timeouts (15 s, 120 s; never below 2 s), retry delays (1 s to 60 s), keep-alives.
    pub time_scale: f64,
    /// Requests in progress at once; `None` is no limit.
    pub concurrency: Option<usize>,
    /// How long a started request stays out of the request list.
    pub listing_delay: Duration,
    /// Account that signs webhooks.
    pub webhook_user_id: String,
    /// Never send a webhook.
    pub drop_webhooks: bool,
    /// Deliver to loopback and private addresses, as FAL never does.
    pub allow_private_webhooks: bool,
    /// Where requests, files, keys and the ledger are kept; `None`: they end with the process.
    pub state: Option<PathBuf>,
    /// The account's rule for files whose upload or submit brings none: who may read them.
    pub initial_acl: Acl,
    /// Refuse archives with fewer pictures than FAL advises; it takes them.
    pub require_advised_pictures: bool,
}

impl Default for FalSimulatorConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            public_base: None,
            request_duration: Duration::from_secs(2),
            time_scale: 1.0,
            concurrency: None,
            listing_delay: Duration::ZERO,
            webhook_user_id: "github|simulated".to_owned(),
            drop_webhooks: false,
            allow_private_webhooks: true,
            state: None,
            initial_acl: Acl::Allow,
            require_advised_pictures: false,
        }
    }
}

/// Why the simulator did not start, or did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum FalSimulatorError {
    /// The address is taken, or is not ours.
    #[error("the FAL simulator cannot listen on {address}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// No HTTP client could be built.
    #[error("the FAL simulator cannot build its HTTP client")]
    HttpClient(#[from] reqwest::Error),
    /// What an earlier life left cannot be read, or is in use.
    #[error("the FAL simulator cannot remember: {0}")]
    Memory(#[from] JournalError),
    /// A fault cannot happen to the operation it names.
    #[error("this fault makes no sense: {0}")]
    Fault(String),
    /// Something that was waited for did not happen.
    #[error("the FAL simulator waited 30 s in vain for {what}; its ledger: {ledger:#?}")]
    InVain {
        /// In the caller's words.
        what: String,
        /// The ledger at that time.
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
        let recalled = memory::recall(config.state.as_deref())?;
        let sim = Arc::new(Simulation::new(config, address, recalled)?);
        for request in sim.requests.all() {
            if !request.progress.borrow().delivered {
                sim.spawn(runner::run(Arc::clone(&sim), request));
            }
        }
        let service = routes::router(Arc::clone(&sim)).into_make_service_with_connect_info::<Cord>();
        let server = axum::serve(Exchange(listener), service)
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

/// A running simulator, and everything about it that an HTTP client could find out at `/__sim`.
pub struct Running {
    address: SocketAddr,
    sim: Arc<Simulation>,
    server: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Longest time that the waiting methods wait.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://<address>`: with `/queue`, `/run`, `/rest`, `/cdn` or `/api` after it, what a client takes for a base
    /// URL of FAL's; with `/__sim`, the control API.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Everything that happened so far.
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

    /// How often each scripted fault struck so far, by its id.
    pub fn struck(&self) -> BTreeMap<u64, u32> {
        self.sim.faults.struck()
    }

    /// Forgets all scripted faults. What is held stays held.
    pub fn clear_faults(&self) {
        self.sim.faults.clear();
    }

    /// Waits for the `count`-th hold since the start, and says what is withheld then.
    pub async fn held(&self, count: u64) -> Result<Vec<Held>, FalSimulatorError> {
        let happened = tokio::time::timeout(Self::PATIENCE, self.sim.holds.wait_for(count)).await;
        happened.map_err(|_| self.in_vain(&format!("hold number {count}")))?;
        Ok(self.sim.holds.held().1)
    }

    /// Whether an answer is withheld right now; a stuck run is none.
    pub fn holds_an_answer(&self) -> bool {
        self.sim.holds.held().1.iter().any(Held::is_an_answer)
    }

    /// Whether a run is stuck right now.
    pub fn holds_a_run(&self) -> bool {
        self.sim.holds.held().1.iter().any(|held| !held.is_an_answer())
    }

    /// Lets go of everything withheld, answers and runs; says how much that was.
    pub fn release(&self) -> usize {
        self.sim.holds.release(Release::Answer, |_| true)
    }

    /// Cuts the connection of every answer withheld; says how many there were. Stuck runs stay stuck.
    pub fn release_answers_by_closing(&self) -> usize {
        self.sim.holds.release(Release::Close, Held::is_an_answer)
    }

    /// Who may read files that are made from now on, where their upload or submit does not say so.
    pub fn set_initial_acl(&self, acl: Acl) {
        simulation::locked(&self.sim.settings).initial_acl = acl;
    }

    /// Signs with a new key from now on.
    pub fn rotate_keys(&self, keep_old: bool) {
        self.sim.rotate_keys(keep_old);
    }

    /// Stops listening, cuts what is held, drops the runs that are under way, and returns when all is quiet.
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

/// Simulates FAL.ai on one port: queue, storage, CDN, webhooks. Nothing is paid for.
///
/// Point clients at the paths /queue, /run, /rest, /cdn and /api of the address it listens on; any key of the form
/// id:secret will do. /__sim/ledger shows what happened.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    aisha fal-simulator\n  \
    aisha fal-simulator --listen 127.0.0.1:9700 --request-duration 10s\n  \
    aisha fal-simulator --drop-webhooks --concurrency 2")]
pub struct Args {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:9700")]
    listen: SocketAddr,
    /// Base of the URLs in answers, where it is not the Host that callers send
    #[arg(long, value_name = "URL")]
    public_base: Option<String>,
    /// From submit to completed (ms, s or m)
    #[arg(long, default_value = "2s", value_parser = duration)]
    request_duration: Duration,
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
    /// Who may read files whose upload or submit does not say so: everybody, nobody (403), nobody (404)
    #[arg(long, value_enum, default_value_t = Acl::Allow)]
    initial_acl: Acl,
    /// Refuse trainings with fewer pictures than FAL advises (10, 4 or 5 by trainer), which FAL does not
    #[arg(long)]
    require_advised_pictures: bool,
}

impl From<Args> for FalSimulatorConfig {
    fn from(args: Args) -> Self {
        Self {
            listen: args.listen,
            public_base: args.public_base,
            request_duration: args.request_duration,
            time_scale: args.time_scale,
            concurrency: args.concurrency,
            listing_delay: args.listing_delay,
            webhook_user_id: args.webhook_user_id,
            drop_webhooks: args.drop_webhooks,
            allow_private_webhooks: !args.refuse_private_webhooks,
            state: args.state,
            initial_acl: args.initial_acl,
            require_advised_pictures: args.require_advised_pictures,
        }
    }
}

/// `aisha fal-simulator`: serves until `stop` is done.
pub async fn run(args: Args, stop: impl Future<Output = ()>) -> Result<(), FalSimulatorError> {
    let running = FalSimulator::start(args.into()).await?;
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
