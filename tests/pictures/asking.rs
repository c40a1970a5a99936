//! `generate_images`, and what trainings share with it: one request, whatever dies on the way.

use aisha::simulators::fal::faults::{Effect, Fault, Operation, When};
use jobs::{
    ApplyFalDelivery, CancelGeneration, GenerateImages, PollStatus, ReconcileGenerations,
    domain::WebhookBase,
    producer::{Ordered, Place},
    queue::JobState,
};
use serde_json::{Value, json};

use super::world::{Studio, path_at_fal};
use crate::{notify_user::effects, saga::world::World};

#[tokio::test]
async fn pictures_are_made_with_the_model_of_their_avatar() {
    let studio = Studio::asked().await;
    studio.finish().await;
    studio.assert_ready_once("at the end").await;
    let lora = studio.text("select lora_url from avatars").await.unwrap();
    let input = &studio.asked_for()[0];
    assert_eq!(input["loras"][0]["path"], json!(lora));
    assert_eq!(input["prompt"], json!("zorvane woman in the rain"));
    assert_eq!(input["num_images"], json!(2));
    assert_eq!(input["seed"], json!(4712));
    assert_eq!(input["enable_safety_checker"], json!(true));
}

#[tokio::test]
async fn a_lora_that_fal_lost_is_copied_to_it_again() {
    let studio = Studio::asked().await;
    let lost = studio.text("select lora_url from avatars").await.unwrap();
    let gone = Fault {
        times: 0,
        contains: Some(path_at_fal(&lost)),
        ..Fault::new(
            Operation::Download,
            Effect::Answer {
                status: 404,
                headers: Default::default(),
                body: Value::Null,
            },
        )
    };
    studio.fal.script(gone).unwrap();
    studio.finish().await;
    studio.assert_ready_once("with the copy").await;
    let copy = studio.text("select lora_url from avatars").await.unwrap();
    assert_ne!(copy, lost);
    assert_eq!(studio.asked_for()[0]["loras"][0]["path"], json!(copy));
}

#[tokio::test]
async fn a_model_that_is_nowhere_fails_the_pictures_and_gives_them_back() {
    let studio = Studio::asked().await;
    studio.fal.always_answers(Operation::Download, 404, Value::Null);
    let key = studio.text("select model_key from avatars").await.unwrap();
    studio.s3.remove(&key);
    studio.finish().await;
    studio.assert_failed_once("model_gone").await;
    let button =
        "select message -> 'buttons' -> 0 -> 0 ->> 'data' from notifications where dedupe_key like 'album:%'";
    assert_eq!(
        studio.text(button).await.as_deref(),
        Some("create"),
        "once more would end the same way"
    );
    assert!(studio.asked_for().is_empty(), "a stranger was not paid for");
}

#[tokio::test]
async fn a_lost_answer_is_adopted_from_the_list_by_prompt_and_seed() {
    let studio = Studio::asked().await.submit_unanswered(When::After).await;
    assert_eq!(studio.generation_status().await, "submitting");
    studio.finish().await;
    studio.assert_ready_once("adopted").await;
    assert_eq!(
        studio
            .text("select evidence::text from training_attempts where generation_id is not null")
            .await
            .as_deref(),
        Some("request_list")
    );
}

#[tokio::test]
async fn pictures_of_unknown_fate_are_asked_for_once_more() {
    let studio = Studio::asked().await.submit_unanswered(When::Before).await;
    studio.world.poll().await;
    assert_eq!(
        studio.generation_status().await,
        "submitting",
        "not before its time"
    );
    studio
        .change("update training_attempts set created_at = created_at - interval '11 minutes' where generation_id is not null")
        .await;
    studio.world.poll().await;
    assert_eq!(studio.generation_status().await, "requested");
    let studio = studio.submit_unanswered(When::Before).await;
    studio
        .change("update training_attempts set created_at = created_at - interval '11 minutes' where generation_id is not null")
        .await;
    studio.world.poll().await;
    studio.assert_failed_once("submit_outcome_unknown").await;
    assert!(studio.asked_for().is_empty());
}

#[tokio::test]
async fn pictures_of_a_request_that_was_given_up_are_not_delivered_and_no_double_cost() {
    let studio = Studio::asked().await.submit_unanswered(When::After).await;
    let token = studio
        .text("select token from training_attempts where generation_id is not null")
        .await
        .unwrap();
    studio
        .change("update generations set status = 'failed', finished_at = now(), failure_code = 'timed_out'")
        .await;
    studio.pictures_are_made().await;
    let request = studio.world.accepted().pop().unwrap();
    let disposition = deliver(&studio, &request, &token).await;
    assert_eq!(disposition.as_deref(), Some("late"));
    assert_eq!(studio.pictures().await, 0);
    studio.jobs.drain_through_time().await;
    // Only the delivery knows the request's id, and FAL has its pictures.
    studio.world.delete_avatar().await;
    studio.jobs.drain_through_time().await;
    studio
        .world
        .assert_erased("with a request that was given up")
        .await;
}

#[tokio::test]
async fn nobody_gets_pictures_of_anothers_avatar() {
    let studio = Studio::asked().await;
    studio
        .change("with eve as (insert into users (telegram_id, language) values (666, 'en') returning id) update generations set user_id = eve.id from eve")
        .await;
    studio.finish().await;
    assert!(studio.asked_for().is_empty(), "{:?}", studio.asked_for());
    assert_eq!(studio.generation_status().await, "failed");
}

