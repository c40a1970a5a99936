//! The first pictures of an avatar, which come with the message that it is ready.

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation},
    ledger::Event,
};
use jobs::{GenerateImages, ReconcileGenerations};
use serde_json::{Value, json};

use crate::saga::world::World;

/// A training at FAL, whose avatar will get so many first pictures.
async fn with_samples(samples: u8) -> World {
    let mut world = World::requested().await;
    world.change_settings(|settings| settings.generation.samples = samples);
    world.person.send_text("hello").unwrap();
    world.archive().await.submit().await
}

/// The inputs of the requests for pictures that FAL accepted.
fn asked_for(world: &World) -> Vec<Value> {
    let accepted = world
        .fal
        .ledger()
        .into_iter()
        .filter_map(|entry| match entry.event {
            Event::Submitted { endpoint, input, .. } if endpoint == "fal-ai/flux-lora" => Some(input),
            _ => None,
        });
    accepted.collect()
}

/// Waits until so many requests have ended at FAL.
async fn ended(world: &World, wanted: usize) {
    world
        .fal
        .wait_for(
            "the runs",
            |entries: &[aisha::simulators::fal::ledger::Entry]| {
                let ended = entries
                    .iter()
                    .filter(|entry| matches!(entry.event, Event::RunEnded { .. }));
                (ended.count() >= wanted).then_some(())
            },
        )
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn an_avatar_comes_with_its_first_pictures_each_in_a_style_of_its_own() {
    let world = with_samples(2).await;
    world.fal_is_done().await;
    world.jobs.drain_through_time().await;
    ended(&world, 3).await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.avatar_status().await, "completed");
    assert_eq!(world.count("select count(*) from pictures").await, 2);
    let prompts: Vec<Value> = asked_for(&world)
        .into_iter()
        .map(|input| input["prompt"].clone())
        .collect();
    assert_eq!(prompts.len(), 2);
    assert_ne!(prompts[0], prompts[1]);
    assert!(
        prompts
            .iter()
            .all(|prompt| prompt.as_str().unwrap().contains("zorvane"))
    );
    assert_eq!(world.endings_told().await, 1);
    assert_eq!(
        world
            .count(
                "select count(*) from notifications pictures, notifications final
                  where pictures.dedupe_key like 'pictures:%' and final.dedupe_key like 'final:%' and pictures.seq < final.seq"
            )
            .await,
        1,
        "the pictures come before the message that the avatar is ready"
    );
    assert_eq!(
        world
            .count("select count(*) from avatars where cover_id is not null")
            .await,
        1
    );
    assert_eq!(
        world
            .count("select count(*) from quota_uses where what = 'picture'")
            .await,
        0
    );
    world
        .change("delete from pictures where id in (select cover_id from avatars)")
        .await;
    let mut turn = world.turn().await;
    let left = turn.avatars().await.unwrap();
    assert!(left[0].cover.is_some(), "the other one is the cover now");
}

#[tokio::test]
async fn an_avatar_that_was_deleted_meanwhile_gets_no_first_pictures() {
    let world = with_samples(2).await;
    world.fal_is_done().await;
    world.jobs.drain().await;
    world.run::<jobs::PollStatus>().await;
    world.delete_avatar().await;
    world.jobs.drain_through_time().await;
    assert!(asked_for(&world).is_empty(), "nobody would see them");
    world.assert_erased("with its training").await;
}

#[tokio::test]
async fn one_first_picture_rings_no_more_than_several() {
    let world = with_samples(1).await;
    world.fal_is_done().await;
    world.jobs.drain_through_time().await;
    ended(&world, 2).await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.endings_told().await, 1);
    let sent = |method: &str| {
        let filter = aisha::simulators::telegram::LedgerFilter {
            method: Some(method.to_owned()),
            ..Default::default()
        };
        world.telegram.control().ledger(&filter)
    };
    let picture = &sent("sendPhoto")[0].params;
    assert_eq!(picture["disable_notification"], "true");
    let ready = &sent("sendMessage").pop().unwrap().params;
    assert_ne!(ready["disable_notification"], "true", "the one push at the end");
}

#[tokio::test]
async fn an_avatar_is_ready_though_its_samples_fail() {
    let world = with_samples(2).await;
    world.fal_is_done().await;
    world
        .fal
        .always_answers(Operation::Submit, 422, json!({"detail": "no"}));
    world.jobs.drain_through_time().await;
    assert_eq!(world.avatar_status().await, "completed");
    assert_eq!(world.endings_told().await, 1);
    assert_eq!(world.count("select count(*) from pictures").await, 0);
    assert_eq!(
        world
            .text("select string_agg(status::text, ',') from albums")
            .await
            .as_deref(),
        Some("failed")
    );
}

#[tokio::test]
async fn an_avatar_whose_samples_stay_away_is_told_without_them_and_they_come_later() {
    let world = with_samples(1).await;
    world.fal_is_done().await;
    world.change("update trainings set expected_seconds = 1200").await;
    let stuck = Fault::new(Operation::Execution, Effect::StuckInQueue {});
    world.fal.script(stuck).unwrap();
    world.jobs.drain().await;
    world.run::<jobs::PollStatus>().await;
    world.store_model().await;
    world.jobs.run_one::<GenerateImages>().await.unwrap();
    assert_eq!(
        world.endings_told().await,
        0,
        "the message waits for the pictures"
    );
    let progress = "select string_agg(part ->> 'say', ' ')
                      from notifications, jsonb_array_elements(message -> 'text') part
                     where kind = 'progress'";
    let said = world.text(progress).await.unwrap();
    assert!(said.contains("stage-sampling"), "{said}");
    assert!(!said.contains("time-left"), "the training is over: {said}");
    world
        .change("update albums set asked_at = now() - interval '6 minutes'")
        .await;
    for _ in 0..2 {
        world.enqueue(&ReconcileGenerations::default()).await;
        world.run::<ReconcileGenerations>().await;
        assert_eq!(
            world.endings_told().await,
            1,
            "but not for ever, and it comes once"
        );
    }
    assert_eq!(world.fal.held(1).await.unwrap().len(), 1);
    assert_eq!(world.fal.release(), 1);
    ended(&world, 2).await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.count("select count(*) from pictures").await, 1);
    assert_eq!(world.endings_told().await, 1);
    assert_eq!(
        world
            .count("select count(*) from notifications where dedupe_key like 'pictures:%'")
            .await,
        1
    );
}
