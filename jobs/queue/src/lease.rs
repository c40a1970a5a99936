//! Leases: a worker renews those of its own jobs, and rescues the jobs of workers that stopped renewing.
//!
//! Both go by the database's clock, and check whether it has jumped.

pub(crate) mod boot_clock;
pub(crate) mod clock;
pub(crate) mod heartbeat;
pub(crate) mod sweep;
