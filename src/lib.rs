//! The shells around the core: the bot, the web role, the worker, the operators' commands, and what runs the
//! whole system on one machine.

pub mod bot;
pub mod exit;
pub mod help;
pub mod lifecycle;
pub mod ops;
pub mod settings;
pub mod telemetry;
pub mod web;
pub mod worker;

mod connect;
mod open_files;

#[cfg(feature = "chaos")]
pub mod chaos;
#[cfg(feature = "simulators")]
pub mod dev;
#[cfg(feature = "simulators")]
pub mod simulators;
