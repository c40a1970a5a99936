//! `aisha webhooks`: every delivery can be listed, shown and replayed (W14), and gets a verdict in the end (I9).

use jobs::{ApplyFalDelivery, queue::JobState};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::line::{Line, error};
use crate::{saga::world::World, support::aisha};

const STRANGER: &str = "99999999-2222-4333-8444-555555555555";

async fn webhooks(line: &Line, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = ["webhooks"].iter().chain(arguments);
    aisha(arguments)
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", line.world.db.url())
        .start()
        .finish()
        .await
}

/// The output of a verb with `--json`.
async fn json(line: &Line, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let (code, output) = webhooks(line, &arguments).await;
    assert_eq!(code, Some(0), "{arguments:?}: {output}");
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output}"))
}

/// Field `name` of each.
fn each<'a>(rows: &'a Value, name: &str) -> Vec<&'a str> {
    let rows = rows.as_array().expect("an array").iter();
    rows.map(|row| row[name].as_str().unwrap_or("null")).collect()
}

/// One delivery that ended a training, one that came too late, one for an unknown request.
async fn three_deliveries() -> (Line, String) {
    let (line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    for body in [ok, error(&request)] {
        assert_eq!(line.post(&request, &body).await, StatusCode::OK);
        line.world.jobs.drain().await;
    }
    assert_eq!(line.post(STRANGER, &error(STRANGER)).await, StatusCode::OK);
    (line, request)
}

#[tokio::test]
async fn w14_every_stored_delivery_is_listed_and_shown() {
    let (line, request) = three_deliveries().await;
    line.world.leaves::<ApplyFalDelivery>();
    let all = json(&line, &["list"]).await;
    assert_eq!(
        each(&all, "verdict"),
        ["pending", "late", "applied"],
        "newest first"
    );
    assert_eq!(each(&all, "request_id"), [STRANGER, &request, &request]);
    assert_eq!(
        (&all[0]["is_queued"], &all[1]["is_queued"]),
        (&json!(true), &json!(false))
    );

    let late = json(&line, &["list", "--verdict", "late"]).await;
    assert_eq!(each(&late, "verdict"), ["late"]);
    let of_request = json(&line, &["list", "--request", STRANGER]).await;
    assert_eq!(each(&of_request, "request_id"), [STRANGER]);
    let training = line.world.training.to_string();
    let of_training = json(&line, &["list", "--training", &training, "--limit", "1"]).await;
    assert_eq!(
        (each(&of_training, "verdict"), each(&of_training, "training_id")),
        (vec!["late"], vec![&*training])
    );

    let id = all[2]["id"].to_string();
    let shown = json(&line, &["show", &id]).await;
    assert_eq!(shown["body"], line.ok(&request).await, "as FAL sent it");
    assert_eq!(shown["verdict"], json!("applied"));
    let (code, text) = webhooks(&line, &["show", &id]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("diffusers_lora_file") && text.contains("applied"),
        "{text}"
    );
    let (code, text) = webhooks(&line, &["list"]).await;
    assert_eq!((code, text.lines().count()), (Some(0), 3), "{text}");
}

#[tokio::test]
async fn w14_a_replay_is_harmless_ten_times_over() {
    let (line, _) = three_deliveries().await;
    line.ten_minutes_pass().await;
    line.world.jobs.drain_through_time().await;
    assert_eq!(
        line.verdicts().await,
        ["applied", "late", "unknown_request"],
        "each has its verdict"
    );
    let ids: Vec<String> = json(&line, &["list"])
        .await
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["id"].to_string())
        .collect();
    let replay: Vec<&str> = ["replay"]
        .into_iter()
        .chain(ids.iter().map(String::as_str))
        .collect();
    for round in 0..10 {
        let replayed = json(&line, &replay).await;
        let newest = if round % 2 == 0 { "enqueued" } else { "waiting" };
        assert_eq!(
            each(&replayed, "replay"),
            [newest, "settled", "settled"],
            "round {round}"
        );
        if round % 2 == 1 {
            line.world.jobs.drain_through_time().await;
        }
    }
    assert_eq!(line.verdicts().await, ["applied", "late", "unknown_request"]);
    assert_eq!(line.world.status().await, "completed");
    assert_eq!(
        (line.models().await, line.finals().await, line.world.submits()),
        (1, 1, 1)
    );
}

