//! `aisha migrate`.

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
