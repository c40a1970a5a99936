//! One private Postgres cluster for the whole run, and a migrated database for each test.
//!
//! The first test that needs a database starts the cluster and migrates a template; each test copies the template,
//! which takes a few milliseconds. The cluster is a child of this process and ends with it. A database is dropped
//! when its test passes and kept when it fails. To look into it afterwards, run the tests with `TEST_DATABASE_URL`
//! naming a permanent server (its user must be allowed to create databases): the failing test prints the database's
//! URL.

use std::path::Path;
use std::str::FromStr as _;
use std::sync::atomic::{AtomicU32, Ordering};

use aisha::dev::postgres::{ClusterOptions, PrivateCluster};
use sha2::{Digest as _, Sha256};
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};
use tokio::sync::OnceCell;

/// A database of one test.
pub struct Db {
    /// For the queries of the test itself.
    pub pool: PgPool,
    name: String,
    url: String,
}

struct Server {
    /// Contains the placeholder `{database}`.
    url: String,
    template: String,
    /// Lives as long as this process; the kernel stops the server after us.
    _cluster: Option<PrivateCluster>,
}

static SERVER: OnceCell<Server> = OnceCell::const_new();

impl Db {
    /// A database with all migrations applied.
    pub async fn new() -> Self {
        let template = SERVER.get_or_init(Server::start).await.template.clone();
        Self::create(Some(&template)).await
    }

    /// A database without tables, for tests of the migrations themselves.
    pub async fn empty() -> Self {
        Self::create(None).await
    }

    async fn create(template: Option<&str>) -> Self {
        let server = SERVER.get_or_init(Server::start).await;
        let name = name_for_this_test();
        let from = template.unwrap_or("template0");
        let mut admin = server.admin().await;
        let create = format!(r#"create database "{name}" template "{from}""#);
        sqlx::raw_sql(AssertSqlSafe(create))
            .execute(&mut admin)
            .await
            .expect("create the test's database");
        let url = server.url(&name);
        let pool = PgPoolOptions::new()
            .max_connections(10)
            .connect(&url)
            .await
            .expect("connect to the test's database");
        Self { pool, name, url }
    }

    /// Closes all connections to the database and refuses new ones until [`Outage::end`].
    pub async fn outage(&self) -> Outage {
        let outage = Outage {
            database: self.name.clone(),
        };
        outage.accept_connections(false).await;
        let mut admin = outage.admin().await;
        sqlx::query("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1")
            .bind(&self.name)
            .execute(&mut admin)
            .await
            .expect("end the sessions");
        outage
    }

    /// The value for `DATABASE_URL`.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// A database that refuses connections; see [`Db::outage`].
pub struct Outage {
    database: String,
}

impl Outage {
    /// Lets the database accept connections again.
    pub async fn end(self) {
        self.accept_connections(true).await;
    }

    async fn accept_connections(&self, accept: bool) {
        let statement = format!(
            r#"alter database "{}" with allow_connections {accept}"#,
            self.database
        );
        let mut admin = self.admin().await;
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut admin)
            .await
            .expect("change the database");
    }

    async fn admin(&self) -> PgConnection {
        SERVER.get().expect("a database came from a server").admin().await
    }
}

impl Drop for Db {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the database of this test is kept: {}", self.url);
        } else {
            drop_database(&self.name);
        }
    }
}

impl Server {
    async fn start() -> Self {
        // The test harness is itself the tests' settings, so it reads the variable here.
        let (url, cluster) = if let Some(url) = std::env::var_os("TEST_DATABASE_URL") {
            (url.into_string().expect("TEST_DATABASE_URL in UTF-8"), None)
        } else {
            let start = || PrivateCluster::start(ClusterOptions::fast(env!("CARGO_BIN_EXE_aisha")));
            let started = tokio::task::spawn_blocking(start).await.expect("no panic");
            let cluster = started.unwrap_or_else(|error| panic!("{error}"));
            (cluster.url("postgres"), Some(cluster))
        };
        let mut server = Self {
            url,
            template: String::new(),
            _cluster: cluster,
        };
        server.template = server.migrated_template().await;
        server
    }

    fn url(&self, database: &str) -> String {
        let mut url = url::Url::parse(&self.url).expect("a database URL");
        url.set_path(database);
        url.to_string()
    }

    async fn admin(&self) -> PgConnection {
        PgConnection::connect(&self.url)
            .await
            .expect("connect to the tests' server")
    }

    /// The template is named after the migrations' content, so an edited migration gets a new template on a permanent
    /// server.
    async fn migrated_template(&self) -> String {
        // Read at run time: the macro would not notice a new file.
        let migrator = Migrator::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations")).await;
        let migrator = migrator.expect("read migrations/");
        let digest = migrator.iter().fold(Sha256::new(), |hash, migration| {
            hash.chain_update(&migration.checksum)
        });
        let name = format!("aisha_template_{}", &hex::encode(digest.finalize())[..12]);

        let mut admin = self.admin().await;
        let serialised = "select pg_advisory_lock(hashtext('aisha test template'))";
        sqlx::query(serialised).execute(&mut admin).await.expect("lock");
        let exists = sqlx::query_scalar::<_, bool>(
            "select exists (select from pg_database where datname = $1 and datistemplate)",
        );
        if !exists
            .bind(&name)
            .fetch_one(&mut admin)
            .await
            .expect("look for the template")
        {
            let remake = [
                format!(r#"drop database if exists "{name}""#),
                format!(r#"create database "{name}""#),
            ];
            for statement in remake {
                sqlx::raw_sql(AssertSqlSafe(statement))
                    .execute(&mut admin)
                    .await
                    .expect("create the template");
            }
            let options = PgConnectOptions::from_str(&self.url(&name)).expect("a database URL");
            let mut connection = PgConnection::connect_with(&options)
                .await
                .expect("connect to the template");
            migrator.run(&mut connection).await.expect("apply migrations/");
            connection.close().await.expect("close the template");
            // Marked as a template only now, and without connections: a template with an open connection cannot be
            // copied.
            let finish = format!(r#"alter database "{name}" with is_template true allow_connections false"#);
            sqlx::raw_sql(AssertSqlSafe(finish))
                .execute(&mut admin)
                .await
                .expect("finish the template");
        }
        admin.close().await.expect("unlock");
        name
    }
}

/// `t<pid>_<number>_<test>`: unique on a permanent server, and readable in a list of databases.
fn name_for_this_test() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    // The test runner names each test's thread after the test.
    let thread = std::thread::current();
    let test = thread
        .name()
        .unwrap_or("unnamed")
        .rsplit("::")
        .next()
        .unwrap_or_default()
        .to_lowercase();
    let test: String = test
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect();
    let mut name = format!("t{}_{number}_{test}", std::process::id());
    name.truncate(63);
    name
}

fn drop_database(name: &str) {
    wait_apart(async {
        let server = SERVER.get().expect("a database came from a server");
        let statement = format!(r#"drop database if exists "{name}" with (force)"#);
        let mut admin = server.admin().await;
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut admin)
            .await
            .expect("drop the database");
    });
}

/// Waits on a separate thread, because a destructor cannot wait for its own runtime.
pub(super) fn wait_apart<T: Send>(work: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(work)
        });
        waiting.join().expect("it does not panic")
    })
}
