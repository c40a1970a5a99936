//! The saga, job by job: real Postgres, real S3 protocol, FAL and Telegram at the wire; the jobs run in the test's own
//! task (`jobs::testing`), so that a test decides when each runs, dies, and is rescued.

mod archive;
mod deliveries;
mod model;
mod poll;
mod stock;
mod submit;
pub mod world;
