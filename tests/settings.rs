//! The settings as an operator sees them: the tests start the binary.

mod fal;
mod production;
mod reference;

use std::fs;

use crate::support::aisha;

/// Runs the binary with these variables; returns the exit code and all output.
async fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    aisha(arguments)
        .envs(variables.iter().copied())
        .start()
        .finish()
        .await
}

const DATABASE: (&str, &str) = ("DATABASE_URL", "postgres://aisha:hunter2@db.example.org/aisha");
const BOT_TOKEN: (&str, &str) = ("TELEGRAM_BOT_TOKEN", "123456:hunter2");
const S3: [(&str, &str); 3] = [
    ("S3_ENDPOINT", "http://127.0.0.1:9000"),
    ("S3_ACCESS_KEY", "hunter2"),
    ("S3_SECRET_KEY", "hunter2"),
];
const FAL_KEY: (&str, &str) = ("FAL_KEY", "id:hunter2");

/// The variables that a worker needs.
fn worker() -> Vec<(&'static str, &'static str)> {
    [&S3[..], &[DATABASE, BOT_TOKEN, FAL_KEY]].concat()
}

#[tokio::test]
async fn all_problems_are_listed_at_once_with_their_fixes() {
    let variables = [
        ("AISHA__QUEUE__LEASE", "soon"),
        ("AISHA__QUEUE__BEAAT", "1s"),
        ("AISHA__PHOTOS__MIN", "15"),
        ("AISHA__PHOTOS__MAX", "12"),
        ("AISHA__WORKER__SLOTS__FAL", "0"),
        ("AISHA__QUEUE__PREFETCH__UPKEEP", "5001"),
        ("AISHA__TRAINING__PRESET", "best"),
        ("FAL_QUEUE_URL", "queue.fal.run"),
    ];
    let (code, output) = run(&["worker"], &variables).await;
    assert_eq!(code, Some(78), "{output}");
    let expected = [
        "database.url is missing",
        "Set DATABASE_URL",
        "s3.endpoint is missing",
        "s3.access_key is missing",
        "s3.secret_key is missing",
        "fal.key is missing",
        "FAL_KEY or FAL_API_KEY",
        "AVATAR_TEST_MODE=true",
        "telegram.bot_token is missing",
        "queue.lease is \"soon\" (from AISHA__QUEUE__LEASE)",
        "queue.beaat is not a setting (from AISHA__QUEUE__BEAAT)",
        "Did you mean queue.beat?",
        "photos.min is 15, more than photos.max (12)",
        "worker.slots.fal is \"0\"",
        "queue.prefetch.upkeep is \"5001\"",
        "training.preset is \"best\"",
        "fal.queue_url is \"queue.fal.run\" (from FAL_QUEUE_URL)",
        "13 problems",
    ];
    for part in expected {
        assert!(output.contains(part), "{part:?} is not in:\n{output}");
    }
}

