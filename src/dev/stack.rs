//! The whole system on one machine: a private Postgres, an S3 server, FAL and Telegram simulated at the wire, and
//! each role as a process of the real binary.
//!
//! The environment's databases, buckets, keys and tokens are not used; [`ignored_variables`] lists those that
//! are set. Dropping the stack ends every process that it started.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;

use super::{
    postgres::{ClusterOptions, Durability, KeptData, PostgresError, PrivateCluster},
    role::{RoleError, RoleProcess},
    s3::S3Server,
};
use crate::{
    exit::Failure,
    ops::simulators::declared_trainer,
    settings::{Given, SimulatorSettings, plain_names, table_files},
    simulators::{
        fal::{self, FalSimulator, FalSimulatorConfig},
        telegram::{self, TelegramSimulator, TelegramSimulatorConfig},
    },
};

/// Name of the bucket for photos and models.
pub(super) const BUCKET: &str = "avatars";
/// A well-formed bot token that belongs to no bot.
const BOT_TOKEN: &str = "4242:simulated-token-of-nobody";
/// A well-formed FAL key that belongs to no account.
const FAL_KEY: &str = "simulated:key";

/// The options in which `demo` and `dev` differ.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Directory for the bucket and the roles' logs.
    pub home: PathBuf,
    /// Directory in which Postgres keeps its data; `None`: in a temporary one, removed at the end.
    pub rows: Option<PathBuf>,
    /// `PG_BIN_DIR`, if the operator set it.
    pub postgres: Option<PathBuf>,
    /// The directory of `--config`. Only its tables are used, such as `styles.toml`: its settings may name real services.
    pub config: Option<PathBuf>,
    /// How the FAL simulator behaves.
    pub fal: FalSimulatorConfig,
    /// How the Telegram simulator behaves.
    pub telegram: TelegramSimulatorConfig,
    /// Settings of the roles as `AISHA__SECTION__KEY` pairs: lease, sweep, the saga's intervals and so on.
    pub settings: Vec<(&'static str, String)>,
    /// The address on which `aisha web` listens.
    pub web: SocketAddr,
}

/// The whole system, running.
pub struct Stack {
    /// The FAL simulator, to read its ledger and script faults.
    pub fal: fal::Running,
    /// The Telegram simulator, on which users are played.
    pub telegram: telegram::Running,
    /// The address on which `aisha web` listens.
    pub web: SocketAddr,
    roles: Roles,
    s3: S3Server,
    // Declared last: fields are dropped in order, so the roles end before their database.
    cluster: PrivateCluster,
}

/// The roles `web`, `bot` and `worker` of one binary in one environment.
pub struct Roles {
    web: RoleProcess,
    bot: RoleProcess,
    worker: RoleProcess,
    launch: Launch,
}

/// How every role is started.
#[derive(Debug, Clone)]
pub struct Launch {
    /// Path of our own binary.
    pub aisha: PathBuf,
    /// The whole environment of a role, but for the few variables that [`role`](super::role) passes on.
    pub environment: Vec<(String, String)>,
    /// Directory for the roles' logs.
    pub home: PathBuf,
    /// What the roles get as `--config`. `None`: they use the compiled-in files.
    pub config: Option<PathBuf>,
}

impl Launch {
    fn role(&self, arguments: &[&str]) -> Result<RoleProcess, RoleError> {
        let name = arguments.first().copied().unwrap_or_default();
        let config = self.config.as_ref().map(|config| config.display().to_string());
        let config = config.iter().flat_map(|config| ["--config", config.as_str()]);
        RoleProcess::start(
            &self.aisha,
            &arguments.iter().copied().chain(config).collect::<Vec<_>>(),
            &self.environment,
            &self.home.join(format!("{name}.log")),
        )
    }
}

