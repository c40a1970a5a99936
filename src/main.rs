//! One binary: every role and verb of aisha.

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// What the binary does for its own processes.
    #[cfg(feature = "simulators")]
    #[command(hide = true, subcommand)]
    Internal(aisha::dev::internal::Verb),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        #[cfg(feature = "simulators")]
        Command::Internal(verb) => verb.run(),
    }
}
