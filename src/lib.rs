//! The shells around the core (`jobs`): roles, operator's verbs, settings. Thin: no SQL, no job.
//!
//! `main.rs` is the list of verbs. A role's file begins with its command line, then `main`: settings, telemetry,
//! connections, its work, its end.

pub mod connect;
pub mod exit;
pub mod lifecycle;
pub mod ops;
pub mod settings;
pub mod telemetry;
