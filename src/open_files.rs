//! How many files and sockets the process may hold open: as many as it is allowed to ask for.
//!
//! The usual soft limit of 1,024 is there for programs that use `select`, which this one does not; a service manager
//! that means it sets the hard one as well.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Assumed where the system names no limit.
const UNLIMITED: u64 = 1 << 20;

/// Raises the soft limit to the hard one and answers what counts from now on. A system that refuses is left as it is.
pub fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    let raised = setrlimit(Resource::Nofile, wanted).map(|()| maximum);
    raised.unwrap_or(current).unwrap_or(UNLIMITED)
}
