//! Which layer may name which: the walls of `docs/architecture.md`.

use super::source::{self, Source, rust_files};
use super::{Violation, check, is_below, refuses};

/// Modules of the root crate that play the outside world, and so may do what other code of the shell may not.
fn is_exempt_from_walls(path: &str) -> bool {
    ["src/simulators", "src/dev", "src/chaos"]
        .iter()
        .any(|module| is_below(path, module))
}

fn shells_reach_the_world_only_through_the_gate(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") || is_exempt_from_walls(&source.path) {
        return Vec::new();
    }
    let fix = "put it into jobs/ and call it through the gate (jobs/src/lib.rs)";
    let crates = ["sqlx", "reqwest", "apalis", "apalis_core", "minio"];
    let named = |name| source.lines_naming_crate(name).map(move |line| (line, name));
    let found = crates.into_iter().flat_map(named);
    found
        .map(|(line, name)| Violation::new(source, line, format!("a shell names `{name}`"), fix))
        .collect()
}

#[test]
fn shells_name_no_database_no_http_client_and_no_engine() {
    let rule = shells_reach_the_world_only_through_the_gate;
    assert!(refuses(rule, "src/web.rs", "use sqlx::PgPool;"));
    assert!(refuses(
        rule,
        "src/developer.rs",
        "let c = reqwest::Client::builder();"
    ));
    assert!(!refuses(rule, "src/dev/demo.rs", "use sqlx::PgPool;"));
    check(&rust_files(), rule);
}

fn only_the_worker_runs_jobs(source: &Source) -> Vec<Violation> {
    let may = source.path == "src/worker.rs" || is_exempt_from_walls(&source.path);
    if !source.path.starts_with("src/") || may {
        return Vec::new();
    }
    let fix = "enqueue it (jobs::producer): a shell that runs jobs has every secret and no slots";
    // `use jobs::{…}` may span several lines, so its whole text up to the semicolon is checked.
    let code = source.code.join("\n");
    let uses = code.match_indices("jobs::").filter(|(at, _)| {
        let path = code[*at..].split([';', '(']).next().unwrap_or_default();
        source::has_word(path, "runtime")
    });
    uses.map(|(at, _)| {
        Violation::new(
            source,
            code[..at].lines().count(),
            "a shell uses jobs::runtime",
            fix,
        )
    })
    .collect()
}

#[test]
fn only_the_worker_role_runs_jobs() {
    assert!(refuses(
        only_the_worker_runs_jobs,
        "src/web.rs",
        "use jobs::{\n    producer,\n    runtime::Worker,\n};"
    ));
    assert!(refuses(
        only_the_worker_runs_jobs,
        "src/bot/send.rs",
        "jobs::runtime::Worker::new(context)"
    ));
    assert!(!refuses(
        only_the_worker_runs_jobs,
        "src/web.rs",
        "use jobs::producer;\nlet runtime = 1;"
    ));
    check(&rust_files(), only_the_worker_runs_jobs);
}

fn only_the_adapter_names_apalis(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("jobs/") || source.path == "jobs/queue/src/apalis.rs" {
        return Vec::new();
    }
    let fix = "the engine is seen only by jobs/queue/src/apalis.rs: use jobs/queue/src/lib.rs";
    let found = ["apalis", "apalis_core"]
        .into_iter()
        .flat_map(|name| source.lines_naming_crate(name));
    found
        .map(|line| Violation::new(source, line, "names apalis", fix))
        .collect()
}

#[test]
fn one_file_names_apalis() {
    assert!(refuses(
        only_the_adapter_names_apalis,
        "jobs/queue/src/lib.rs",
        "use apalis_core::backend::Backend;"
    ));
    assert!(!refuses(
        only_the_adapter_names_apalis,
        "jobs/queue/src/lib.rs",
        "mod apalis;\npub use self::apalis::Engine;"
    ));
    check(&rust_files(), only_the_adapter_names_apalis);
}

fn the_engine_knows_no_host(source: &Source) -> Vec<Violation> {
    if !is_below(&source.path, "jobs/queue") {
        return Vec::new();
    }
    let fix = "the engine serves any host: say it of jobs in general, or put it into jobs/src";
    let lines = (1..).zip(source.code.iter().zip(&source.prose));
    let words = ["avatar", "training", "telegram", "photo", "fal"];
    lines
        .flat_map(|(line, (code, prose))| {
            words.map(|word| (line, word, format!("{code} {prose}").to_lowercase()))
        })
        .filter(|(_, word, text)| source::has_word(text, word) || source::has_word(text, &format!("{word}s")))
        .map(|(line, word, _)| Violation::new(source, line, format!("the engine speaks of `{word}`"), fix))
        .collect()
}

