//! What production refuses, and what it only warns of.

use super::{run, worker};

/// What production refuses, with a value that it would accept; in development all of it is allowed.
#[tokio::test]
async fn production_refuses_what_opens_a_door_or_shows_a_key() {
    const PUBLIC: (&str, &str) = ("FAL_WEBHOOK_URL", "https://aisha.example.org");
    const WEBHOOK: (&str, &str) = ("AISHA__TELEGRAM__MODE", "webhook");
    let cases = [
        ("web", PUBLIC, "fal.webhook_user_id is missing"),
        (
            "web",
            ("FAL_JWKS_URL", "http://keys.example.org/a"),
            "unencrypted",
        ),
        (
            "worker",
            ("FAL_QUEUE_URL", "http://10.0.0.7:9700/queue"),
            "unencrypted",
        ),
        (
            "worker",
            ("FAL_REST_URL", "http://simulator:9700/rest"),
            "unencrypted",
        ),
    ];
    for (role, variable, said) in cases {
        let variables = [&worker()[..], &[variable]].concat();
        let (code, output) = run(&["config", "check", role], &variables).await;
        assert_eq!(code, Some(78), "{role} {said}: {output}");
        assert!(output.contains(said) && output.contains("1 problem "), "{output}");
        let development = [&variables[..], &[("AISHA_ENV", "development")]].concat();
        assert_eq!(
            run(&["config", "check", role], &development).await.0,
            Some(0),
            "{role} {said}"
        );
    }
    let known = [&worker()[..], &[PUBLIC, ("FAL_WEBHOOK_USER_ID", "github|1")]].concat();
    assert_eq!(run(&["config", "check", "web"], &known).await.0, Some(0));
    for (secret, code) in [("short", 78), ("15-letters-long", 78), ("16-letters-long_", 0)] {
        let variables = [&worker()[..], &[WEBHOOK, ("TELEGRAM_WEBHOOK_SECRET", secret)]].concat();
        let (ended, output) = run(&["config", "check", "web"], &variables).await;
        assert_eq!(ended, Some(code), "{secret}: {output}");
        assert!(code == 0 || output.contains("shorter than 16"), "{output}");
    }
}

/// What production should not have but accepts: the check and a role's first log lines warn of it.
#[tokio::test]
async fn production_says_what_is_dangerous() {
    let cases = [
        (("AVATAR_TEST_MODE", "true"), "fal.test_mode is on in production"),
        (("AVATAR_TEST_MODE", "false"), "fal.webhook_user_id is not set"),
        (("S3_ENDPOINT", "http://minio:9000"), "s3.endpoint is plain http"),
        (
            ("TELEGRAM_API_URL", "http://bot-api.example.org"),
            "telegram.api_url is plain http",
        ),
        (("FAL_KEY", "id:hunter2"), "database.url does not demand TLS"),
    ];
    for (variable, said) in cases {
        let variables = [&worker()[..], &[variable]].concat();
        let (code, output) = run(&["config", "check"], &variables).await;
        assert_eq!(code, Some(0), "{output}");
        assert!(
            output.contains(&format!("warning: {said}")) && !output.contains("hunter2"),
            "{said:?} is not in:\n{output}"
        );
        let test = [&variables[..], &[("AISHA_ENV", "test")]].concat();
        let (_, output) = run(&["config", "check"], &test).await;
        assert!(!output.contains("warning"), "{output}");
    }
    for url in [
        "postgres://aisha:hunter2@db.example.org/aisha?sslmode=verify-full",
        "postgres://aisha:hunter2@localhost/aisha",
        "postgres://aisha@localhost/aisha?host=%2Fvar%2Frun%2Fpostgresql",
    ] {
        let variables = [&worker()[..], &[("DATABASE_URL", url)]].concat();
        let (_, output) = run(&["config", "check"], &variables).await;
        assert!(!output.contains("sslmode"), "{url}: {output}");
    }
    let nowhere = [
        ("DATABASE_URL", "postgres://aisha@127.0.0.1:1/aisha"),
        ("AVATAR_TEST_MODE", "1"),
    ];
    let (code, output) = run(&["web", "--listen", "127.0.0.1:0"], &nowhere).await;
    assert_eq!(code, Some(69), "{output}");
    assert!(output.contains("fal.test_mode is on in production"), "{output}");
}

#[tokio::test]
async fn a_password_in_a_url_is_refused_and_not_printed() {
    for (name, key) in [
        ("S3_ENDPOINT", "s3.endpoint"),
        ("FAL_WEBHOOK_URL", "fal.webhook_url"),
        ("TELEGRAM_API_URL", "telegram.api_url"),
        ("AISHA__TELEGRAM__WEBHOOK_URL", "telegram.webhook_url"),
    ] {
        let variables = [&worker()[..], &[(name, "https://bob:hunter2@example.org/a")]].concat();
        let (code, output) = run(&["config", "check", "worker"], &variables).await;
        assert_eq!(code, Some(78), "{name}: {output}");
        assert!(
            output.contains(&format!("{key} holds a user name or a password (from {name})")),
            "{output}"
        );
        let (_, shown) = run(&["config", "show"], &variables).await;
        assert!(shown.contains("https://***@example.org/a"), "{shown}");
        assert!(
            !output.contains("hunter2") && !shown.contains("hunter2") && !shown.contains("bob"),
            "{shown}"
        );
    }
}
