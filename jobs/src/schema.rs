//! The schema that this binary brings and expects: `migrations/*.sql`, compiled in.
//!
//! # Must stay true
//! * Several `aisha migrate` at once apply each migration once — `migrations_that_run_at_once_apply_once`
//! * A newer schema than ours is no error: during a release the old binary runs on it (expand, then contract).
//!
//! # If we die
//! A migration and its row in `_sqlx_migrations` commit together; the session's lock goes with the session.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use sqlx::{
    PgConnection,
    migrate::{Migrate, MigrateError, Migrator},
};

use crate::database::{Database, single, words_of};

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../migrations");
    // sqlx's own lock waits inside a statement, whose snapshot a `create index concurrently` of the process ahead
    // waits for: a deadlock. Ours, below, asks again and again instead.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
});
const TABLE: &str = "_sqlx_migrations";
/// Any number that nobody else locks by: "aisha" in ASCII.
const LOCK: i64 = 0x0061_6973_6861;
const LOCK_RETRY: Duration = Duration::from_millis(200);

/// One file of `migrations/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The file's leading number.
    pub version: i64,
    /// The rest of its name.
    pub description: String,
}

/// Why the schema cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The server does not answer or refuses.
    #[error("the database does not answer: {}", words_of(.0))]
    Database(#[from] sqlx::Error),
    /// An applied migration is not the one that we have.
    #[error("migration {0} was changed after it had been applied: restore its file")]
    Changed(i64),
    /// A migration does not run.
    #[error("the schema cannot be migrated: {0}")]
    Failed(#[source] MigrateError),
}

/// What is still to be applied; empty when this binary may run.
pub async fn pending(database: &Database) -> Result<Vec<Migration>, SchemaError> {
    let mut connection = single(database.pool()).await?;
    pending_on(&mut connection).await
}

/// Applies what is pending and says what that was. Waits while another process does the same.
///
/// Needs a session of its own for its lock: connect to the server directly, not through PgBouncer.
pub async fn migrate(database: &Database) -> Result<Vec<Migration>, SchemaError> {
    let mut connection = database.pool().acquire().await?.detach();
    lock(&mut connection).await?;
    let pending = pending_on(&mut connection).await?;
    MIGRATOR.run(&mut connection).await.map_err(SchemaError::Failed)?;
    // The lock goes with the session.
    sqlx::Connection::close(connection).await?;
    Ok(pending)
}

async fn lock(connection: &mut PgConnection) -> Result<(), SchemaError> {
    loop {
        let got = sqlx::query_scalar!("select pg_try_advisory_lock($1) as \"got!\"", LOCK)
            .fetch_one(&mut *connection)
            .await?;
        if got {
            return Ok(());
        }
        tokio::time::sleep(LOCK_RETRY).await;
    }
}

async fn pending_on(connection: &mut PgConnection) -> Result<Vec<Migration>, SchemaError> {
    let known = sqlx::query_scalar!("select to_regclass('_sqlx_migrations') is not null as \"known!\"")
        .fetch_one(&mut *connection)
        .await?;
    let applied = if known {
        connection
            .list_applied_migrations(TABLE)
            .await
            .map_err(SchemaError::Failed)?
    } else {
        Vec::new()
    };
    let applied = applied
        .into_iter()
        .map(|migration| (migration.version, migration.checksum))
        .collect::<HashMap<_, _>>();
    let mut pending = Vec::new();
    for migration in MIGRATOR.iter() {
        match applied.get(&migration.version) {
            Some(checksum) if *checksum == migration.checksum => {}
            Some(_) => return Err(SchemaError::Changed(migration.version)),
            None => pending.push(Migration {
                version: migration.version,
                description: migration.description.clone().into_owned(),
            }),
        }
    }
    Ok(pending)
}
