//! Operator's verbs: one file each. Results go to stdout (with `--json` for scripts), everything else to stderr.
#![expect(clippy::print_stdout, reason = "printing is what a verb is for")]

pub mod avatars;
pub mod config;
pub mod migrate;
#[cfg(feature = "simulators")]
pub mod simulators;
