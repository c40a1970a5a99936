//! Leases: a worker keeps those of its jobs alive, and takes over the jobs of workers that stopped doing so.
//!
//! Both count by the database's clock, and look whether that clock has jumped.

pub(crate) mod boot_clock;
pub(crate) mod clock;
pub(crate) mod heartbeat;
pub(crate) mod sweep;
