//! The work of each kind of job: one file per kind, named as [`Job::NAME`](crate::job::Job::NAME).
//! Its payload is in `payloads.rs`. No other module names these files: the registry finds the work
//! of a kind by the type of its payload.

// The pipeline; jobs/README.md draws it.
mod apply_fal_delivery;
mod build_archive;
mod cancel_training;
mod notify_user;
mod poll_status;
mod store_model;
mod store_photo;
mod submit_training;

// The periodic jobs.
mod prune;
mod reconcile_trainings;
mod sweep_orphans;
