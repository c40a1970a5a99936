//! `reconcile_trainings`: repairs what must be true of every training.

use aisha::simulators::fal::faults::{Effect, Operation, When};
use jobs::{
    ApplyFalDelivery, BuildArchive, CancelTraining, PollStatus, ReconcileTrainings, StoreModel,
    SubmitTraining, queue::JobState,
};
use serde_json::json;

use super::world::World;

async fn reconcile(world: &World) {
    world.enqueue(&ReconcileTrainings::default()).await;
    assert_eq!(world.run::<ReconcileTrainings>().await.state, JobState::Done);
}

async fn submitting() -> World {
    World::archived().await.submit_unanswered(When::Before).await
}

#[tokio::test]
async fn a_training_that_lost_its_job_is_put_back_on_its_rails() {
    async fn put_back<J: jobs::job::Job>(world: World) {
        world.change("delete from jobs").await;
        reconcile(&world).await;
        assert!(world.is_live::<J>().await, "{}", J::NAME);
        reconcile(&world).await;
        world.job::<J>().await;
    }
    put_back::<BuildArchive>(World::requested().await).await;
    put_back::<SubmitTraining>(World::archived().await).await;
    put_back::<PollStatus>(submitting().await).await;
    put_back::<PollStatus>(World::submitted().await).await;
    put_back::<StoreModel>(World::trained().await).await;
}

#[tokio::test]
async fn a_dead_job_does_not_leave_its_training_lying() {
    let world = World::submitted().await;
    world.change("update jobs set state = 'dead', finished_at = now(), error_code = 'x' where kind = 'poll_status'").await;
    world.fal_is_done().await;
    reconcile(&world).await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.status().await, "completed");
}

#[tokio::test]
async fn nothing_is_done_to_a_training_in_order() {
    let world = World::submitted().await;
    let before = world.count("select count(*) from jobs").await;
    reconcile(&world).await;
    assert_eq!(
        world.count("select count(*) from jobs").await,
        before + 1,
        "nothing was enqueued but the reconciler itself"
    );
    assert_eq!(world.status().await, "submitted");
}

#[tokio::test]
async fn every_status_has_a_deadline_that_ends_it() {
    async fn ends(world: World, statement: &'static str, code: &str) {
        world.change(statement).await;
        reconcile(&world).await;
        assert_eq!(world.failure().await.as_deref(), Some(code));
        assert_eq!(world.avatar_status().await, "failed");
        assert_eq!(world.endings_told().await, 1, "{code}");
        reconcile(&world).await;
        assert_eq!(world.endings_told().await, 1);
    }
    const LONG_AGO: &str = "update trainings set status_since = now() - interval '8 days'";
    ends(World::requested().await, LONG_AGO, "timed_out").await;
    ends(World::archived().await, LONG_AGO, "timed_out").await;
    ends(World::trained().await, LONG_AGO, "timed_out").await;
    let archive_ends = "update trainings set archive_expires_at = now() + interval '23 hours', status_since = now() - interval '2 hours'";
    ends(submitting().await, archive_ends, "submit_outcome_unknown").await;
}

#[tokio::test]
async fn a_request_that_stays_in_fals_queue_is_cancelled_there_before_its_archive_is_gone() {
    let world = World::at_fal(Effect::StuckInQueue {}).await;
    world
        .change("update trainings set archive_expires_at = now() + interval '25 hours'")
        .await;
    reconcile(&world).await;
    assert!(!world.is_live::<CancelTraining>().await, "one hour is left");
    world
        .change("update trainings set archive_expires_at = now() + interval '23 hours'")
        .await;
    reconcile(&world).await;
    assert_eq!(
        world.status().await,
        "submitted",
        "FAL is told before the user is"
    );
    world.run::<CancelTraining>().await;
    assert_eq!(world.cancels(), [200]);
    assert_eq!(world.failure().await.as_deref(), Some("timed_out"));
    assert_eq!(world.endings_told().await, 1);
}

#[tokio::test]
async fn a_run_that_takes_too_long_is_stopped_and_its_result_is_kept_if_it_comes() {
    let world = World::at_fal(Effect::StuckInProgress {}).await;
    world.fal.held(1).await.unwrap();
    world.fal.answers(
        Operation::Cancel,
        202,
        json!({"status": "CANCELLATION_REQUESTED"}),
    );
    world.poll().await;
    world
        .change("update trainings set started_at = now() - interval '13 hours'")
        .await;
    reconcile(&world).await;
    world.run::<CancelTraining>().await;
    assert_eq!(world.failure().await.as_deref(), Some("timed_out"));
    assert_eq!(world.endings_told().await, 1);
    world.fal.release();
    world.fal_is_done().await;
    world.poll().await;
    world.run::<StoreModel>().await;
    assert_eq!(world.avatar_status().await, "completed");
    assert_eq!(world.status().await, "failed");
}

#[tokio::test]
async fn an_acknowledged_delivery_without_a_job_is_applied() {
    let world = World::submitted().await;
    world.fal_is_done().await;
    let request = world.request_id().await;
    let body = json!({"request_id": request, "status": "OK", "payload": null});
    world.store_delivery(&request, &body, Some("style"), None).await;
    world
        .change("delete from jobs where kind = 'apply_fal_delivery'")
        .await;
    world
        .change("update fal_deliveries set received_at = now() - interval '2 minutes'")
        .await;
    reconcile(&world).await;
    world.run::<ApplyFalDelivery>().await;
    assert_eq!(
        world
            .text("select disposition from fal_deliveries")
            .await
            .as_deref(),
        Some("looked_up")
    );
}
