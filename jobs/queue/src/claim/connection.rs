//! The connection of one engine loop: opened on first use, and anew after anything went wrong on it.
//!
//! Not from a pool, so that jobs which use up theirs cannot starve claims, acks and heartbeats (Q18).

use std::time::Duration;

use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

pub(crate) use crate::database::timed_out;

pub(crate) struct EngineConnection {
    options: PgConnectOptions,
    open: Option<PgConnection>,
    clean: bool,
    limit: Duration,
    /// `Some` behind a pooler: the SQL that begins the transaction which each use of the connection has to be.
    begin: Option<String>,
}

impl EngineConnection {
    /// `limit` bounds the time to connect.
    pub(crate) const fn new(options: PgConnectOptions, limit: Duration, begin: Option<String>) -> Self {
        Self {
            options,
            open: None,
            clean: true,
            limit,
            begin,
        }
    }

    /// The connection, for one statement or transaction. Unless [`EngineConnection::succeeded`] is called afterwards,
    /// the next call closes it: an error or a dropped future leaves a connection in an unknown state.
    pub(crate) async fn get(&mut self) -> Result<&mut PgConnection, sqlx::Error> {
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
        let open = self.open.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        if let Some(begin) = &self.begin {
            let begun = sqlx::raw_sql(AssertSqlSafe(begin.clone())).execute(&mut *open);
            timeout(self.limit, begun).await.map_err(|_| timed_out())??;
        }
        Ok(open)
    }

    /// Call it after the statement succeeded: it commits behind a pooler, and keeps the connection for reuse. The
    /// writes count only once this has returned.
    pub(crate) async fn succeeded(&mut self) -> Result<(), sqlx::Error> {
        if self.begin.is_some()
            && !self.clean
            && let Some(open) = self.open.as_mut()
        {
            let committed = sqlx::raw_sql("commit").execute(open);
            timeout(self.limit, committed).await.map_err(|_| timed_out())??;
        }
        self.clean = true;
        Ok(())
    }
}