#[tokio::test]
async fn d19_nothing_secret_is_printed() {
    let malformed = [
        ("DATABASE_URL", "mysql://root:hunter2@db/aisha"),
        ("FAL_KEY", "hunter2"),
        ("TELEGRAM_BOT_TOKEN", "hunter2"),
        ("S3_SECRET_KEY", "hunter2"),
        ("AISHA__TELEGRAM__MODE", "webhook"),
        ("TELEGRAM_WEBHOOK_SECRET", "hunter2!hunter2!"),
    ];
    let (code, output) = run(&["config", "check"], &malformed).await;
    assert_eq!(code, Some(78), "{output}");
    for key in [
        "database.url",
        "fal.key",
        "telegram.bot_token",
        "telegram.webhook_secret",
    ] {
        assert!(
            output.contains(&format!("{key} is (hidden)")),
            "{key} is not named in:\n{output}"
        );
    }
    assert!(!output.contains("hunter2"), "{output}");

    let (code, output) = run(&["config", "show"], &worker()).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("fal.key = ***  # from FAL_KEY\n"), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn d19_each_role_needs_its_own_secrets_and_no_others() {
    let cases: [(&str, Vec<(&str, &str)>); 4] = [
        ("web", vec![DATABASE]),
        ("migrate", vec![DATABASE]),
        ("bot", vec![DATABASE, BOT_TOKEN]),
        ("worker", worker()),
    ];
    for (role, variables) in cases {
        let (code, output) = run(&["config", "check", role], &variables).await;
        assert_eq!(code, Some(0), "{role}: {output}");
        for missing in &variables {
            let others = variables
                .iter()
                .filter(|variable| *variable != missing)
                .copied()
                .collect::<Vec<_>>();
            let (code, output) = run(&["config", "check", role], &others).await;
            assert_eq!(code, Some(78), "{role} without {}", missing.0);
            assert!(
                output.contains(missing.0) && output.contains("1 problem "),
                "{role} without {}: {output}",
                missing.0
            );
        }
    }
}

#[tokio::test]
async fn a_bot_and_a_web_role_in_webhook_mode_need_its_secret() {
    let webhook = [DATABASE, BOT_TOKEN, ("AISHA__TELEGRAM__MODE", "webhook")];
    let (code, output) = run(&["config", "check", "web"], &webhook).await;
    assert_eq!(code, Some(78));
    assert!(output.contains("TELEGRAM_WEBHOOK_SECRET"), "{output}");
    let (_, output) = run(&["config", "check", "bot"], &webhook).await;
    assert!(
        output.contains("TELEGRAM_WEBHOOK_SECRET") && output.contains("telegram.webhook_url is missing"),
        "{output}"
    );
}

#[tokio::test]
async fn an_unknown_trainer_queue_or_environment_is_refused() {
    let cases = [
        (
            "AISHA__TRAINING__PORTRAIT_TRAINER",
            "flux-pro-max",
            "flux-pro-max",
        ),
        (
            "AISHA__TRAINING__STYLE_TRAINER",
            "flux-lora-portrait-trainer",
            "style",
        ),
        ("AISHA__WORKER__QUEUES", "media,gpu", "unknown queue \"gpu\""),
        ("AISHA_ENV", "staging", "Use development, test or production"),
        ("AISHA__LOG__FILTER", "info,=,", "log.filter"),
        ("AISHA__QUEUE__BEAT", "6s", "more than a third of queue.lease"),
        ("AVATAR_TEST_MODE", "yes", "fal.test_mode"),
    ];
    for (name, value, said) in cases {
        let variables = [worker(), vec![(name, value)]].concat();
        let (code, output) = run(&["config", "check", "worker"], &variables).await;
        assert_eq!(code, Some(78), "{name}={value}: {output}");
        assert!(output.contains(said), "{name}={value}: {output}");
    }
}

#[tokio::test]
async fn options_of_the_command_line_are_checked_like_any_layer() {
    let database = [DATABASE, ("AISHA_ENV", "test")];
    let (code, output) = run(&["web", "--listen", "everywhere"], &database).await;
    assert_eq!(code, Some(78), "{output}");
    assert!(
        output.contains("web.listen is \"everywhere\" (from --listen)"),
        "{output}"
    );
    let (code, output) = run(
        &["worker", "--slots", "media=many", "--queues", "media"],
        &worker(),
    )
    .await;
    assert_eq!(code, Some(78), "{output}");
    assert!(
        output.contains("worker.slots.media is \"many\" (from --slots)"),
        "{output}"
    );
    let (code, output) = run(&["worker", "--slots", "gpu=1"], &worker()).await;
    assert_eq!(code, Some(2), "{output}");
}

#[tokio::test]
async fn a_later_layer_wins_and_each_value_says_where_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    write(
        "default.toml",
        "[queue]\nlease = \"20s\"\nsweep = \"6s\"\n[s3]\nregion = \"file\"\nendpoint = \"http://file\"\n",
    );
    write("test.toml", "[queue]\nsweep = \"7s\"\n");
    let config = dir.path().to_str().unwrap();
    let variables = [
        ("AISHA_ENV", "test"),
        ("S3_REGION", "plain"),
        ("S3_ENDPOINT", "http://plain"),
        ("AISHA__S3__ENDPOINT", "http://prefixed"),
        ("FAL_QUEUE_URL", ""),
    ];
    let (code, output) = run(
        &["config", "show", "--config", config, "--log-format", "json"],
        &variables,
    )
    .await;
    assert_eq!(code, Some(0), "{output}");
    let expected = [
        "queue.poll = \"250ms\"  # from config/test.toml".to_owned(),
        format!("queue.lease = \"20s\"  # from {config}/default.toml"),
        format!("queue.sweep = \"7s\"  # from {config}/test.toml"),
        "s3.region = \"plain\"  # from S3_REGION".to_owned(),
        "s3.endpoint = \"http://prefixed\"  # from AISHA__S3__ENDPOINT".to_owned(),
        "log.format = \"json\"  # from --log-format".to_owned(),
        "fal.queue_url = \"http://127.0.0.1:9700/queue\"  # test mode: at fal.simulator_url".to_owned(),
    ];
    for line in expected {
        assert!(
            output.lines().any(|printed| printed == line),
            "{line:?} is not in:\n{output}"
        );
    }
}

