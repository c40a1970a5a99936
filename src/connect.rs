//! From settings to open connections, with start-up's refusals: what every role does before its own work.

use jobs::{
    database::{Database, DatabaseOptions},
    schema,
};

use crate::{exit::Failure, settings::DatabaseSettings};

/// Connects, and refuses a database whose migrations are not all applied.
pub async fn database(settings: &DatabaseSettings, role: &str) -> Result<Database, Failure> {
    let database = database_of_any_age(settings, role).await?;
    let pending = schema::pending(&database).await?;
    if let Some(first) = pending.first() {
        let count = pending.len();
        return Err(Failure::unavailable(format_args!(
            "{count} migrations are pending, the first is {} ({}). Run `aisha migrate`",
            first.version, first.description
        )));
    }
    Ok(database)
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
