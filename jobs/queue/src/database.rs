//! The one database, as the shells hold it: connected once at start-up, asked whether it still answers.
//!
//! Shells name no sqlx; they hand this to `Producer`, `Reader` and the worker. The pool reconnects by itself, so a
//! server restart costs the queries that were running and nothing else.
//!
//! # After a failover
//! The old primary may stay up, read-only, while new connections lead to the new one. A connection to the old one is
//! alive and useless: it answers every ping and refuses every write. So each pool asks a connection, before it hands
//! it out, whether it can be written to ([`checked`]), and opens another if not.
//!
//! # Behind a transaction pooler (K9)
//! PgBouncer in transaction mode gives every transaction a server connection of its own choice. So nothing of a session
//! survives: no `SET`, no LISTEN, no session lock, no startup option; and a statement that sqlx prepares in one implicit
//! transaction is not there in the next, where it is executed. Hence: no statement cache, every statement in an
//! explicit transaction ([`begin`], [`Single`]), and each transaction first forgets what another client of the same
//! server connection has prepared under the names that sqlx counts up in every process.

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
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

pub use words::words;
pub use words::words_of;

/// How to reach the database.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// A Postgres URL, with its password.
    pub url: SecretString,
    /// Most connections that this process opens.
    pub max_connections: u32,
    /// How long a query waits for a free or a new connection.
    pub acquire_timeout: Duration,
    /// What the server calls us in `pg_stat_activity`, e.g. `shop worker`.
    pub application_name: String,
    /// The URL leads to a pooler in transaction mode.
    pub pooled: bool,
}

/// A handle to the database; clones share one pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
}

/// Why the database cannot be used. Never holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL cannot be parsed.
    #[error("the database URL cannot be used: {0}")]
    Url(#[source] sqlx::Error),
    /// No connection, or no answer.
    #[error("the database does not answer: {}", words_of(.0))]
    Unreachable(#[source] sqlx::Error),
    /// The server answers, and does not let us in: the user, the password or the database is wrong.
    #[error("the database server refuses us: {}", words_of(.0))]
    Refused(#[source] sqlx::Error),
    /// A standby: the primary is elsewhere.
    #[error("the database is a standby (in recovery): it cannot be written to")]
    Standby,
    /// A primary that was closed for writers, or a role that may not write.
    #[error(
        "the database cannot be written to: default_transaction_read_only is on, for the server, the database or the role"
    )]
    ReadOnly,
}

impl From<PgPool> for Database {
    /// Behind a pool that is there already.
    fn from(pool: PgPool) -> Self {
        Self { pool }
    }
}

