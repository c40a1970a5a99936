//! `aisha queues`: what an operator sees and changes. `tests/queue/governed.rs` tests the effect on workers.

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

    // A limit that is not named stays unchanged.
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
    let (code, output) = queues(&db, &["pause", "gpu", "--dry-run", "--json"]).await;
    assert_eq!(code, Some(2), "{output}");
    for queue in jobs::queues::ALL {
        assert!(output.contains(queue.as_str()), "{queue} is not in {output}");
    }
    for (arguments, says) in [
        (["limit", "fal", "--running", "0"], "pause the queue"),
        (["limit", "fal", "--running", "many"], "or none"),
    ] {
        let (code, output) = queues(&db, &arguments).await;
        assert_eq!(code, Some(2), "{output}");
        assert!(output.contains(says), "{output}");
    }
}

/// Guards against a bug: Telegram had told one chat to wait for ten hours, and no command showed why it
/// got no answers or could end the silence.
#[tokio::test]
async fn q14_an_operator_sees_who_is_silent_and_ends_it() {
    let db = Db::new().await;
    sqlx::query(
        "insert into queue_buckets (queue, key, full_at, quiet_until, held_at) values
             ('notify', '', 'infinity', now() + interval '40 seconds', now()),
             ('notify', '7', '-infinity', now() + interval '10 hours', now()),
             ('notify', '8', '-infinity', now() + interval '2 minutes', now()),
             ('notify', '9', '-infinity', now() - interval '1 second', now())",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let list = json(&db, &["list"]).await;
    let find = |list: &Value| {
        list.as_array()
            .unwrap()
            .iter()
            .find(|queue| queue["queue"] == "notify")
            .cloned()
            .unwrap()
    };
    let notify = find(&list);
    assert_eq!(notify["silent_keys"], 2);
    assert!(
        notify["silent_until"].is_string() && notify["silent_keys_until"].is_string(),
        "{notify}"
    );
    let (_, text) = queues(&db, &["list"]).await;
    let line = text
        .lines()
        .find(|line| line.starts_with("notify "))
        .unwrap()
        .to_owned();
    assert!(
        line.contains("silent until") && line.contains("then one tries") && line.contains("2 users"),
        "{line}"
    );
    assert!(
        text.lines()
            .find(|line| line.starts_with("fal "))
            .unwrap()
            .ends_with("open"),
        "{text}"
    );

    let resumed = json(&db, &["resume", "notify", "--dry-run"]).await;
    assert_eq!(
        (&resumed["changed"], &resumed["silent_keys"]),
        (&true.into(), &2.into())
    );
    let resumed = json(&db, &["resume", "notify", "--reason", "Telegram is fine"]).await;
    assert_eq!(
        (&resumed["changed"], &resumed["silent_keys"]),
        (&true.into(), &0.into())
    );
    assert!(
        resumed["silent_until"].is_null() && resumed["silent_keys_until"].is_null(),
        "{resumed}"
    );
    let again = json(&db, &["resume", "notify"]).await;
    assert_eq!(again["changed"], false);
    let log = json(&db, &["log"]).await;
    assert_eq!(
        (&log[0]["change"], &log[0]["reason"]),
        (&"silence lifted".into(), &"Telegram is fine".into())
    );
    assert_eq!(log.as_array().unwrap().len(), 1);
}
