//! K9: workers behind PgBouncer in transaction mode, in the version of Debian 12. All clients share three server
//! connections, so that their statements mix.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use jobs::{
    database::{Database, DatabaseOptions},
    queue::{Controls, JobFilter, JobState, Operator, Retry},
    queues,
};
use tempfile::TempDir;
use url::Url;

use super::{look, outcomes, probe, reaches};
use crate::support::{Aisha, Db, aisha, eventually, procfile_line};

/// A pooler before a test's database; it ends when dropped.
struct Pooler {
    url: String,
    _process: Aisha,
    _directory: TempDir,
}

/// Finds PgBouncer where Debian and Homebrew put it. `None` if it is not installed, which
/// is printed, and under CI is a failure.
fn binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/opt/homebrew/bin".into()])
        .map(|directory| directory.join("pgbouncer"))
        .find(|program| program.is_file());
    if found.is_none() {
        eprintln!("\n!!! SKIPPED: PgBouncer is not installed\n!!! sudo apt-get install pgbouncer\n");
        let ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
        assert!(!ci, "CI=true: a skip is a failure");
    }
    found
}

impl Pooler {
    async fn before(db: &Db) -> Option<Self> {
        let program = binary()?;
        let server = Url::parse(db.url()).unwrap();
        let parameter = |name: &str| {
            let mut pairs = server.query_pairs();
            pairs
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let host = parameter("host").unwrap_or_else(|| server.host_str().unwrap_or("127.0.0.1").to_owned());
        let port = parameter("port").unwrap_or_else(|| server.port().unwrap_or(5432).to_string());
        let directory = tempfile::Builder::new()
            .prefix("pooler")
            .tempdir_in("/tmp")
            .unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let settings = directory.path().join("pgbouncer.ini");
        let socket = directory.path().display();
        fs::write(
            &settings,
            format!(
                "[databases]\n* = host={host} port={port} user={}\n\
                 [pgbouncer]\nlisten_addr =\nunix_socket_dir = {socket}\nlisten_port = 6432\nauth_type = any\n\
                 pool_mode = transaction\ndefault_pool_size = 3\nmax_client_conn = 100\n",
                server.username()
            ),
        )
        .unwrap();
        // PgBouncer refuses to run as root, and the server's socket may be open to its own user only.
        let user = owner(Path::new(&host))
            .map(|user| format!("-u {user}"))
            .unwrap_or_default();
        let command = format!("{} {user} {}", program.display(), settings.display());
        let process = procfile_line(&command).start();
        process.line("process up").await;
        let database = server.path().trim_start_matches('/');
        Some(Self {
            url: format!(
                "postgres://{}@localhost/{database}?host={socket}&port=6432",
                server.username()
            ),
            _process: process,
            _directory: directory,
        })
    }

    async fn worker(&self, name: &str) -> Aisha {
        let arguments = [
            "internal",
            "run-probes",
            &self.url,
            "--pooled",
            "--poll",
            "100",
            "--slots",
            "3",
            "--name",
            name,
        ];
        let worker = aisha(arguments).start();
        worker.line("is claiming jobs").await;
        worker
    }
}

/// The user that owns a server's socket directory, if we are root and the directory is not ours.
fn owner(directory: &Path) -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let uid = fs::metadata(directory).map_or(65534, |directory| directory.uid());
    let names = fs::read_to_string("/etc/passwd").unwrap();
    let name = names.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        (fields.get(2)? == &uid.to_string()).then(|| fields[0].to_owned())
    });
    Some(name.unwrap_or_else(|| "nobody".to_owned()))
}

