//! The connection of one engine loop: opened on first use, and anew after anything went wrong on it.
//!
//! Not from a pool, so that jobs which use up theirs cannot starve claims, acks and heartbeats (Q18).

use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

/// See the module.
pub(super) struct Link {
    options: PgConnectOptions,
    open: Option<PgConnection>,
    clean: bool,
    limit: Duration,
}

impl Link {
    /// `limit` bounds the time to connect.
    pub(super) const fn new(options: PgConnectOptions, limit: Duration) -> Self {
        Self {
            options,
            open: None,
            clean: true,
            limit,
        }
    }

    /// The connection, for one statement or transaction. Unless [`Link::settled`] is called after it, it is closed
    /// before the next: an error or a dropped future leaves a connection in an unknown state.
    pub(super) async fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
        if !self.clean {
            self.open = None;
        }
        self.clean = false;
        if self.open.is_none() {
            self.open = Some(
                timeout(self.limit, self.options.connect())
                    .await
                    .map_err(|_| timed_out())??,
            );
        }
        self.open.as_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// What [`Link::get`] was for went well.
    pub(super) const fn settled(&mut self) {
        self.clean = true;
    }
}

/// A server that does not answer is as good as one that is away.
pub(super) fn timed_out() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(
        std::io::ErrorKind::TimedOut,
        "the database does not answer",
    ))
}