impl Roles {
    /// Migrates, then starts web, worker and bot; returns when each is ready, with web's address. With
    /// `tell_fal`, FAL's webhooks go to that address instead of the one in the environment.
    pub async fn start(
        mut launch: Launch,
        listen: SocketAddr,
        tell_fal: bool,
    ) -> anyhow::Result<(Self, SocketAddr)> {
        launch.role(&["migrate"])?.succeeds().await?;
        let mut web = launch.role(&["web", "--listen", &listen.to_string()])?;
        let address = listening_on(&web.says(WEB_IS_READY).await?)?;
        if tell_fal {
            launch
                .environment
                .push(("FAL_WEBHOOK_URL".to_owned(), format!("http://{address}")));
        }
        let mut worker = launch.role(&["worker"])?;
        let mut bot = launch.role(&["bot"])?;
        worker.says(WORKER_IS_READY).await?;
        bot.says(BOT_IS_READY).await?;
        Ok((
            Self {
                web,
                bot,
                worker,
                launch,
            },
            address,
        ))
    }

    /// Name and last lines of a role that ended by itself.
    pub fn casualty(&mut self) -> Option<String> {
        let Self { web, bot, worker, .. } = self;
        for (name, role) in [("web", web), ("bot", bot), ("worker", worker)] {
            if let Some(status) = role.has_ended() {
                return Some(format!("`aisha {name}` ended with {status}:\n{}", role.tail()));
            }
        }
        None
    }

    /// Stops all roles, each of which drains first.
    pub async fn stop(mut self) {
        tokio::join!(self.bot.stop(), self.worker.stop(), self.web.stop());
    }
}

impl Stack {
    /// Starts everything in the order of dependence; returns when each role is ready. If the future is
    /// dropped before, it ends what it has started; a Postgres that is about to start does so first.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let aisha = std::env::current_exe().context("this binary cannot be found")?;
        let cluster = start_cluster(&options, &aisha).await?;
        let bucket = options.home.join("s3");
        std::fs::create_dir_all(&bucket).with_context(|| format!("cannot make {}", bucket.display()))?;
        let s3 = S3Server::start(&bucket, &[BUCKET]).await?;
        let config = tables(options.config.as_deref(), &options.home)?;
        let given = Given {
            config_dir: config.clone(),
            ..Given::default()
        };
        let served = given.load::<SimulatorSettings>()?.trainers;
        let fal = FalSimulator::start(FalSimulatorConfig {
            trainers: served.iter().map(declared_trainer).collect(),
            ..options.fal
        })
        .await?;
        let telegram = TelegramSimulator::start(options.telegram).await?;
        let mut environment = environment(&cluster, &s3, &fal, &telegram);
        environment.extend(
            options
                .settings
                .iter()
                .map(|(key, value)| ((*key).to_owned(), value.clone())),
        );
        let launch = Launch {
            aisha,
            environment,
            home: options.home,
            config,
        };
        let (roles, web) = Roles::start(launch, options.web, true).await?;
        Ok(Self {
            fal,
            telegram,
            web,
            roles,
            s3,
            cluster,
        })
    }

    /// The database's URL, for SQL that only reads, and for locks.
    pub fn database_url(&self) -> String {
        self.cluster.url("postgres")
    }

    /// Kills the worker (SIGKILL); returns its process id.
    pub async fn kill_worker(&mut self) -> anyhow::Result<u32> {
        let pid = self
            .roles
            .worker
            .pid()
            .context("the worker has ended by itself")?;
        self.roles.worker.kill().await?;
        Ok(pid)
    }

    /// Starts a worker in place of one that was killed.
    pub async fn start_worker(&mut self) -> anyhow::Result<()> {
        let mut worker = self.roles.launch.role(&["worker"])?;
        worker.says(WORKER_IS_READY).await?;
        self.roles.worker = worker;
        Ok(())
    }

    /// Name and last lines of a role that ended by itself.
    pub fn casualty(&mut self) -> Option<String> {
        self.roles.casualty()
    }

    /// Stops everything in reverse order.
    pub async fn stop(self) {
        self.roles.stop().await;
        self.telegram.stop().await;
        self.fal.stop().await;
        self.s3.stop().await;
        // The stop blocks until the server has ended.
        let cluster = self.cluster;
        drop(tokio::task::spawn_blocking(move || cluster.stop()).await);
    }
}

