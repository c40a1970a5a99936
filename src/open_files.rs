//! Raises the number of files and sockets that the process may have open to the most that the system allows.
//!
//! The usual soft limit of 1,024 protects programs that use `select`, which this one does not. A service
//! manager that wants a real limit sets the hard one as well.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Assumed where the system states no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit to the hard one; returns the limit that then applies. If the system refuses, it
/// stays as it is.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    let raised = setrlimit(Resource::Nofile, wanted).map(|()| maximum);
    raised.unwrap_or(current).unwrap_or(UNLIMITED)
}
