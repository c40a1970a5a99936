//! The system under test, without the roles: Postgres and S3 behind proxies, the simulators, and the roles'
//! environment.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, bail};
use jobs::objects::{ObjectStore, ObjectStoreSettings};
use sqlx::{Connection as _, PgConnection};
use tokio::time::Instant;

use super::proxy::{Proxy, Target};
use crate::{
    dev::{
        postgres::{ClusterOptions, PrivateCluster, USER},
        s3::S3Server,
    },
    settings::Given,
    simulators::{
        fal::{self, FalSimulator, FalSimulatorConfig},
        telegram::{self, TelegramSimulator, TelegramSimulatorConfig},
    },
};

const BUCKET: &str = "avatars";
/// Short, so that a minute contains several; the defaults are in config/default.toml.
pub(super) const LEASE: Duration = Duration::from_secs(3);
pub(super) const SWEEP: Duration = Duration::from_secs(1);
/// The setting `generation.resubmit_after`.
pub(super) const RESUBMIT_AFTER: Duration = Duration::from_secs(12);
/// How long a training takes at the FAL simulator.
const TRAINING: Duration = Duration::from_secs(1);
/// How long a crashed Postgres may take to come back.
const SERVER_UP: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);
/// Shortens FAL's own waits between deliveries, which are a second and more.
const FAL_TIME_SCALE: f64 = 0.1;

/// Settings of the roles, with hours and minutes scaled down to a run of a minute.
const SETTINGS: [(&str, &str); 34] = [
    ("AISHA__LOG__FORMAT", "text"),
    ("AVATAR_TEST_MODE", "true"),
    ("AISHA__QUEUE__LEASE", "3s"),
    ("AISHA__QUEUE__BEAT", "900ms"),
    ("AISHA__QUEUE__SWEEP", "1s"),
    ("AISHA__QUEUE__GRACE", "4s"),
    ("AISHA__QUEUE__POLL", "500ms"),
    ("AISHA__DATABASE__MAX_CONNECTIONS", "12"),
    ("AISHA__DATABASE__ACQUIRE_TIMEOUT", "3s"),
    ("AISHA__WEB__LINGER", "100ms"),
    ("AISHA__TELEGRAM__POLL_TIMEOUT", "2s"),
    ("AISHA__FAL__CONNECT_TIMEOUT", "2s"),
    ("AISHA__FAL__TIMEOUT", "5s"),
    ("AISHA__FAL__SUBMIT_TIMEOUT", "8s"),
    ("AISHA__FAL__TRANSFER_TIMEOUT", "15s"),
    ("AISHA__FAL__POLL_FIRST_AFTER", "3s"),
    ("AISHA__FAL__POLL_INTERVAL", "1500ms"),
    ("AISHA__FAL__WEBHOOK_GRACE", "1s"),
    ("AISHA__FAL__LIST_INTERVAL", "1500ms"),
    ("AISHA__FAL__SUBMIT_DECISION_AFTER", "12s"),
    ("AISHA__FAL__WEBHOOK_USER_ID", "github|simulated"),
    ("AISHA__WORKER__SLOTS__NOTIFY", "6"),
    ("AISHA__PHOTOS__MIN", "4"),
    // A few people make many avatars within a minute.
    ("AISHA__QUOTAS__LIVE_TRAININGS", "0"),
    ("AISHA__QUOTAS__TRAININGS_A_DAY", "0"),
    ("AISHA__QUOTAS__DRAFTS_A_DAY", "0"),
    ("AISHA__QUOTAS__PHOTOS_A_DAY", "0"),
    ("AISHA__QUOTAS__ACCOUNT_TRAININGS_A_DAY", "0"),
    ("AISHA__FAL__PROBE_INTERVAL", "2s"),
    ("AISHA__SAGA__RECONCILE_INTERVAL", "5s"),
    ("AISHA__SAGA__CANCEL_DEADLINE", "20s"),
    ("AISHA__QUOTAS__PICTURES_A_DAY", "0"),
    ("AISHA__GENERATION__RESUBMIT_AFTER", "12s"),
    // Each avatar comes with a picture; with four, the machine would draw instead of train.
    ("AISHA__TRAINING__SAMPLES", "1"),
];

/// Everything that runs, except the roles.
pub(super) struct Site {
    pub fal: fal::Running,
    pub telegram: telegram::Running,
    pub postgres: Proxy,
    pub s3: Proxy,
    pub objects: ObjectStore,
    /// The address of `aisha web`, the same at each of its starts.
    pub web: SocketAddr,
    /// The environment of every role.
    pub environment: Vec<(String, String)>,
    own_s3: Option<S3Server>,
    // Declared last: fields are dropped in order, so the cluster ends after everything that uses it.
    cluster: Arc<Mutex<PrivateCluster>>,
}

