//! How the process ends: errors on stderr, and an exit code that scripts can rely on (from sysexits.h where
//! it has one).

use std::{fmt::Display, future::Future, process::ExitCode};

use jobs::{
    database::{self, DatabaseError},
    schema::SchemaError,
};
use tracing::error;

use crate::settings::Problems;

/// The exit codes and examples that `aisha --help` shows.
pub const HELP: &str = "\
Exit codes:
  0   done
  1   failed
  2   wrong usage
  69  a dependency is missing: database, bucket, migrations
  78  wrong settings; all of them are listed
  128 + N: `aisha demo` was ended by signal N, and has cleaned up

Examples:
  aisha migrate
  aisha web --listen 0.0.0.0:8000
  aisha worker --queues media,fal --slots media=2,fal=8
  aisha bot --health-listen 127.0.0.1:9000
  aisha config check";

/// Why a role or command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The settings are wrong. Exit code 78.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// A dependency is missing; the text names it and the fix. Exit code 69.
    #[error("{0}")]
    Unavailable(String),
    /// A signal ended it. The exit code is 128 plus the signal's number, as a shell reports it.
    #[error("{words}")]
    Interrupted {
        /// The signal's number, the same on every Unix.
        number: u8,
        /// The signal's name, and what became of the unfinished work.
        words: String,
    },
    /// Any other error. Exit code 1.
    #[error("{}", in_words(.0))]
    Other(#[from] anyhow::Error),
}

impl Failure {
    /// The failure for a missing dependency; `what` names it and the fix.
    pub fn unavailable(what: impl Display) -> Self {
        Self::Unavailable(what.to_string())
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Interrupted { number, .. } => 128 + *number,
            Self::Settings(_) => 78,
            Self::Unavailable(_) => 69,
            Self::Other(_) => 1,
        }
    }
}

impl From<DatabaseError> for Failure {
    fn from(error: DatabaseError) -> Self {
        let fix = match error {
            DatabaseError::Url(_) => "Check DATABASE_URL",
            DatabaseError::Refused(_) => {
                "It runs: check the user, the password and the database's name in DATABASE_URL"
            }
            DatabaseError::Unreachable(_) => "Check host and port in DATABASE_URL, and that the server runs",
            DatabaseError::Standby => "Let DATABASE_URL lead to the primary",
            DatabaseError::ReadOnly => "Let DATABASE_URL lead to the primary, as a role that may write",
        };
        Self::unavailable(format_args!("{error}. {fix}"))
    }
}

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Database(_) => Self::unavailable(error),
            SchemaError::Changed(_) | SchemaError::Failed(_) => Self::Other(error.into()),
        }
    }
}

/// All causes in one line. Of a database error it shows the server's words, not those of the driver.
fn in_words(error: &anyhow::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in error.chain() {
        if let Some(last) = database::words(cause) {
            words.push(last);
            break;
        }
        let cause = cause.to_string();
        // Skip a cause whose text the error above it already repeats.
        if words.last().is_none_or(|said| !said.ends_with(&cause)) {
            words.push(cause);
        }
    }
    words.join(": ")
}

/// Runs a role to its end. A failure is logged if the log has started, else printed.
pub fn role(main: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    run(main, |failure| {
        if tracing::dispatcher::has_been_set() {
            error!("{failure}");
        } else {
            say(failure);
        }
    })
}

/// Runs an operator's command to its end. A failure is printed in plain words, whatever the log looks like.
pub fn verb(main: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    run(main, say)
}

#[expect(
    clippy::print_stderr,
    reason = "logging may not have started, and settings are for a person to read"
)]
fn say(failure: &Failure) {
    eprintln!("{failure}");
}

#[expect(clippy::print_stderr, reason = "nothing has started yet")]
fn run(main: impl Future<Output = Result<(), Failure>>, tell: fn(&Failure)) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("aisha: the runtime cannot be started: {error}");
            return ExitCode::FAILURE;
        }
    };
    let Err(failure) = runtime.block_on(main) else {
        return ExitCode::SUCCESS;
    };
    tell(&failure);
    ExitCode::from(failure.code())
}
