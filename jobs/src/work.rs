//! What each kind of job does: one file a kind, named as [`Job::NAME`](crate::job::Job::NAME). Its payload stands in
//! `payloads.rs`. Nothing outside of here names these files: the registry finds what a kind does by the type of its payload.

// The pipeline; jobs/README.md draws it.
mod apply_fal_delivery;
mod build_archive;
mod cancel_training;
mod notify_user;
mod poll_status;
mod store_model;
mod store_photo;
mod submit_training;

// By the clock.
mod prune;
mod reconcile_trainings;
mod sweep_orphans;
