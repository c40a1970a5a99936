//! The outside world: concrete clients with an injected base URL and timeouts, whose errors say permanent or
//! transient by their type; what that means for a job is said once, in the error's `From<…> for JobError`.

mod cause;
pub mod fal;
mod file;
pub mod object_store;
pub mod telegram;
