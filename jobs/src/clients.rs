//! The outside world over HTTP: concrete clients whose base URLs are injected, with typed errors.
//!
//! A client knows nothing of jobs but this: what its errors mean for one, said once in `From<…> for JobError`.

pub mod fal;
mod file;
pub mod object_store;
