//! The database, as `src/` and the worker hold it: connected once at start-up, and asked whether it still answers.
//!
//! Code in `src/` names no sqlx; it hands a [`Database`] to `Producer`, `Reader` and the worker. The pool reconnects
//! by itself, so a restart of the server costs the running queries and nothing else.
//!
//! # After a failover
//! The old primary may stay up, read-only, while new connections lead to the new one. A connection to the old primary
//! is alive and useless: it answers every ping and refuses every write. So each pool, before it hands a connection
//! out, asks whether it can be written to ([`checked`]), and opens another one if not.
//!
//! # Behind a transaction pooler (K9)
//! PgBouncer in transaction mode may give every transaction another server connection. So nothing of a session
//! survives: no `SET`, no LISTEN, no session lock, no startup option. A statement that sqlx prepares in one implicit
//! transaction does not exist in the next one, where sqlx executes it. So we use no statement cache and put every
//! statement into an explicit transaction ([`Database::begin`], [`Database::read`]). Each transaction first deallocates
//! the statements that other clients of the same server connection have prepared: sqlx numbers their names from 1 in
//! every process.
//!
//! # One way to read, one way to write
//! With a pooler and without one, a write is a transaction that its caller commits, and a read is a transaction in which
//! the server refuses to write. So a forgotten commit, or a write through a connection for reading, fails in every test
//! and not only behind a pooler.

mod words;

use std::{
    ops::{Deref, DerefMut},
    str::FromStr,
    time::Duration,
};

use chrono::{DateTime, Utc};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection as _, PgConnection, PgPool, Postgres, Row as _, Transaction,
    pool::PoolConnection,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::time::timeout;

pub use words::words;
pub use words::words_of;

/// Where the database is, and how this process connects to it.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// A Postgres URL, with its password. Never printed.
    pub url: SecretString,
    /// Most connections that this process opens in its pool.
    pub max_connections: u32,
    /// How long a query waits for a free or a new connection.
    pub acquire_timeout: Duration,
    /// Our name in `pg_stat_activity`, e.g. `shop worker`.
    pub application_name: String,
    /// The URL leads to a pooler in transaction mode (PgBouncer).
    pub pooled: bool,
}

/// A handle to the database; clones share one pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
    pooler: PoolerMode,
}

/// What stands between this process and the server: the setting `database.pooler`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PoolerMode {
    /// Nothing: each connection is a session of its own.
    None,
    /// A pooler in transaction mode: see the module.
    Transaction,
}

/// Why the database cannot be used. Never holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL cannot be parsed. The text says which part.
    #[error("the database URL cannot be used: {0}")]
    Url(#[source] sqlx::Error),
    /// No connection could be opened, or the server did not answer.
    #[error("the database does not answer: {}", words_of(.0))]
    Unreachable(#[source] sqlx::Error),
    /// The server answers, but rejects the user, the password or the database.
    #[error("the database server refuses us: {}", words_of(.0))]
    Refused(#[source] sqlx::Error),
    /// The server is a standby: it can be read only.
    #[error("the database is a standby (in recovery): it cannot be written to")]
    Standby,
    /// The primary was closed for writers, or our role may not write.
    #[error(
        "the database cannot be written to: default_transaction_read_only is on, for the server, the database or the role"
    )]
    ReadOnly,
}

/// A pool whose connections lead to the server itself. [`Database::connect`] opens one that leads to a pooler.
impl From<PgPool> for Database {
    fn from(pool: PgPool) -> Self {
        Self {
            pool,
            pooler: PoolerMode::None,
        }
    }
}

impl From<&PgPool> for Database {
    fn from(pool: &PgPool) -> Self {
        Self::from(pool.clone())
    }
}

impl From<&Self> for Database {
    fn from(database: &Self) -> Self {
        database.clone()
    }
}

