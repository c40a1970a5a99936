//! How the code is written: sizes, names, nothing silenced, nothing left to do.

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

fn a_job_is_named_like_its_file(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("jobs/src/") {
        return Vec::new();
    }
    // Strings are blanked in the code, so the name is looked for in the text itself.
    let fix = "one job, one file: rename the file; the NAME is stored in rows, renaming it is a migration";
    let text = std::fs::read_to_string(root().join(&source.path)).unwrap_or_default();
    wrongly_named(source.stem(), &text)
        .map(|(line, name)| Violation::new(source, line, format!("holds the job `{name}`"), fix))
        .collect()
}

fn wrongly_named<'a>(stem: &'a str, text: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let implementations = text.split("\nimpl Job for ").skip(1);
    implementations.filter_map(move |implementation| {
        let name = implementation.split_once("const NAME")?.1.split('"').nth(1)?;
        let line = text[..implementation.as_ptr() as usize - text.as_ptr() as usize]
            .lines()
            .count()
            + 1;
        (name != stem).then_some((line, name))
    })
}

#[test]
fn each_job_lives_in_the_file_of_its_name() {
    let text = "\nimpl Job for X {\n    const NAME: &'static str = \"poll_status\";\n}";
    assert_eq!(wrongly_named("notify_user", text).count(), 1);
    assert_eq!(wrongly_named("poll_status", text).count(), 0);
    check(&rust_files(), a_job_is_named_like_its_file);
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
    // What git tracks, so that a developer's own files do no harm; a copy without git is taken as it is.
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
