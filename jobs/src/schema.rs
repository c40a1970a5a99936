//! The schema that this binary brings and expects: `migrations/*.sql`, compiled in.
//!
//! # Must stay true
//! * Several `aisha migrate` at once apply each migration once — `migrations_that_run_at_once_apply_once`
//! * A newer schema than ours is no error: during a release the old binary runs on it (expand, then contract).
//! * A migration that waits for a lock delays the queue for at most [`LOCK_WAIT`] at a time —
//!   `a_migration_that_waits_for_a_reader_lets_the_queue_go_on_and_names_it`.
//!   All statements that want the table after it wait behind it, claims and heartbeats too; so it
//!   gives up, lets them pass, and tries again.
//!
//! # If we die
//! A migration and its row in `_sqlx_migrations` commit together; the session's lock ends with the session.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use sqlx::{
    AssertSqlSafe, PgConnection,
    migrate::{Migrate, MigrateError, Migration as File, Migrator},
};
use tokio::time::sleep;
use tracing::{info, warn};

use queue::database::{Database, words_of};

static MIGRATOR: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrator = sqlx::migrate!("../migrations");
    // sqlx's own lock waits inside a statement, and a `create index concurrently` of the process ahead waits for that
    // statement's snapshot: a deadlock. Our lock, below, is asked for again and again instead.
    migrator.set_locking(false).set_ignore_missing(true);
    migrator
});
const TABLE: &str = "_sqlx_migrations";
/// A number that nothing else locks: "aisha" in ASCII.
const LOCK: i64 = 0x0061_6973_6861;
const LOCK_RETRY: Duration = Duration::from_millis(200);
/// How long a migration waits for a lock: far less than `queue.lease`, so that no worker loses its jobs.
const LOCK_WAIT: Duration = Duration::from_secs(2);
/// Pause between two tries: longer than a try, so that the queue catches up.
const LOCK_PAUSE: Duration = Duration::from_secs(3);
/// When a waiting try looks for the session that blocks it: early enough to find it before the try gives up.
const LOOK_AFTER: Duration = Duration::from_secs(1);

/// One file of `migrations/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// The number at the start of the file's name.
    pub version: i64,
    /// The rest of the file's name.
    pub description: String,
}

