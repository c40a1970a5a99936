//! The repository's files as the rules see them: Rust code and comments apart, strings blanked.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// One text file.
pub struct Source {
    /// The path from the root of the repository, with `/`.
    pub path: String,
    /// For Rust the code alone, with strings and comments blanked; otherwise the whole text.
    pub code: Vec<String>,
    /// For Rust the comments alone, without their marks; otherwise the whole text.
    pub prose: Vec<String>,
}

impl Source {
    /// Splits a Rust file into code and comments.
    pub fn rust(path: &str, text: &str) -> Self {
        let (code, prose) = split(text);
        Self {
            path: path.to_owned(),
            code,
            prose,
        }
    }

    /// Takes any other file as it is.
    pub fn text(path: &str, text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Self {
            path: path.to_owned(),
            code: lines.clone(),
            prose: lines,
        }
    }

    /// Line numbers (from 1) of the code with `pattern`, as whole words at both of its ends.
    pub fn lines_with(&self, pattern: &str) -> impl Iterator<Item = usize> {
        self.code
            .iter()
            .enumerate()
            .filter(move |(_, line)| has_word(line, pattern))
            .map(|(index, _)| index + 1)
    }

    /// Line numbers of the code that names the crate `name`, in a path or a `use`;
    /// a module of that name does not count.
    pub fn lines_naming_crate(&self, name: &str) -> impl Iterator<Item = usize> {
        self.code
            .iter()
            .enumerate()
            .filter(move |(_, line)| {
                words(line, name).any(|at| {
                    let (before, after) = (line[..at].trim_end(), line[at + name.len()..].trim_start());
                    let outermost = !before.ends_with("::") || before == "::" || before.ends_with(" ::");
                    let used =
                        before.ends_with("use") || before.ends_with("crate") || before.ends_with("(::");
                    outermost && (after.starts_with("::") || used)
                })
            })
            .map(|(index, _)| index + 1)
    }

    /// The file's name without directories and extension.
    pub fn stem(&self) -> &str {
        Path::new(&self.path)
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or_default()
    }
}

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file of the workspace and of `benches/`.
pub fn rust_files() -> Vec<Source> {
    files(&["src", "jobs", "tests", "benches"], "rs")
        .into_iter()
        .map(|(path, text)| Source::rust(&path, &text))
        .collect()
}

/// Every file with this extension below these directories, and directly in the root.
pub fn text_files(directories: &[&str], extension: &str) -> Vec<Source> {
    files(directories, extension)
        .into_iter()
        .map(|(path, text)| Source::text(&path, &text))
        .collect()
}

/// Every file that people write, in any language. Comments and strings of Rust are included.
pub fn all_texts() -> Vec<Source> {
    let directories = [
        ".ci",
        ".github",
        "benches",
        "bin",
        "config",
        "docs",
        "jobs",
        "migrations",
        "src",
        "tests",
    ];
    let written_by_people = |path: &Path| {
        let generated = ["lock", "svg", "json"].map(OsStr::new);
        !path
            .extension()
            .is_some_and(|extension| generated.contains(&extension))
    };
    let texts = paths(&directories).into_iter().filter_map(|path| {
        let text = written_by_people(&path).then(|| fs::read_to_string(&path))?;
        // A file that is not UTF-8 is a photo.
        Some(Source::text(&relative(&path), &text.ok()?))
    });
    texts.collect()
}

fn files(directories: &[&str], extension: &str) -> Vec<(String, String)> {
    let mut found = paths(directories);
    found.retain(|path| path.extension().is_some_and(|found| found == extension));
    found
        .into_iter()
        .map(|path| {
            let relative = relative(&path);
            let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{relative}: {error}"));
            (relative, text)
        })
        .collect()
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root())
        .expect("below the root")
        .to_string_lossy()
        .replace('\\', "/")
}

/// Every file below these directories, and directly in the root.
fn paths(directories: &[&str]) -> Vec<PathBuf> {
    let mut open: Vec<PathBuf> = directories
        .iter()
        .map(|directory| root().join(directory))
        .collect();
    let in_root = entries(root()).into_iter().filter(|path| path.is_file());
    let mut paths: Vec<PathBuf> = in_root.collect();
    while let Some(directory) = open.pop() {
        for path in entries(&directory) {
            if path.is_dir()
                && path
                    .file_name()
                    .is_some_and(|name| name != "target" && name != "node_modules")
            {
                open.push(path);
            } else {
                paths.push(path);
            }
        }
    }
    paths.sort();
    paths
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory).into_iter().flatten().flatten();
    listed.map(|entry| entry.path()).collect()
}

/// Whether `pattern` occurs with no letter of an identifier on either side of it.
pub fn has_word(line: &str, pattern: &str) -> bool {
    words(line, pattern).next().is_some()
}

fn words<'a>(line: &'a str, pattern: &'a str) -> impl Iterator<Item = usize> + 'a {
    let in_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(pattern).map(|(at, _)| at).filter(move |&at| {
        let (first, last) = (pattern.chars().next(), pattern.chars().last());
        let before = in_word(first) && in_word(line[..at].chars().next_back());
        let after = in_word(last) && in_word(line[at + pattern.len()..].chars().next());
        !before && !after
    })
}

/// The state of the scanner.
#[derive(Clone, Copy)]
enum State {
    Code,
    LineComment,
    /// How deeply comments are nested.
    BlockComment(usize),
    Text,
    /// How many `#` close it.
    RawText(usize),
}

