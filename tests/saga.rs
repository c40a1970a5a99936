//! The saga, job by job: real Postgres, real S3 protocol, FAL and Telegram at the wire; the jobs run in the test's own
//! task (`jobs::testing`), so that a test decides when each runs, dies, and is rescued.

mod account;
mod answers;
mod archive;
mod booking;
mod cancel;
mod decision;
mod deliveries;
mod endings;
mod late;
mod model;
mod poll;
mod reconcile;
mod submit;
mod sweep;
pub mod world;
