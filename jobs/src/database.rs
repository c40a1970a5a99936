//! The one database, as the shells hold it: connected once at start-up, asked whether it still answers.
//!
//! Shells name no sqlx; they hand this to `Producer`, `Reader` and the worker. The pool reconnects by itself, so a
//! server restart costs the queries that were running and nothing else.

use std::{str::FromStr, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// How to reach it.
#[derive(Debug, Clone)]
pub struct DatabaseOptions {
    /// A Postgres URL, with its password.
    pub url: SecretString,
    /// Connections of this process.
    pub max_connections: u32,
    /// How long a query waits for a free or a new connection.
    pub acquire_timeout: Duration,
    /// What the server calls us in `pg_stat_activity`, e.g. `aisha worker`.
    pub application_name: String,
}

/// A handle; clones share one pool.
#[derive(Debug, Clone)]
pub struct Database {
    pool: PgPool,
}

/// Why the database cannot be used. Never holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The URL is none.
    #[error("the database URL cannot be used: {0}")]
    Url(#[source] sqlx::Error),
    /// No connection, or no answer.
    #[error("the database does not answer: {0}")]
    Unreachable(#[source] sqlx::Error),
}

impl Database {
    /// Opens a first connection, so that a wrong password shows now and not at the first user.
    pub async fn connect(options: &DatabaseOptions) -> Result<Self, DatabaseError> {
        let connect = PgConnectOptions::from_str(options.url.expose_secret())
            .map_err(DatabaseError::Url)?
            .application_name(&options.application_name);
        let pool = PgPoolOptions::new()
            .max_connections(options.max_connections)
            .acquire_timeout(options.acquire_timeout)
            .connect_with(connect)
            .await
            .map_err(DatabaseError::Unreachable)?;
        Ok(Self { pool })
    }

    /// One round trip.
    pub async fn ping(&self) -> Result<(), DatabaseError> {
        sqlx::query_scalar!("select 1 as \"one!\"")
            .fetch_one(&self.pool)
            .await
            .map_err(DatabaseError::Unreachable)?;
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

/// Opens a transaction. Use this and not `pool.begin()` wherever the caller may be dropped: in a job, which has a
/// timeout, and behind a web route, which has one too.
///
/// sqlx 0.9 does not survive being dropped while it waits for `BEGIN`'s answer: it has not counted the transaction
/// yet, so it queues no `ROLLBACK`, and the pool hands out a connection whose transaction is open. Single statements
/// on it hold their locks and are not committed until somebody else's transaction happens to end there. In a task
/// of its own `BEGIN` is never dropped half-way; if nobody waits for the transaction any more, it is rolled back.
pub(crate) async fn begin(pool: &PgPool) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin().await });
    begun.await.unwrap_or(Err(sqlx::Error::WorkerCrashed))
}
