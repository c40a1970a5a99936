//! What can go wrong with a call to FAL, and what that means for the job that made it.

use std::{io, time::Duration};

use tracing::error;

use super::{RequestFailure, describe, meaning::Call};
use crate::job::JobError;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call that did not do what it is for. The fate of a *request* at FAL is never an error: see
/// [`ResultOutcome`](super::ResultOutcome) and [`SubmitOutcome`](super::SubmitOutcome).
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Our own configuration. Found at start-up.
    #[error("{0}")]
    Settings(String),
    /// No answer, or not all of it. Transient.
    #[error("FAL {call}: {why}")]
    Unreachable {
        /// Which call.
        call: Call,
        /// The cause, without the URL.
        why: String,
    },
    /// 5xx, 408, 409. Transient.
    #[error("FAL {call} answered {status}: {detail}")]
    Server {
        /// Which call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// What the body said.
        detail: String,
    },
    /// 429. Transient, and nobody's fault.
    #[error("FAL is busy (429)")]
    Busy {
        /// How long FAL wants to be left alone.
        retry_after: Duration,
    },
    /// 401, 402, 403: key, balance or access. No call will do better until an operator mends it.
    #[error(
        "FAL refuses our account ({status} to a {call}): {detail}; check FAL_KEY, balance and access in FAL's dashboard"
    )]
    Account {
        /// Which call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// What the body said.
        detail: String,
    },
    /// A redirect: what is configured is not FAL's place for this call. It is not followed, since it would carry the key.
    #[error("FAL {call} answered {status} {detail}: check the fal.*_url settings, they are not FAL's own")]
    Moved {
        /// Which call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// Where to, and what the body said.
        detail: String,
    },
    /// An upload's URL was good for a while only. Transient: another one is given on request.
    #[error("FAL {call}: its URL is no longer good ({status}): {detail}")]
    Expired {
        /// Which call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// What the body said.
        detail: String,
    },
    /// A result's 5xx that is the request's own end, or a moment's trouble of FAL's. Transient; who sees it again and again
    /// believes it.
    #[error("FAL may have failed the request: {0}")]
    Doubtful(RequestFailure),
    /// 404, 410, and what else says of a request that it is not there. Permanent, unless it says so of a request that was there.
    #[error("FAL {call}: not there: {detail}")]
    Missing {
        /// Which call.
        call: Call,
        /// What the body said.
        detail: String,
    },
    /// Another 4xx. Permanent: the same bytes will fail again.
    #[error("FAL {call} refused with {status}: {detail}")]
    Refused {
        /// Which call.
        call: Call,
        /// HTTP status.
        status: u16,
        /// What the body said.
        detail: String,
    },
    /// A success that is not what FAL documents. Transient: something between us may have answered.
    #[error("FAL {call} gave an answer that cannot be read: {why}")]
    Garbled {
        /// Which call.
        call: Call,
        /// What is wrong with it.
        why: String,
    },
    /// A compressed answer, though every call asks for one that is not. Transient: something between us and FAL did that.
    #[error(
        "FAL {call} gave an answer that is encoded as {encoding}, which nobody asked for: look for a proxy that compresses"
    )]
    Encoded {
        /// Which call.
        call: Call,
        /// `Content-Encoding`.
        encoding: String,
    },
    /// More bytes than the caller takes. Permanent.
    #[error("FAL {call} gave more than {limit} bytes")]
    TooLarge {
        /// Which call.
        call: Call,
        /// Bytes.
        limit: u64,
    },
    /// A stored URL lies under no configured one, and holds no request that could be looked for there. Permanent.
    #[error("the URL {0:?} is not FAL's as configured: the key is not sent there")]
    ForeignUrl(String),
    /// An answer names a file where no file of FAL's may be. As good as permanent, but it is tried again: FAL may have moved
    /// to a host that the setting does not have yet, and a training that is paid for waits for the operator to add it.
    #[error(
        "FAL {call}: {origin} may have no files of FAL's: nothing was sent there. If it is FAL's, add it to fal.file_hosts"
    )]
    ForeignHost {
        /// Which call.
        call: Call,
        /// Scheme, host and port.
        origin: String,
    },
    /// Our own disk: nobody's attempt is charged. Transient.
    #[error(
        "FAL {call}: the temporary file cannot be used: {source}; TMPDIR says where it is, and needs room"
    )]
    File {
        /// Which call.
        call: Call,
        /// The cause.
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

/// How long jobs stay away after FAL refused the key or the account, or is not where we ask. Users' jobs are kept, not failed.
const PARKED: Duration = Duration::from_mins(1);
/// Until the disk of this worker is tried again.
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
            // Another worker's disk may do, and this one's when somebody has made room.
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
    fn what_may_pass_is_tried_again_and_what_cannot_is_given_up() {
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
