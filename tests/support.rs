//! The tools of all tests. A test creates what it needs and shares nothing, so it runs alone or with all others.
//!
//! ```ignore
//! let db = Db::new().await;                        // a database of its own, migrated
//! let s3 = S3::new().await;                        // an S3 server of its own, with the bucket `avatars`
//! let fal = Fal::new().await;                      // a FAL simulator of its own, over HTTP
//! let telegram = Telegram::new().await;            // a Telegram simulator of its own
//! let worker = aisha(["worker"])                   // the real binary, as a process
//!     .env("DATABASE_URL", db.url())
//!     .envs(s3.env())
//!     .envs(fal.env())
//!     .envs(telegram.env())
//!     .start();
//! worker.line("is claiming jobs").await;           // waits for events, never sleeps
//! ```
//! To wait, use [`eventually`] or the functions that read a process's log; `architecture.rs` rejects a test that
//! sleeps.

#![expect(unused_imports, reason = "the names that tests import are listed whole")]

mod chat;
mod core;
mod db;
mod fal;
mod fal_front;
mod fal_signer;
mod leftovers;
mod process;
mod proxy;
mod s3;
mod s3_proxy;
mod settings;
mod telegram;
mod web;

use std::time::Duration;

pub use chat::Chat;
pub use core::{Core, bucket_out_of_reach};
pub use db::Db;
pub use fal::Fal;
pub use fal_front::{FalFront, Place, Recorded, folder as fal_cases};
pub use fal_signer::{Delivery, FAL_USER, FalSigner};
pub use process::{Aisha, Launch, aisha, procfile_line};
pub use proxy::Proxy;
pub use s3::{BUCKET, S3};
pub use s3_proxy::{S3Proxy, Tamper};
pub use settings::{NOWHERE, fal_settings, services, worker_settings};
pub use telegram::{BOT_TOKEN, Telegram};
pub use web::Web;

/// A port of loopback on which nobody listens. It stays bound as long as this lives: a port that is only free may be
/// another test's server a moment later.
pub struct ClosedPort(tokio::net::TcpSocket);

impl ClosedPort {
    pub fn new() -> Self {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
        Self(socket)
    }

    pub fn address(&self) -> std::net::SocketAddr {
        self.0.local_addr().expect("its address")
    }
}

/// How long anything may take before a test gives up. This is far more than a loaded machine needs; a test that
/// passes never waits for it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Calls `probe` repeatedly until it returns a value; panics with `what` after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    let waiting = async {
        loop {
            ticks.tick().await;
            if let Some(value) = probe().await {
                return value;
            }
        }
    };
    let Ok(value) = tokio::time::timeout(PATIENCE, waiting).await else {
        panic!("waited {} s in vain: {what}", PATIENCE.as_secs());
    };
    value
}
