//! The probes: what `/readyz` reports, how a role drains, and when it refuses to start.

use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{Db, FalSigner, S3, Web, aisha, eventually};

/// The status and the problems of `/readyz`.
async fn readiness(web: &Web) -> (StatusCode, Vec<String>) {
    let answer = web.get("/readyz").await;
    let status = answer.status();
    let body: Value = answer.json().await.expect("JSON");
    let problems = body["problems"].as_array().expect("problems").iter();
    let problems = problems
        .map(|problem| problem.as_str().expect("a sentence").to_owned())
        .collect::<Vec<_>>();
    assert_eq!(body["ready"], Value::Bool(problems.is_empty()));
    (status, problems)
}

#[tokio::test]
async fn a_role_that_can_work_is_live_and_ready() {
    let db = Db::new().await;
    let web = Web::start(&db, &[]).await;
    assert_eq!(web.get("/livez").await.status(), StatusCode::OK);
    assert_eq!(readiness(&web).await, (StatusCode::OK, vec![]));
    let metrics = web.get("/metrics").await.text().await.unwrap();
    assert!(
        metrics.contains("aisha_build_info{") && metrics.contains("role=\"web\""),
        "{metrics}"
    );
}

#[tokio::test]
async fn responses_are_counted_by_their_route() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let web = Web::start(&db, &[("FAL_JWKS_URL", signer.jwks_url())]).await;
    for guess in ["/wp-login.php", "/.env", "/api/v2"] {
        assert_eq!(web.get(guess).await.status(), StatusCode::NOT_FOUND);
    }
    let delivery = signer.sign("r", r#"{"request_id":"r","status":"OK","payload":{}}"#);
    let post = web.client.post(web.url("/api/v1/avatar/status_update"));
    assert_eq!(delivery.on(post).send().await.unwrap().status(), StatusCode::OK);

    let metrics = web.get("/metrics").await.text().await.unwrap();
    let line = |parts: &[&str]| {
        metrics
            .lines()
            .any(|line| parts.iter().all(|part| line.contains(part)))
    };
    assert!(
        line(&[
            "aisha_http_requests_total{",
            "route=\"unmatched\"",
            "status=\"404\"",
            " 3"
        ]),
        "{metrics}"
    );
    assert!(
        line(&["aisha_webhook_total{", "verdict=\"stored\"", " 1"]),
        "{metrics}"
    );
    assert!(
        line(&[
            "aisha_http_request_seconds_bucket{",
            "route=\"/api/v1/avatar/status_update\""
        ]),
        "{metrics}"
    );
    assert!(!metrics.contains("wp-login"), "{metrics}");
}

