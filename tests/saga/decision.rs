//! K13: a submit whose outcome stays unknown is decided, and a result that comes later is still used.

use aisha::simulators::fal::faults::{Effect, Fault, Operation, When};
use jobs::{PollStatus, StoreModel, SubmitTraining, queue::JobState};
use serde_json::json;

use super::world::World;

/// The submit's connection breaks before or after FAL accepted it.
fn lost(when: When) -> Fault {
    Fault {
        when: Some(when),
        ..Fault::new(Operation::Submit, Effect::Close {})
    }
}

fn list(status: u16, body: serde_json::Value) -> Fault {
    let effect = Effect::Answer {
        status,
        headers: Default::default(),
        body,
    };
    Fault::new(Operation::List, effect)
}

const NOT_LISTED: fn() -> Fault = || list(200, json!({"items": [], "next_cursor": null, "has_more": false}));

/// FAL accepted the training, the answer was lost, its list did not show it in time, and we gave up.
async fn given_up() -> World {
    let world = World::archived().await;
    world.fal.script(NOT_LISTED()).unwrap();
    let world = world.submit_unanswered(When::After).await;
    world.decision_is_due().await;
    world.poll().await;
    assert_eq!(world.failure().await.as_deref(), Some("submit_outcome_unknown"));
    world.fal_is_done().await;
    world
}

#[tokio::test]
async fn an_undecided_submit_fails_at_its_deadline_and_its_owner_is_told() {
    let world = World::archived().await.submit_unanswered(When::Before).await;
    assert_eq!(world.status().await, "submitting", "nobody knows");
    assert_eq!(world.run::<PollStatus>().await.state, JobState::Scheduled);
    assert_eq!(world.status().await, "submitting", "its time is not up");

    world.decision_is_due().await;
    assert_eq!(world.run::<PollStatus>().await.state, JobState::Done);
    assert_eq!(world.status().await, "failed");
    assert_eq!(world.failure().await.as_deref(), Some("submit_outcome_unknown"));
    assert_eq!(world.avatar_status().await, "failed", "and may be tried again");
    assert_eq!(world.endings_told().await, 1);
    assert_eq!(world.submits(), 0);
    assert!(
        !world.is_live::<SubmitTraining>().await,
        "and is not posted again"
    );
    assert!(world.is_live::<PollStatus>().await, "it is still looked for");

    // Time passes until no result can come any more.
    world.archive_has_expired().await;
    assert_eq!(world.run::<PollStatus>().await.state, JobState::Done);
    assert!(!world.is_live::<PollStatus>().await);
    assert_eq!(world.endings_told().await, 1);
}

#[tokio::test]
async fn an_attempt_that_died_before_its_first_byte_ends_by_the_same_rule() {
    let world = World::archived().await;
    world.submit_dies_unanswered(When::Before).await;
    world.fal.release_answers_by_closing();
    world.jobs.rescue().await;
    world.jobs.drain().await;
    assert_eq!(world.status().await, "submitting");
    world.decision_is_due().await;
    // Only FAL's list tells whether FAL accepted the request before the connection broke.
    let taken = world.submits();
    world.fal.script(NOT_LISTED()).unwrap();
    world.poll().await;
    assert_eq!(world.failure().await.as_deref(), Some("submit_outcome_unknown"));
    assert_eq!(world.submits(), taken);
}

#[tokio::test]
async fn a_submit_is_not_decided_while_the_list_is_away() {
    let world = World::archived().await;
    world.fal.script(list(500, json!({"detail": "x"}))).unwrap();
    let world = world.submit_unanswered(When::Before).await;
    world.decision_is_due().await;
    assert_eq!(world.run::<PollStatus>().await.state, JobState::Scheduled);
    assert_eq!(world.status().await, "submitting");
    assert_eq!(world.endings_told().await, 0);
    world.poll().await;
    assert_eq!(world.status().await, "failed", "now it answers");
}

