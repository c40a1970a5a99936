//! The whole system on one machine: a private Postgres, an S3 server, FAL and Telegram simulated at the wire, and
//! each role as a process of the real binary.
//!
//! Nothing of the environment's databases, buckets, keys and tokens is used; [`ignored_variables`] says which were
//! there. Dropping the stack ends every process that it started.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use secrecy::ExposeSecret as _;

use super::{
    postgres::{Durability, Keep, Options, PostgresError, PrivateCluster},
    role::{Role, RoleError},
    s3::S3Server,
};
use crate::{
    exit::Failure,
    settings::{Given, plain_names},
    simulators::{
        fal::{self, FalSimulator, FalSimulatorConfig},
        telegram::{self, TelegramSimulator, TelegramSimulatorConfig},
    },
};

/// The bucket of photos and models.
const BUCKET: &str = "avatars";
/// A token of the right form that is nobody's.
const BOT_TOKEN: &str = "4242:simulated-token-of-nobody";
/// A key of the right form that is nobody's.
const FAL_KEY: &str = "simulated:key";

/// What `demo` and `dev` choose differently.
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// Where files go: the bucket, the roles' logs, kept Postgres data.
    pub home: PathBuf,
    /// Where Postgres keeps its data; `None`: nowhere for longer than we live.
    pub rows: Option<PathBuf>,
    /// `PG_BIN_DIR`.
    pub postgres: Option<PathBuf>,
    /// FAL's behaviour.
    pub fal: FalSimulatorConfig,
    /// Telegram's behaviour.
    pub telegram: TelegramSimulatorConfig,
    /// Lease, sweep and the saga's intervals, as `AISHA__SECTION__KEY` pairs.
    pub settings: Vec<(&'static str, String)>,
    /// Where `aisha web` listens.
    pub web: SocketAddr,
}

/// Everything, running.
pub struct Stack {
    /// Reads and scripts FAL.
    pub fal: fal::Running,
    /// Plays the users.
    pub telegram: telegram::Running,
    /// Where `aisha web` listens.
    pub web: SocketAddr,
    roles: Roles,
    s3: S3Server,
    // Last: the roles go before their database.
    cluster: PrivateCluster,
}

/// The three roles of one binary in one environment; a worker that was killed is replaced.
pub struct Roles {
    web: Role,
    bot: Role,
    worker: Role,
    launch: Launch,
}

/// What every role is started with.
#[derive(Debug, Clone)]
pub struct Launch {
    /// The binary.
    pub aisha: PathBuf,
    /// All that a role sees.
    pub environment: Vec<(String, String)>,
    /// Where logs go.
    pub home: PathBuf,
}

impl Launch {
    fn role(&self, arguments: &[&str]) -> Result<Role, RoleError> {
        let name = arguments.first().copied().unwrap_or_default();
        Role::start(
            &self.aisha,
            arguments,
            &self.environment,
            &self.home.join(format!("{name}.log")),
        )
    }
}

impl Roles {
    /// Migrates, then starts web, worker and bot; returns when each said that it works, with web's address.
    /// `tell_fal`: FAL delivers to that address, instead of where the environment says.
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

    /// A role that ended by itself, and its last words.
    pub fn casualty(&mut self) -> Option<String> {
        let Self { web, bot, worker, .. } = self;
        for (name, role) in [("web", web), ("bot", bot), ("worker", worker)] {
            if let Some(status) = role.has_ended() {
                return Some(format!("`aisha {name}` ended with {status}:\n{}", role.tail()));
            }
        }
        None
    }

    /// Lets all of them drain.
    pub async fn stop(mut self) {
        tokio::join!(self.bot.stop(), self.worker.stop(), self.web.stop());
    }
}

