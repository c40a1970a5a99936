//! References resolve: each mark, section or document that a text names can be found in `docs/`.
//!
//! * A mark is a capital letter and a number, as `K12`. Its letter determines the page that explains it, in a row
//!   that begins with it (`| K12 |`) or a heading (`### K12 …`). Exactly one place of that page explains it.
//! * A section is a page and a number, as `fal.md 6.3`. The page has a heading that begins with that number.
//! * A document is a name that ends in `.md`. It exists, under that path or in some directory.
//! * A link of a Markdown page leads to a file of the repository, and its `#fragment` to a heading there. A path
//!   between backticks that begins with a directory of the repository exists, from the root or from the page.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, all_texts, root};
use super::{Violation, check};

/// The page that explains the marks of a letter.
const FAMILIES: [(char, &str); 6] = [
    ('D', "docs/incumbent-defects.md"),
    ('I', "docs/chaos.md"),
    ('K', "docs/decisions.md"),
    ('M', "docs/decisions.md"),
    ('Q', "docs/queue.md"),
    ('W', "docs/webhooks.md"),
];

/// Names that look like marks: stores, a type of numbers, markers of a JPEG.
const NAMES: [&str; 5] = ["S3", "R2", "F16", "C4", "C8"];

/// Everything that the pages explain.
struct Pages {
    /// For each mark, the places that explain it: page and line.
    marks: BTreeMap<String, Vec<(String, usize)>>,
    /// All numbered headings: page and number.
    sections: BTreeSet<(String, String)>,
    /// All headings, in the form in which links name them: page and fragment.
    fragments: BTreeSet<(String, String)>,
    /// The paths of all Markdown files.
    documents: BTreeSet<String>,
}

impl Pages {
    fn read(sources: &[Source]) -> Self {
        let mut pages = Self {
            marks: BTreeMap::new(),
            sections: BTreeSet::new(),
            fragments: BTreeSet::new(),
            documents: BTreeSet::new(),
        };
        for source in sources.iter().filter(|source| is_markdown(&source.path)) {
            pages.documents.insert(source.path.clone());
            for (line, heading) in headings(source) {
                let page = source.path.clone();
                pages.fragments.insert((page.clone(), fragment(heading)));
                let first = heading.split([' ', ':']).next().unwrap_or_default();
                if let Some(number) = section_at_the_start_of(first) {
                    pages.sections.insert((page, number.to_owned()));
                } else {
                    pages.explain(first, page, line);
                }
            }
            for (index, row) in source.prose.iter().enumerate() {
                let first = row.strip_prefix('|').and_then(|row| row.split('|').next());
                pages.explain(first.unwrap_or_default().trim(), source.path.clone(), index + 1);
            }
        }
        pages
    }

    /// Records that `page` explains `mark`, if it is a mark and belongs to that page.
    fn explain(&mut self, mark: &str, page: String, line: usize) {
        let is_mark = marks_in(mark).next() == Some(mark);
        if is_mark && page_of(mark) == Some(page.as_str()) {
            self.marks.entry(mark.to_owned()).or_default().push((page, line));
        }
    }

    /// The document that `from` means by `name`.
    fn document(&self, from: &str, name: &str) -> Option<&str> {
        let beside = from.rsplit_once('/').map_or_else(
            || name.to_owned(),
            |(directory, _)| normalised(&format!("{directory}/{name}")),
        );
        let exact = self.documents.get(&beside);
        let named = || {
            let name = name.trim_start_matches("../").trim_start_matches("./");
            self.documents.iter().find(|path| {
                path.strip_suffix(name)
                    .is_some_and(|before| before.is_empty() || before.ends_with('/'))
            })
        };
        exact.or_else(named).map(String::as_str)
    }
}

fn is_markdown(path: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, extension)| extension == "md")
}

/// Line and text of each heading of a page.
fn headings(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    source.prose.iter().enumerate().filter_map(move |(index, line)| {
        fenced ^= line.trim_start().starts_with("```");
        let text = line.trim_start_matches('#');
        (!fenced && text.len() < line.len() && text.starts_with(' ')).then_some((index + 1, text.trim()))
    })
}

/// The fragment that GitHub makes of a heading.
fn fragment(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c })
        .collect::<String>()
        .to_lowercase()
}

fn page_of(mark: &str) -> Option<&'static str> {
    let letter = mark.chars().next()?;
    let family = FAMILIES.iter().find(|(family, _)| *family == letter)?;
    Some(family.1)
}

