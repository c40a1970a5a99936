//! `aisha queues`: what an operator sees and decides. What it does to workers: `tests/queue/governed.rs`.

use serde_json::Value;

use crate::support::{Db, aisha};

async fn queues(db: &Db, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = ["queues"].iter().chain(arguments);
    aisha(arguments)
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url())
        .env("USER", "ann")
        .start()
        .finish()
        .await
}

async fn json(db: &Db, arguments: &[&str]) -> Value {
    let (code, output) = queues(db, &[arguments, &["--json"]].concat()).await;
    assert_eq!(code, Some(0), "{output}");
    serde_json::from_str(&output).expect("JSON")
}

#[tokio::test]
async fn q14_an_operator_pauses_limits_and_resumes_a_queue() {
    let db = Db::new().await;
    let dry = json(&db, &["pause", "fal", "--dry-run"]).await;
    assert_eq!((&dry["changed"], &dry["dry_run"]), (&true.into(), &true.into()));
    assert!(dry["paused_at"].is_null(), "{dry}");
    assert_eq!(json(&db, &["log"]).await, Value::Array(vec![]));

    let paused = json(&db, &["pause", "fal", "--reason", "FAL is down"]).await;
    assert_eq!(
        (&paused["changed"], &paused["paused_by"]),
        (&true.into(), &"ann".into())
    );
    let again = json(&db, &["pause", "fal", "--by", "bob"]).await;
    assert_eq!(
        (&again["changed"], &again["paused_by"]),
        (&false.into(), &"ann".into())
    );
    let (code, list) = queues(&db, &["list"]).await;
    assert_eq!(code, Some(0), "{list}");
    let fal = list
        .lines()
        .find(|line| line.starts_with("fal "))
        .expect("a line for fal");
    assert!(
        fal.contains("paused since") && fal.ends_with("by ann: FAL is down"),
        "{fal}"
    );

    // A limit that is not named stays.
    json(&db, &["limit", "fal", "--running", "4"]).await;
    let limited = json(&db, &["limit", "fal", "--per-user", "2", "--by", "bob"]).await;
    assert_eq!(
        (&limited["max_running"], &limited["max_running_per_key"]),
        (&4.into(), &2.into())
    );
    let freed = json(&db, &["limit", "fal", "--running", "none"]).await;
    assert_eq!(
        (&freed["max_running"], &freed["max_running_per_key"]),
        (&Value::Null, &2.into())
    );

    let resumed = json(&db, &["resume", "fal"]).await;
    assert_eq!(
        (&resumed["changed"], &resumed["paused_at"]),
        (&true.into(), &Value::Null)
    );
    let log = json(&db, &["log", "--queue", "fal"]).await;
    let said: Vec<_> = log
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|change| change["change"].as_str().unwrap())
        .collect();
    assert_eq!(
        said,
        [
            "paused",
            "limits: 4 in all, none per key",
            "limits: 4 in all, 2 per key",
            "limits: none in all, 2 per key",
            "resumed"
        ]
    );
}

#[tokio::test]
async fn a_queue_or_limit_that_makes_no_sense_is_wrong_usage() {
    let db = Db::new().await;
    for (arguments, says) in [
        (
            ["pause", "gpu", "--dry-run", "--json"],
            "use media, fal, poll, notify or upkeep",
        ),
        (["limit", "fal", "--running", "0"], "pause the queue"),
        (["limit", "fal", "--running", "many"], "or none"),
    ] {
        let (code, output) = queues(&db, &arguments).await;
        assert_eq!(code, Some(2), "{output}");
        assert!(output.contains(says), "{output}");
    }
}
