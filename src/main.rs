//! `aisha`: one binary, whose subcommands are the roles of the system and the operators' commands.
//!
//! Exit codes: 0 done · 1 failed · 2 wrong usage · 69 a dependency is missing (database, bucket, migrations)
//! · 78 wrong settings.

use std::{path::PathBuf, process::ExitCode};

use aisha::{bot, exit, help, ops, settings::Given, web, worker};
#[cfg(feature = "simulators")]
use aisha::{dev, simulators};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

/// Durable avatar training: Telegram bot, webhook receiver and job workers on Postgres.
#[derive(Debug, Parser)]
#[command(version, after_long_help = exit::HELP)]
struct Cli {
    /// A directory with default.toml, `<AISHA_ENV>.toml`, trainers.toml, generators.toml or styles.toml, read over the compiled-in ones.
    #[arg(long, value_name = "DIR", global = true)]
    config: Option<PathBuf>,
    /// How log lines look: text or json. Default: log.format.
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    #[command(subcommand)]
    command: RoleOrVerb,
}

#[derive(Debug, Subcommand)]
enum RoleOrVerb {
    Bot(bot::BotArgs),
    Web(web::WebArgs),
    Worker(worker::WorkerArgs),
    Migrate(ops::migrate::MigrateArgs),
    #[command(subcommand)]
    Avatars(ops::avatars::AvatarsVerb),
    #[command(subcommand)]
    Jobs(ops::jobs::JobsVerb),
    #[command(subcommand)]
    Dlq(ops::dlq::DlqVerb),
    #[command(subcommand)]
    Fal(ops::fal::FalVerb),
    #[command(subcommand)]
    Queues(ops::queues::QueuesVerb),
    #[command(subcommand)]
    Config(ops::config::ConfigVerb),
    #[command(subcommand)]
    Webhooks(ops::webhooks::WebhooksVerb),
    #[cfg(feature = "simulators")]
    Demo(dev::demo::DemoArgs),
    #[cfg(feature = "simulators")]
    Dev(dev::sandbox::SandboxArgs),
    #[cfg(feature = "simulators")]
    FalSimulator(simulators::fal::FalSimulatorArgs),
    #[cfg(feature = "simulators")]
    TelegramSimulator(simulators::telegram::TelegramSimulatorArgs),
    #[cfg(feature = "chaos")]
    #[command(subcommand)]
    Chaos(aisha::chaos::ChaosVerb),
    #[cfg(feature = "simulators")]
    #[command(subcommand, hide = true)]
    Internal(dev::internal::InternalVerb),
}

fn main() -> ExitCode {
    let matches = help::plain(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let given = Given::from_process(cli.config).with("log.format", "--log-format", cli.log_format);
    #[cfg(feature = "chaos")]
    if let Err(error) = aisha::chaos::arm_process(&given) {
        return exit::verb(async { Err(error.into()) });
    }
    match cli.command {
        RoleOrVerb::Bot(args) => exit::role(bot::main(args, given)),
        RoleOrVerb::Web(args) => exit::role(web::main(args, given)),
        RoleOrVerb::Worker(args) => exit::role(worker::main(args, given)),
        RoleOrVerb::Migrate(args) => exit::verb(ops::migrate::main(args, given)),
        RoleOrVerb::Avatars(verb) => exit::verb(ops::avatars::main(verb, given)),
        RoleOrVerb::Jobs(verb) => exit::verb(ops::jobs::main(verb, given)),
        RoleOrVerb::Dlq(verb) => exit::verb(ops::dlq::main(verb, given)),
        RoleOrVerb::Fal(verb) => exit::verb(ops::fal::main(verb, given)),
        RoleOrVerb::Queues(verb) => exit::verb(ops::queues::main(verb, given)),
        RoleOrVerb::Config(verb) => exit::verb(ops::config::main(verb, given)),
        RoleOrVerb::Webhooks(verb) => exit::verb(ops::webhooks::main(verb, given)),
        #[cfg(feature = "simulators")]
        RoleOrVerb::Demo(args) => exit::verb(dev::demo::main(args, given)),
        #[cfg(feature = "simulators")]
        RoleOrVerb::Dev(args) => exit::verb(dev::sandbox::main(args, given)),
        #[cfg(feature = "simulators")]
        RoleOrVerb::FalSimulator(args) => exit::role(ops::simulators::fal(args, given)),
        #[cfg(feature = "simulators")]
        RoleOrVerb::TelegramSimulator(args) => exit::role(ops::simulators::telegram(args, given)),
        #[cfg(feature = "chaos")]
        RoleOrVerb::Chaos(verb) => exit::verb(aisha::chaos::main(verb, given)),
        #[cfg(feature = "simulators")]
        RoleOrVerb::Internal(verb) => verb.run(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn verify_cli() {
        aisha::help::plain(super::Cli::command()).debug_assert();
    }
}