#[tokio::test]
async fn more_like_this_leaves_the_open_draft_alone() {
    let studio = Studio::asked().await;
    studio.finish().await;
    studio.assert_ready_once("the first").await;
    studio.change("update albums set style = 'cinema'").await;
    let mut turn = studio.world.turn().await;
    let draft = turn.begin_album(studio.world.avatar()).await.unwrap().unwrap();
    turn.choose_words(draft.id, "on a horse").await.unwrap();
    let again = turn.order_again(studio.album, Place::New).await.unwrap();
    assert!(matches!(again, Ordered::Yes), "{again:?}");
    let twice = turn.order_again(studio.album, Place::New).await.unwrap();
    assert!(matches!(twice, Ordered::AlreadyMaking), "{twice:?}");
    let left = turn.album_draft(draft.id).await.unwrap().expect("the draft");
    assert_eq!(left.words.as_deref(), Some("on a horse"));
    turn.finish().await.unwrap();
    studio.finish().await;
    assert_eq!(
        studio
            .count("select count(*) from albums where status = 'ready'")
            .await,
        2
    );
    assert_eq!(studio.asked_for().len(), 2);
}

/// Stores and applies a delivery of pictures. Returns its disposition.
async fn deliver(studio: &Studio, request: &str, token: &str) -> Option<String> {
    let body = json!({"request_id": request, "gateway_request_id": "g", "status": "OK",
        "payload": {"images": [{"url": "https://v3.fal.media/files/a.jpg"}]}});
    studio
        .world
        .store_delivery(request, &body, None, Some(token))
        .await;
    studio.run::<ApplyFalDelivery>().await;
    studio.text("select disposition from fal_deliveries").await
}

#[tokio::test]
async fn a_webhook_ends_pictures_before_any_poll() {
    let mut world = World::submitted().await;
    world.change_settings(|settings| {
        settings.webhook = WebhookBase::from_setting("https://bot.test").unwrap();
    });
    let studio = Studio::asked_on(world).await.submit().await;
    let url = studio
        .text("select webhook_url from training_attempts where generation_id is not null")
        .await
        .unwrap();
    assert!(url.contains("product=pictures"), "{url}");
    studio.pictures_are_made().await;
    let request = studio.text("select request_id from generations").await.unwrap();
    let output = json!({"images": [], "seed": 1, "has_nsfw_concepts": []});
    let body = json!({"request_id": request, "gateway_request_id": "g", "status": "OK", "payload": output});
    studio.world.store_delivery(&request, &body, None, None).await;
    studio.run::<ApplyFalDelivery>().await;
    assert_eq!(
        studio
            .text("select result_source::text from generations")
            .await
            .as_deref(),
        Some("webhook")
    );
    assert_eq!(
        studio
            .text("select disposition from fal_deliveries where generation_id is not null and training_id is null")
            .await
            .as_deref(),
        Some("applied")
    );
    studio.jobs.drain_through_time().await;
}

#[tokio::test]
async fn pictures_that_lost_their_job_are_put_back_on_their_rails() {
    let studio = Studio::asked().await;
    studio.change("delete from jobs").await;
    studio.enqueue(&ReconcileGenerations::default()).await;
    studio.run::<ReconcileGenerations>().await;
    assert!(studio.is_live::<GenerateImages>().await);
    studio.finish().await;
    studio.assert_ready_once("put back").await;
}

#[tokio::test]
async fn pictures_past_their_deadline_are_stopped_at_fal_and_told() {
    let studio = Studio::at_fal(Effect::StuckInQueue {}).await;
    studio
        .change("update generations set status_since = now() - interval '31 minutes'")
        .await;
    studio.enqueue(&ReconcileGenerations::default()).await;
    studio.run::<ReconcileGenerations>().await;
    assert!(studio.is_live::<CancelGeneration>().await);
    studio.jobs.drain_through_time().await;
    studio.assert_failed_once("timed_out").await;
    assert_eq!(studio.world.cancels(), [200]);
}

#[tokio::test]
async fn a_locked_account_parks_pictures_and_fails_none() {
    let studio = Studio::asked().await;
    studio
        .fal
        .answers(Operation::Submit, 403, json!({"detail": "User is locked"}));
    let ran = studio.run::<GenerateImages>().await;
    assert_eq!(ran.state, JobState::Scheduled);
    assert_eq!(studio.generation_status().await, "requested");
    studio.change("update fal_account set probe_at = now()").await;
    studio.run::<GenerateImages>().await;
    studio.finish().await;
    studio.assert_ready_once("once the account is in order").await;
}

#[tokio::test]
async fn a_refused_input_fails_the_pictures() {
    let studio = Studio::asked().await;
    studio.fal.answers(
        Operation::Submit,
        422,
        json!({"detail": [{"loc": ["body", "prompt"], "msg": "no", "type": "content_policy_violation"}]}),
    );
    studio.finish().await;
    studio.assert_failed_once("rejected_by_provider").await;
    assert!(!studio.is_live::<PollStatus>().await);
}

/// The tap "make" and the deletion come one after the other, and the job only then.
#[tokio::test]
async fn pictures_of_an_avatar_that_is_deleted_before_their_job_runs_are_not_asked_for() {
    let studio = Studio::asked().await;
    studio.hears().await;
    assert_eq!(studio.used().await, 2);
    studio.world.delete_avatar().await;
    assert_eq!(studio.generation_status().await, "cancelled");
    assert_eq!(studio.used().await, 0, "given back");
    assert!(!studio.is_live::<GenerateImages>().await, "withdrawn");
    // One that a worker had claimed before comes too late as well.
    studio.enqueue(&GenerateImages::new(studio.generation)).await;
    studio.run::<GenerateImages>().await;
    studio.jobs.drain_through_time().await;
    assert!(studio.asked_for().is_empty(), "{:?}", studio.asked_for());
    for method in ["sendMessage", "sendPhoto", "sendMediaGroup"] {
        assert_eq!(effects(&studio, method), 0, "nobody is told: {method}");
    }
    studio.world.assert_erased("with its pictures").await;
}