/// Why the schema cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The server does not answer, or refuses.
    #[error("the database does not answer: {}", words_of(.0))]
    Database(#[from] sqlx::Error),
    /// An applied migration differs from the file that we have.
    #[error("migration {0} was changed after it had been applied: restore its file")]
    Changed(i64),
    /// A migration failed. The text names it.
    #[error("the schema cannot be migrated: {0}")]
    Failed(#[source] MigrateError),
}

/// The migrations that are still to be applied. Empty: this binary may run.
pub async fn pending(database: &Database) -> Result<Vec<Migration>, SchemaError> {
    let mut connection = database.read().await?;
    pending_on(&mut connection).await
}

/// Tables of ours from which row-level security hides every row: it is on, our role is not exempt, and no policy lets
/// it see any row. Nothing fails then: a worker finds no work for ever, and looks healthy.
pub async fn hidden_tables(database: &Database) -> Result<Vec<String>, SchemaError> {
    let mut db = database.read().await?;
    let hidden = sqlx::query_scalar!(
        r#"select c.relname::text as "name!" from pg_class c
            where c.relnamespace = (select relnamespace from pg_class where oid = 'jobs'::regclass)
              and c.relkind = 'r' and row_security_active(c.oid)
              and not exists (select from pg_policy p where p.polrelid = c.oid and p.polpermissive
                                 and (0 = any (p.polroles)
                                      or exists (select from pg_roles r where r.oid = any (p.polroles) and pg_has_role(r.oid, 'usage'))))
            order by c.relname"#
    )
    .fetch_all(&mut *db)
    .await?;
    Ok(hidden)
}

/// Applies the pending migrations, and returns them. Waits while another process does the same, and while a session
/// has a table locked that a migration changes; that session is logged.
///
/// Its lock needs a session of its own: connect to the server directly, not through PgBouncer.
pub async fn migrate(database: &Database) -> Result<Vec<Migration>, SchemaError> {
    let mut connection = database.session().await?.detach();
    lock(&mut connection).await?;
    let pending = pending_on(&mut connection).await?;
    // The role's own limit is meant for people's queries, and would end a long migration each time.
    sqlx::query!("select set_config('statement_timeout', '0', false)")
        .fetch_one(&mut connection)
        .await?;
    connection
        .ensure_migrations_table(TABLE)
        .await
        .map_err(SchemaError::Failed)?;
    for file in MIGRATOR.iter() {
        if pending.iter().any(|migration| migration.version == file.version) {
            apply(database, &mut connection, file).await?;
        }
    }
    // The lock ends with the session.
    sqlx::Connection::close(connection).await?;
    Ok(pending)
}

/// Applies one migration, in as many tries as it takes to get its locks.
async fn apply(database: &Database, connection: &mut PgConnection, file: &File) -> Result<(), SchemaError> {
    // A migration without a transaction makes an index concurrently: it waits for others, and no one waits for it.
    let wait = if file.no_tx { 0 } else { LOCK_WAIT.as_millis() };
    let pid = sqlx::query_scalar!(
        r#"select pg_backend_pid() as "pid!" from set_config('lock_timeout', $1, false)"#,
        wait.to_string()
    )
    .fetch_one(&mut *connection)
    .await?;
    if file.no_tx {
        drop_unfinished_indexes(connection).await?;
    }
    loop {
        let tried = {
            let apply = connection.apply(TABLE, file);
            tokio::pin!(apply);
            tokio::select! {
                tried = &mut apply => tried,
                // Side by side: if the migration gets its locks meanwhile, it must not wait for the names.
                () = sleep(LOOK_AFTER) => tokio::join!(name_the_holders(database, pid, file), &mut apply).1,
            }
        };
        match tried {
            Ok(_) => return Ok(()),
            Err(error) if is_contention(&error) => {
                info!(
                    "Migration {} did not get its locks ({error}): the queue goes on for {LOCK_PAUSE:?}, then it is tried again",
                    file.version
                );
                sleep(LOCK_PAUSE).await;
            }
            Err(error) => return Err(SchemaError::Failed(error)),
        }
    }
}

/// Logs the sessions for which the migration in session `pid` waits, so that an operator can end them.
async fn name_the_holders(database: &Database, pid: i32, file: &File) {
    // No error: if the database is away, the migration itself will say so.
    let Ok(mut db) = database.read().await else { return };
    let holders = sqlx::query!(
        r#"select a.pid as "pid!", coalesce(nullif(a.application_name, ''), a.usename::text, a.backend_type) as name,
                  coalesce(a.state, a.backend_type) as state, left(regexp_replace(a.query, '\s+', ' ', 'g'), 100) as query,
                  extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.backend_start))::float8 as seconds
             from unnest(pg_blocking_pids($1)) as b (pid)
             join pg_stat_activity a on a.pid = b.pid"#,
        pid
    )
    .fetch_all(&mut *db)
    .await;
    for holder in holders.unwrap_or_default() {
        warn!(
            "Migration {} waits for the session with pid {} ({}; {} for {:.0} s; {}). `select pg_terminate_backend({})` ends it",
            file.version,
            holder.pid,
            holder.name.unwrap_or_default(),
            holder.state.unwrap_or_default(),
            holder.seconds.unwrap_or_default(),
            holder.query.unwrap_or_default(),
            holder.pid,
        );
    }
}

/// Drops indexes that were being made concurrently when their migration died:
/// they are useless and block the next try.
async fn drop_unfinished_indexes(connection: &mut PgConnection) -> Result<(), SchemaError> {
    let unfinished = sqlx::query_scalar!(
        r#"select format('drop index concurrently %s', indexrelid::regclass) as "drop!"
             from pg_index where not indisvalid and indrelid in (to_regclass('jobs'), to_regclass('notifications'))"#
    )
    .fetch_all(&mut *connection)
    .await?;
    for drop in unfinished {
        sqlx::raw_sql(AssertSqlSafe(drop))
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// `55P03 lock_not_available`, or `40P01 deadlock_detected` with a claim that holds
/// the second table and wants the first.
fn is_contention(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|code| matches!(code.as_ref(), "55P03" | "40P01"))
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