#[test]
fn the_engine_speaks_of_jobs_only() {
    let rule = the_engine_knows_no_host;
    assert!(refuses(rule, "jobs/queue/src/claim.rs", "// Two avatars wait."));
    assert!(refuses(rule, "jobs/queue/src/claim.rs", "fn telegram() {}"));
    assert!(!refuses(rule, "jobs/src/saga.rs", "// Two avatars wait."));
    check(&rust_files(), rule);
}

fn the_domain_is_pure(source: &Source) -> Vec<Violation> {
    if !is_below(&source.path, "jobs/src/domain") {
        return Vec::new();
    }
    let fix =
        "the domain decides on values it is given; do the input and output in a job, a store or a client";
    let words = [
        "async",
        ".await",
        "Utc::now",
        "Instant::now",
        "SystemTime::now",
        "tokio",
    ]
    .into_iter();
    let found = words.flat_map(|word| source.lines_with(word).map(move |line| (line, word)));
    // A derive only declares how a value is stored, and does no work.
    let derived = |line: usize| source.code[line - 1].trim_start().starts_with("#[derive(");
    let sqlx = source.lines_naming_crate("sqlx").filter(|line| !derived(*line));
    found
        .chain(sqlx.map(|line| (line, "sqlx")))
        .map(|(line, word)| Violation::new(source, line, format!("the domain uses `{word}`"), fix))
        .collect()
}

#[test]
fn the_domain_has_no_io_and_no_clock() {
    assert!(refuses(
        the_domain_is_pure,
        "jobs/src/domain/training.rs",
        "pub async fn load() {}"
    ));
    assert!(refuses(
        the_domain_is_pure,
        "jobs/src/domain.rs",
        "let now = Utc::now();"
    ));
    assert!(!refuses(
        the_domain_is_pure,
        "jobs/src/domains.rs",
        "pub async fn load() {}"
    ));
    check(&rust_files(), the_domain_is_pure);
}

fn simulators_do_not_know_us(source: &Source) -> Vec<Violation> {
    if !is_below(&source.path, "src/simulators") {
        return Vec::new();
    }
    let fix = "write it down again from the vendor's documentation: shared code makes the same mistake on both sides";
    let lines = source.lines_naming_crate("jobs");
    lines
        .map(|line| Violation::new(source, line, "a simulator uses the product's code", fix))
        .collect()
}

#[test]
fn simulators_share_nothing_with_the_clients() {
    assert!(refuses(
        simulators_do_not_know_us,
        "src/simulators/fal/queue.rs",
        "use jobs::fal::Submit;"
    ));
    check(&rust_files(), simulators_do_not_know_us);
}

fn jobs_take_time_and_chance_from_their_context(source: &Source) -> Vec<Violation> {
    // The source of time itself, and the lock of the schema, which no job waits for.
    let exempt = ["context", "schema"].map(|module| format!("jobs/src/{module}"));
    let path = &source.path;
    let ours = ["jobs/src", "jobs/archive/src"]
        .iter()
        .any(|core| is_below(path, core));
    if !ours || exempt.iter().any(|module| is_below(path, module)) {
        return Vec::new();
    }
    let fix =
        "take it from the Context that run() is given, or snooze: tests move the clock and seed the chance";
    let words = [
        "Utc::now",
        "SystemTime::now",
        "rand::rng",
        "thread_rng",
        "time::sleep",
        "env::var",
    ]
    .into_iter();
    let found = words.flat_map(|word| source.lines_with(word).map(move |line| (line, word)));
    found
        .map(|(line, word)| Violation::new(source, line, format!("a job calls `{word}`"), fix))
        .collect()
}

#[test]
fn the_core_takes_time_randomness_and_settings_from_outside() {
    let rule = jobs_take_time_and_chance_from_their_context;
    assert!(refuses(
        rule,
        "jobs/src/work/poll_status.rs",
        "tokio::time::sleep(pause).await;"
    ));
    assert!(refuses(
        rule,
        "jobs/archive/src/zip.rs",
        "let now = SystemTime::now();"
    ));
    assert!(!refuses(
        rule,
        "jobs/queue/src/wake/listen.rs",
        "tokio::time::sleep(pause).await;"
    ));
    check(&rust_files(), rule);
}
