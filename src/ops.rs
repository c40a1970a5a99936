//! The operators' commands, one file each. Results go to stdout (with `--json` for scripts), everything else
//! to stderr.
#![expect(clippy::print_stdout, reason = "printing is what a verb is for")]

pub mod avatars;
pub mod config;
pub mod dlq;
pub mod fal;
pub mod jobs;
pub mod migrate;
mod print;
pub mod queues;
#[cfg(feature = "simulators")]
pub mod simulators;
pub mod webhooks;
