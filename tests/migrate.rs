//! `aisha migrate`.

use std::time::{Duration, Instant};

use crate::support::{Db, aisha};

async fn migrate(db: &Db, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = ["migrate"].iter().chain(arguments);
    aisha(arguments)
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url())
        .start()
        .finish()
        .await
}

async fn applied(db: &Db) -> i64 {
    sqlx::query_scalar("select count(*) from _sqlx_migrations where success")
        .fetch_one(&db.pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn migrations_that_run_at_once_apply_once() {
    let db = Db::empty().await;
    let runs = futures::future::join_all((0..5).map(|_| migrate(&db, &[]))).await;
    for (code, output) in &runs {
        assert_eq!(*code, Some(0), "{output}");
    }
    let files = std::fs::read_dir("migrations").unwrap().flatten();
    let files = files
        .filter(|file| {
            file.path()
                .extension()
                .is_some_and(|extension| extension == "sql")
        })
        .count();
    assert_eq!(applied(&db).await, i64::try_from(files).unwrap());
    let appliers = runs
        .iter()
        .filter(|(_, output)| output.contains("applied "))
        .count();
    assert_eq!(appliers, 1, "{runs:?}");
}

#[tokio::test]
async fn a_check_changes_nothing_and_tells_by_its_exit_code() {
    let db = Db::empty().await;
    let (code, output) = migrate(&db, &["--check"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(
        output.contains("pending 20261121000100 create users avatars photos"),
        "{output}"
    );
    let tables: i64 = sqlx::query_scalar("select count(*) from pg_tables where schemaname = 'public'")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(tables, 0);

    assert_eq!(migrate(&db, &[]).await.0, Some(0));
    let (code, output) = migrate(&db, &["--check"]).await;
    assert_eq!((code, output.as_str()), (Some(0), "up to date"));
}

#[tokio::test]
async fn a_newer_schema_is_left_alone_and_a_changed_migration_is_refused() {
    let db = Db::new().await;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (99990101000000, 'of the next release', true, '\\x00', 0)";
    sqlx::query(newer).execute(&db.pool).await.unwrap();
    assert_eq!(migrate(&db, &[]).await.0, Some(0));

    let tamper = "update _sqlx_migrations set checksum = '\\x00' where version = 20261121000100";
    sqlx::query(tamper).execute(&db.pool).await.unwrap();
    let (code, output) = migrate(&db, &[]).await;
    assert_eq!(code, Some(1));
    assert!(output.contains("20261121000100"), "{output}");
}

/// A dump reads the table for minutes. If a migration waits for the dump, every statement that wants the table after
/// it waits too: claims, acks and heartbeats, until all leases are lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_reader_lets_the_queue_go_on_and_names_it() {
    let db = Db::empty().await;
    let migrator = sqlx::migrate::Migrator::new(std::path::Path::new("migrations"))
        .await
        .unwrap();
    // The next migration adds columns to the table of jobs, for which nobody may hold the table.
    migrator.run_to(20_261_130_250_000, &db.pool).await.unwrap();
    let mut claims = db.pool.acquire().await.unwrap();
    // The role's limit is shorter than the migration's patience, and not meant for migrations.
    let limit = "do $$ begin execute format('alter database %I set statement_timeout = ''1500ms''', current_database()); end $$";
    sqlx::raw_sql(limit).execute(&db.pool).await.unwrap();
    let mut reader = db.pool.begin().await.unwrap();
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid() from (select count(*) from jobs) as all_jobs")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    let migration = aisha(["migrate"])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url())
        .start();
    let claiming = async {
        let mut slowest = Duration::ZERO;
        loop {
            let begun = Instant::now();
            sqlx::query("select id from jobs where queue = 'upkeep' and state = 'ready' limit 1 for update skip locked")
                .fetch_optional(&mut *claims)
                .await
                .unwrap();
            slowest = slowest.max(begun.elapsed());
            if migration.output().matches("did not get its lock").count() >= 2 {
                return slowest;
            }
            tokio::task::yield_now().await;
        }
    };
    let slowest = claiming.await;
    assert!(slowest < Duration::from_secs(5), "{slowest:?}, as long as a beat");
    assert!(
        migration.output().contains(&format!("pid {pid} ")),
        "{}",
        migration.output()
    );
    reader.rollback().await.unwrap();
    let mut migration = migration;
    let (code, output) = migration.finish().await;
    assert_eq!(code, Some(0), "{output}");
    assert_eq!(migrate(&db, &["--check"]).await.0, Some(0));
}

/// If a migration dies while it makes an index concurrently, the unfinished index stays, and must not count as made.
#[tokio::test]
async fn a_migration_that_died_while_it_made_an_index_is_finished_by_the_next() {
    let db = Db::empty().await;
    let migrator = sqlx::migrate::Migrator::new(std::path::Path::new("migrations"))
        .await
        .unwrap();
    migrator.run_to(20_261_130_260_000, &db.pool).await.unwrap();
    let index = "create index jobs_parked on jobs (queue, kind, version, parked_priority desc, run_at, id)
                  where state = 'ready' and parked_priority is not null;
                 update pg_index set indisvalid = false where indexrelid = 'jobs_parked'::regclass";
    sqlx::raw_sql(index).execute(&db.pool).await.unwrap();
    let (code, output) = migrate(&db, &[]).await;
    assert_eq!(code, Some(0), "{output}");
    let valid: bool =
        sqlx::query_scalar("select indisvalid from pg_index where indexrelid = 'jobs_parked'::regclass")
            .fetch_one(&db.pool)
            .await
            .unwrap();
    assert!(valid);
}
