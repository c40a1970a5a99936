//! Habits of the code: file sizes, names, no silenced lint, no ignored test, no `todo!`.

use std::process::Command;

use super::source::{self, Source, root, rust_files, text_files};
use super::{Violation, check, refuses};

fn no_file_is_too_long(source: &Source) -> Vec<Violation> {
    let lines = source.code.len();
    let fix = "split it by what a reader looks for: `name.rs` and `name/part.rs`";
    let too_long = lines > 500;
    too_long
        .then(|| Violation::new(source, lines, format!("{lines} lines, 500 at most"), fix))
        .into_iter()
        .collect()
}

#[test]
fn files_stay_short_enough_to_read() {
    assert!(refuses(no_file_is_too_long, "src/long.rs", &"\n".repeat(501)));
    check(&rust_files(), no_file_is_too_long);
}

fn no_mod_rs(source: &Source) -> Vec<Violation> {
    let is_mod = source.stem() == "mod";
    is_mod
        .then(|| Violation::new(source, 1, "a mod.rs", "name it after its directory"))
        .into_iter()
        .collect()
}

#[test]
fn modules_are_named_files() {
    assert!(refuses(no_mod_rs, "src/web/mod.rs", ""));
    check(&rust_files(), no_mod_rs);
}

fn nothing_is_silenced_or_left_out(source: &Source) -> Vec<Violation> {
    let rules = [
        (
            "#[allow(",
            "use #[expect(lint, reason = \"…\")], which ends when its reason does",
        ),
        (
            "#![allow(",
            "use #![expect(lint, reason = \"…\")], which ends when its reason does",
        ),
        ("todo!(", "write it, or say in docs that it is not there"),
        ("unimplemented!(", "write it, or say in docs that it is not there"),
        (
            "#[ignore",
            "repair the test or remove it: nobody runs an ignored one",
        ),
        ("dbg!(", "use tracing"),
    ];
    let found = rules
        .into_iter()
        .flat_map(|(what, fix)| source.lines_with(what).map(move |line| (line, what, fix)));
    found
        .map(|(line, what, fix)| Violation::new(source, line, what, fix))
        .collect()
}

#[test]
fn no_lint_is_silenced_no_test_ignored_and_nothing_is_left_to_do() {
    let refused = |text: &str| refuses(nothing_is_silenced_or_left_out, "src/a.rs", text);
    assert!(refused("#[allow(dead_code)]") && refused("todo!()") && refused("#[ignore = \"slow\"]"));
    assert!(!refused("let text = \"todo!()\"; // #[allow("));
    check(&rust_files(), nothing_is_silenced_or_left_out);
}

fn tests_wait_for_signals(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("tests/") {
        return Vec::new();
    }
    let fix = "wait for what you mean: support::eventually, Aisha::line, a channel";
    source
        .lines_with("sleep(")
        .map(|line| Violation::new(source, line, "a test sleeps", fix))
        .collect()
}

#[test]
fn no_test_sleeps() {
    assert!(refuses(
        tests_wait_for_signals,
        "tests/a.rs",
        "tokio::time::sleep(one).await;"
    ));
    check(&rust_files(), tests_wait_for_signals);
}

fn work_stands_in_the_file_of_its_payload(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("jobs/src/") {
        return Vec::new();
    }
    let fix = "the work of a kind stands alone in jobs/src/work/<name of the kind>.rs, and its payload in payloads.rs";
    works_in(source)
        .filter_map(|(line, payload)| {
            let right = source.path == format!("jobs/src/work/{}.rs", snake(payload));
            (!right).then(|| Violation::new(source, line, format!("holds the work of `{payload}`"), fix))
        })
        .collect()
}

/// Line and payload of each `impl Run<…> for Payload`.
fn works_in(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(&source.code).filter_map(|(line, code)| {
        let (_, payload) = code.strip_prefix("impl Run<")?.split_once(" for ")?;
        Some((line, payload.trim_end_matches([' ', '{'])))
    })
}

fn snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_uppercase() && at > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[test]
fn each_work_stands_in_the_file_of_its_payload() {
    let rule = work_stands_in_the_file_of_its_payload;
    let work = "impl Run<Services> for PollStatus {";
    assert!(refuses(rule, "jobs/src/work/notify_user.rs", work));
    assert!(refuses(rule, "jobs/src/poll_status.rs", work));
    assert!(!refuses(rule, "jobs/src/work/poll_status.rs", work));
    let sources = rust_files();
    check(&sources, rule);
    // Checks that the rule still recognises the code's spelling: each kind has its work.
    let ours = sources
        .iter()
        .filter(|source| source.path.starts_with("jobs/src/"));
    assert_eq!(ours.flat_map(works_in).count(), jobs::kinds().count());
}