impl Database {
    /// Opens the first connection, so that a wrong password shows now and not at the first query.
    pub async fn connect(options: &DatabaseOptions) -> Result<Self, DatabaseError> {
        let connect = PgConnectOptions::from_str(options.url.expose_secret())
            .map_err(DatabaseError::Url)?
            .application_name(&options.application_name);
        let (connect, pooler) = if options.pooled {
            (pooled(connect), PoolerMode::Transaction)
        } else {
            (session(connect), PoolerMode::None)
        };
        let pool = checked(PgPoolOptions::new())
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .connect_with(connect.clone())
            .await;
        let pool = match pool {
            Ok(pool) => pool,
            Err(found) => return Err(words::cause(found, &connect).await),
        };
        Ok(Self { pool, pooler })
    }

    /// Asks the server one trivial query, for `/readyz` and the like.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let ping = async {
            let mut db = self.read().await?;
            sqlx::query_scalar!("select 1 as \"one!\"")
                .fetch_one(&mut *db)
                .await
        };
        ping.await.map(drop).map_err(DatabaseError::Unreachable)
    }

    /// Whether the database can be written to. Every role needs that; only verbs that read do not.
    pub async fn writable(&self) -> Result<(), DatabaseError> {
        let ask = async {
            // Not one for reading, of which the server would say that it cannot be written to.
            let mut tx = self.begin().await?;
            sqlx::query!(
                r#"select pg_is_in_recovery() as "standby!", current_setting('transaction_read_only')::bool as "read_only!""#
            )
            .fetch_one(&mut *tx)
            .await
        };
        let answer = ask.await.map_err(DatabaseError::Unreachable)?;
        if answer.standby {
            return Err(DatabaseError::Standby);
        }
        if answer.read_only {
            return Err(DatabaseError::ReadOnly);
        }
        Ok(())
    }

    /// Opens a transaction to write in; nothing counts before its commit. The caller may be dropped at any await: a job
    /// has a timeout, and so has a web route.
    ///
    /// sqlx 0.9 does not survive being dropped while it waits for the answer to `BEGIN`: it has not counted the
    /// transaction yet, so it queues no `ROLLBACK`, and the pool hands out a connection whose transaction is open. Single
    /// statements on that connection hold their locks, and are not committed until another caller's transaction happens
    /// to end there. Here `BEGIN` runs in a task of its own and is never dropped half-way; if the caller is gone by then,
    /// the transaction is rolled back.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        self.begin_as(match self.pooler {
            PoolerMode::None => "begin",
            PoolerMode::Transaction => BEGIN_POOLED,
        })
        .await
    }

    /// Opens a transaction to read in. The server refuses to write in it, to lock a row or to draw from a sequence.
    pub async fn read(&self) -> Result<Reading, sqlx::Error> {
        let transaction = self.begin_as(match self.pooler {
            PoolerMode::None => "begin read only",
            PoolerMode::Transaction => READ_POOLED,
        });
        transaction.await.map(Reading)
    }

    async fn begin_as(&self, statement: &'static str) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
        let pool = self.pool.clone();
        let begun = tokio::spawn(async move { pool.begin_with(statement).await });
        begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
    }

    /// Takes a connection from the pool for what needs a session: LISTEN, session locks, `vacuum`. Behind a pooler there
    /// is none.
    pub async fn session(&self) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        self.pool.acquire().await
    }

    /// Listens for notifications on `channel`. Needs a session, as [`Database::session`] does.
    pub async fn listen(&self, channel: &str) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        listener.listen(channel).await?;
        Ok(listener)
    }

    /// The options that its connections are opened with.
    pub(crate) fn options(&self) -> PgConnectOptions {
        self.pool.connect_options().as_ref().clone()
    }

    /// Whether these connections lead to a pooler in transaction mode.
    pub(crate) const fn is_pooled(&self) -> bool {
        matches!(self.pooler, PoolerMode::Transaction)
    }

    /// Another pool to the same place, for a worker's engine. It opens no connection yet.
    pub(crate) fn for_worker(&self, name: &str, pool: PgPoolOptions) -> Self {
        let connect = self.options().application_name(name);
        let connect = match self.pooler {
            PoolerMode::None => session(connect),
            PoolerMode::Transaction => connect,
        };
        Self {
            pool: checked(pool).connect_lazy_with(connect),
            pooler: self.pooler,
        }
    }

    /// Closes all connections. Call it when nothing uses the pool any more.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// The time of the database's clock. Compare it with times that the database wrote: the workers' clocks differ.
