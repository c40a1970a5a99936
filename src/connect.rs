//! Opens the connections that every role needs, and refuses to start where the role could not do its work.
//!
//! A role writes. On a standby, or with a user that may only read, it would look ready and fail at each step.

use jobs::{
    database::{Database, DatabaseOptions},
    schema,
};

use crate::{exit::Failure, settings::DatabaseSettings};

/// Connects. Refuses a database that cannot be written to, that lacks migrations, or that hides rows from this role.
pub async fn database(settings: &DatabaseSettings, role: &str) -> Result<Database, Failure> {
    let database = database_of_any_age(settings, role).await?;
    database.writable().await?;
    migrated(database).await
}

/// Like [`database`], for commands that only read: a standby is accepted.
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

/// The problem with row-level security, if it hides every row of these tables from our user.
pub fn hidden(tables: &[String]) -> Option<String> {
    (!tables.is_empty()).then(|| {
        format!(
            "row-level security hides all rows of {} from the role of DATABASE_URL. Connect as the tables' owner, give the role \
             BYPASSRLS or a policy, or disable row-level security on them",
            tables.join(", ")
        )
    })
}

/// Connects without any check, for the command that applies migrations.
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
