//! The command line: every verb explains itself.

use std::{collections::VecDeque, process::Command};

fn help(arguments: &[String]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_aisha"));
    let output = command
        .env_clear()
        .args(arguments)
        .arg("--help")
        .output()
        .expect("run aisha");
    assert!(output.status.success(), "{arguments:?} --help failed");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The names below "Commands:" in a help text.
fn verbs_in(help: &str) -> Vec<String> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let list = list
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    list.filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_verb_has_an_example_in_its_help() {
    let mut seen = Vec::new();
    let mut waiting = VecDeque::from([Vec::new()]);
    while let Some(path) = waiting.pop_front() {
        let help = help(&path);
        let verbs = verbs_in(&help);
        assert!(
            !help.contains('`'),
            "`aisha {}` shows Markdown:\n{help}",
            path.join(" ")
        );
        assert!(
            help.contains("Example") || !verbs.is_empty(),
            "`aisha {}` has no example:\n{help}",
            path.join(" ")
        );
        waiting.extend(verbs.into_iter().map(|verb| [&path[..], &[verb]].concat()));
        seen.push(path.join(" "));
    }
    let expected = [
        "bot",
        "web",
        "worker",
        "migrate",
        "avatars status",
        "jobs list",
        "jobs show",
        "jobs cancel",
        "dlq list",
        "dlq show",
        "dlq retry",
        "dlq drop",
        "queues list",
        "queues pause",
        "queues resume",
        "queues limit",
        "queues log",
        "config check",
        "config show",
    ];
    for verb in expected {
        assert!(
            seen.iter().any(|path| path == verb),
            "`aisha {verb}` is not among {seen:?}"
        );
    }
}

#[cfg(not(feature = "chaos"))]
#[test]
fn a_build_without_the_feature_cannot_inject_faults() {
    let run = Command::new(env!("CARGO_BIN_EXE_aisha"))
        .env_clear()
        .args(["chaos", "run"])
        .output()
        .expect("run aisha");
    assert_eq!(run.status.code(), Some(2), "{run:?}");
    assert!(!help(&[]).contains("chaos"));
}

#[test]
fn the_help_says_what_exit_codes_mean() {
    let help = help(&[]);
    for code in ["0", "1", "2", "69", "78"] {
        assert!(
            help.lines().any(|line| line.trim_start().starts_with(code)),
            "{code} is not in:\n{help}"
        );
    }
}