/// The marks in a line. A word alone between quotes is data, and one after `::` is a name in the code.
fn marks_in(line: &str) -> impl Iterator<Item = &str> {
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '"' | '\'' | '-');
    line.char_indices().filter_map(move |(at, letter)| {
        let rest = &line[at + letter.len_utf8()..];
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let before = line[..at].chars().next_back();
        let after = rest[digits..].chars().next();
        // `W3-W7` is a range of marks.
        let begins = before.is_none_or(|c| !in_word(c) || (c == '-' && ends_in_digit(&line[..at - 1])));
        let ends = after.is_none_or(|c| !c.is_alphanumeric() && c != '_');
        let is_mark = letter.is_ascii_uppercase() && (1..=2).contains(&digits) && begins && ends;
        is_mark.then(|| &line[at..=at + digits])
    })
}

fn ends_in_digit(text: &str) -> bool {
    text.ends_with(|c: char| c.is_ascii_digit())
}

/// `6.3` of `6.3`, `6.3.` and `6`.
fn section_at_the_start_of(text: &str) -> Option<&str> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let number = text[..end].trim_end_matches('.');
    (!number.is_empty() && number.starts_with(|c: char| c.is_ascii_digit())).then_some(number)
}

/// Name and sections of each document that a line names: `fal.md 1.5, 1.6`.
fn documents_in(line: &str) -> Vec<(&str, Vec<&str>)> {
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    let mut found = Vec::new();
    for (at, _) in line.match_indices(".md") {
        let rest = &line[at + 3..];
        let start = line[..at].rfind(|c| !in_name(c)).map_or(0, |before| {
            before + line[before..].chars().next().map_or(1, char::len_utf8)
        });
        // An address, a pattern, or a string in a program.
        let elsewhere = line[..start].ends_with(['"', ':']) || rest.starts_with(in_name_or_glob);
        if start == at || elsewhere {
            continue;
        }
        let mut sections = Vec::new();
        let mut rest = rest;
        while let Some(number) = rest
            .strip_prefix(' ')
            .or_else(|| rest.strip_prefix(", "))
            .and_then(section_at_the_start_of)
        {
            sections.push(number);
            let end = number.as_ptr() as usize + number.len() - line.as_ptr() as usize;
            rest = &line[end..];
        }
        found.push((&line[start..at + 3], sections));
    }
    found
}

fn in_name_or_glob(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '/' | '*')
}

/// Every reference of a text that no page explains.
fn unresolved(source: &Source, pages: &Pages) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut refuse =
        |line: usize, what: String, fix: &str| violations.push(Violation::new(source, line, what, fix));
    for (index, line) in source.prose.iter().enumerate() {
        for mark in marks_in(line).filter(|mark| !NAMES.contains(mark)) {
            match page_of(mark) {
                None => refuse(
                    index + 1,
                    format!("the mark {mark} is of no list"),
                    "say the fact itself",
                ),
                Some(page) if !pages.marks.contains_key(mark) => refuse(
                    index + 1,
                    format!("{page} does not explain {mark}"),
                    "explain it there, or say the fact itself",
                ),
                Some(_) => {}
            }
        }
        for (name, sections) in documents_in(line) {
            let Some(page) = pages.document(&source.path, name) else {
                refuse(
                    index + 1,
                    format!("there is no {name}"),
                    "name a page of docs/, or say the fact itself",
                );
                continue;
            };
            for number in sections {
                if !pages.sections.contains(&(page.to_owned(), number.to_owned())) {
                    refuse(
                        index + 1,
                        format!("{page} has no section {number}"),
                        "name the section that says it",
                    );
                }
            }
        }
    }
    violations
}

/// Marks that are explained in two places.
fn explained_twice(pages: &Pages) -> Vec<String> {
    let twice = pages.marks.iter().filter(|(_, places)| places.len() > 1);
    twice
        .map(|(mark, places)| format!("{mark} is explained in {places:?}"))
        .collect()
}

/// Links and paths of a page that lead nowhere.
fn dead_links(source: &Source, pages: &Pages) -> Vec<Violation> {
    let mut violations = Vec::new();
    let directory = source
        .path
        .rsplit_once('/')
        .map_or("", |(directory, _)| directory);
    for (index, line) in source.prose.iter().enumerate() {
        for target in links(line).filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() {
                source.path.clone()
            } else {
                normalised(&format!("{directory}/{file}"))
            };
            let exists = root().join(&path).exists()
                && (heading.is_empty() || pages.fragments.contains(&(path, heading.to_owned())));
            if !exists {
                let what = format!("links to {target}, which is not there");
                violations.push(Violation::new(source, index + 1, what, "link to where it is now"));
            }
        }
        for path in line.split('`').skip(1).step_by(2).filter(|text| is_path(text)) {
            let beside = root().join(directory).join(path);
            if !root().join(path).exists() && !beside.exists() {
                let what = format!("names `{path}`, which is not there");
                violations.push(Violation::new(source, index + 1, what, "name where it is now"));
            }
        }
    }
    violations
}

/// Targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
}

/// Whether it is a path of the repository, not a pattern of several.
fn is_path(text: &str) -> bool {
    let directories = [
        "benches/",
        "bin/",
        "config/",
        "docs/",
        "jobs/",
        "migrations/",
        "src/",
        "tests/",
    ];
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-');
    directories.iter().any(|directory| text.starts_with(directory)) && text.chars().all(plain)
}

/// The path without `.` and `..`.
fn normalised(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Without this directory, which shows how references are written, and without change logs and test
/// inputs, which name things of elsewhere.
fn sources() -> Vec<Source> {
    let mut sources = all_texts();
    let apart = ["tests/architecture/", "tests/cases/", "CHANGELOG.md"];
    sources.retain(|source| !apart.iter().any(|path| source.path.starts_with(path)));
    sources
}

#[test]
fn marks_sections_and_documents_are_read() {
    let marks = |line| marks_in(line).collect::<Vec<_>>();
    assert_eq!(
        marks("as K12 and (W3-W7), D1-D20."),
        ["K12", "W3", "W7", "D1", "D20"]
    );
    assert!(marks("W3C, IpAddr::V4, \"I64\", UTF-8, SHA256, T.81, K123, q01_x").is_empty());
    let documents = documents_in("see docs/fal.md 1.5, 1.6, `queue.md`, https://fal.ai/llms.md");
    assert_eq!(
        documents,
        [("docs/fal.md", vec!["1.5", "1.6"]), ("queue.md", Vec::new())]
    );
    assert_eq!(fragment("Deliberately not here"), "deliberately-not-here");
}

#[test]
fn what_no_page_explains_is_refused() {
    let pages = Pages::read(&[
        Source::text(
            "docs/decisions.md",
            "### K1: one\n| M2 | two |\n| Q1 | not this page's |",
        ),
        Source::text(
            "docs/fal.md",
            "## 6. Money\n### 6.3 Not twice\n```\n# 7 no heading\n```",
        ),
    ]);
    let refused = |text: &str| !unresolved(&Source::text("src/a.rs", text), &pages).is_empty();
    for text in [
        "as K2",
        "as Q1",
        "as E9",
        "(fal.md 6.2)",
        "fal.md 7",
        "fal.md 6.3, 6.4",
        "decisions.md K9",
        "papers.md",
    ] {
        assert!(refused(text), "{text}");
    }
    for text in [
        "as K1 (M2)",
        "fal.md 6.3",
        "docs/fal.md 6, 6.3",
        "an S3 store",
        "no mark",
    ] {
        assert!(!refused(text), "{text}");
    }
    let twice = Source::text("docs/queue.md", "| Q1 | one |\n| Q1 | two |");
    assert_eq!(explained_twice(&Pages::read(&[twice])).len(), 1);
}

#[test]
fn a_link_to_nothing_is_refused() {
    let page = Source::text(
        "docs/queue.md",
        "# A b\n[x](architecture.md) [y](#a-b) [z](../src/lib.rs) `src/lib.rs`",
    );
    let pages = Pages::read(std::slice::from_ref(&page));
    assert!(dead_links(&page, &pages).is_empty());
    for text in [
        "[x](nothing.md)",
        "[y](#nothing)",
        "[z](../src/nothing.rs)",
        "`src/nothing.rs`",
    ] {
        let page = Source::text("docs/queue.md", text);
        assert_eq!(dead_links(&page, &pages).len(), 1, "{text}");
    }
}

#[test]
fn every_mark_and_every_section_is_explained_in_docs() {
    let sources = sources();
    let pages = Pages::read(&sources);
    assert_eq!(explained_twice(&pages), [""; 0]);
    check(&sources, |source| unresolved(source, &pages));
}

#[test]
fn every_link_of_a_page_leads_somewhere() {
    let sources = sources();
    let pages = Pages::read(&sources);
    let markdown: Vec<Source> = sources
        .into_iter()
        .filter(|source| is_markdown(&source.path))
        .collect();
    check(&markdown, |source| dead_links(source, &pages));
}