/// Copies the tables of `--config` to a directory of their own, which the roles and the simulator read. `None`: there are
/// none.
fn tables(from: Option<&Path>, home: &Path) -> anyhow::Result<Option<PathBuf>> {
    let copies = home.join("config");
    // Tables of an earlier start, which may have had another `--config`.
    let removed = std::fs::remove_dir_all(&copies);
    if let Err(error) = removed
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot empty {}", copies.display()));
    }
    let given = from.map(|from| table_files().map(|name| (from.join(name), copies.join(name))));
    let mut found = None;
    for (table, copy) in given.into_iter().flatten().filter(|(table, _)| table.exists()) {
        std::fs::create_dir_all(&copies).with_context(|| format!("cannot make {}", copies.display()))?;
        std::fs::copy(&table, copy).with_context(|| format!("cannot read {}", table.display()))?;
        found = Some(copies.clone());
    }
    Ok(found)
}

const WEB_IS_READY: &str = "Web is listening on ";
const WORKER_IS_READY: &str = "is claiming jobs";
const BOT_IS_READY: &str = "The bot is running";

async fn start_cluster(options: &StackOptions, aisha: &Path) -> anyhow::Result<PrivateCluster> {
    let keep = options
        .rows
        .clone()
        .map_or(KeptData::Nothing, KeptData::Directory);
    let cluster = ClusterOptions {
        aisha: aisha.to_owned(),
        bin_dir: options.postgres.clone(),
        keep,
        durability: Durability::Durable,
    };
    let started = tokio::task::spawn_blocking(move || PrivateCluster::start(cluster)).await;
    Ok(started.context("starting Postgres was cut off")??)
}

fn listening_on(line: &str) -> anyhow::Result<SocketAddr> {
    let address = line
        .split(WEB_IS_READY)
        .nth(1)
        .and_then(|rest| rest.split(|c: char| c.is_whitespace() || c == '"').next());
    address
        .and_then(|text| text.parse().ok())
        .with_context(|| format!("no address in {line:?}"))
}

/// The settings under their plain names (`DATABASE_URL` and so on), each pointing at a service of this stack.
fn environment(
    cluster: &PrivateCluster,
    s3: &S3Server,
    fal: &fal::Running,
    telegram: &telegram::Running,
) -> Vec<(String, String)> {
    let others = [
        ("DATABASE_URL", cluster.url("postgres")),
        ("AISHA__LOG__FORMAT", "text".to_owned()),
        ("AVATAR_TEST_MODE", "true".to_owned()),
        ("AISHA__FAL__SIMULATOR_URL", fal.url()),
        ("FAL_KEY", FAL_KEY.to_owned()),
        ("TELEGRAM_BOT_TOKEN", BOT_TOKEN.to_owned()),
        ("TELEGRAM_API_URL", telegram.url()),
    ];
    let all = s3.environment(BUCKET).into_iter().chain(others);
    all.map(|(key, value)| (key.to_owned(), value)).collect()
}

/// Names of variables that are set in our environment, point at real services, and are not used here.
pub fn ignored_variables() -> Vec<&'static str> {
    plain_names()
        .into_iter()
        .filter(|name| *name != "AVATAR_TEST_MODE" && std::env::var_os(name).is_some())
        .collect()
}

/// `PG_BIN_DIR` of the environment; an empty variable counts as not set.
pub fn postgres_of(given: &Given) -> Option<PathBuf> {
    let directory = given.environment.get("PG_BIN_DIR")?;
    (!directory.is_empty()).then(|| directory.into())
}

/// Turns an error of the start into the process's end: a missing Postgres counts as a missing dependency.
pub fn did_not_start(error: anyhow::Error) -> Failure {
    let missing = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref(),
            Some(PostgresError::NotFound { .. } | PostgresError::NoUser)
        )
    });
    if missing {
        Failure::unavailable(format_args!("{error:#}"))
    } else {
        Failure::Other(error)
    }
}

/// The duration in milliseconds, in the form of a setting.
pub fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
