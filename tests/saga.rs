//! The saga, job by job: real Postgres, the real S3 protocol, FAL and Telegram simulated over HTTP. The jobs run in
//! the test's own task (`jobs::testing`), so a test decides when each one runs, dies and is rescued.

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
