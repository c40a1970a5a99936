//! From settings to open connections, with start-up's refusals: what every role does before its own work.
//!
//! A role writes. On a standby, or where it may only read, it would fail at each step and look ready to whoever asks.

use jobs::{
    database::{Database, DatabaseOptions},
    schema,
};

use crate::{exit::Failure, settings::DatabaseSettings};

/// Connects, and refuses a database that cannot be written to, whose migrations are not all applied, or whose rows this
/// role is not shown.
pub async fn database(settings: &DatabaseSettings, role: &str) -> Result<Database, Failure> {
    let database = database_of_any_age(settings, role).await?;
    database.writable().await?;
    migrated(database).await
}

/// As [`database`], for verbs that only look: a standby will do.
pub async fn readable_database(settings: &DatabaseSettings, verb: &str) -> Result<Database, Failure> {
    migrated(database_of_any_age(settings, verb).await?).await
}

async fn migrated(database: Database) -> Result<Database, Failure> {
    let pending = schema::pending(&database).await?;
    if let Some(first) = pending.first() {
        let count = pending.len();
        return Err(Failure::unavailable(format_args!(
            "{count} migrations are pending, the first is {} ({}). Run `aisha migrate`",
            first.version, first.description
        )));
    }
    if let Some(problem) = hidden(&schema::hidden_tables(&database).await?) {
        return Err(Failure::unavailable(problem));
    }
    Ok(database)
}

/// What is wrong if row-level security keeps everything from this role.
pub fn hidden(tables: &[String]) -> Option<String> {
    (!tables.is_empty()).then(|| {
        format!(
            "row-level security hides all rows of {} from the role of DATABASE_URL. Connect as the tables' owner, give the role \
             BYPASSRLS or a policy, or disable row-level security on them",
            tables.join(", ")
        )
    })
}

/// Connects only: for the verb that applies migrations.
pub async fn database_of_any_age(settings: &DatabaseSettings, role: &str) -> Result<Database, Failure> {
    let options = DatabaseOptions {
        url: settings.url.clone(),
        max_connections: settings.max_connections,
        acquire_timeout: settings.acquire_timeout,
        application_name: format!("aisha {role}"),
        pooled: settings.pooled,
    };
    Ok(Database::connect(&options).await?)
}
