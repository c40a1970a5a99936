//! The account's daily limit of trainings: further trainings wait.

use std::sync::Arc;

use aisha::simulators::fal::faults::Operation;
use jobs::{NotifyUser, SubmitTraining, domain::TrainingId, enqueue::enqueue, queue::JobState};
use serde_json::json;
use uuid::Uuid;

use super::world::World;

async fn world(submits_a_day: u32) -> World {
    World::with(|services| {
        Arc::make_mut(&mut services.settings).submits_a_day = submits_a_day;
    })
    .await
    .archive()
    .await
}

async fn submits_counted(world: &World) -> i64 {
    world
        .count("select count(*) from quota_uses where what = 'submit' and at > now() - interval '1 day'")
        .await
}

#[tokio::test]
async fn the_accounts_trainings_of_a_day_park_the_rest_and_fail_none() {
    let world = world(2).await;
    world
        .change("insert into quota_uses (user_id, what, attempt_id) select id, 'submit', gen_random_uuid() from users, generate_series(1, 2)")
        .await;
    let job = world.job::<SubmitTraining>().await;
    for _ in 0..20 {
        assert_eq!(world.jobs.run(job).await.state, JobState::Scheduled);
    }
    assert_eq!((world.status().await.as_str(), world.submits()), ("archived", 0));
    assert_eq!(world.endings_told().await, 0);
    assert_eq!(
        world
            .count("select attempt::bigint from jobs where kind = 'submit_training'")
            .await,
        0,
        "at no charge"
    );
    let told = world
        .text("select message::text from notifications where kind = 'progress'")
        .await
        .unwrap();
    assert!(
        told.contains("stage-booked") && told.contains("in-hours"),
        "{told}"
    );

    world
        .change("update quota_uses set at = at - interval '24 hours'")
        .await;
    assert_eq!(world.jobs.run(job).await.state, JobState::Done);
    assert_eq!((world.status().await.as_str(), world.submits()), ("submitted", 1));
    assert_eq!(submits_counted(&world).await, 1);
}

/// The job was enqueued for a message that every version understands, and waits; a worker of the previous version
/// would not understand what the message has become.
#[tokio::test]
async fn news_that_only_newer_workers_can_say_keeps_the_others_from_the_job_that_brings_it() {
    let world = world(1).await;
    let bring =
        "select version::bigint from jobs where kind = 'notify_user' and state in ('scheduled', 'ready')";
    assert_eq!(world.count(bring).await, 1);
    world
        .change("insert into quota_uses (user_id, what, attempt_id) select id, 'submit', gen_random_uuid() from users")
        .await;
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    let told = world
        .text("select message::text from notifications")
        .await
        .unwrap();
    assert!(told.contains("stage-booked"), "{told}");
    assert_eq!(world.count(bring).await, 2);
    assert_eq!(
        world.run::<NotifyUser>().await.state,
        JobState::Done,
        "ours takes it"
    );
}

#[tokio::test]
async fn an_attempt_that_fal_did_not_take_gives_its_place_back() {
    let world = world(1).await;
    world
        .fal
        .answers(Operation::Submit, 429, json!({"detail": "busy"}));
    let job = world.job::<SubmitTraining>().await;
    assert_eq!(world.jobs.run(job).await.state, JobState::Scheduled);
    assert_eq!(submits_counted(&world).await, 0);
    assert_eq!(world.jobs.run(job).await.state, JobState::Done);
    assert_eq!((world.submits(), submits_counted(&world).await), (1, 1));
}

#[tokio::test]
async fn of_two_workers_that_want_the_last_place_of_the_day_one_gets_it() {
    let world = world(1).await;
    let first = world.job::<SubmitTraining>().await;
    let avatar: Uuid = sqlx::query_scalar(
        "insert into avatars (user_id, name, gender, avatar_type, training_type, status, trigger_phrase, training_started_at)
         select user_id, 'Anna', gender, avatar_type, training_type, status, trigger_phrase, training_started_at from avatars
         returning id",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    let training: Uuid = sqlx::query_scalar(
        "insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, archived_at, archive_url,
                                archive_sha256, archive_expires_at)
         select $1, user_id, training_type, trainer, preset, trigger_phrase, status, archived_at, archive_url, archive_sha256,
                archive_expires_at from trainings
         returning id",
    )
    .bind(avatar)
    .fetch_one(world.pool())
    .await
    .unwrap();
    let mut tx = world.pool().begin().await.unwrap();
    enqueue(&mut tx, &SubmitTraining::new(TrainingId(training)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let second: i64 = sqlx::query_scalar("select max(id) from jobs where kind = 'submit_training'")
        .fetch_one(world.pool())
        .await
        .unwrap();
    let (one, other) = tokio::join!(world.jobs.run(first), world.jobs.run(jobs::queue::JobId(second)));
    let mut states = [one.state, other.state];
    states.sort_by_key(|state| *state == JobState::Done);
    assert_eq!(states, [JobState::Scheduled, JobState::Done]);
    assert_eq!((world.submits(), submits_counted(&world).await), (1, 1));
}
