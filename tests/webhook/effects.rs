//! What deliveries do to a training, in every order (W3-W7, W9, W12). They are posted to a real web role; the
//! product's jobs apply them when the test says so.

use futures::StreamExt as _;
use jobs::{ApplyFalDelivery, queue::JobState};
use reqwest::StatusCode;
use serde_json::json;

use super::{
    line::{Line, error, worker_for},
    post, stored, web_that_believes,
};
use crate::{
    saga::world::World,
    support::{FalSigner, Web, eventually},
};

const STRANGER: &str = "99999999-2222-4333-8444-555555555555";

#[tokio::test]
async fn w03_a_delivery_that_comes_fifty_times_at_once_has_one_effect() {
    let (line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    let posts = (0..50).map(|_| line.post(&request, &ok));
    assert_eq!(futures::future::join_all(posts).await, vec![StatusCode::OK; 50]);
    line.world.jobs.drain().await;
    assert_eq!(line.world.status().await, "completed");
    assert_eq!(line.post(&request, &ok).await, StatusCode::OK, "and long after");
    line.world.jobs.drain_through_time().await;
    assert_eq!(line.verdicts().await, ["applied"]);
    assert_eq!(
        (line.models().await, line.finals().await, line.world.submits()),
        (1, 1, 1)
    );
}

/// FAL delivers before our submit has received its answer, and the URL has lost its token: none of our rows knows the
/// request yet.
#[tokio::test]
async fn w04_a_delivery_before_the_submits_commit_is_parked_and_applied_later() {
    use aisha::simulators::fal::{
        faults::{Effect, Fault, Operation},
        ledger::{Entry, Event},
    };
    let line = Line::to(World::archived().await).await;
    let world = &line.world;
    let hold = Effect::Hold {
        until_delivered: false,
    };
    world.fal.script(Fault::new(Operation::Submit, hold)).unwrap();
    let submitter = worker_for(world, "fal", &[]);
    let accepted = |entries: &[Entry]| {
        entries.iter().find_map(|entry| match &entry.event {
            Event::Submitted { request_id, .. } => Some(request_id.to_string()),
            _ => None,
        })
    };
    let request = world.fal.wait_for("the submit", accepted).await.unwrap();
    world.fal.held(1).await.unwrap();
    let file = json!({"diffusers_lora_file": {"url": "http://127.0.0.1:9/lora.safetensors"}});
    let ok = json!({"request_id": request, "status": "OK", "payload": file});
    assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
    let apply = world.job::<ApplyFalDelivery>().await;
    assert_eq!(world.jobs.run(apply).await.state, JobState::Scheduled, "parked");
    assert_eq!(line.verdicts().await, ["pending"]);

    world.fal.release();
    eventually("the submit's commit", async || {
        (world.status().await == "submitted").then_some(())
    })
    .await;
    assert_eq!(world.jobs.run(apply).await.state, JobState::Done);
    assert_eq!(line.verdicts().await, ["applied"]);
    assert_eq!((world.status().await.as_str(), world.submits()), ("trained", 1));
    drop(submitter);
}

#[tokio::test]
async fn w05_a_delivery_of_an_unknown_request_is_kept_and_dead_lettered_with_its_reason() {
    let line = Line::to(World::submitted().await).await;
    assert_eq!(line.post(STRANGER, &error(STRANGER)).await, StatusCode::OK);
    let apply = line.world.job::<ApplyFalDelivery>().await;
    assert_eq!(
        line.world.jobs.run(apply).await.state,
        JobState::Scheduled,
        "it may be on its way to us"
    );
    assert_eq!(line.verdicts().await, ["pending"]);
    line.ten_minutes_pass().await;
    assert_eq!(line.world.jobs.run(apply).await.state, JobState::Dead);
    assert_eq!(line.verdicts().await, ["unknown_request"]);
    let reason = line
        .world
        .text("select error_code from jobs where kind = 'apply_fal_delivery'")
        .await;
    assert_eq!(reason.as_deref(), Some("unknown_request"));
    assert_eq!(
        line.world.status().await,
        "submitted",
        "nobody's training is touched"
    );
}

#[tokio::test]
async fn w06_error_after_ok_changes_nothing_and_is_recorded() {
    let (line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    for body in [ok, error(&request)] {
        assert_eq!(line.post(&request, &body).await, StatusCode::OK);
        line.world.jobs.drain().await;
    }
    assert_eq!(line.world.status().await, "completed");
    assert_eq!(line.verdicts().await, ["applied", "late"]);
    assert_eq!(line.finals().await, 1);
}

#[tokio::test]
async fn w06_ok_after_error_changes_nothing_and_is_recorded() {
    let (line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    assert_eq!(line.post(&request, &error(&request)).await, StatusCode::OK);
    line.world.jobs.drain().await;
    assert_eq!(line.world.status().await, "failed");
    assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
    line.world.jobs.drain_through_time().await;
    assert_eq!(line.world.status().await, "failed");
    assert_eq!(line.verdicts().await, ["applied", "late"]);
    assert_eq!(line.finals().await, 1);
}

#[tokio::test]
async fn w06_ok_after_cancel_leaves_the_training_cancelled_and_is_recorded() {
    let (line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    let cancel = "with training as (update trainings set status = 'cancelled', finished_at = now() returning avatar_id) \
                  update avatars set status = 'cancelled' from training where id = training.avatar_id";
    sqlx::query(cancel).execute(line.world.pool()).await.unwrap();
    assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
    line.world.jobs.drain_through_time().await;
    assert_eq!(
        line.world.status().await,
        "cancelled",
        "the first terminal fact wins"
    );
    assert_eq!(line.verdicts().await, ["kept"], "it was paid for");
}

#[tokio::test]
async fn w07_a_web_role_killed_right_after_its_200_loses_nothing() {
    let (mut line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
    line.web.process.kill();
    line.world.jobs.drain().await;
    assert_eq!(line.world.status().await, "completed");
    let source = line.world.text("select result_source::text from trainings").await;
    assert_eq!(
        source.as_deref(),
        Some("webhook"),
        "and not because polling saved it"
    );
}

#[tokio::test]
async fn w09_a_delivery_without_its_payload_has_the_result_fetched() {
    let (line, request) = Line::to_a_submitted_training().await;
    let bare = json!({"request_id": request, "gateway_request_id": "g", "status": "OK", "payload": null,
                      "payload_error": "Payload is not JSON serializable"});
    assert_eq!(line.post(&request, &bare).await, StatusCode::OK);
    let apply = line.world.job::<ApplyFalDelivery>().await;
    line.world.jobs.run(apply).await;
    assert_eq!(line.verdicts().await, ["looked_up"]);
    line.world.jobs.drain_through_time().await;
    assert_eq!(line.world.status().await, "completed");
    assert_eq!(line.finals().await, 1);
}

#[tokio::test]
async fn w12_a_delivery_and_a_poll_that_race_have_one_effect() {
    for order in ["webhook first", "poll first", "at once"] {
        let (line, request) = Line::to_a_submitted_training().await;
        let ok = line.ok(&request).await;
        let webhook = async {
            assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
            let apply = line.world.job::<ApplyFalDelivery>().await;
            line.world.jobs.run(apply).await;
        };
        match order {
            "webhook first" => {
                webhook.await;
                line.world.poll().await;
            }
            "poll first" => {
                line.world.poll().await;
                webhook.await;
            }
            _ => drop(tokio::join!(webhook, line.world.poll())),
        }
        line.world.jobs.drain_through_time().await;
        assert_eq!(line.world.status().await, "completed", "{order}");
        assert_eq!((line.models().await, line.finals().await), (1, 1), "{order}");
        let verdict = line.verdicts().await.join(" ");
        assert!(
            matches!(verdict.as_str(), "applied" | "late"),
            "{order}: {verdict}"
        );
    }
}

/// Our FAL user is not configured, so deliveries for any user are accepted.
#[tokio::test]
async fn w05_strangers_deliveries_do_not_fill_the_inbox_and_ours_are_taken_all_the_same() {
    let world = World::submitted().await;
    world.leaves::<ApplyFalDelivery>();
    world.fal_is_done().await;
    let ours = world.request_id().await;
    let (db, signer) = (&world.db, FalSigner::new().await);
    let open = Web::start(db, &[("FAL_JWKS_URL", signer.jwks_url())]).await;
    let delivery = |request: &str| signer.sign(request, error(request).to_string());
    let posts = (0..260).map(async |number| post(&open, "", &delivery(&format!("stranger-{number}"))).await);
    let answers: Vec<StatusCode> = futures::stream::iter(posts).buffered(8).collect().await;
    let taken = answers.iter().filter(|status| **status == StatusCode::OK).count();
    // As many deliveries as are handled at once may pass the limit.
    assert!((200..=208).contains(&taken), "{taken} were taken");
    assert_eq!(answers[259], StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(stored(world.pool()).await, taken as i64);
    assert_eq!(
        post(&open, "", &delivery("stranger-0")).await,
        StatusCode::OK,
        "a resend"
    );
    assert_eq!(post(&open, "", &delivery(&ours)).await, StatusCode::OK, "ours");
    let of_attempt = world
        .text("select token from training_attempts")
        .await
        .expect("a token");
    let by_token = post(&open, &format!("?token={of_attempt}"), &delivery("other-id")).await;
    assert_eq!(by_token, StatusCode::OK, "by its token");

    let strict = web_that_believes(&signer, db).await;
    assert_eq!(
        post(&strict, "", &delivery("our-own")).await,
        StatusCode::OK,
        "our own user's"
    );
    assert_eq!(stored(world.pool()).await, taken as i64 + 3);
}