#[tokio::test]
async fn a_result_after_the_decision_is_adopted_and_told() {
    let world = given_up().await;
    world.poll().await;
    assert_eq!(
        world.request_id().await,
        world.accepted()[0],
        "the list has it now"
    );
    assert_eq!(world.status().await, "failed", "the first ending stands");
    world.poll().await;
    world.run::<StoreModel>().await;
    assert_eq!(world.status().await, "failed");
    assert_eq!(world.avatar_status().await, "completed", "the model was paid for");
    let key = world
        .text("select model_key from avatars where is_main")
        .await
        .expect("a model");
    assert!(world.s3.get(&key).is_some());
    assert_eq!(
        world
            .count("select count(*) from notifications where dedupe_key like 'late:%' and message::text like '%training-came-late%'")
            .await,
        1
    );
    assert_eq!((world.endings_told().await, world.submits()), (1, 1));
    let view = jobs::reader::Reader::new(world.pool().clone())
        .training_status(world.training.0)
        .await;
    assert_eq!(view.unwrap().unwrap().status, jobs::reader::ViewStatus::Completed);
    assert!(
        !world.is_live::<PollStatus>().await,
        "nothing is left to look for"
    );
}

#[tokio::test]
async fn a_delivery_after_the_decision_is_kept() {
    let world = given_up().await;
    let token = world.text("select token from training_attempts").await.unwrap();
    let request = world.accepted()[0].clone();
    let file = json!({"url": "http://127.0.0.1:9/lora.safetensors", "file_size": 1000});
    let body = json!({"request_id": request, "gateway_request_id": "g", "status": "OK", "payload": {"diffusers_lora_file": file}});
    let became = world.deliver(&request, &body, Some("style"), Some(&token)).await;
    assert_eq!(became.as_deref(), Some("kept"));
    assert_eq!(world.status().await, "failed");
    let again = json!({"request_id": request, "gateway_request_id": "h", "status": "OK", "payload": {"diffusers_lora_file": file}});
    let became = world.deliver(&request, &again, Some("style"), Some(&token)).await;
    assert_eq!(became.as_deref(), Some("late"));
    // That model is useless: the avatar stays as it was, and the user gets no second message.
    let job = world.job::<StoreModel>().await;
    assert_eq!(world.jobs.run_last_attempt(job).await.state, JobState::Dead);
    assert_eq!(world.avatar_status().await, "failed");
    assert_eq!(world.endings_told().await, 1);
    assert_eq!(
        world
            .text("select late_model::text from trainings")
            .await
            .as_deref(),
        Some("settled")
    );
}

#[tokio::test]
async fn a_late_model_changes_nothing_for_an_avatar_that_went_on() {
    let world = given_up().await;
    world.change("update avatars set status = 'draft'").await;
    world.poll().await;
    world.poll().await;
    world.run::<StoreModel>().await;
    assert_eq!(world.avatar_status().await, "draft");
    let key = world
        .text("select late_model_key from trainings")
        .await
        .expect("it is kept");
    assert!(world.s3.get(&key).is_some());
    assert_eq!(
        world
            .count("select count(*) from notifications where message::text like '%training-came-too-late%'")
            .await,
        1
    );
}

#[tokio::test]
async fn an_unknown_submit_is_repeated_once_and_only_where_that_is_accepted() {
    let world = World::with_settings(|settings| {
        settings.resubmit_unknown = true;
    })
    .await
    .archive()
    .await;
    world
        .fal
        .script(Fault {
            times: 2,
            ..lost(When::Before)
        })
        .unwrap();
    let world = world.submit().await;
    world.decision_is_due().await;
    world.poll().await;
    assert_eq!(world.status().await, "archived");
    world.run::<SubmitTraining>().await;
    assert_eq!(world.status().await, "submitting", "this one is lost as well");
    world.decision_is_due().await;
    world.poll().await;
    assert_eq!(world.failure().await.as_deref(), Some("submit_outcome_unknown"));
    let outcomes =
        "select string_agg(coalesce(outcome::text, 'unknown'), ',' order by number) from training_attempts";
    assert_eq!(world.text(outcomes).await.as_deref(), Some("abandoned,unknown"));
    assert_eq!(world.endings_told().await, 1);
}
