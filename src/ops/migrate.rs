//! `aisha migrate`: brings the schema up to date, before the roles of this version start.

use clap::Parser;
use jobs::schema::{self, Migration};

use crate::{
    connect,
    exit::Failure,
    settings::{Given, MigrateSettings},
    telemetry,
};

/// Apply the migrations that are pending.
///
/// Several may run at once: one applies, the others wait and then have nothing to do. Connect to the server
/// itself, not through `PgBouncer`.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Needs DATABASE_URL.

Examples:
  aisha migrate
  aisha migrate --check   # changes nothing; exit code 0: up to date, 1: something is pending")]
pub struct MigrateArgs {
    /// Only list what is pending.
    #[arg(long)]
    check: bool,
}

/// Runs `aisha migrate`. The error carries the exit code.
pub async fn main(args: MigrateArgs, given: Given) -> Result<(), Failure> {
    let mut settings = given.load::<MigrateSettings>()?;
    // The roles and `aisha config check` print these warnings.
    settings.log.warnings.clear();
    telemetry::start_logging(&settings.log)?;
    let database = connect::database_of_any_age(&settings.database, "migrate").await?;
    if args.check {
        let pending = schema::pending(&database).await?;
        print("pending", &pending);
        return if pending.is_empty() {
            Ok(())
        } else {
            Err(anyhow::anyhow!("{} migrations are pending: run `aisha migrate`", pending.len()).into())
        };
    }
    print("applied", &schema::migrate(&database).await?);
    Ok(())
}

fn print(state: &str, migrations: &[Migration]) {
    for Migration { version, description } in migrations {
        println!("{state} {version} {description}");
    }
    if migrations.is_empty() {
        println!("up to date");
    }
}
