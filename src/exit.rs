//! How the process ends: errors to stderr, and a code that scripts can rely on (sysexits.h where it has one).

use std::{fmt::Display, future::Future, process::ExitCode};

use jobs::{
    database::{self, DatabaseError},
    schema::SchemaError,
};
use tracing::error;

use crate::settings::Problems;

/// For `--help`.
pub const HELP: &str = "\
Exit codes:
  0   done
  1   failed
  2   wrong usage
  69  something it depends on is not there: database, bucket, migrations
  78  wrong settings; all of them are listed
  128 + N: `aisha demo` was ended by signal N, and has tidied up

Examples:
  aisha migrate
  aisha web --listen 0.0.0.0:8000
  aisha worker --queues media,fal --slots media=2,fal=8
  aisha bot --health-listen 127.0.0.1:9000
  aisha config check";

/// Why a role or verb ended badly.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// 78.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// 69.
    #[error("{0}")]
    Unavailable(String),
    /// 128 and the signal's number, as a shell reports a process that a signal ended.
    #[error("{words}")]
    Interrupted {
        /// The signal's number, the same on every Unix.
        number: u8,
        /// Its name, and what became of what was begun.
        words: String,
    },
    /// 1.
    #[error("{}", in_words(.0))]
    Other(#[from] anyhow::Error),
}

impl Failure {
    /// For a dependency that is not there; `what` names it and the fix.
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

/// The whole chain of causes; what the database said in its words, not in those of its driver.
fn in_words(error: &anyhow::Error) -> String {
    let mut words: Vec<String> = Vec::new();
    for cause in error.chain() {
        if let Some(last) = database::words(cause) {
            words.push(last);
            break;
        }
        let cause = cause.to_string();
        // An error that repeats its source in its own text.
        if words.last().is_none_or(|said| !said.ends_with(&cause)) {
            words.push(cause);
        }
    }
    words.join(": ")
}

/// Runs a role to its end. Its last word is a line of its log, once that has started.
pub fn role(main: impl Future<Output = Result<(), Failure>>) -> ExitCode {
    run(main, |failure| {
        if tracing::dispatcher::has_been_set() {
            error!("{failure}");
        } else {
            say(failure);
        }
    })
}

/// Runs an operator's verb to its end: whatever the log looks like, a person reads why it failed.
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
