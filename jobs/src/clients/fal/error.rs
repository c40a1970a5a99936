//! Errors of calls to FAL, and what each means for the job that made the call.

use std::{io, time::Duration};

use tracing::error;

use super::{RequestFailure, describe, meaning::Call};
use crate::job::JobError;

/// The result of a call to FAL.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call that failed. The fate of a *request* at FAL is never an error: see [`ResultOutcome`](super::ResultOutcome)
/// and [`SubmitOutcome`](super::SubmitOutcome).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our own configuration is wrong. Found at start-up.
    #[error("{0}")]
    Settings(String),
    /// No answer came, or only a part of it. Transient.
    #[error("FAL {call}: {why}")]
    Unreachable {
        /// The call that got no answer.
        call: Call,
        /// The cause, without the URL.
        why: String,
    },
    /// The answer was 5xx, 408 or 409. Transient.
    #[error("FAL {call} answered {status}: {detail}")]
    Server {
        /// The call that FAL failed to answer properly.
        call: Call,
        /// HTTP status of the answer.
        status: u16,
        /// Text of the answer's body, shortened.
        detail: String,
    },
    /// The answer was 429. Transient, and no attempt is charged.
    #[error("FAL is busy (429)")]
    Busy {
        /// How long FAL asks us to wait.
        retry_after: Duration,
    },
    /// The answer was 401, 402 or 403: key, balance or access. No call will succeed until an operator acts.
    #[error(
        "FAL refuses our account ({status} to a {call}): {detail}; check FAL_KEY, balance and access in FAL's dashboard"
    )]
    Account {
        /// The call that was refused.
        call: Call,
        /// HTTP status of the answer.
        status: u16,
        /// Text of the answer's body, shortened.
        detail: String,
    },
    /// A redirect: the configured address is not FAL's for this call. It is not
    /// followed, since it would carry the key.
    #[error("FAL {call} answered {status} {detail}: check the fal.*_url settings, they are not FAL's own")]
    Moved {
        /// The call that was redirected.
        call: Call,
        /// HTTP status of the answer.
        status: u16,
        /// The redirect's target, and text of the answer's body.
        detail: String,
    },
    /// An upload URL has expired. Transient: a new one can be requested.
    #[error("FAL {call}: its URL is no longer good ({status}): {detail}")]
    Expired {
        /// The call that found the URL expired.
        call: Call,
        /// HTTP status of the answer.
        status: u16,
        /// Text of the answer's body, shortened.
        detail: String,
    },
    /// A 5xx of the result call: either the request's own end, or a moment's trouble at FAL. Transient; a caller
    /// that sees it several times believes it.
    #[error("FAL may have failed the request: {0}")]
    Doubtful(RequestFailure),
    /// FAL does not have the request or the file (404, 410 and the like).
    /// Permanent, unless the request was there before.
    #[error("FAL {call}: not there: {detail}")]
    Missing {
        /// The call that found nothing.
        call: Call,
        /// Text of the answer's body, shortened.
        detail: String,
    },
    /// Any other 4xx. Permanent: the same bytes will fail again.
    #[error("FAL {call} refused with {status}: {detail}")]
    Refused {
        /// The call that was refused.
        call: Call,
        /// HTTP status of the answer.
        status: u16,
        /// Text of the answer's body, shortened.
        detail: String,
    },
    /// A success that is not as FAL documents it. Transient: something between us and FAL may have answered.
    #[error("FAL {call} gave an answer that cannot be read: {why}")]
    Garbled {
        /// The call that got the answer.
        call: Call,
        /// The mistake in the answer, with the field if there is one.
        why: String,
    },
    /// A compressed answer, although every call asks for an uncompressed one. Transient:
    /// something between us and FAL compressed it.
    #[error(
        "FAL {call} gave an answer that is encoded as {encoding}, which nobody asked for: look for a proxy that compresses"
    )]
    Encoded {
        /// The call that got the answer.
        call: Call,
        /// The value of `Content-Encoding`, e.g. `gzip`.
        encoding: String,
    },
    /// The answer has more bytes than the caller accepts. Permanent.
    #[error("FAL {call} gave more than {limit} bytes")]
    TooLarge {
        /// The call that got the answer.
        call: Call,
        /// The caller's limit, in bytes.
        limit: u64,
    },
    /// A stored URL is under no configured address, and names no request that could be looked up there. Permanent.
    #[error("the URL {0:?} is not FAL's as configured: the key is not sent there")]
    ForeignUrl(String),
    /// An answer names a file on a host that may not have FAL's files. In effect permanent, but retried: FAL may have
    /// moved to a host that the setting lacks, and a paid training waits until the operator adds it.
    #[error(
        "FAL {call}: {origin} may have no files of FAL's: nothing was sent there. If it is FAL's, add it to fal.file_hosts"
    )]
    ForeignHost {
        /// The call that would have gone there.
        call: Call,
        /// Scheme, host and port of the URL; not its path.
        origin: String,
    },
    /// Our own disk failed. Transient, and no attempt is charged.
    #[error(
        "FAL {call}: the temporary file cannot be used: {source}; TMPDIR says where it is, and needs room"
    )]
    File {
        /// The call whose file it is.
        call: Call,
        /// The cause, in the operating system's words.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn unreachable(call: Call, error: &reqwest::Error) -> Self {
        Self::Unreachable {
            call,
            why: describe(error),
        }
    }
}