#[tokio::test]
async fn d19_a_database_that_is_away_makes_a_role_unready_and_its_return_ready_again() {
    let db = Db::new().await;
    let web = Web::start(&db, &[("AISHA__DATABASE__ACQUIRE_TIMEOUT", "500ms")]).await;
    let outage = db.outage().await;
    let (status, problems) = readiness(&web).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(problems[0].starts_with("database: "), "{problems:?}");
    assert_eq!(
        web.get("/livez").await.status(),
        StatusCode::OK,
        "a restart would not help"
    );
    outage.end().await;
    eventually("the role to be ready again", async || {
        (readiness(&web).await.0 == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_migration_that_is_not_applied_makes_a_role_unready() {
    let db = Db::new().await;
    let web = Web::start(&db, &[]).await;
    let forget = "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    sqlx::query(forget).execute(&db.pool).await.unwrap();
    let (status, problems) = readiness(&web).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(problems, ["migrations: 1 pending, run `aisha migrate`"]);
}

#[tokio::test]
async fn a_draining_role_says_so_and_a_second_signal_ends_it() {
    let db = Db::new().await;
    let mut web = Web::start(
        &db,
        &[("AISHA__WEB__LINGER", "1m"), ("AISHA__QUEUE__GRACE", "1h")],
    )
    .await;
    web.process.terminate();
    web.process.line("nothing new is begun").await;
    let (status, problems) = readiness(&web).await;
    assert_eq!((status, problems.len()), (StatusCode::SERVICE_UNAVAILABLE, 1));
    assert!(problems[0].starts_with("draining"), "{problems:?}");
    web.process.terminate();
    assert_eq!(web.process.finish().await.0, Some(0));
}

#[tokio::test]
async fn one_signal_ends_an_idle_role_in_order() {
    let db = Db::new().await;
    let mut web = Web::start(&db, &[("AISHA__WEB__LINGER", "0s")]).await;
    web.process.terminate();
    let (code, output) = web.process.finish().await;
    assert_eq!(code, Some(0));
    assert!(output.contains("Web has stopped"), "{output}");
}

#[tokio::test]
async fn a_worker_serves_its_health_where_it_is_told_to() {
    let (db, s3) = (Db::new().await, S3::new().await);
    let launch = aisha(["worker", "--health-listen", "127.0.0.1:0"]).envs(s3.env());
    let variables = [
        ("AISHA_ENV", "test"),
        ("DATABASE_URL", db.url()),
        ("TELEGRAM_BOT_TOKEN", "1:test"),
        ("AISHA__QUEUE__GRACE", "1s"),
    ];
    let mut worker = launch.envs(variables).start();
    let line = worker.line("Health is served on ").await;
    worker.line("is claiming jobs").await;
    let address = line
        .rsplit("Health is served on ")
        .next()
        .expect("an address")
        .trim()
        .to_owned();
    let get = async |path: &str| {
        reqwest::get(format!("http://{address}{path}"))
            .await
            .expect("an answer")
    };
    assert_eq!(get("/readyz").await.status(), StatusCode::OK);
    assert_eq!(get("/livez").await.status(), StatusCode::OK);
    assert!(
        get("/metrics")
            .await
            .text()
            .await
            .unwrap()
            .contains("role=\"worker\"")
    );

    s3.remove_bucket();
    let body = eventually("the role to look again", async || {
        let answer = get("/readyz").await;
        let is_unready = answer.status() == StatusCode::SERVICE_UNAVAILABLE;
        is_unready.then_some(answer.text().await.unwrap())
    })
    .await;
    assert!(body.contains("bucket: it does not exist"), "{body}");

    worker.terminate();
    assert_eq!(worker.finish().await.0, Some(0));
}

#[tokio::test]
async fn a_worker_without_its_bucket_refuses_to_start() {
    let (db, s3) = (Db::new().await, S3::new().await);
    let launch = aisha(["worker"])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url())
        .envs(s3.env());
    let mut worker = launch
        .env("TELEGRAM_BOT_TOKEN", "1:test")
        .env("S3_BUCKET_AVATARS", "avatras")
        .start();
    let (code, output) = worker.finish().await;
    assert_eq!(code, Some(69), "{output}");
    assert!(
        output.contains("avatras") && output.contains("S3_BUCKET_AVATARS"),
        "{output}"
    );
}

#[tokio::test]
async fn a_worker_whose_store_is_away_or_refuses_its_key_does_not_start() {
    let (db, s3) = (Db::new().await, S3::new().await);
    for (name, value) in [
        ("S3_ENDPOINT", "http://127.0.0.1:1"),
        ("S3_SECRET_KEY", "not-the-secret"),
    ] {
        let launch = aisha(["worker"])
            .env("AISHA_ENV", "test")
            .env("DATABASE_URL", db.url())
            .envs(s3.env());
        let (code, output) = launch
            .env("TELEGRAM_BOT_TOKEN", "1:test")
            .env(name, value)
            .start()
            .finish()
            .await;
        assert_eq!(code, Some(69), "{output}");
        assert!(output.contains("S3_ENDPOINT"), "{output}");
        assert!(!output.contains("not-the-secret"), "{output}");
    }
}

#[tokio::test]
async fn a_role_on_a_schema_that_is_too_old_refuses_to_start() {
    let db = Db::empty().await;
    let mut web = aisha(["web", "--listen", "127.0.0.1:0"])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url())
        .start();
    let (code, output) = web.finish().await;
    assert_eq!(code, Some(69), "{output}");
    assert!(output.contains("aisha migrate"), "{output}");
}

#[tokio::test]
async fn a_role_without_a_database_refuses_to_start() {
    let nowhere = "postgres://aisha:hunter2@127.0.0.1:1/aisha";
    let launch = aisha(["web", "--listen", "127.0.0.1:0"])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", nowhere);
    let (code, output) = launch.start().finish().await;
    assert_eq!(code, Some(69), "{output}");
    assert!(output.contains("DATABASE_URL"), "{output}");
    assert!(!output.contains("hunter2"), "{output}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let db = Db::new().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let launch = aisha(["web", "--listen", &address])
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url());
    let (code, output) = launch.start().finish().await;
    assert_eq!(code, Some(69), "{output}");
    assert!(output.contains(&address), "{output}");
}

/// Someone turned row security on for all tables: every query returned nothing, and all seemed well.
#[tokio::test]
async fn a_role_from_which_all_rows_are_hidden_says_so() {
    let db = Db::new().await;
    let role = format!("shown_nothing_{}", std::process::id());
    let run = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql))
            .execute(&db.pool)
            .await
            .unwrap();
    };
    run(format!(
        "create role {role} login;
         grant usage on schema public to {role};
         grant select, insert, update, delete on all tables in schema public to {role};
         alter table jobs enable row level security;
         alter table periodic enable row level security"
    ))
    .await;
    let url = db.url().replacen("//aisha@", &format!("//{role}@"), 1);
    let look = async || {
        let list = aisha(["jobs", "list"])
            .env("AISHA_ENV", "test")
            .env("DATABASE_URL", &url);
        list.start().finish().await
    };
    let (code, output) = look().await;
    assert_eq!(code, Some(69), "{output}");
    assert!(
        output.contains("hides all rows of jobs, periodic") && output.contains("BYPASSRLS"),
        "{output}"
    );

    run(format!(
        "create policy ours on jobs to {role} using (true);
         create policy everybodys on periodic using (true)"
    ))
    .await;
    let (code, output) = look().await;
    assert_eq!(code, Some(0), "{output}");
    let web = Web::start(&db, &[("DATABASE_URL", url.as_str())]).await;
    assert_eq!(readiness(&web).await, (StatusCode::OK, vec![]));
    run("drop policy ours on jobs".to_owned()).await;
    // The role caches its findings for a moment.
    let problems = eventually("the role to look again", async || {
        let (status, problems) = readiness(&web).await;
        (status == StatusCode::SERVICE_UNAVAILABLE).then_some(problems)
    })
    .await;
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("hides all rows of jobs")),
        "{problems:?}"
    );
    drop(web);
    run(format!("drop owned by {role}; drop role {role}")).await;
}
