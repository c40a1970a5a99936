//! `[database]`

use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use super::{
    reader::SettingsReader,
    section::section,
    units::{MILLISECOND, MINUTE},
};

section! {
    /// The database of all roles.
    pub struct DatabaseSettings(from) {
        /// The URL, with user and password.
        url: SecretString = from.secret(
            ("database.url", &["DATABASE_URL"]),
            "postgres://aisha:PASSWORD@db.example.org/aisha",
            |url| {
                let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
                if known && Url::parse(url).is_ok() {
                    Ok(())
                } else {
                    Err("it is not a postgres:// URL")
                }
            },
        ),
        /// The most connections of one process.
        max_connections: u32 = from.number("database.max_connections", 2..=1000),
        /// How long to wait for a free or a new connection.
        acquire_timeout: Duration = from.duration("database.acquire_timeout", 100 * MILLISECOND..=MINUTE),
        /// Whether the URL leads to a pooler in transaction mode.
        pooled: bool = from.choice("database.pooler", &[("none", false), ("transaction", true)]),
    }
}

impl DatabaseSettings {
    /// For roles that keep state in a session (locks, LISTEN), which need a direct connection to the server.
    pub(super) fn read_direct(from: &mut SettingsReader<'_>) -> Option<Self> {
        let settings = Self::read(from)?;
        if settings.pooled {
            from.refuse(
                "database.pooler",
                "is transaction, but this role or command keeps locks or listens in a session.",
                "Set AISHA__DATABASE__POOLER=none and a DATABASE_URL that leads directly to the server; worker and web may use the pooler.",
            );
        }
        Some(settings)
    }

    /// For a worker, which needs connections for claims, outcomes, heartbeats and a job at the same time.
    /// With fewer, they wait for one another until leases run out.
    pub(super) fn read_for_worker(from: &mut SettingsReader<'_>) -> Option<Self> {
        const FEWEST: u32 = 4;
        let settings = Self::read(from)?;
        if settings.max_connections < FEWEST {
            from.reject(
                "database.max_connections",
                "a worker needs more: claims, outcomes, heartbeats and its jobs each take one at times",
                &format!("Use {FEWEST} or more for a worker; the others may have 2."),
            );
        }
        Some(settings)
    }
}