pub async fn now(db: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(db)
        .await
}

/// Settings of every session of ours, whatever defaults the server, the database and the role have.
const SESSION: [(&str, &str); 5] = [
    // The server ends a transaction whose client stays silent for this long (a lease, by default). Such a client is
    // frozen or out of reach. The server would keep its row locks for as long as it believes in the connection, and
    // rescue skips locked rows. `q06_a_worker_frozen_in_a_transaction_does_not_keep_its_job`
    ("idle_in_transaction_session_timeout", "15s"),
    // `queue_wake` and the check for the holder of a key need a snapshot newer than the transaction's first. With a
    // role whose default is `serializable`, one of two simultaneous keyed enqueues fails.
    ("default_transaction_isolation", "read committed"),
    // The server notices a vanished client within half a minute instead of two hours, and releases its locks. sqlx
    // has no such option for our side of the connection; there, every wait has a limit.
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// The options for a session of our own: see [`SESSION`].
fn session(options: PgConnectOptions) -> PgConnectOptions {
    options.options(SESSION)
}

/// The SQL that begins a transaction behind a pooler: see the module, and [`SESSION`].
pub(crate) const BEGIN_POOLED: &str = "begin isolation level read committed; deallocate all; \
     set local idle_in_transaction_session_timeout = '15s'";
/// The same for [`Database::read`].
const READ_POOLED: &str = "begin isolation level read committed read only; deallocate all; \
     set local idle_in_transaction_session_timeout = '15s'";

/// Ends a wait on a silent connection, which would last for ever. The connection is then closed, not used again.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(timed_out().into()))
}

/// A pool that hands out no idle connection that does not answer or cannot be written to. Such a connection is
/// closed and another one opened. Every idle connection is asked each time it leaves the pool, instead of sqlx's
/// ping and at the same price: one round trip.
///
/// A new connection is handed out unasked. Its first statement finds out, as it would with a server that
/// is away, and the connection does not come out a second time. `after_connect` could refuse it, but then
/// sqlx opens one connection after another until `acquire_timeout`, writes a log line for each, and
/// reports a timeout. `/readyz` and a starting role could no longer say that the server is a standby, and
/// a verb that only reads could not read from one.
fn checked(options: PgPoolOptions) -> PgPoolOptions {
    options
        .test_before_acquire(false)
        // sqlx's own check of a returned connection has no limit: a connection that went silent under an abandoned
        // statement would keep its place in the pool for ever.
        .after_release(|db, _| {
            Box::pin(async {
                let looked = timeout(PROBE_LIMIT, db.ping()).await;
                Ok(looked.is_ok_and(|answer| answer.is_ok()))
            })
        })
        .before_acquire(|db, _| {
            Box::pin(async {
                // An error would be a log line for each connection that a restart of the server has cut.
                Ok(can_write(db, PROBE_LIMIT).await.unwrap_or(false))
            })
        })
}

/// A live server answers sooner, and a caller waits for a connection no longer than `acquire_timeout`.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Whether this connection leads to a server that can be written to. No answer within `limit` is an error.
pub async fn can_write(db: &mut PgConnection, limit: Duration) -> Result<bool, sqlx::Error> {
    // `on` also in recovery. Sent as one simple message: behind a pooler there are no prepared statements.
    let asked = sqlx::raw_sql("show transaction_read_only").fetch_one(db);
    let answer = timeout(limit, asked).await.map_err(|_| timed_out())??;
    Ok(answer.try_get::<String, _>(0)? == "off")
}

/// The error for a server that does not answer in time: it is treated as one that cannot be reached.
pub fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database does not answer",
    ))
}

/// Options for a pooler in transaction mode: nothing that only a session of our own could keep.
fn pooled(options: PgConnectOptions) -> PgConnectOptions {
    options
        .statement_cache_capacity(0)
        // PgBouncer refuses this startup parameter.
        .extra_float_digits(None)
}

/// A transaction to read in: see [`Database::read`]. It ends when it is dropped.
#[derive(Debug)]
pub struct Reading(Transaction<'static, Postgres>);

impl Deref for Reading {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.0
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.0
    }
}
