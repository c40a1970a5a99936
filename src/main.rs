//! `aisha`: one binary; the roles of the system and the operator's verbs are its subcommands.
//!
//! Exit codes: 0 done · 1 failed · 2 wrong usage · 69 something it depends on is not there (database, bucket,
//! migrations) · 78 wrong settings.

use std::{path::PathBuf, process::ExitCode};

use aisha::{exit, ops, settings::Given};
use clap::{Parser, Subcommand};

/// Durable avatar training: Telegram bot, webhook receiver and job workers on Postgres.
#[derive(Debug, Parser)]
#[command(version, after_long_help = exit::HELP)]
struct Cli {
    /// A directory with default.toml, <AISHA_ENV>.toml or trainers.toml, read over the compiled-in ones.
    #[arg(long, value_name = "DIR", global = true)]
    config: Option<PathBuf>,
    /// How log lines look: text or json. Default: log.format.
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Migrate(ops::migrate::Args),
    #[command(subcommand)]
    Config(ops::config::Verb),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let given = Given::from_process(cli.config).with("log.format", "--log-format", cli.log_format);
    match cli.command {
        Command::Migrate(args) => exit::run(ops::migrate::main(args, given)),
        Command::Config(verb) => exit::run(ops::config::main(verb, given)),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn verify_cli() {
        super::Cli::command().debug_assert();
    }
}