/// How long jobs wait after FAL refused the key or the account, or was not where we
/// called it. The jobs are kept, not failed.
const PARKED: Duration = Duration::from_mins(1);
/// How long a job waits before it tries this worker's disk again.
const OWN_DISK: Duration = Duration::from_secs(15);

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        match error {
            Error::Busy { retry_after } => Self::snooze(retry_after, error),
            Error::Account { .. } | Error::Moved { .. } => {
                error!("A job waits for FAL: {error}");
                Self::snooze(PARKED, error)
            }
            Error::ForeignHost { .. } => {
                error!("{error}");
                Self::retry(error)
            }
            Error::Unreachable { .. }
            | Error::Server { .. }
            | Error::Garbled { .. }
            | Error::Encoded { .. }
            | Error::Expired { .. }
            | Error::Doubtful(_) => Self::retry(error),
            // Another worker's disk may work, and so may this one's once someone has made room.
            Error::File { .. } => Self::snooze(OWN_DISK, error),
            Error::Missing { .. } => Self::give_up("fal_missing", error),
            Error::Refused { .. } | Error::TooLarge { .. } => Self::give_up("fal_refused", error),
            Error::ForeignUrl(_) | Error::Settings(_) => Self::give_up("fal_misconfigured", error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_is_locked_parks_jobs_and_fails_none() {
        for error in [
            Error::Account {
                call: Call::Initiate,
                status: 403,
                detail: "balance".into(),
            },
            Error::Moved {
                call: Call::Status,
                status: 301,
                detail: "to elsewhere".into(),
            },
        ] {
            assert!(matches!(
                JobError::from(error),
                JobError::Snooze { after: PARKED, .. }
            ));
        }
    }

    #[test]
    fn a_busy_fal_is_left_alone_for_as_long_as_it_asks() {
        let retry_after = Duration::from_secs(17);
        assert!(
            matches!(JobError::from(Error::Busy { retry_after }), JobError::Snooze { after, .. } if after == retry_after)
        );
    }

    #[test]
    fn transient_errors_are_retried_and_permanent_ones_given_up() {
        for error in [
            Error::Unreachable {
                call: Call::Status,
                why: "reset".into(),
            },
            Error::Server {
                call: Call::Status,
                status: 503,
                detail: String::new(),
            },
            Error::Garbled {
                call: Call::Status,
                why: "no JSON".into(),
            },
            Error::Encoded {
                call: Call::Result,
                encoding: "gzip".into(),
            },
        ] {
            assert!(matches!(JobError::from(error), JobError::Retry { .. }));
        }
        for error in [
            Error::Refused {
                call: Call::Initiate,
                status: 422,
                detail: String::new(),
            },
            Error::Missing {
                call: Call::Download,
                detail: String::new(),
            },
            Error::TooLarge {
                call: Call::Download,
                limit: 1,
            },
            Error::ForeignUrl("https://evil.test".into()),
        ] {
            assert!(matches!(JobError::from(error), JobError::GiveUp(_)));
        }
    }
}
