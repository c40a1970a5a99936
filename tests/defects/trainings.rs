//! D7-D15: trainings that were forgotten, made up, billed twice, requested wrongly or fed with half the photos.

use aisha::simulators::fal::{faults::Effect, ledger::Event};
use jobs::{
    BuildArchive, PollStatus, StoreModel, SubmitTraining,
    enqueue::{Enqueued, enqueue},
    queue::JobState,
};
use serde_json::{Value, json};

use crate::{
    saga::world::{PHOTO, World},
    support::{Db, S3, aisha},
};

/// The incumbent watched in an in-process task that gave up after an hour; a restart revived only trainings younger
/// than a day, and one training could get two watchers.
#[tokio::test]
async fn d07_a_training_is_watched_for_more_than_a_day_and_by_one_watcher() {
    let world = World::at_fal(Effect::StuckInProgress {}).await;
    world.fal.held(1).await.unwrap();
    for age in [
        "update trainings set created_at = created_at - interval '26 hours', archived_at = archived_at - interval '26 hours',
                              submitted_at = submitted_at - interval '26 hours'",
        "update training_attempts set created_at = created_at - interval '26 hours'",
        "update jobs set created_at = created_at - interval '26 hours'",
    ] {
        sqlx::query(age).execute(world.pool()).await.unwrap();
    }
    let poll = world.job::<PollStatus>().await;
    assert_eq!(
        world.jobs.run(poll).await.state,
        JobState::Scheduled,
        "it goes on"
    );
    let mut db = world.pool().acquire().await.unwrap();
    let second = enqueue(&mut db, &PollStatus::new(world.training)).await.unwrap();
    assert_eq!(second, Enqueued::AlreadyLive, "one watcher a training");
    drop(db);

    world.fal.release();
    world.fal_is_done().await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.status().await, "completed");
    let finals = "select count(*) from notifications where kind = 'final'";
    assert_eq!(world.count(finals).await, 1);
}

/// The incumbent stored addresses of models that did not exist ("fallback-lora") and called the avatar ready.
#[tokio::test]
async fn d08_no_model_is_ever_made_up() {
    for effect in [
        Effect::Output { body: json!({}) },
        Effect::Output {
            body: json!({"diffusers_lora_file": {"url": "fallback-lora"}}),
        },
        Effect::ExpiredResult {},
    ] {
        let world = World::at_fal(effect.clone()).await;
        world.fal_is_done().await;
        // After six looks a missing result is believed to be missing.
        for _ in 0..6 {
            if world.status().await == "submitted" {
                world.poll().await;
            }
        }
        if world.status().await == "trained" {
            let job = world.job::<StoreModel>().await;
            world.jobs.run_last_attempt(job).await;
        }
        assert_eq!(world.status().await, "failed", "{effect:?}");
        let models = "select count(*) from avatars where model_key is not null or lora_url is not null or finetune_id is not null or status = 'completed'";
        assert_eq!(world.count(models).await, 0, "{effect:?}");
        let told = world
            .text("select message::text from notifications where kind = 'final'")
            .await;
        assert!(told.is_some_and(|told| told.contains("failed")), "{effect:?}");
    }
}

/// Without a key the incumbent trained nothing and reported success.
#[tokio::test]
async fn d09_a_worker_without_a_key_refuses_to_start() {
    let (db, s3) = (Db::new().await, S3::new().await);
    let mut worker = aisha(["worker"])
        .env("AISHA_ENV", "production")
        .env("DATABASE_URL", db.url())
        .env("TELEGRAM_BOT_TOKEN", "1:test")
        .envs(s3.env())
        .start();
    let (code, output) = worker.finish().await;
    assert_eq!(code, Some(78), "{output}");
    assert!(output.contains("FAL_KEY"), "{output}");
}

/// The inputs that FAL accepted, in order.
fn inputs(world: &World) -> Vec<(String, Value)> {
    let ledger = world.fal.ledger();
    let submitted = ledger.iter().filter_map(|entry| match &entry.event {
        Event::Submitted { endpoint, input, .. } => Some((endpoint.clone(), input.clone())),
        _ => None,
    });
    submitted.collect()
}

/// The incumbent requested a style with words outside FAL's schema, a text instead of a boolean, and no learning
/// rate. The simulator refuses everything that FAL's published schemas refuse.
#[tokio::test]
async fn d13_every_trainer_is_asked_in_words_of_its_schema() {
    for (trainer, kind) in [
        ("flux-lora-fast-training", "style"),
        ("flux-pro-trainer", "style"),
        ("turbo-flux-trainer", "style"),
        ("flux-lora-portrait-trainer", "portrait"),
    ] {
        for preset in ["fast", "balanced", "quality"] {
            let world = World::requested().await;
            // As many photos as the most demanding trainer needs.
            for _ in 4..10 {
                world.store_photo(PHOTO).await;
            }
            let world = world.archive().await;
            sqlx::query("update trainings set trainer = $1, preset = $2, training_type = $3::training_type")
                .bind(trainer)
                .bind(preset)
                .bind(kind)
                .execute(world.pool())
                .await
                .unwrap();
            let world = world.submit().await;
            assert_eq!(world.status().await, "submitted", "{trainer} {preset}");
            let inputs = inputs(&world);
            assert_eq!(inputs.len(), 1);
            assert!(inputs[0].0.ends_with(trainer), "{inputs:?}");
            // FAL accepts any input, and checks it only when it runs.
            world.fal_is_done().await;
            let ended = world
                .fal
                .ledger()
                .into_iter()
                .find_map(|entry| match entry.event {
                    Event::RunEnded { http_status, .. } => Some(http_status),
                    _ => None,
                });
            assert_eq!(ended, Some(200), "{trainer} {preset} cannot run with {inputs:?}");
        }
    }
}

/// The incumbent forgot the trigger phrase that the model was trained with, so pictures did not look like the user.
#[tokio::test]
async fn d14_the_trigger_phrase_that_was_trained_is_kept_with_the_avatar() {
    let world = World::submitted().await;
    let inputs = inputs(&world);
    let trained = ["trigger_word", "trigger_phrase"]
        .iter()
        .find_map(|name| inputs[0].1[name].as_str())
        .expect("a trigger in what FAL was asked");
    let kept = "select a.trigger_phrase from avatars a join trainings t on t.avatar_id = a.id and t.trigger_phrase = a.trigger_phrase";
    assert_eq!(world.text(kept).await.as_deref(), Some(trained));
}

/// The incumbent trained on whichever photos it could fetch, e.g. 5 of 20.
#[tokio::test]
async fn d15_a_training_with_a_photo_that_cannot_be_read_is_not_submitted() {
    let world = World::requested().await;
    let key = world
        .text("select storage_key from avatar_photos order by id limit 1")
        .await
        .unwrap();
    world.s3.put(&key, b"");
    let job = world.job::<BuildArchive>().await;
    world.jobs.run(job).await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.submits(), 0);
    assert_eq!(world.status().await, "failed", "three usable photos are too few");
    assert_eq!(
        world
            .count("select count(*) from jobs where kind = 'submit_training'")
            .await,
        0
    );

    // FAL's copy of the archive is missing.
    let world = World::archived().await;
    let gone = "update trainings set archive_url = archive_url || '.gone'";
    sqlx::query(gone).execute(world.pool()).await.unwrap();
    let job = world.job::<SubmitTraining>().await;
    world.jobs.run(job).await;
    assert_eq!(
        (world.submits(), world.status().await.as_str()),
        (0, "requested"),
        "it is built again"
    );
}
