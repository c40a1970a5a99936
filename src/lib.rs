//! Durable avatar training: the shells around the [`jobs`] core.

#[cfg(feature = "simulators")]
pub mod simulators;
