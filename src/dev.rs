//! Runs the whole system on one machine: a private Postgres, an embedded S3 server, and the roles beside the
//! simulators.
//!
//! Used by `aisha demo`, `aisha dev` and the tests; absent from a build without the feature `simulators`.
//! Nothing here is part of the product, so this directory may start processes and speak SQL, which
//! `tests/architecture.rs` forbids to the rest of the root crate.
//!
//! Read next: [`stack`] (everything together), [`demo`] and [`sandbox`] (the two commands that use it),
//! [`postgres`] (a cluster that ends with us), [`s3`] (a bucket on loopback), [`parent`] (children that end
//! with us), [`internal`] (hidden commands), [`page`] (the panel beside the chat).

pub mod demo;
pub mod internal;
pub mod page;
pub mod parent;
pub mod postgres;
pub mod probes;
pub mod role;
pub mod s3;
pub mod sandbox;
pub mod soak;
pub mod stack;
