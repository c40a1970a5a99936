//! Simulators of the outside services that speak their wire protocols: unmodified clients can use them.
//!
//! They share no type, constant or line of code with our own clients: otherwise both could make the same
//! mistake and agree with each other. The official clients, run unmodified, check them
//! (`tests/official_clients/run`).

pub mod fal;
mod journal;
pub mod telegram;

pub use journal::JournalError;
