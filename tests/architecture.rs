//! The walls between the layers and the habits of the code, as tests. Each failure
//! names the file, the line and the fix.
//!
//! A rule is a function from a source to violations, so that each rule is itself tested on a text that breaks it: a
//! rule that was never seen to refuse anything proves nothing.

mod alerts;
mod habits;
mod names;
mod proofs;
mod references;
mod source;
mod walls;

use std::fmt;

use source::Source;

/// One broken rule: what is wrong, where, and how to fix it.
pub struct Violation(String);

impl Violation {
    fn new(source: &Source, line: usize, what: impl fmt::Display, fix: &str) -> Self {
        Self(format!("{}:{line}: {what}\n    fix: {fix}", source.path))
    }
}

fn assert_none(violations: Vec<Violation>) {
    let text: Vec<String> = violations.into_iter().map(|violation| violation.0).collect();
    assert!(text.is_empty(), "\n{}\n", text.join("\n"));
}

fn check(sources: &[Source], rule: impl Fn(&Source) -> Vec<Violation>) {
    assert!(!sources.is_empty(), "the rule looked at no file");
    assert_none(sources.iter().flat_map(rule).collect());
}

/// Whether `rule` refuses `text` as the content of `path`.
fn refuses(rule: impl Fn(&Source) -> Vec<Violation>, path: &str, text: &str) -> bool {
    !rule(&Source::rust(path, text)).is_empty()
}

fn is_below(path: &str, module: &str) -> bool {
    path.strip_prefix(module)
        .is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}
