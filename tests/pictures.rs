//! Pictures, job by job: asked for once, fetched, checked, and delivered as one album.

mod albums;
mod asking;
mod configured;
mod deleting;
mod model;
mod samples;
mod storing;
pub mod world;
