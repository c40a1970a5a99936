//! Database errors in words for people.
//!
//! sqlx prints a server's error with `at line 768`, a line of Postgres' own source. And if the server refuses
//! connections, a pool that waited for one reports only that it timed out.

use std::{error::Error, time::Duration};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use super::DatabaseError;

/// How long the one extra connection attempt may take that finds the cause after a pool timed out.
const LOOK: Duration = Duration::from_secs(1);

/// An error of sqlx in one line; `None` for any other error.
pub fn words(error: &(dyn Error + 'static)) -> Option<String> {
    error.downcast_ref().map(words_of)
}

/// An error of sqlx in one line.
pub fn words_of(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(server) => match server.code() {
            Some(code) => format!("{} ({code})", server.message()),
            None => server.message().to_owned(),
        },
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::PoolTimedOut => "no connection could be had in time".to_owned(),
        error => error.to_string(),
    }
}

/// Why no first connection could be made: the error that the pool `found`, or, if that is only a
/// timeout, the error of one more attempt.
pub(super) async fn cause(found: sqlx::Error, options: &PgConnectOptions) -> DatabaseError {
    let found = if matches!(found, sqlx::Error::PoolTimedOut) {
        match tokio::time::timeout(LOOK, PgConnection::connect_with(options)).await {
            Ok(Err(cause)) => cause,
            Ok(Ok(connection)) => {
                // The server answers by now, but the caller's time is over.
                drop(connection.close().await);
                found
            }
            Err(_) => sqlx::Error::Io(std::io::Error::new(
                std::io::ErrorKind::TimedOut,
                "nothing answers at that address",
            )),
        }
    } else {
        found
    };
    // invalid_authorization_specification, invalid_password, invalid_catalog_name
    let refused = found.as_database_error().and_then(|server| {
        server
            .code()
            .map(|code| code.starts_with("28") || code == "3D000")
    });
    if refused == Some(true) {
        DatabaseError::Refused(found)
    } else {
        DatabaseError::Unreachable(found)
    }
}
