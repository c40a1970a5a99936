//! Adapts `--help` to a terminal: its texts are doc comments, whose Markdown puts names in backticks.

use clap::{Command, builder::StyledStr};

/// The same command and its subcommands, with quotation marks in place of backticks.
pub fn plain(command: Command) -> Command {
    let about = command.get_about().map(quoted);
    let long_about = command.get_long_about().map(quoted);
    let after_help = command.get_after_help().map(quoted);
    let after_long_help = command.get_after_long_help().map(quoted);
    let mut command = command.mut_args(|argument| {
        let help = argument.get_help().map(quoted);
        let long_help = argument.get_long_help().map(quoted);
        let mut argument = argument;
        if let Some(help) = help {
            argument = argument.help(help);
        }
        if let Some(long_help) = long_help {
            argument = argument.long_help(long_help);
        }
        argument
    });
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(long_about) = long_about {
        command = command.long_about(long_about);
    }
    if let Some(after_help) = after_help {
        command = command.after_help(after_help);
    }
    if let Some(after_long_help) = after_long_help {
        command = command.after_long_help(after_long_help);
    }
    command.mut_subcommands(plain)
}

fn quoted(text: &StyledStr) -> String {
    text.to_string().replace('`', "'")
}
