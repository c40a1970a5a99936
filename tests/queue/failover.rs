//! Q24: after a failover no part of a worker or of any role stays with a server that cannot be written to. The
//! standby is a real one, and the old primary stays up: only new connections lead to the new primary, as behind a
//! balancer that does not cut sessions.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::PathBuf,
    process::{Command, Stdio},
    time::Duration,
};

use aisha::dev::postgres::{ClusterOptions, KeptData, PrivateCluster};
use jobs::{
    database::{Database, DatabaseOptions},
    enqueue::{Options, enqueue_with},
    job::{Done, Policy},
    queue::JobState,
    runtime::{CatchUp, Periodic, Registry, Schedule, WorkerOptions},
    testing::{Probe, Probes},
};
use reqwest::StatusCode;
use sqlx::PgPool;
use tempfile::TempDir;

use super::{Gate, Running, options, probe, reaches};
use crate::support::{Proxy, aisha, eventually};

/// A migrated primary, and a standby that streams from it.
struct Pair {
    primary: PrivateCluster,
    standby: PrivateCluster,
    _directory: TempDir,
}

impl Pair {
    async fn start() -> Self {
        let primary =
            blocking(|| PrivateCluster::start(ClusterOptions::durable(env!("CARGO_BIN_EXE_aisha")))).await;
        let primary = primary.unwrap();
        let migrate = aisha(["migrate"]).env("AISHA_ENV", "test");
        let (code, output) = migrate
            .env("DATABASE_URL", primary.url("postgres"))
            .start()
            .finish()
            .await;
        assert_eq!(code, Some(0), "{output}");
        let (socket, log) = (primary.socket_dir().to_owned(), primary.log());
        let (standby, directory) = blocking(move || {
            let data = log.parent().unwrap().join("data");
            // The user that runs the primary runs the standby too; not this process's user, if that is root.
            let owner = fs::metadata(&data).unwrap();
            let directory = tempfile::Builder::new()
                .prefix("standby")
                .tempdir_in("/var/tmp")
                .unwrap();
            chown(directory.path(), Some(owner.uid()), Some(owner.gid())).unwrap();
            // Its first line is the server's command line.
            let command = fs::read_to_string(data.join("postmaster.opts")).unwrap();
            let postgres = PathBuf::from(command.split_whitespace().next().unwrap());
            let mut copy = Command::new(postgres.with_file_name("pg_basebackup"));
            copy.args([
                "-U",
                "aisha",
                "-p",
                "5432",
                "-R",
                "-X",
                "stream",
                "-c",
                "fast",
                "--no-sync",
                "-h",
            ])
            .arg(&socket)
            .arg("-D")
            .arg(directory.path().join("data"))
            .current_dir("/")
            .stdin(Stdio::null());
            if rustix::process::geteuid().is_root() {
                copy.uid(owner.uid()).gid(owner.gid());
            }
            let copied = copy.output().unwrap();
            assert!(
                copied.status.success(),
                "{}",
                String::from_utf8_lossy(&copied.stderr)
            );
            let mut options = ClusterOptions::durable(env!("CARGO_BIN_EXE_aisha"));
            options.keep = KeptData::Directory(directory.path().to_owned());
            (PrivateCluster::start(options).unwrap(), directory)
        })
        .await;
        Self {
            primary,
            standby,
            _directory: directory,
        }
    }