impl Stack {
    /// Starts everything in the order of dependence; returns when each role said that it works. Dropped on the way, it ends
    /// what it has started, except that a Postgres which is about to start does so first.
    pub async fn start(options: StackOptions) -> anyhow::Result<Self> {
        let aisha = std::env::current_exe().context("this binary cannot be found")?;
        let cluster = start_cluster(&options, &aisha).await?;
        let bucket = options.home.join("s3");
        std::fs::create_dir_all(&bucket).with_context(|| format!("cannot make {}", bucket.display()))?;
        let s3 = S3Server::start(&bucket, &[BUCKET]).await?;
        let fal = FalSimulator::start(options.fal).await?;
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

    /// For SQL that only looks, and for locks.
    pub fn database_url(&self) -> String {
        self.cluster.url("postgres")
    }

    /// SIGKILL to the worker; its process id.
    pub async fn kill_worker(&mut self) -> anyhow::Result<u32> {
        let pid = self
            .roles
            .worker
            .pid()
            .context("the worker has ended by itself")?;
        self.roles.worker.kill().await?;
        Ok(pid)
    }

    /// Another worker, in the place of one that was killed.
    pub async fn start_worker(&mut self) -> anyhow::Result<()> {
        let mut worker = self.roles.launch.role(&["worker"])?;
        worker.says(WORKER_IS_READY).await?;
        self.roles.worker = worker;
        Ok(())
    }

    /// A role that ended by itself, and its last words.
    pub fn casualty(&mut self) -> Option<String> {
        self.roles.casualty()
    }

    /// Stops everything in reverse order.
    pub async fn stop(self) {
        self.roles.stop().await;
        self.telegram.stop().await;
        self.fal.stop().await;
        self.s3.stop().await;
        // Stopping blocks on the server's end.
        let cluster = self.cluster;
        drop(tokio::task::spawn_blocking(move || cluster.stop()).await);
    }
}

const WEB_IS_READY: &str = "Web is listening on ";
const WORKER_IS_READY: &str = "is claiming jobs";
const BOT_IS_READY: &str = "The bot is running";

async fn start_cluster(options: &StackOptions, aisha: &Path) -> anyhow::Result<PrivateCluster> {
    let keep = options.rows.clone().map_or(Keep::Nothing, Keep::Directory);
    let cluster = Options {
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

/// The plain names of the settings list, each pointing at something of ours.
fn environment(
    cluster: &PrivateCluster,
    s3: &S3Server,
    fal: &fal::Running,
    telegram: &telegram::Running,
) -> Vec<(String, String)> {
    [
        ("DATABASE_URL", cluster.url("postgres")),
        ("S3_ENDPOINT", s3.endpoint.clone()),
        ("S3_REGION", s3.region.clone()),
        ("S3_ACCESS_KEY", s3.access_key.clone()),
        ("S3_SECRET_KEY", s3.secret_key.expose_secret().to_owned()),
        ("S3_BUCKET_AVATARS", BUCKET.to_owned()),
        ("AISHA__LOG__FORMAT", "text".to_owned()),
        ("AVATAR_TEST_MODE", "true".to_owned()),
        ("AISHA__FAL__SIMULATOR_URL", fal.url()),
        ("FAL_KEY", FAL_KEY.to_owned()),
        ("TELEGRAM_BOT_TOKEN", BOT_TOKEN.to_owned()),
        ("TELEGRAM_API_URL", telegram.url()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}

/// Variables that lead roles into the real world, set in our environment and not used here.
pub fn ignored_variables() -> Vec<&'static str> {
    plain_names()
        .into_iter()
        .filter(|name| *name != "AVATAR_TEST_MODE" && std::env::var_os(name).is_some())
        .collect()
}

/// `PG_BIN_DIR`, if the environment has it: an empty variable counts as not set.
pub fn postgres_of(given: &Given) -> Option<PathBuf> {
    let directory = given.environment.get("PG_BIN_DIR")?;
    (!directory.is_empty()).then(|| directory.into())
}

/// What did not start, as the process's end: a missing Postgres is a dependency that is not there.
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

/// Milliseconds as a setting.
pub fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
