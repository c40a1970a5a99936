//! The three stock tests of the saga's jobs: run twice, die at every await that has to wait, last attempt fails.

use std::future::Future;

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use jobs::{
    ApplyFalDelivery, BuildArchive, PollStatus, StoreModel, SubmitTraining, job::Job, queue::JobState,
    testing::Fate,
};
use serde_json::json;

use super::world::World;

/// More awaits than any job here has; one that has more is found out.
const MOST_AWAITS: usize = 400;

/// Dies at its k-th await in a world of its own, is rescued, and goes on: the end must be the same as without a death.
/// Every await is visited up to the eighth, then every third: later ones are the same statements again and again.
async fn dies_at_every_await<J: Job, Begin: Future<Output = World>>(begin: impl Fn() -> Begin, end: &str) {
    for k in (0..8).chain((8..MOST_AWAITS).step_by(3)) {
        let world = begin().await;
        let job = world.job::<J>().await;
        let fate = world.jobs.die_at_await(job, k).await;
        world.jobs.rescue().await;
        world.jobs.drain().await;
        if world.submits() == 0 {
            // Died with the attempt committed and nothing sent. Nobody can know that, so nothing may be sent again (K12).
            assert_eq!(
                world.status().await,
                "submitting",
                "{} died at await {k}",
                J::NAME
            );
            assert_eq!(
                world
                    .count("select count(*) from training_attempts where outcome is null")
                    .await,
                1
            );
            world.job::<PollStatus>().await;
            continue;
        }
        world.fal_is_done().await;
        world.jobs.drain_through_time().await;
        assert_eq!(world.status().await, end, "{} died at await {k}", J::NAME);
        assert_eq!(world.submits(), 1, "{} died at await {k}", J::NAME);
        assert_eq!(
            world
                .count("select count(*) from notifications where kind = 'final'")
                .await,
            1,
            "await {k}"
        );
        if matches!(fate, Fate::Ended(_)) {
            return;
        }
    }
    panic!("{} has more than {MOST_AWAITS} awaits", J::NAME);
}

#[tokio::test]
async fn build_archive_that_dies_anywhere_is_done_all_the_same() {
    dies_at_every_await::<BuildArchive, _>(World::requested, "completed").await;
}

#[tokio::test]
async fn submit_training_that_dies_anywhere_is_done_all_the_same() {
    dies_at_every_await::<SubmitTraining, _>(World::archived, "completed").await;
}

#[tokio::test]
async fn poll_status_that_dies_anywhere_is_done_all_the_same() {
    let begin = async || {
        let world = World::submitted().await;
        world.fal_is_done().await;
        world
    };
    dies_at_every_await::<PollStatus, _>(begin, "completed").await;
}

#[tokio::test]
async fn apply_fal_delivery_that_dies_anywhere_is_done_all_the_same() {
    let begin = async || {
        let world = World::submitted().await;
        world.fal_is_done().await;
        let request = world.request_id().await;
        let body = json!({"request_id": request, "status": "OK", "payload": null});
        world.store_delivery(&request, &body, Some("style"), None).await;
        world
    };
    dies_at_every_await::<ApplyFalDelivery, _>(begin, "completed").await;
}

#[tokio::test]
async fn store_model_that_dies_anywhere_is_done_all_the_same() {
    dies_at_every_await::<StoreModel, _>(World::trained, "completed").await;
}

#[tokio::test]
async fn every_job_run_twice_has_one_effect() {
    let world = World::requested().await;
    let again = async |job: &dyn Fn() -> &'static str| {
        sqlx::query("update jobs set state = 'ready', finished_at = null, error_code = null where kind = $1 and state = 'done'")
            .bind(job())
            .execute(world.pool())
            .await
            .unwrap();
    };
    world.jobs.run_one::<BuildArchive>().await.unwrap();
    again(&|| BuildArchive::NAME).await;
    world.jobs.run_one::<BuildArchive>().await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from jobs where kind = 'submit_training'")
            .await,
        1
    );

    world.jobs.run_one::<SubmitTraining>().await.unwrap();
    again(&|| SubmitTraining::NAME).await;
    world.jobs.run_one::<SubmitTraining>().await.unwrap();
    assert_eq!(world.submits(), 1);

    world.fal_is_done().await;
    world.poll().await;
    again(&|| PollStatus::NAME).await;
    world.jobs.run_one::<PollStatus>().await.unwrap();
    assert_eq!(
        world
            .count("select count(*) from jobs where kind = 'store_model'")
            .await,
        1
    );

    world.jobs.run_one::<StoreModel>().await.unwrap();
    again(&|| StoreModel::NAME).await;
    world.jobs.run_one::<StoreModel>().await.unwrap();
    assert_eq!(world.status().await, "completed");
    assert_eq!(
        world
            .count("select count(*) from notifications where kind = 'final'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_last_attempt_that_fails_tells_the_owner() {
    // The bucket is gone; FAL is gone; the model is gone.
    let world = World::requested().await;
    world.s3.remove_bucket();
    fails_for_good::<BuildArchive>(&world).await;

    let world = World::archived().await;
    let broken = Effect::Answer {
        status: 500,
        headers: Default::default(),
        body: json!({}),
    };
    world
        .fal
        .script(Fault {
            times: 0,
            ..Fault::new(Operation::Download, broken.clone())
        })
        .unwrap();
    fails_for_good::<SubmitTraining>(&world).await;

    let world = World::trained().await;
    world
        .fal
        .script(Fault {
            times: 0,
            ..Fault::new(Operation::Download, broken)
        })
        .unwrap();
    fails_for_good::<StoreModel>(&world).await;
}

async fn fails_for_good<J: Job>(world: &World) {
    let job = world.job::<J>().await;
    assert_eq!(
        world.jobs.run_last_attempt(job).await.state,
        JobState::Dead,
        "{}",
        J::NAME
    );
    assert_eq!(world.status().await, "failed", "{}", J::NAME);
    assert_eq!(
        world.text("select status::text from avatars").await.as_deref(),
        Some("failed")
    );
    assert_eq!(
        world
            .count("select count(*) from notifications where kind = 'final'")
            .await,
        1,
        "{}",
        J::NAME
    );
}