#[tokio::test]
async fn w14_a_delivery_that_was_nobodys_is_applied_by_a_replay_once_its_request_is_known() {
    let line = Line::to(World::submitted().await).await;
    let file = json!({"diffusers_lora_file": {"url": "http://127.0.0.1:9/lora.safetensors"}});
    let ok = json!({"request_id": STRANGER, "status": "OK", "payload": file});
    assert_eq!(line.post(STRANGER, &ok).await, StatusCode::OK);
    line.ten_minutes_pass().await;
    let apply = line.world.job::<ApplyFalDelivery>().await;
    assert_eq!(line.world.jobs.run(apply).await.state, JobState::Dead);

    let known = "update trainings set request_id = $1";
    sqlx::query(known)
        .bind(STRANGER)
        .execute(line.world.pool())
        .await
        .unwrap();
    let filter = ["replay", "--verdict", "unknown_request"];
    let rehearsed = json(&line, &[&filter[..], &["--dry-run"]].concat()).await;
    assert_eq!(each(&rehearsed, "replay"), ["would_enqueue"]);
    assert_eq!(
        line.world
            .count("select count(*) from jobs where kind = 'apply_fal_delivery'")
            .await,
        1
    );
    let replayed = json(&line, &filter).await;
    assert_eq!(each(&replayed, "replay"), ["enqueued"]);
    let apply = line.world.job::<ApplyFalDelivery>().await;
    assert_eq!(line.world.jobs.run(apply).await.state, JobState::Done);
    assert_eq!(line.verdicts().await, ["applied"]);
    assert_eq!(line.world.status().await, "trained");
    assert_eq!(
        each(&json(&line, &["replay", "--request", STRANGER]).await, "replay"),
        ["settled"]
    );
}

/// Applying it fails until its job is dead; after the cause is removed, a replay applies it.
#[tokio::test]
async fn w14_a_delivery_that_was_given_up_says_so_and_can_be_replayed() {
    let (line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
    let rule = "alter table trainings add constraint broken check (status <> 'trained') not valid";
    sqlx::query(rule).execute(line.world.pool()).await.unwrap();
    let apply = line.world.job::<ApplyFalDelivery>().await;
    assert_eq!(
        line.world.jobs.run_last_attempt(apply).await.state,
        JobState::Dead
    );
    assert_eq!(line.verdicts().await, ["given_up"]);
    sqlx::query("alter table trainings drop constraint broken")
        .execute(line.world.pool())
        .await
        .unwrap();
    let (code, output) = webhooks(&line, &["replay", "--verdict", "given_up"]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.contains("is applied again"), "{output}");
    line.world.jobs.drain().await;
    assert_eq!(
        (line.verdicts().await, line.world.status().await),
        (vec!["applied".to_owned()], "completed".to_owned())
    );
}

#[tokio::test]
async fn w14_wrong_usage_is_told_from_what_is_not_there() {
    let line = Line::to(World::submitted().await).await;
    for (arguments, code, says) in [
        (&["show", "7"][..], 1, "there is no delivery 7"),
        (&["replay", "7"], 1, "there is no delivery 7"),
        (&["replay"], 2, "--verdict"),
        (&["list", "--verdict", "aplied"], 2, "use one of pending, applied"),
        (&["list", "--limit", "0"], 2, "--limit"),
        (&["list", "--training", "7"], 2, "--training"),
    ] {
        let (ended, output) = webhooks(&line, arguments).await;
        assert_eq!(ended, Some(code), "{arguments:?}: {output}");
        assert!(output.contains(says), "{arguments:?}: {output}");
    }
}
