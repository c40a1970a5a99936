//! The declared settings match the reference (`config/default.toml`, `docs/settings.md`), and bad values are refused.

use std::{collections::BTreeSet, fs};

use jobs::worker::WorkerOptions;

use super::{run, worker};
use crate::support::worker_settings;

/// The rows of `aisha config reference`, cell by cell.
async fn declared() -> Vec<Vec<String>> {
    let (code, page) = run(&["config", "reference"], &[]).await;
    assert_eq!(code, Some(0), "{page}");
    let rows = page.lines().filter(|line| line.starts_with("| `"));
    let cells = |row: &str| {
        row.split(" | ")
            .map(|cell| cell.trim_matches(['|', ' ', '`']).to_owned())
            .collect()
    };
    let rows = rows.map(cells).collect::<Vec<Vec<String>>>();
    assert!(rows.len() > 80, "{page}");
    rows
}

fn keys_of(table: &toml::Table, prefix: &str, into: &mut BTreeSet<String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            toml::Value::Table(inner) => keys_of(inner, &format!("{key}."), into),
            _ => drop(into.insert(key)),
        }
    }
}

#[tokio::test]
async fn each_key_of_the_reference_is_declared_and_each_declaration_is_in_the_reference() {
    let reference = fs::read_to_string("config/default.toml").unwrap();
    let mut in_reference = BTreeSet::new();
    keys_of(&reference.parse().unwrap(), "", &mut in_reference);
    let declared = declared().await;
    let comments = reference.lines().filter(|line| line.starts_with('#'));
    let comments = comments.collect::<Vec<_>>().join("\n");
    let mut settings = BTreeSet::new();
    for row in &declared {
        let [key, _, takes, variables, _] = &row[..] else {
            panic!("{row:?}")
        };
        if takes.starts_with("a secret") {
            assert!(
                comments.contains(&format!("#   {key} ")),
                "no word of the secret {key}"
            );
        } else {
            settings.insert(key.clone());
        }
        for variable in variables.split(" or ").map(|name| name.trim_matches('`')) {
            assert!(
                comments.contains(variable),
                "no word of {variable}, which sets {key}"
            );
        }
    }
    let missing: Vec<_> = settings.difference(&in_reference).collect();
    assert!(missing.is_empty(), "add to config/default.toml: {missing:?}");
    let unread: Vec<_> = in_reference.difference(&settings).collect();
    assert!(
        unread.is_empty(),
        "no role reads {unread:?}: declare it in src/settings/, or remove it from config/default.toml"
    );
}

#[tokio::test]
async fn by_default_a_worker_takes_the_jobs_of_every_queue() {
    let declared = declared().await;
    let queues = declared.iter().find(|row| row[0] == "worker.queues").unwrap();
    let all: Vec<&str> = jobs::queues::ALL.iter().map(|queue| queue.as_str()).collect();
    assert_eq!(
        queues[1].trim_matches('"'),
        all.join(","),
        "the default of worker.queues in config/default.toml names every queue of jobs/src/queues.rs, in that order"
    );
}

#[tokio::test]
async fn the_table_in_the_docs_is_what_is_declared() {
    let (_, page) = run(&["config", "reference"], &[]).await;
    let on_file = fs::read_to_string("docs/settings.md").unwrap_or_default();
    assert!(
        page.trim_end() == on_file.trim_end(),
        "docs/settings.md is not what the settings are. Run: cargo run -- config reference > docs/settings.md"
    );
}

/// The engine is a separate crate, with default times for callers that have no settings.
#[test]
fn the_engines_own_times_are_those_of_the_reference() {
    let (engine, ours) = (WorkerOptions::default(), worker_settings([]).options);
    let times = |options: &WorkerOptions| {
        let WorkerOptions {
            lease,
            beat,
            sweep,
            poll,
            wake,
            grace,
            name: _,
            slots: _,
            prefetch: _,
            rates: _,
        } = options;
        (*lease, *beat, *sweep, *poll, *wake, *grace)
    };
    assert_eq!(
        times(&ours),
        times(&engine),
        "[queue] of config/default.toml, and WorkerOptions::default() in jobs/queue/src/worker.rs"
    );
}

/// Every setting whose value has a form: a value that is never parsed would never be refused.
#[tokio::test]
async fn each_setting_is_checked_when_a_role_starts() {
    let polling = worker();
    let webhook = [
        &polling[..],
        &[
            ("AISHA__TELEGRAM__MODE", "webhook"),
            ("TELEGRAM_WEBHOOK_SECRET", "16-letters-long_"),
            ("AISHA__TELEGRAM__WEBHOOK_URL", "https://aisha.example.org"),
        ],
    ]
    .concat();
    let forms = [
        "a duration",
        "a whole number",
        "a rate",
        "true` or `false",
        "a secret: 16",
    ];
    let mut checked = 0;
    for row in declared().await {
        let [key, _, takes, ..] = &row[..] else {
            panic!("{row:?}")
        };
        if !forms.iter().any(|form| takes.starts_with(form)) {
            continue;
        }
        let variable = format!("AISHA__{}", key.to_uppercase().replace('.', "__"));
        let mut said = String::new();
        for mode in [&polling, &webhook] {
            let variables = [&mode[..], &[(variable.as_str(), "?")]].concat();
            said += &run(&["config", "check"], &variables).await.1;
        }
        assert!(
            said.contains(&format!("{key} is \"?\"")) || said.contains(&format!("{key} is (hidden)")),
            "{key} is not checked: {said}"
        );
        checked += 1;
    }
    assert!(checked > 70, "{checked}");
}