    /// Closes the old primary for writers but leaves it up; the standby takes over with everything that was written.
    async fn fail_over(&self) {
        let old = PgPool::connect(&self.primary.url("postgres")).await.unwrap();
        for statement in [
            "alter system set default_transaction_read_only = on",
            "select pg_reload_conf()",
        ] {
            sqlx::raw_sql(statement).execute(&old).await.unwrap();
        }
        let new = PgPool::connect(&self.standby.url("postgres")).await.unwrap();
        let written: String = sqlx::query_scalar("select pg_current_wal_flush_lsn()::text")
            .fetch_one(&old)
            .await
            .unwrap();
        eventually("the standby to have it all", async || {
            sqlx::query_scalar::<_, bool>("select pg_last_wal_replay_lsn() >= $1::pg_lsn")
                .bind(&written)
                .fetch_one(&new)
                .await
                .unwrap()
                .then_some(())
        })
        .await;
        let promoted: bool = sqlx::query_scalar("select pg_promote()")
            .fetch_one(&new)
            .await
            .unwrap();
        assert!(promoted);
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("no panic")
}

async fn readiness(address: &str) -> (StatusCode, String) {
    let answer = reqwest::get(format!("http://{address}/readyz")).await.unwrap();
    (answer.status(), answer.text().await.unwrap())
}

async fn through(proxy: &Proxy) -> Database {
    let options = DatabaseOptions {
        url: proxy.url().into(),
        max_connections: 4,
        acquire_timeout: Duration::from_secs(10),
        application_name: "aisha test".to_owned(),
        pooled: false,
    };
    Database::connect(&options).await.unwrap()
}

/// A probe stores its text in a transaction of the jobs' pool; its end is written on the engine's. The probe "long"
/// waits at the gate first. A tick comes every second.
fn writes_what_it_says(database: &Database, gate: &Gate) -> Registry {
    let at_gate = gate.clone();
    let registry = Probes::new(database, move |run| {
        let gate = at_gate.clone();
        async move {
            if run.probe.says == "long" && run.claim.attempt() == 1 {
                gate.pass().await;
            }
            let mut tx = run.begin().await?;
            sqlx::query(
                "insert into queue_control_changes (queue, changed_by, change) values ('upkeep', 'test', $1)",
            )
            .bind(&run.probe.says)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(Done::Applied)
        }
    });
    let policy = Policy::attempts(20).backoff(Duration::from_millis(10), Duration::from_millis(200));
    let second = Schedule::Every(Duration::from_secs(1));
    registry
        .policy(policy)
        .registry()
        .with_periodic(Periodic::new("tick", second, CatchUp::Once, |_| {
            Probe::new("tick")
        }))
}

#[tokio::test(flavor = "multi_thread")]
async fn q24_after_a_failover_claims_acks_promotion_ticks_and_web_are_all_at_the_new_primary() {
    let pair = Pair::start().await;
    let proxy = Proxy::before(&pair.primary.url("postgres")).await;
    let web = aisha(["web", "--listen", "127.0.0.1:0"])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", proxy.url())
        .start();
    let line = web.line("Web is listening on ").await;
    let web_address = line.rsplit(' ').next().unwrap().trim().to_owned();
    assert_eq!(readiness(&web_address).await.0, StatusCode::OK);

    let database = through(&proxy).await;
    let gate = Gate::closed();
    let worker = Running::start(
        &database,
        writes_what_it_says(&database, &gate),
        WorkerOptions {
            poll: Duration::from_millis(200),
            ..options(4)
        },
    );

    let old = PgPool::connect(&pair.primary.url("postgres")).await.unwrap();
    let before = probe(&old, "before").await;
    reaches(&old, before, JobState::Done).await;
    let long = probe(&old, "long").await;
    let mut tx = old.begin().await.unwrap();
    let late = Options::default().delay(Duration::from_secs(3));
    enqueue_with(&mut tx, &Probe::new("late"), late).await.unwrap();
    tx.commit().await.unwrap();
    gate.holds(1).await;

    pair.fail_over().await;
    // No server that the roles can reach can be written to yet, and `/readyz` says so.
    eventually("web to be unready", async || {
        let (status, body) = readiness(&web_address).await;
        (status == StatusCode::SERVICE_UNAVAILABLE && body.contains("cannot be written to")).then_some(())
    })
    .await;
    proxy.lead_to(&pair.standby.url("postgres"));
    gate.stay_open();

    let new = PgPool::connect(&pair.standby.url("postgres")).await.unwrap();
    let after = probe(&new, "after").await;
    reaches(&new, after, JobState::Done).await;
    reaches(&new, long, JobState::Done).await;
    for said in ["late", "tick"] {
        eventually(said, async || {
            sqlx::query("select from queue_control_changes where change = $1 and changed_at > (select claimed_at from jobs where id = $2)")
                .bind(said)
                .bind(after.0)
                .fetch_optional(&new)
                .await
                .unwrap()
        })
        .await;
    }
    eventually("web to be ready", async || {
        (readiness(&web_address).await.0 == StatusCode::OK).then_some(())
    })
    .await;
    eventually("nothing to be stuck", async || {
        let stuck: i64 = sqlx::query_scalar(
            "select count(*) from jobs where state = 'running' and claimed_at < now() - interval '2 seconds'",
        )
        .fetch_one(&new)
        .await
        .unwrap();
        (stuck == 0).then_some(())
    })
    .await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q24_no_role_starts_on_a_standby_or_where_it_may_only_read() {
    let pair = Pair::start().await;
    let refuses = async |url: String, says: &str| {
        for role in ["web", "bot", "worker"] {
            let (code, output) = aisha([role])
                .env("AISHA_ENV", "test")
                .env("DATABASE_URL", &url)
                .env("TELEGRAM_BOT_TOKEN", "1:test")
                .env("S3_ENDPOINT", "http://127.0.0.1:1")
                .env("S3_ACCESS_KEY", "x")
                .env("S3_SECRET_KEY", "x")
                .env("AVATAR_TEST_MODE", "true")
                .start()
                .finish()
                .await;
            assert_eq!(code, Some(69), "{role}: {output}");
            assert!(
                output.contains(says) && output.contains("DATABASE_URL"),
                "{role}: {output}"
            );
        }
    };
    refuses(pair.standby.url("postgres"), "is a standby").await;
    // Verbs that only read may use a standby.
    let list = aisha(["jobs", "list"]).env("AISHA_ENV", "test");
    let (code, output) = list
        .env("DATABASE_URL", pair.standby.url("postgres"))
        .start()
        .finish()
        .await;
    assert_eq!(code, Some(0), "{output}");
    let old = PgPool::connect(&pair.primary.url("postgres")).await.unwrap();
    sqlx::raw_sql("alter role aisha set default_transaction_read_only = on")
        .execute(&old)
        .await
        .unwrap();
    refuses(pair.primary.url("postgres"), "default_transaction_read_only").await;
}

/// A role may have any isolation level as its default, but the checks for sleepers and for
/// the holder of a key need READ COMMITTED.
#[tokio::test(flavor = "multi_thread")]
async fn q24_a_role_with_another_isolation_level_works_as_any() {
    for level in ["serializable", "repeatable read"] {
        let db = crate::support::Db::new().await;
        let alter = format!(
            r#"do $$ begin execute format('alter database %I set default_transaction_isolation = "{level}"', current_database()); end $$"#
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(alter))
            .execute(&db.pool)
            .await
            .unwrap();
        let database = Database::connect(&DatabaseOptions {
            url: db.url().into(),
            max_connections: 10,
            acquire_timeout: Duration::from_secs(30),
            application_name: "aisha test".to_owned(),
            pooled: false,
        })
        .await
        .unwrap();
        let workers = [0, 1].map(|_| Running::start(&database, super::done_at_once(&database), options(3)));
        let enqueues = (0..50).map(async |n| {
            let mut tx = database.begin().await.unwrap();
            let keyed = Probe::new("one").until_done("key");
            let added = jobs::enqueue::enqueue(&mut tx, &keyed)
                .await
                .map_err(|error| format!("{n}: {error}"));
            jobs::enqueue::enqueue(&mut tx, &Probe::new(n.to_string()))
                .await
                .unwrap();
            tx.commit().await.unwrap();
            added
        });
        for added in futures::future::join_all(enqueues).await {
            added.unwrap();
        }
        super::all_ended(&db.pool).await;
        let ran: i64 = sqlx::query_scalar(
            "select count(*) from jobs where payload->>'says' <> 'one' and attempt = 1 and state = 'done'",
        )
        .fetch_one(&db.pool)
        .await
        .unwrap();
        assert_eq!(ran, 50, "{level}");
        for worker in workers {
            worker.stop().await;
        }
    }
}