#[tokio::test]
async fn the_shown_settings_are_in_force_and_work_as_a_file() {
    let real = run(&["config", "show"], &[]).await.1;
    assert!(real.contains("fal.queue_url = \"https://queue.fal.run\"  # the default\n"));
    let mut variables = worker();
    variables.extend([
        ("AVATAR_TEST_MODE", "1"),
        ("AISHA__FAL__SIMULATOR_URL", "http://127.0.0.1:9799"),
        ("FAL_CDN_URL", "http://127.0.0.1:9/\"quoted\""),
        ("AISHA__DATABASE__MAX_CONNECTIONS", "1_0"),
    ]);
    let (code, shown) = run(&["config", "show"], &variables).await;
    assert_eq!(code, Some(0), "{shown}");
    for line in [
        "fal.test_mode = true  # from AVATAR_TEST_MODE",
        "fal.queue_url = \"http://127.0.0.1:9799/queue\"  # test mode: at fal.simulator_url",
        "fal.jwks_url = \"http://127.0.0.1:9799/rest/.well-known/jwks.json\"  # test mode: at fal.simulator_url",
        "database.max_connections = 10  # from AISHA__DATABASE__MAX_CONNECTIONS",
        "# database.url = ***  # from DATABASE_URL",
        "# telegram.webhook_secret = \"\"  # not set",
    ] {
        assert!(
            shown.lines().any(|shown| shown == line),
            "{line:?} is not in:\n{shown}"
        );
    }
    assert!(
        !shown.contains("fal.run\""),
        "FAL itself is shown in test mode:\n{shown}"
    );

    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("default.toml"), &shown).unwrap();
    let config = dir.path().to_str().unwrap();
    let (code, checked) = run(&["config", "check", "--config", config], &worker()).await;
    assert_eq!(code, Some(0), "{checked}");
    let values = |listing: &str| {
        let lines = listing.lines().filter(|line| !line.starts_with('#'));
        let value = |line: &str| line.rsplit_once("  # ").unwrap().0.to_owned();
        lines.map(value).collect::<Vec<_>>()
    };
    let again = run(&["config", "show", "--config", config], &worker()).await.1;
    assert_eq!(values(&again), values(&shown));

    let (_, json) = run(&["config", "show", "--json"], &variables).await;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["database.max_connections"]["value"], 10);
    assert_eq!(json["fal.test_mode"]["value"], true);
    assert_eq!(json["fal.rest_url"]["value"], "http://127.0.0.1:9799/rest");
    assert_eq!(json["queue.lease"]["origin"], "the default");
    assert_eq!(
        json["fal.key"],
        serde_json::json!({ "secret": true, "is_set": true, "origin": "from FAL_KEY" })
    );
}

#[tokio::test]
async fn a_variable_that_looks_like_ours_is_told_with_the_one_that_was_meant() {
    let mut variables = worker();
    variables.extend([
        ("S3_BUCKET", "hunter2"),
        ("FAL_APIKEY", "hunter2"),
        ("TELEGRAM_TOKEN", "hunter2"),
        ("AISHA_LOG_FORMAT", "text"),
        ("AWS_REGION", "eu"),
    ]);
    let (code, output) = run(&["config", "check"], &variables).await;
    assert_eq!(code, Some(0), "a warning, no error: {output}");
    for (name, meant) in [
        ("S3_BUCKET", "S3_BUCKET_AVATARS"),
        ("FAL_APIKEY", "FAL_API_KEY"),
        ("TELEGRAM_TOKEN", "TELEGRAM_BOT_TOKEN"),
        ("AISHA_LOG_FORMAT", "AISHA__LOG__FORMAT"),
    ] {
        let told = format!("warning: {name} is set and means nothing to aisha. Did you mean {meant}?");
        assert!(output.contains(&told), "{told:?} is not in:\n{output}");
    }
    assert!(
        !output.contains("AWS_REGION") && !output.contains("hunter2"),
        "{output}"
    );
    // A role reports it in its log, whose lines are JSON.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_, log) = run(&["fal-simulator", "--listen", &address], &variables).await;
    let line = log
        .lines()
        .find(|line| line.contains("S3_BUCKET_AVATARS?"))
        .unwrap();
    let line: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!(line["level"], "WARN");
}

