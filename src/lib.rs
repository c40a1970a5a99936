//! The shells around the core: the bot, the web role, the worker, and what a laptop needs to run them.

#[cfg(feature = "simulators")]
pub mod dev;