/// What one step adds to the current line.
enum Found {
    Code(char),
    Prose(char),
    Nothing,
}

/// Code and comments of a Rust text, line by line.
fn split(text: &str) -> (Vec<String>, Vec<String>) {
    let (mut code, mut prose) = (vec![String::new()], vec![String::new()]);
    let chars: Vec<char> = text.chars().collect();
    let (mut rest, mut state) = (chars.as_slice(), State::Code);
    while let Some(first) = rest.first() {
        let taken = if *first == '\n' {
            code.push(String::new());
            prose.push(String::new());
            if matches!(state, State::LineComment) {
                state = State::Code;
            }
            1
        } else {
            let (code, prose) = (
                code.last_mut().expect("a line"),
                prose.last_mut().expect("a line"),
            );
            let (taken, next, found) = step(state, rest, ends_in_word(code));
            match found {
                Found::Code(c) => code.push(c),
                Found::Prose(c) => prose.push(c),
                Found::Nothing => {}
            }
            state = next;
            taken
        };
        rest = rest.get(taken..).unwrap_or_default();
    }
    (code, prose)
}

/// One step within a line: how many characters it takes, the state after it, and what was found.
fn step(state: State, rest: &[char], after_word: bool) -> (usize, State, Found) {
    let c = rest[0];
    let starts = |what: &str| what.chars().enumerate().all(|(i, c)| rest.get(i) == Some(&c));
    match state {
        State::Code if starts("//") => {
            let marks = rest.iter().take_while(|c| matches!(c, '/' | '!')).count();
            (marks, State::LineComment, Found::Nothing)
        }
        State::Code if starts("/*") => (2, State::BlockComment(1), Found::Nothing),
        State::Code => match (raw_string(rest), character(rest)) {
            (Some((taken, hashes)), _) if !after_word => (taken, State::RawText(hashes), Found::Code('"')),
            (_, Some(taken)) => (taken, State::Code, Found::Code(' ')),
            _ => (
                1,
                if c == '"' { State::Text } else { State::Code },
                Found::Code(c),
            ),
        },
        State::BlockComment(1) if starts("*/") => (2, State::Code, Found::Nothing),
        State::BlockComment(depth) if starts("*/") => (2, State::BlockComment(depth - 1), Found::Nothing),
        State::BlockComment(depth) if starts("/*") => (2, State::BlockComment(depth + 1), Found::Nothing),
        State::LineComment | State::BlockComment(_) => (1, state, Found::Prose(c)),
        State::Text if c == '"' => (1, State::Code, Found::Code(c)),
        // An escaped end of line still ends the line.
        State::Text if c == '\\' && !starts("\\\n") => (2, state, Found::Nothing),
        State::RawText(hashes)
            if c == '"' && rest[1..].iter().take_while(|c| **c == '#').count() >= hashes =>
        {
            (1 + hashes, State::Code, Found::Code(c))
        }
        State::Text | State::RawText(_) => (1, state, Found::Nothing),
    }
}

/// The length of a character literal that begins here: `'"'` must not open a string, and `'a` is a lifetime.
fn character(rest: &[char]) -> Option<usize> {
    match rest {
        ['\'', '\\', _, after @ ..] => Some(3 + after.iter().take_while(|c| **c != '\'').count() + 1),
        ['\'', _, '\'', ..] => Some(3),
        _ => None,
    }
}

/// The length of the opening of a raw string here, and the number of its `#`.
fn raw_string(rest: &[char]) -> Option<(usize, usize)> {
    let after = rest
        .strip_prefix(&['r'])
        .or_else(|| rest.strip_prefix(&['b', 'r']))?;
    let hashes = after.iter().take_while(|c| **c == '#').count();
    (after.get(hashes) == Some(&'"')).then_some((rest.len() - after.len() + hashes + 1, hashes))
}

fn ends_in_word(line: &str) -> bool {
    line.chars()
        .next_back()
        .is_some_and(|c| c.is_alphanumeric() || c == '_')
}

#[test]
fn strings_and_comments_are_told_from_code() {
    let text = "let a = \"x // \\\" y\"; // say \"z\"\nlet q = '\"'; /* one /* two */ still */ let b: &'a str = r#\"raw \" \n sqlx\"#;";
    let source = Source::rust("a.rs", text);
    assert_eq!(
        source.code,
        ["let a = \"\"; ", "let q =  ;  let b: &'a str = \"", "\";"]
    );
    assert_eq!(source.prose, [" say \"z\"", " one  two  still ", ""]);
}

#[test]
fn a_crate_is_named_by_paths_and_uses_but_not_by_modules_or_words() {
    let named = |line: &str| {
        Source::rust("a.rs", line)
            .lines_naming_crate("sqlx")
            .next()
            .is_some()
    };
    for line in [
        "use sqlx::PgPool;",
        "fn f(p: &sqlx::PgPool)",
        "use sqlx;",
        "pub use ::sqlx::query;",
        "extern crate sqlx;",
    ] {
        assert!(named(line), "{line}");
    }
    for line in [
        "// sqlx::query",
        "\"sqlx::query\"",
        "self::sqlx::x()",
        "mod sqlx;",
        "my_sqlx::x()",
        "let sqlx = 1;",
    ] {
        assert!(!named(line), "{line}");
    }
}
