//! One type name stands for one thing, so that a search for the name finds that thing.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, rust_files};
use super::{Violation, assert_none};

/// Names that stand in more than one file, and why they may.
const SHARED: &[(&str, &str)] = &[
    (
        "Context",
        "a run's view: the product's is the engine's, with the product's services in it",
    ),
    (
        "Inner",
        "Rust's custom for what the clones of a handle share; private to its file",
    ),
    ("Result", "Rust's custom for a module's alias with its own error"),
];

/// The types that a file defines outside its tests: name and line.
fn definitions(source: &Source) -> Vec<(&str, usize)> {
    let is_test_module = |line: &&String| line.trim_start().starts_with("mod tests {");
    let code = source.code.iter().take_while(|line| !is_test_module(line));
    code.enumerate()
        .filter_map(|(index, line)| Some((defined(line)?, index + 1)))
        .collect()
}

/// The type that this line defines. `type` counts at the beginning of a line alone: below it belongs to a trait or an
/// impl, where the trait chose the name.
fn defined(line: &str) -> Option<&str> {
    let item = line.trim_start();
    let item = item.strip_prefix("pub").map_or(item, |public| {
        let public = public.trim_start();
        match public.strip_prefix('(') {
            Some(scope) => scope
                .split_once(')')
                .map_or(public, |(_, item)| item.trim_start()),
            None => public,
        }
    });
    let item = item.strip_prefix("unsafe ").unwrap_or(item);
    let (keyword, rest) = item.split_once(' ')?;
    let is_definition = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => !line.starts_with(' '),
        _ => false,
    };
    let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &rest[..end.unwrap_or(rest.len())];
    (is_definition && name.starts_with(char::is_uppercase)).then_some(name)
}

/// Whether the file is product code. The simulators use the words of the services that they imitate, and an example or
/// a test has names of its own.
fn counts(source: &Source) -> bool {
    let is_product = source.path.starts_with("src/") || source.path.starts_with("jobs/");
    let is_apart = ["src/simulators/", "/examples/", "/tests/"]
        .iter()
        .any(|part| source.path.contains(part));
    is_product && !is_apart && source.stem() != "tests"
}

/// Where each type name is defined.
fn names(sources: &[Source]) -> BTreeMap<&str, Vec<(&Source, usize)>> {
    let mut names: BTreeMap<&str, Vec<(&Source, usize)>> = BTreeMap::new();
    for source in sources.iter().filter(|source| counts(source)) {
        for (name, line) in definitions(source) {
            names.entry(name).or_default().push((source, line));
        }
    }
    names
}

fn files(places: &[(&Source, usize)]) -> usize {
    let paths: BTreeSet<&str> = places.iter().map(|(source, _)| source.path.as_str()).collect();
    paths.len()
}

fn a_name_stands_once(sources: &[Source], shared: &[(&str, &str)]) -> Vec<Violation> {
    let names = names(sources);
    let twice = names
        .iter()
        .filter(|(name, places)| files(places) > 1 && !shared.iter().any(|(shared, _)| shared == *name));
    twice
        .flat_map(|(name, places)| {
            let (first, _) = places[0];
            places.iter().skip(1).map(move |(source, line)| {
                let what = format!("the type name {name} stands in {} already", first.path);
                Violation::new(
                    source,
                    *line,
                    what,
                    "name the less central of the two by what it holds",
                )
            })
        })
        .collect()
}

#[test]
fn a_type_name_stands_for_one_thing() {
    let sources = |texts: [(&str, &str); 2]| texts.map(|(path, text)| Source::rust(path, text));
    let found = |texts| a_name_stands_once(&sources(texts), &[]).len();
    for text in [
        "struct A;",
        "    pub(super) enum A {",
        "pub type A = u8;",
        "pub trait A: Sized {",
        "pub struct A<T>(T);",
    ] {
        assert_eq!(
            found([("src/a.rs", "pub struct A {"), ("jobs/src/b.rs", text)]),
            1,
            "{text}"
        );
    }
    for text in [
        "struct Aa;",
        "    type A = u8;",
        "// struct A;",
        "let a = \"struct A;\";",
        "mod tests {\n    struct A;",
    ] {
        assert_eq!(
            found([("src/a.rs", "pub struct A {"), ("jobs/src/b.rs", text)]),
            0,
            "{text}"
        );
    }
    for path in [
        "src/a.rs",
        "src/simulators/fal.rs",
        "src/a/tests.rs",
        "jobs/queue/examples/b.rs",
        "tests/b.rs",
    ] {
        assert_eq!(
            found([("src/a.rs", "struct A;"), (path, "struct A;")]),
            0,
            "{path}"
        );
    }
    let excused = a_name_stands_once(
        &sources([("src/a.rs", "struct A;"), ("src/b.rs", "struct A;")]),
        &[("A", "why")],
    );
    assert!(excused.is_empty());

    let sources = rust_files();
    let names = names(&sources);
    assert!(names.len() > 500, "only {} type names were found", names.len());
    for (shared, _) in SHARED {
        let places = names.get(shared).map_or(0, |places| files(places));
        assert!(
            places > 1,
            "{shared} stands in {places} files: strike it from the exceptions"
        );
    }
    assert_none(a_name_stands_once(&sources, SHARED));
}