impl Database {
    /// Opens a first connection, so that a wrong password shows now and not at the first user.
    pub async fn connect(options: &DatabaseOptions) -> Result<Self, DatabaseError> {
        let connect = PgConnectOptions::from_str(options.url.expose_secret())
            .map_err(DatabaseError::Url)?
            .application_name(&options.application_name);
        let connect = if options.pooled {
            pooled(connect)
        } else {
            session(connect)
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
        Ok(Self { pool })
    }

    /// Asks the server for one answer, to see that it is there.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        let ping = async {
            let mut db = single(&self.pool).await?;
            sqlx::query_scalar!("select 1 as \"one!\"")
                .fetch_one(&mut *db)
                .await
        };
        ping.await.map(drop).map_err(DatabaseError::Unreachable)
    }

    /// Whether it can be written to: every role needs that, only verbs that look do not.
    pub async fn writable(&self) -> Result<(), DatabaseError> {
        let ask = async {
            let mut db = single(&self.pool).await?;
            sqlx::query!(
                r#"select pg_is_in_recovery() as "standby!", current_setting('transaction_read_only')::bool as "read_only!""#
            )
            .fetch_one(&mut *db)
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

    /// For the constructors of this crate.
    pub const fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Says goodbye to the server, once nothing uses the pool any more.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Now, by the database's clock: what is compared with times that the database wrote. Workers' clocks differ.
pub async fn now(db: &mut PgConnection) -> Result<DateTime<Utc>, sqlx::Error> {
    sqlx::query_scalar!(r#"select clock_timestamp() as "now!""#)
        .fetch_one(db)
        .await
}

/// Opens a transaction. Use this and not `pool.begin()` wherever the caller may be dropped: in a job, which has a
/// timeout, and behind a web route, which has one too.
///
/// sqlx 0.9 does not survive being dropped while it waits for `BEGIN`'s answer: it has not counted the transaction
/// yet, so it queues no `ROLLBACK`, and the pool hands out a connection whose transaction is open. Single statements
/// on it hold their locks and are not committed until somebody else's transaction happens to end there. In a task
/// of its own `BEGIN` is never dropped half-way; if nobody waits for the transaction any more, it is rolled back.
pub async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move {
        if is_pooled(&pool) {
            pool.begin_with(BEGIN_POOLED).await
        } else {
            pool.begin().await
        }
    });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}

/// What each session of ours is told at its start, whatever server, database and role have as defaults.
const SESSION: [(&str, &str); 5] = [
    // A transaction whose client says nothing for so long (a lease, by default) is ended by the server. Its process is
    // frozen or out of reach; the server would keep its row locks for as long as it believes in the connection, and
    // rescue skips what is locked. `q06_a_worker_frozen_in_a_transaction_does_not_keep_its_job`
    ("idle_in_transaction_session_timeout", "15s"),
    // The looks for sleepers and for who holds a key need a snapshot newer than the transaction's first; in a role with
    // `serializable` as its default one of two keyed enqueues at once fails.
    ("default_transaction_isolation", "read committed"),
    // The server finds out about a client that is gone within half a minute and not within two hours, and lets its
    // locks go. sqlx has no such option for our side of the connection: there, everything that waits has a limit.
    ("tcp_keepalives_idle", "15"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// The options of a session of our own: see [`SESSION`].
pub(crate) fn session(options: PgConnectOptions) -> PgConnectOptions {
    options.options(SESSION)
}

/// How a transaction begins behind a pooler: see the module, and [`SESSION`].
pub(crate) const BEGIN_POOLED: &str = "begin isolation level read committed; deallocate all; \
     set local idle_in_transaction_session_timeout = '15s'";

/// Ends what a silent connection would keep waiting for ever; the connection is closed then, not used again.
pub async fn within<T, E: From<sqlx::Error>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, work)
        .await
        .unwrap_or_else(|_| Err(timed_out().into()))
}

/// A pool that hands out no idle connection which does not answer, or which nobody can write on: it is closed, and another
/// one opened, which is asked when it comes out again. Asked on each way out of the pool, in place of sqlx's ping and at its price, one round trip.
///
/// A new connection is handed out unasked: its first statement finds out, as it would at a server that is away, and the
/// connection does not come out a second time. `after_connect` could refuse it; but sqlx then opens one after the other
/// until `acquire_timeout`, with a line in the log for each, and answers that it timed out. `/readyz` and a role at its start
/// could no longer say that the server is a standby, and a verb that only looks could not look at one.
pub(crate) fn checked(options: PgPoolOptions) -> PgPoolOptions {
    options
        .test_before_acquire(false)
        // sqlx's own look at a connection that comes back has no limit: one that went silent, under a statement that was
        // given up, would keep its place in the pool for ever.
        .after_release(|db, _| {
            Box::pin(async {
                let looked = timeout(PROBE_LIMIT, db.ping()).await;
                Ok(looked.is_ok_and(|answer| answer.is_ok()))
            })
        })
        .before_acquire(|db, _| {
            Box::pin(async {
                // An error would be a line in the log for each connection that a restart of the server has cut.
                Ok(can_write(db, PROBE_LIMIT).await.unwrap_or(false))
            })
        })
}

/// A server that is there answers sooner, and whoever wants a connection waits no longer than `acquire_timeout`.
const PROBE_LIMIT: Duration = Duration::from_secs(1);

/// Whether this connection leads to a server that can be written to. One that stays silent for so long is an error.
pub async fn can_write(db: &mut PgConnection, limit: Duration) -> Result<bool, sqlx::Error> {
    // Also `on` in recovery. In one message: a pooler knows no prepared statement.
    let asked = sqlx::raw_sql("show transaction_read_only").fetch_one(db);
    let answer = timeout(limit, asked).await.map_err(|_| timed_out())??;
    Ok(answer.try_get::<String, _>(0)? == "off")
}

/// A server that does not answer is as good as one that is away.
pub fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database does not answer",
    ))
}

/// Ends the name of a pooled connection, by which a pool is known as one.
const POOLED: &str = " (pooled)";

/// Options for a pooler in transaction mode: nothing that only a session of our own could keep.
fn pooled(options: PgConnectOptions) -> PgConnectOptions {
    let name = format!("{}{POOLED}", options.get_application_name().unwrap_or("queue"));
    options
        .application_name(&name)
        .statement_cache_capacity(0)
        // A startup parameter that PgBouncer refuses.
        .extra_float_digits(None)
}

/// Whether these lead to a pooler in transaction mode.
pub(crate) fn are_pooled(options: &PgConnectOptions) -> bool {
    options
        .get_application_name()
        .is_some_and(|name| name.ends_with(POOLED))
}

fn is_pooled(pool: &PgPool) -> bool {
    are_pooled(&pool.connect_options())
}

/// The same options under another name.
pub(crate) fn renamed(options: PgConnectOptions, name: &str) -> PgConnectOptions {
    let end = if are_pooled(&options) { POOLED } else { "" };
    options.application_name(&format!("{name}{end}"))
}

/// A connection for statements that need no transaction. Behind a pooler it is one all the same, so what they write
/// counts only after [`Single::commit`].
pub enum Single {
    /// Each statement is committed by itself.
    Own(PoolConnection<Postgres>),
    /// All statements are committed together.
    Pooled(Transaction<'static, Postgres>),
}

/// A connection for statements that need no transaction of their own.
pub async fn single(pool: &PgPool) -> Result<Single, sqlx::Error> {
    if is_pooled(pool) {
        begin(pool).await.map(Single::Pooled)
    } else {
        pool.acquire().await.map(Single::Own)
    }
}

impl Single {
    /// Makes sure that what was written counts.
    pub async fn commit(self) -> Result<(), sqlx::Error> {
        match self {
            Self::Own(_) => Ok(()),
            Self::Pooled(tx) => tx.commit().await,
        }
    }
}

impl Deref for Single {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Pooled(tx) => tx,
        }
    }
}

impl DerefMut for Single {
    fn deref_mut(&mut self) -> &mut PgConnection {
        match self {
            Self::Own(connection) => connection,
            Self::Pooled(tx) => tx,
        }
    }
}
