//! What a running job is given: the store, the clients, the clock, chance, and its own claim.
//!
//! Built once per worker ([`Services`]); each run gets a [`Context`] with its claim added. Time, randomness
//! and HTTP come from here only, so that a test can set them.

use std::{ops::Deref, sync::Arc};

use chrono::{DateTime, Utc};
use sqlx::PgPool;

use crate::queue::Claim;

/// Everything that outlives a single run.
#[derive(Clone)]
pub struct Services {
    /// The one database.
    pub pool: PgPool,
    /// Now, as the wall clock of this process says (never used for leases).
    pub clock: Clock,
}

/// A source of the present moment.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the wall clock is read"
    )]
    pub fn system() -> Self {
        Self(Arc::new(Utc::now))
    }

    /// A clock that the caller moves.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present moment.
    pub fn now(&self) -> DateTime<Utc> {
        (self.0)()
    }
}

/// One run's view: the worker's services and the claim it runs under.
#[derive(Clone)]
pub struct Context {
    services: Services,
    claim: Claim,
}

impl Context {
    /// Joins a worker's services with the claim of one run.
    pub(crate) const fn new(services: Services, claim: Claim) -> Self {
        Self { services, claim }
    }

    /// The claim that this run holds: its fencing token, attempt and cancel flag.
    pub const fn claim(&self) -> &Claim {
        &self.claim
    }
}

impl Deref for Context {
    type Target = Services;

    fn deref(&self) -> &Services {
        &self.services
    }
}
