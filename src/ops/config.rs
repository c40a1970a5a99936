//! `aisha config`: shows the settings and their problems, without starting anything.

use clap::Subcommand;

use crate::{
    exit::Failure,
    settings::{
        BotSettings, Given, MigrateSettings, Problems, Role, WebSettings, WorkerSettings, reference_page,
    },
};

/// Look at the settings.
#[derive(Debug, Subcommand)]
pub enum ConfigVerb {
    /// List the problems in the settings of a role, or of all roles.
    #[command(after_long_help = "\
Exit code 0: no problems; 78: the problems are listed on stderr.

Examples:
  aisha config check
  aisha config check worker
  AISHA_ENV=development aisha config check web")]
    Check {
        /// Only the settings of bot, web, worker or migrate.
        #[arg(value_parser = ["bot", "web", "worker", "migrate"])]
        role: Option<String>,
    },
    /// Print every key, its value and where it came from; secrets are masked.
    ///
    /// The output is a file that --config accepts: `mkdir d; aisha config show > d/default.toml`.
    #[command(after_long_help = "\
Secrets come from the environment only, and are printed as comments. With --json: an object with one object per key, which has
value and origin, or for a secret is_set and origin.

Examples:
  aisha config show
  aisha --config /etc/aisha config show | grep ^fal
  AVATAR_TEST_MODE=true aisha config show --json | jq '.\"fal.queue_url\"'")]
    Show {
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Print every setting as a page of Markdown: its default, its values, its variable and the roles that
    /// read it.
    #[command(after_long_help = "\
config/default.toml says what each setting means.

Examples:
  aisha config reference
  aisha config reference > docs/settings.md")]
    Reference,
}

type RoleCheck = fn(&Given) -> Result<(), Problems>;

/// Runs `aisha config`. The error carries the exit code.
#[expect(clippy::unused_async, reason = "every verb is run the same way")]
pub async fn main(verb: ConfigVerb, given: Given) -> Result<(), Failure> {
    match verb {
        ConfigVerb::Show { json } => {
            let layers = given.layers();
            warn(&layers.warnings);
            if json {
                println!("{}", layers.json_listing());
            } else {
                print!("{}", layers.listing());
            }
        }
        ConfigVerb::Reference => print!("{}", reference_page()),
        ConfigVerb::Check { role } => {
            let layers = given.layers();
            warn(&layers.warnings);
            warn(&layers.risks);
            let wanted = |name: &str| role.as_deref().is_none_or(|role| role == name);
            let checks: [(&str, RoleCheck); 4] = [
                (BotSettings::NAME, check::<BotSettings>),
                (WebSettings::NAME, check::<WebSettings>),
                (WorkerSettings::NAME, check::<WorkerSettings>),
                (MigrateSettings::NAME, check::<MigrateSettings>),
            ];
            let found = checks
                .into_iter()
                .filter(|(name, _)| wanted(name))
                .filter_map(|(_, check)| check(&given).err());
            if let Some(problems) = Problems::joined(found) {
                return Err(problems.into());
            }
            println!("nothing is wrong");
        }
    }
    Ok(())
}

#[expect(clippy::print_stderr, reason = "what is printed to stdout is a file")]
fn warn(warnings: &[String]) {
    for warning in warnings {
        eprintln!("warning: {warning}");
    }
}

fn check<R: Role>(given: &Given) -> Result<(), Problems> {
    given.load::<R>().map(drop)
}
