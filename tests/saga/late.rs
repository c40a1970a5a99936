//! Writes of the saga that come late, or find a different row than expected: no paid result is lost, and the user is
//! told nothing that did not happen.

use std::{future::Future, pin::pin};

use aisha::simulators::fal::faults::{Effect, Fault, Operation, When};
use jobs::{
    BuildArchive, PollStatus, ReconcileTrainings, StoreModel, SubmitTraining,
    domain::TrainingId,
    queue::{JobId, JobState},
    testing::Ran,
};

use super::world::{World, photo};

async fn reconcile(world: &World) {
    world.enqueue(&ReconcileTrainings::default()).await;
    assert_eq!(world.run::<ReconcileTrainings>().await.state, JobState::Done);
}

/// Runs a job while FAL delays its answer to `operation`; `meanwhile` happens during the delay.
async fn while_fal_thinks(
    world: &World,
    job: JobId,
    operation: Operation,
    meanwhile: impl Future<Output = ()>,
) -> Ran {
    let held = Effect::Hold {
        until_delivered: false,
    };
    world.fal.script(Fault::new(operation, held)).unwrap();
    let mut ran = pin!(world.jobs.run(job));
    tokio::select! {
        ran = &mut ran => panic!("the answer was withheld, and yet: {ran:?}"),
        held = world.fal.held(1) => drop(held.unwrap()),
    }
    meanwhile.await;
    world.fal.release();
    ran.await
}

async fn late_messages(world: &World) -> i64 {
    world
        .count("select count(*) from notifications where dedupe_key like 'late:%'")
        .await
}

#[tokio::test]
async fn a_model_whose_copying_was_held_up_for_too_long_is_kept_and_told() {
    let world = World::trained().await;
    world
        .change("update trainings set status_since = now() - interval '13 hours'")
        .await;
    reconcile(&world).await;
    assert_eq!(world.failure().await.as_deref(), Some("timed_out"));
    assert_eq!(world.endings_told().await, 1);
    // The poll from before the delivery has nothing to do, and enqueues no other: FAL's result has arrived.
    world.poll().await;
    reconcile(&world).await;
    assert!(!world.is_live::<PollStatus>().await);

    assert_eq!(world.run::<StoreModel>().await.state, JobState::Done);
    assert_eq!(world.status().await, "failed", "the first ending stands");
    assert_eq!(world.avatar_status().await, "completed");
    assert_eq!(late_messages(&world).await, 1);
    reconcile(&world).await;
    assert!(
        !world.is_live::<StoreModel>().await,
        "and the training is at rest"
    );
    assert_eq!((world.endings_told().await, late_messages(&world).await), (1, 1));
}

#[tokio::test]
async fn a_watched_training_that_has_its_result_keeps_its_model_at_the_first_look_and_is_at_rest() {
    let mut world = World::submitted().await;
    world.fal_is_done().await;
    // The row of the recorded case, with the request of a training that FAL really has.
    sqlx::raw_sql(include_str!("../cases/fal/late_model_lost.sql"))
        .execute(world.pool())
        .await
        .unwrap();
    sqlx::raw_sql(
        "with real as (delete from trainings where status = 'submitted'
                       returning request_id, status_url, response_url, cancel_url)
         update trainings set request_id = real.request_id, status_url = real.status_url, response_url = real.response_url,
                              cancel_url = real.cancel_url from real;
         delete from avatars where not exists (select from trainings where avatar_id = avatars.id);
         delete from jobs",
    )
    .execute(world.pool())
    .await
    .unwrap();
    world.training = TrainingId("00000000-0000-0000-0000-000000000003".parse().unwrap());

    reconcile(&world).await;
    assert_eq!(world.run::<PollStatus>().await.state, JobState::Done);
    assert_eq!(world.run::<StoreModel>().await.state, JobState::Done);
    assert_eq!(world.avatar_status().await, "completed");
    assert_eq!(world.failure().await.as_deref(), Some("timed_out"));
    assert_eq!(late_messages(&world).await, 1);
    reconcile(&world).await;
    assert!(!world.is_live::<PollStatus>().await && !world.is_live::<StoreModel>().await);
}

#[tokio::test]
async fn a_write_that_finds_another_row_than_was_locked_is_undone_with_all_that_was_told() {
    let world = World::requested().await;
    // A row that stays unchanged although it was locked correctly: no version of ours does this.
    world
        .change("create function keep() returns trigger language plpgsql as 'begin return null; end'")
        .await;
    world
        .change("create trigger keep before update on trainings for each row execute function keep()")
        .await;
    let job = world.job::<BuildArchive>().await;
    assert_eq!(world.jobs.run(job).await.state, JobState::Scheduled);
    assert_eq!(world.status().await, "requested");
    assert!(!world.is_live::<SubmitTraining>().await, "nothing follows");
    assert_eq!(
        world.count("select count(*) from notifications").await,
        0,
        "and nothing is told"
    );
    let why = world.text("select error from job_attempts").await.unwrap();
    assert!(why.contains("requested to archived"), "{why}");

    world.change("drop trigger keep on trainings").await;
    assert_eq!(world.jobs.run(job).await.state, JobState::Done);
    assert_eq!(world.status().await, "archived");
}

#[tokio::test]
async fn an_archive_that_is_finished_after_its_training_has_ended_leaves_no_trace() {
    let world = World::requested().await;
    let whole = photo(9);
    world.store_photo(&whole[..whole.len() / 2]).await;
    let job = world.job::<BuildArchive>().await;
    let ran = while_fal_thinks(&world, job, Operation::Upload, async {
        world
            .change("update trainings set status_since = now() - interval '7 hours'")
            .await;
        reconcile(&world).await;
    })
    .await;
    assert_eq!(ran.state, JobState::Done);
    assert_eq!(world.failure().await.as_deref(), Some("timed_out"));
    assert_eq!(
        world
            .count("select count(*) from avatar_photos where status = 'rejected'")
            .await,
        0,
        "the avatar may be a draft again"
    );
    assert!(!world.is_live::<SubmitTraining>().await);
    assert_eq!(world.endings_told().await, 1);
}

#[tokio::test]
async fn a_decision_about_an_attempt_that_was_refused_meanwhile_leaves_the_next_attempt_alone() {
    let world = World::archived().await.submit_unanswered(When::Before).await;
    world.decision_is_due().await;
    let job = world.job::<PollStatus>().await;
    let ran = while_fal_thinks(&world, job, Operation::List, async {
        world
            .change("update training_attempts set outcome = 'not_sent', error = 'late', settled_at = now()")
            .await;
        world
            .change(
                "insert into training_attempts (training_id, number, token, endpoint, input, input_sha256)
                 select training_id, 2, repeat('b', 32), endpoint, input, input_sha256 from training_attempts",
            )
            .await;
    })
    .await;
    assert_eq!(ran.state, JobState::Done);
    assert_eq!(
        world.status().await,
        "submitting",
        "FAL may have the second one since a moment ago"
    );
    assert_eq!(world.endings_told().await, 0);
}