impl Site {
    pub(super) async fn start(aisha: &Path, home: &Path, given: &Given) -> anyhow::Result<Self> {
        let options = ClusterOptions::durable(aisha);
        let started = tokio::task::spawn_blocking(move || PrivateCluster::start(options)).await;
        let cluster = started.context("starting Postgres was cut off")??;
        let socket: PathBuf = cluster.socket_dir().join(".s.PGSQL.5432");
        let postgres = Proxy::start(Target::Unix(socket)).await?;
        let (own_s3, s3_variables) = bucket(home, given).await?;
        let given_s3 = Given {
            environment: s3_variables.clone(),
            ..Given::default()
        };
        let store = given_s3.load::<ObjectStoreSettings>()?;
        let s3 = Proxy::start(Target::Tcp(address_of(&store.endpoint)?)).await?;
        let fal = FalSimulator::start(FalSimulatorConfig {
            request_duration: TRAINING,
            time_scale: FAL_TIME_SCALE,
            ..FalSimulatorConfig::default()
        })
        .await?;
        let telegram = TelegramSimulator::start(TelegramSimulatorConfig::default()).await?;
        let web = free_port().await?;
        let mut environment: Vec<(String, String)> = SETTINGS
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let database = format!("postgres://{USER}@{}/postgres?sslmode=disable", postgres.address);
        environment.extend(s3_variables.into_iter().filter(|(name, _)| name != "S3_ENDPOINT"));
        environment.extend(
            [
                ("DATABASE_URL", database),
                ("S3_ENDPOINT", format!("http://{}", s3.address)),
                ("AISHA__FAL__SIMULATOR_URL", fal.url()),
                ("FAL_KEY", "simulated:key".to_owned()),
                ("FAL_WEBHOOK_URL", format!("http://{web}")),
                ("TELEGRAM_BOT_TOKEN", "4242:simulated-token-of-nobody".to_owned()),
                ("TELEGRAM_API_URL", telegram.url()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        Ok(Self {
            fal,
            telegram,
            postgres,
            s3,
            objects: ObjectStore::new(&store).context("the object store cannot be used")?,
            web,
            environment,
            own_s3,
            cluster: Arc::new(Mutex::new(cluster)),
        })
    }

    /// Opens a connection that bypasses the proxy.
    pub(super) async fn database(&self) -> Result<PgConnection, sqlx::Error> {
        let url = locked(&self.cluster).url("postgres");
        PgConnection::connect(&url).await
    }

    /// Stops without a checkpoint, with sessions cut; then starts and recovers.
    pub(super) async fn crash_postgres(&self) -> anyhow::Result<()> {
        let cluster = Arc::clone(&self.cluster);
        let crashed = tokio::task::spawn_blocking(move || {
            let mut cluster = locked(&cluster);
            cluster.stop_immediate();
            cluster.start_again()
        });
        Ok(crashed.await.context("restarting Postgres was cut off")??)
    }

    /// For this time, refuses writes in every new transaction of the roles.
    pub(super) async fn while_read_only(&self, time: Duration) -> anyhow::Result<()> {
        self.set_read_only("on").await?;
        tokio::time::sleep(time).await;
        self.set_read_only("off").await
    }

    /// Repeats until the server has accepted it, since the server may be down at the moment.
    async fn set_read_only(&self, to: &str) -> anyhow::Result<()> {
        // Two statements: ALTER SYSTEM runs in no transaction, and an implicit one spans a whole query.
        let alter = format!("alter system set default_transaction_read_only = {to}");
        let until = Instant::now() + SERVER_UP;
        loop {
            let ordered: Result<(), sqlx::Error> = async {
                let mut db = self.database().await?;
                sqlx::raw_sql(sqlx::AssertSqlSafe(alter.as_str()))
                    .execute(&mut db)
                    .await?;
                sqlx::raw_sql("select pg_reload_conf()").execute(&mut db).await?;
                Ok(())
            }
            .await;
            match ordered {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() >= until => return Err(error.into()),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    /// Keeps a session idle in a transaction, as an analyst may leave one open. `false`: the server was down
    /// all the time.
    pub(super) async fn hold_snapshot(&self, time: Duration) -> anyhow::Result<bool> {
        let until = Instant::now() + SERVER_UP;
        loop {
            let held: Result<PgConnection, sqlx::Error> = async {
                let mut db = self.database().await?;
                let begin = "begin isolation level repeatable read; select count(*) from jobs";
                sqlx::raw_sql(begin).execute(&mut db).await?;
                Ok(db)
            }
            .await;
            match held {
                Ok(session) => {
                    tokio::time::sleep(time).await;
                    drop(session);
                    return Ok(true);
                }
                Err(_) if Instant::now() >= until => return Ok(false),
                Err(_) => tokio::time::sleep(LOOK).await,
            }
        }
    }

    pub(super) async fn stop(self) {
        self.telegram.stop().await;
        self.fal.stop().await;
        if let Some(s3) = self.own_s3 {
            s3.stop().await;
        }
        let cluster = self.cluster;
        // The stop blocks until the server has ended.
        drop(tokio::task::spawn_blocking(move || drop(cluster)).await);
    }
}

fn locked(cluster: &Mutex<PrivateCluster>) -> std::sync::MutexGuard<'_, PrivateCluster> {
    cluster.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The variables of the store that the environment names, or else of an S3 server of our own.
async fn bucket(home: &Path, given: &Given) -> anyhow::Result<(Option<S3Server>, BTreeMap<String, String>)> {
    let is_given = |name: &str| given.environment.get(name).is_some_and(|value| !value.is_empty());
    if is_given("S3_ENDPOINT") {
        let mut variables = given.environment.clone();
        variables.retain(|name, _| name.starts_with("S3_"));
        return Ok((None, variables));
    }
    let server = S3Server::start(&home.join("s3"), &[BUCKET]).await?;
    let variables = server.environment(BUCKET);
    let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
    Ok((Some(server), variables))
}

/// The proxy only passes bytes on: under TLS the certificate would have to match the proxy's name.
fn address_of(endpoint: &url::Url) -> anyhow::Result<SocketAddr> {
    if endpoint.scheme() != "http" {
        bail!("S3_ENDPOINT is {endpoint}: the suite's proxy needs a plain http:// one");
    }
    let addresses = endpoint
        .socket_addrs(|| Some(80))
        .context("S3_ENDPOINT leads nowhere")?;
    addresses.first().copied().context("S3_ENDPOINT leads nowhere")
}

async fn free_port() -> anyhow::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    Ok(listener.local_addr()?)
}
