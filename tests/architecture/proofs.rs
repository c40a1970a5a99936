//! Promises name their proofs: a sentence that names a test must name one that exists.
//!
//! Comments, SQL and Markdown name a test in five ways: `` proven by `a_test` `` (more joined by "," or "and");
//! `tests::a_test`; a bullet that ends in `` — `a_test` ``; the column "proven by" of a table, where a path must
//! exist too; and any name of six words or more, since only tests and metrics have such names. A name that ends in
//! `…` means all tests that begin so.

use std::collections::BTreeSet;

use super::source::{Source, root, rust_files, text_files};
use super::{Violation, check};

/// The names of all test functions.
pub(super) fn tests_in(sources: &[Source]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources {
        let mut is_test = false;
        for line in source.code.iter().map(|line| line.trim()) {
            if line.starts_with("#[") {
                is_test |=
                    line.starts_with("#[test]") || line.contains("::test]") || line.contains("::test(");
            } else if let Some(name) = function_named_in(line) {
                if is_test {
                    names.insert(name.to_owned());
                }
                is_test = false;
            }
        }
    }
    names
}

/// Every promise whose proof does not exist.
fn broken_promises(source: &Source, tests: &BTreeSet<String>) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (line, proof) in promises(&source.prose) {
        let exists = if proof.contains('/') {
            root().join(&proof).exists()
        } else if let Some(beginning) = proof.strip_suffix('…') {
            tests.iter().any(|name| name.starts_with(beginning))
        } else {
            tests.contains(&proof)
        };
        if !exists {
            let what = format!("promises the proof `{proof}`, which does not exist");
            violations.push(Violation::new(
                source,
                line,
                what,
                "name the test that proves it, or write that test",
            ));
        }
    }
    violations
}

/// Line and proof of every promise.
fn promises(prose: &[String]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut column = None;
    for (index, line) in prose.iter().enumerate() {
        let text = line.trim();
        found.extend(
            quoted(text)
                .filter(|name| is_a_sentence(name))
                .map(|name| (index + 1, name.to_owned())),
        );
        if text.starts_with('|') {
            let cells: Vec<&str> = text.split('|').collect();
            column = column.or_else(|| {
                cells
                    .iter()
                    .position(|cell| cell.trim().eq_ignore_ascii_case("proven by"))
            });
            let cell = column
                .and_then(|column| cells.get(column))
                .copied()
                .unwrap_or_default();
            found.extend(
                quoted(cell)
                    .filter(|name| looks_like_a_proof(name))
                    .map(|name| (index + 1, name.to_owned())),
            );
            continue;
        }
        column = None;
        let last = text
            .trim_end_matches(['.', ';', ','])
            .rsplit_once("— `")
            .and_then(|(_, end)| end.strip_suffix('`'));
        found.extend(
            last.filter(|name| looks_like_a_proof(name))
                .map(|name| (index + 1, name.to_owned())),
        );
        for (at, _) in text.match_indices("tests::") {
            let name: String = text[at + 7..]
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if at == 0 || !text[..at].ends_with("::") {
                found.push((index + 1, name));
            }
        }
        if let Some((_, after)) = text.split_once("proven by") {
            // The sentence may continue in the next line.
            let after = format!("{after} {}", prose.get(index + 1).map_or("", |next| next.trim()));
            found.extend(enumerated(&after).into_iter().map(|name| (index + 1, name)));
        }
    }
    found
}

/// The names at the start of `text`: `` `a`, `b` and `c` ``.
fn enumerated(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim_start_matches([' ', ':']);
    while let Some((name, after)) = rest.strip_prefix('`').and_then(|opened| opened.split_once('`')) {
        names.push(name.to_owned());
        rest = after.trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest).trim_start();
    }
    names
}

/// The texts between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Whether it is a name of six words or more, and no metric.
fn is_a_sentence(name: &str) -> bool {
    name.split('_').filter(|word| !word.is_empty()).count() >= 6
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with("aisha_")
}

/// Whether it is an identifier of several words, or a path of the repository.
fn looks_like_a_proof(name: &str) -> bool {
    let identifier = name.contains('_')
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '…'));
    identifier || name.starts_with("tests/") || name.starts_with("jobs/") || name.starts_with("src/")
}

fn function_named_in(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub ").unwrap_or(line);
    let line = line.strip_prefix("async ").unwrap_or(line);
    let name = line.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .next()
}

#[test]
fn each_way_to_name_a_proof_is_read() {
    let prose = [
        "A promise, proven by `one_test`, `two_test` and",
        "`three_test`. Then `not_a_proof`.",
        "* it holds — `four_test`;",
        "see tests::five_test",
        "| promise | proven by |",
        "| x | `six_test`, and `tests/seven.rs`, not `SomeType` |",
        "| y `not_this_column` | `eight_…` |",
        "The rule (`a_name_of_six_words_or_more`) holds, `aisha_a_metric_is_not_a_test` aside.",
    ];
    let prose: Vec<String> = prose.iter().map(ToString::to_string).collect();
    let names: Vec<String> = promises(&prose).into_iter().map(|(_, name)| name).collect();
    let expected = [
        "one_test",
        "two_test",
        "three_test",
        "four_test",
        "five_test",
        "six_test",
        "tests/seven.rs",
        "eight_…",
        "a_name_of_six_words_or_more",
    ];
    assert_eq!(names, expected);
}

#[test]
fn only_functions_marked_as_tests_are_proofs() {
    let text = "#[test]\n#[cfg(unix)]\nfn a_test() {}\nfn no_test() {}\n#[tokio::test(flavor = \"x\")]\nasync fn b_test() {}";
    let tests = tests_in(&[Source::rust("a.rs", text)]);
    assert_eq!(tests.into_iter().collect::<Vec<_>>(), ["a_test", "b_test"]);
}

#[test]
fn each_promise_names_a_proof_that_exists() {
    let mut sources = rust_files();
    let tests = tests_in(&sources);
    let invented = Source::rust("src/a.rs", "//! It holds, proven by `a_test_that_nobody_wrote`.");
    assert!(!broken_promises(&invented, &tests).is_empty());
    // This directory shows how promises are written, with names of tests that do not exist.
    sources.retain(|source| !source.path.starts_with("tests/architecture"));
    sources.extend(text_files(
        &["docs", "jobs", "migrations", "tests", "benches"],
        "md",
    ));
    sources.extend(text_files(&["migrations"], "sql"));
    sources.extend(text_files(&["config"], "toml"));
    check(&sources, |source| broken_promises(source, &tests));
}