/// Checks for errors that a statement relying on its session, or on its prepared name, would cause.
fn assert_quiet(process: &Aisha) {
    let output = process.output();
    for trouble in [
        "prepared statement",
        "the database",
        "database:",
        "startup parameter",
        "trying again",
    ] {
        assert!(!output.contains(trouble), "{trouble} in:\n{output}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_behind_a_transaction_pooler_jobs_run_by_polling_alone() {
    let db = Db::new().await;
    let Some(pooler) = Pooler::before(&db).await else {
        return;
    };
    let (mut first, mut second) = (pooler.worker("first").await, pooler.worker("second").await);
    let mut jobs = Vec::new();
    for round in 0..40 {
        let script = ["effect", "complete", "first:fail; effect", "first:fail"][round % 4];
        jobs.push(probe(&db.pool, script).await);
    }
    let snoozing = probe(&db.pool, "snooze:3600000").await;
    let dead = probe(&db.pool, "give_up").await;
    for job in &jobs {
        reaches(&db.pool, *job, JobState::Done).await;
    }
    reaches(&db.pool, snoozing, JobState::Scheduled).await;
    assert_eq!(
        outcomes(&reaches(&db.pool, dead, JobState::Dead).await),
        ["gave_up"]
    );
    assert_eq!(outcomes(&look(&db.pool, jobs[2]).await), ["failed", "done"]);
    let sleepers: i64 = sqlx::query_scalar("select count(*) from queue_sleepers")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(sleepers, 0, "nobody is to be notified");
    for worker in [&mut first, &mut second] {
        worker.terminate();
        assert!(worker.exit().await.success());
        assert_quiet(worker);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn q18_behind_a_transaction_pooler_the_job_of_a_killed_worker_is_rescued() {
    let db = Db::new().await;
    let Some(pooler) = Pooler::before(&db).await else {
        return;
    };
    let mut victim = pooler.worker("victim").await;
    let job = probe(&db.pool, "first:hang; effect").await;
    reaches(&db.pool, job, JobState::Running).await;
    // Longer than its lease, so heartbeats must have renewed it through the pooler.
    let held: String = sqlx::query_scalar("select worker from jobs where id = $1")
        .bind(job.0)
        .fetch_one(&db.pool)
        .await
        .unwrap();
    eventually("its lease to be renewed twice", async || {
        sqlx::query("select from jobs where id = $1 and lease_until > claimed_at + interval '4 seconds'")
            .bind(job.0)
            .fetch_optional(&db.pool)
            .await
            .unwrap()
    })
    .await;
    assert!(held.starts_with("victim-"));
    let mut successor = pooler.worker("successor").await;
    victim.kill();
    let done = reaches(&db.pool, job, JobState::Done).await;
    assert_eq!(outcomes(&done), ["lost", "done"]);
    successor.terminate();
    assert!(successor.exit().await.success());
    assert_quiet(&successor);
}

async fn connected(url: &str, pooled: bool) -> Database {
    let options = DatabaseOptions {
        url: url.into(),
        max_connections: 4,
        acquire_timeout: Duration::from_secs(10),
        application_name: "aisha test".to_owned(),
        pooled,
    };
    Database::connect(&options).await.unwrap()
}

/// What is the same with a pooler and without one, so that a test without one finds what would be lost behind it.
async fn assert_reads_and_writes_as_promised(database: &Database) {
    const WRITE: &str = "insert into periodic (entry, last_tick) values ('test', now())";
    let counted = async || {
        sqlx::query_scalar::<_, i64>("select count(*) from periodic where entry = 'test'")
            .fetch_one(&mut *database.read().await.unwrap())
            .await
            .unwrap()
    };
    let mut reading = database.read().await.unwrap();
    let refused = sqlx::query(WRITE).execute(&mut *reading).await.unwrap_err();
    let code = refused.as_database_error().unwrap().code().unwrap();
    assert_eq!(code, "25006", "read_only_sql_transaction: {refused}");
    drop(reading);
    let mut forgotten = database.begin().await.unwrap();
    sqlx::query(WRITE).execute(&mut *forgotten).await.unwrap();
    drop(forgotten);
    assert_eq!(counted().await, 0, "nothing was committed");
    let mut tx = database.begin().await.unwrap();
    sqlx::query(WRITE).execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(counted().await, 1);
    database.ping().await.unwrap();
    database.writable().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_without_a_pooler_only_a_commit_counts_and_a_reader_writes_nothing() {
    let db = Db::new().await;
    assert_reads_and_writes_as_promised(&connected(db.url(), false).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn q13_behind_a_transaction_pooler_only_a_commit_counts_and_a_reader_writes_nothing() {
    let db = Db::new().await;
    let Some(pooler) = Pooler::before(&db).await else {
        return;
    };
    assert_reads_and_writes_as_promised(&connected(&pooler.url, true).await).await;
}

/// Their statements were sent outside a transaction: prepared on one server connection and executed on another.
#[tokio::test(flavor = "multi_thread")]
async fn q13_behind_a_transaction_pooler_operators_list_cancel_retry_and_pause() {
    let db = Db::new().await;
    let Some(pooler) = Pooler::before(&db).await else {
        return;
    };
    let (waiting, dead) = (probe(&db.pool, "x").await, probe(&db.pool, "y").await);
    sqlx::query(
        "update jobs set state = 'dead', finished_at = now(), error_code = 'scripted', error = 'as the test says'
          where id = $1",
    )
    .bind(dead.0)
    .execute(&db.pool)
    .await
    .unwrap();
    let database = connected(&pooler.url, true).await;
    let (operator, controls) = (Operator::new(&database), Controls::new(&database));
    let any = JobFilter::default();
    for _ in 0..8 {
        let (listed, counted, queues) = tokio::join!(
            operator.list(&any, 10),
            operator.counts(),
            controls.list(&[queues::UPKEEP])
        );
        assert_eq!(listed.unwrap().len(), 2);
        assert_eq!(counted.unwrap().len(), 2);
        assert_eq!(queues.unwrap().len(), 1);
    }
    operator.cancel(waiting).await.unwrap();
    let retried = operator.retry_dead(&any, false).await.unwrap();
    assert!(matches!(retried[..], [ref one] if one.retry == Retry::Ready));
    assert!(controls.pause(queues::UPKEEP, "test", None).await.unwrap());
    assert_eq!(look(&db.pool, waiting).await.job.state, JobState::Cancelled);
    assert_eq!(look(&db.pool, dead).await.job.state, JobState::Ready);
    let paused = Controls::new(&db.pool).list(&[queues::UPKEEP]).await.unwrap();
    assert!(paused[0].paused_at.is_some());
}