#[tokio::test]
async fn one_mistake_that_two_roles_meet_is_one_problem_and_durations_are_round() {
    let mut variables = worker();
    variables.extend([
        ("AISHA__HEALTH__LISTEN", "everywhere"),
        ("AISHA__QUEUE__LEASE", "1s"),
        ("AISHA__QUEUE__BEAT", "900ms"),
        ("AISHA__DATABASE__MAX_CONNECTIONS", "3"),
        ("AISHA__SAGA__SWEEP_INTERVAL", "1s"),
    ]);
    let (code, output) = run(&["config", "check"], &variables).await;
    assert_eq!(code, Some(78), "{output}");
    assert_eq!(output.matches("health.listen is").count(), 1, "{output}");
    for part in [
        "Use 333ms or less, or a longer lease.",
        "Use something from 1m to 30d.",
        "database.max_connections is \"3\" (from AISHA__DATABASE__MAX_CONNECTIONS): a worker needs more",
    ] {
        assert!(output.contains(part), "{part:?} is not in:\n{output}");
    }
}

#[tokio::test]
async fn bad_files_are_refused() {
    let cases = [
        (
            "default.toml",
            "[fal]\nkey = \"id:hunter2\"",
            "fal.key is a secret and stands in a file",
        ),
        (
            "production.toml",
            "[queue]\nlaese = \"1s\"",
            "Did you mean queue.lease?",
        ),
        ("default.toml", "[queue]\nlease = [1]", "queue.lease is a array"),
        ("default.toml", "[queue\n", "cannot be read as TOML"),
        ("trainers.toml", "[x]\nsteps = 1", "trainers.toml"),
    ];
    for (name, text, said) in cases {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), text).unwrap();
        let config = dir.path().to_str().unwrap();
        let (code, output) = run(&["config", "check", "worker", "--config", config], &worker()).await;
        assert_eq!(code, Some(78), "{name}: {output}");
        assert!(output.contains(said), "{said:?} is not in:\n{output}");
        assert!(!output.contains("hunter2"), "{output}");
    }
    let empty = tempfile::tempdir().unwrap();
    let (code, output) = run(
        &[
            "config",
            "check",
            "web",
            "--config",
            empty.path().to_str().unwrap(),
        ],
        &[DATABASE],
    )
    .await;
    assert_eq!(code, Some(78));
    assert!(output.contains("--config"), "{output}");
}

#[tokio::test]
async fn every_key_of_the_reference_is_commented_and_can_be_set_by_its_variable() {
    let reference = fs::read_to_string("config/default.toml").unwrap();
    let mut commented = false;
    for line in reference.lines() {
        if line.contains(" = ") && !line.starts_with('#') {
            assert!(commented, "{line:?} has no comment above it or above its group");
        } else {
            commented = line.starts_with('#');
        }
    }
    let (_, shown) = run(&["config", "show"], &[("AISHA_ENV", "test")]).await;
    for key in shown
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(" = "))
        .map(|(key, _)| key)
    {
        let variable = format!("AISHA__{}", key.to_uppercase().replace('.', "__"));
        let (_, output) = run(&["config", "show"], &[("AISHA_ENV", "test"), (&variable, "1")]).await;
        let set = output.lines().any(|line| {
            line.trim_start_matches("# ").starts_with(&format!("{key} = "))
                && line.ends_with(&format!("from {variable}"))
        });
        assert!(set, "{variable} does not set {key}:\n{output}");
    }
}

#[tokio::test]
async fn quotas_are_on_unless_somebody_says_otherwise_and_a_name_is_no_telegram_id() {
    let (_, shown) = run(&["config", "show"], &[]).await;
    for line in [
        "quotas.live_trainings = ",
        "quotas.trainings_a_day = ",
        "quotas.drafts_a_day = ",
        "quotas.photos_a_day = ",
        "quotas.pictures_a_day = ",
        "quotas.account_trainings_a_day = ",
    ] {
        let found = shown.lines().find(|shown| shown.contains(line));
        let found = found.unwrap_or_else(|| panic!("{line:?} is not in:\n{shown}"));
        assert!(!found.contains("= 0 "), "{found}");
    }
    let named = ("AISHA__QUOTAS__BLOCKED", "17, @eve");
    let (code, output) = run(&["config", "check", "bot"], &[DATABASE, BOT_TOKEN, named]).await;
    assert_eq!(code, Some(78), "{output}");
    assert!(output.contains("\"@eve\" is not a Telegram user id"), "{output}");
}
