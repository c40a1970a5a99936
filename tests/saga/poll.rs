//! `poll_status`: how a training ends without webhooks.

use std::time::Duration;

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use jobs::{PollStatus, domain::WebhookBase, queue::JobState};
use serde_json::json;

use super::world::World;

#[tokio::test]
async fn a_training_whose_webhooks_are_all_lost_completes_by_polling() {
    let world = World::submitted().await;
    world.fal_is_done().await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.status().await, "completed");
    assert_eq!(
        world
            .text("select result_source::text from trainings")
            .await
            .as_deref(),
        Some("poll")
    );
    assert_eq!(
        world.text("select status::text from avatars").await.as_deref(),
        Some("completed")
    );
}

#[tokio::test]
async fn a_completed_request_with_an_error_result_fails_the_training() {
    let world = World::archived().await;
    let body = json!({"detail": [{"loc": ["body", "images_data_url"], "msg": "unreadable", "type": "file_download_error"}]});
    world
        .fal
        .script(Fault::new(
            Operation::Execution,
            Effect::Fail { status: 422, body },
        ))
        .unwrap();
    let world = world.submit().await;
    world.fal_is_done().await;
    world.poll().await;
    assert_eq!(world.status().await, "failed");
    assert_eq!(world.failure().await.as_deref(), Some("rejected_by_provider"));
    assert_eq!(world.final_messages().await, 1);
}

#[tokio::test]
async fn a_request_that_runs_is_looked_at_again_at_no_charge() {
    let world = World::at_fal(Effect::StuckInProgress {}).await;
    world.fal.held(1).await.unwrap();
    for _ in 0..6 {
        let job = world.job::<PollStatus>().await;
        assert_eq!(world.jobs.run(job).await.state, JobState::Scheduled);
    }
    assert_eq!(
        world
            .count("select attempt::bigint from jobs where kind = 'poll_status' and state = 'scheduled'")
            .await,
        0
    );
    assert_eq!(
        world.text("select fal_status from trainings").await.as_deref(),
        Some("IN_PROGRESS")
    );
    assert!(
        world.count("select progress::bigint from trainings").await > 0,
        "progress is read from FAL's logs"
    );
}

#[tokio::test]
async fn a_result_that_stays_expired_fails_the_training() {
    let world = World::at_fal(Effect::ExpiredResult {}).await;
    world.fal_is_done().await;
    for _ in 0..5 {
        world.poll().await;
        assert_eq!(world.status().await, "submitted", "it may be FAL's moment");
    }
    world.poll().await;
    assert_eq!(world.failure().await.as_deref(), Some("provider_failed"));
}

#[tokio::test]
async fn a_poll_that_sees_completed_gives_the_webhook_a_moment() {
    let world = World::with_settings(|settings| {
        settings.webhook = WebhookBase::from_setting("http://127.0.0.1:9/").unwrap();
        settings.webhook_grace = Duration::from_secs(30);
    })
    .await
    .archive()
    .await
    .submit()
    .await;
    world.fal_is_done().await;
    world.poll().await;
    assert_eq!(
        world.status().await,
        "submitted",
        "the first sight of COMPLETED is only noted"
    );
    assert_eq!(
        world.text("select fal_status from trainings").await.as_deref(),
        Some("COMPLETED")
    );
    world.poll().await;
    assert_eq!(world.status().await, "trained", "the second one judges");
}

#[tokio::test]
async fn webhook_and_poll_together_have_one_effect() {
    let world = World::submitted().await;
    world.fal_is_done().await;
    let request = world.request_id().await;
    tokio::join!(world.deliver_ok(request), world.poll());
    assert_eq!(world.status().await, "trained");
    world.jobs.drain_through_time().await;
    assert_eq!(world.status().await, "completed");
    assert_eq!(
        world
            .count("select count(*) from jobs where kind = 'store_model'")
            .await,
        1
    );
    assert_eq!(world.final_messages().await, 1);
}

#[tokio::test]
async fn a_dead_poll_starts_over_while_the_training_is_at_fal() {
    let world = World::submitted().await;
    let job = world.job::<PollStatus>().await;
    sqlx::query("update trainings set status_url = 'not a url', response_url = 'not a url'")
        .execute(world.pool())
        .await
        .unwrap();
    let ran = world.jobs.run_last_attempt(job).await;
    assert_eq!(ran.state, JobState::Dead);
    assert_ne!(world.job::<PollStatus>().await, job, "a successor is there");
}
