//! What a laptop needs instead of a data centre: a private Postgres and an embedded S3 server.
//!
//! Used by `aisha demo`, `aisha dev` and the tests; absent from a build without the feature `simulators`.
//! Nothing here is part of the product, so this directory may start processes and speak SQL, which
//! `tests/architecture.rs` forbids to the rest of the root crate.
//!
//! Read next: [`stack`] (everything together), [`demo`] and [`sandbox`] (what is done with it), [`postgres`] (a cluster that
//! dies with us), [`s3`] (a bucket on loopback), [`parent`] (children that end with us), [`internal`] (hidden verbs).

pub mod demo;
pub mod internal;
pub mod parent;
pub mod postgres;
pub mod probes;
pub mod role;
pub mod s3;
pub mod sandbox;
pub mod soak;
pub mod stack;
