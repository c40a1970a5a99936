//! The black-box tests: one binary, so that they share one private Postgres cluster (`support/db.rs`).
//!
//! They see the product as an operator does: processes, HTTP, SQL, files. `support.rs` says how to write one.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::cast_possible_wrap,
    reason = "a test ends by panicking, and says why on standard error; its numbers are small, its constants beside their use"
)]

mod admins;
mod architecture;
mod archive;
mod avatars;
mod bot;
mod cli;
mod contract;
mod defects;
mod deletions;
mod dev;
mod doors;
mod embedded_s3;
mod fal_client;
mod fal_simulator;
mod generators;
mod health;
mod inspect_photo;
mod leaving;
mod migrate;
mod notify_user;
mod object_store;
mod operators;
mod pictures;
mod private_cluster;
mod procfile;
mod queue;
mod queues;
mod quotas;
mod saga;
mod settings;
mod store_photo;
mod styles;
mod support;
mod telegram_simulator;
mod trainers;
mod web_telegram_webhook;
mod webhook;
mod webhook_signature;