#[test]
fn each_kind_is_named_as_its_payload() {
    let text =
        std::fs::read_to_string(root().join("jobs/src/payloads.rs")).expect("the payloads can be read");
    let mut kinds = 0;
    for implementation in text.split("\nimpl Job for ").skip(1) {
        let payload = implementation.split(' ').next().unwrap_or_default();
        let name = implementation.split('"').nth(1).unwrap_or_default();
        assert_eq!(
            name,
            snake(payload),
            "renaming a kind is a migration: its NAME is stored in rows"
        );
        assert!(
            jobs::kinds().any(|kind| kind == name),
            "jobs of kind {name} are run by nobody: add {payload} to JOBS in jobs/src/work.rs"
        );
        kinds += 1;
    }
    assert!(kinds > 0, "payloads.rs holds no kind");
}

/// A `..` in a pattern of settings hides the setting that is added next: it would be
/// checked at the start and used nowhere.
fn settings_are_taken_whole(source: &Source) -> Vec<Violation> {
    let code = source.code.join("\n");
    let found = code.match_indices("Settings {").filter_map(|(at, name)| {
        let (inside, after) = code[at + name.len()..].split_once('}')?;
        let after = after.trim_start();
        let is_pattern = after.starts_with('=') && !after.starts_with("==");
        (is_pattern && inside.trim_end().ends_with("..")).then(|| code[..at].matches('\n').count() + 1)
    });
    let fix = "name every field, with `_` for what this place has no use for";
    found
        .map(|line| Violation::new(source, line, "settings taken apart with `..`", fix))
        .collect()
}

#[test]
fn no_settings_are_taken_apart_with_a_field_left_out() {
    let refused = |text: &str| refuses(settings_are_taken_whole, "src/a.rs", text);
    assert!(refused("let FalSettings { key, .. } = settings;"));
    assert!(refused(
        "match settings {\n    FalSettings {\n key,\n ..\n } => key,\n}"
    ));
    assert!(!refused("let FalSettings { key, url: _ } = settings;"));
    assert!(!refused("FalSettings { key, ..Self::nowhere() }"));
    check(&rust_files(), settings_are_taken_whole);
}

fn migrations_are_crash_safe(source: &Source) -> Vec<Violation> {
    let fix = "an unlogged table is empty after a crash of the server: make it a logged one";
    let lines = source.code.iter().enumerate();
    let found = lines.filter(|(_, line)| {
        let statement = line.split("--").next().unwrap_or_default();
        source::has_word(&statement.to_lowercase(), "unlogged")
    });
    found
        .map(|(index, _)| Violation::new(source, index + 1, "an unlogged table", fix))
        .collect()
}

#[test]
fn no_table_is_unlogged() {
    assert!(!migrations_are_crash_safe(&Source::text("m.sql", "create UNLOGGED table t ();")).is_empty());
    assert!(migrations_are_crash_safe(&Source::text("m.sql", "-- never unlogged")).is_empty());
    check(&text_files(&["migrations"], "sql"), migrations_are_crash_safe);
}

#[test]
fn the_top_level_holds_only_the_agreed_names() {
    let agreed = [
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "Procfile",
        "README.md",
        "benches",
        "bin",
        "config",
        "docs",
        "jobs",
        "migrations",
        "rust-toolchain.toml",
        "src",
        "tests",
    ];
    // Only files that git tracks, so that a developer's own files do no harm. A copy without git is not checked.
    let listed = Command::new("git")
        .args(["ls-tree", "--name-only", "HEAD"])
        .current_dir(root())
        .output();
    let names: Vec<String> = match listed {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout)
            .lines()
            .map(str::to_owned)
            .collect(),
        _ => {
            let entries = std::fs::read_dir(root()).expect("the root").flatten();
            let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
            names.filter(|name| name != "target").collect()
        }
    };
    let strangers: Vec<&String> = names
        .iter()
        .filter(|name| !name.starts_with('.') && !agreed.contains(&name.as_str()))
        .collect();
    assert!(
        strangers.is_empty(),
        "{strangers:?} at the top level\n    fix: move it below one of {agreed:?}"
    );
    let scripts = std::fs::read_dir(root().join("bin")).map_or(0, Iterator::count);
    assert!(
        scripts <= 3,
        "bin/ holds {scripts} scripts\n    fix: three at most; make it a verb of `aisha`"
    );
}
