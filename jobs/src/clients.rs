//! Clients for the outside world, with injected base URLs and timeouts. The type of an error says whether it is
//! permanent or transient; the error's `From<…> for JobError` decides once what that means for a job.

mod cause;
pub mod fal;
mod file;
pub mod object_store;
pub mod telegram;
