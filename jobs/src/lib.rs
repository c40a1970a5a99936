//! The durable core: the queue, the jobs, the saga and its store. This file is the gate that shells go through.

pub mod domain;
pub mod enqueue;
pub mod job;
pub mod queue;
pub mod runtime;

mod context;
