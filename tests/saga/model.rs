//! `store_model`: completed means a model that is ours and whole.

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use jobs::queue::JobState;
use serde_json::json;

use super::world::World;

fn weights(effect: Effect) -> Fault {
    Fault {
        contains: Some(".safetensors".to_owned()),
        times: 0,
        ..Fault::new(Operation::Download, effect)
    }
}

#[tokio::test]
async fn a_trained_model_lies_in_our_bucket_and_completes_the_avatar() {
    let world = World::trained().await;
    assert_eq!(world.store_model().await.state, JobState::Done);
    assert_eq!(world.status().await, "completed");
    let key = world
        .text("select model_key from avatars where is_main and status = 'completed'")
        .await
        .expect("a model");
    let stored = world.s3.get(&key).expect("the object");
    assert_eq!(
        Some(stored.len() as i64),
        Some(world.count("select model_bytes from avatars").await)
    );
    assert_eq!(
        world
            .count("select count(*) from notifications where kind = 'final'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_model_that_is_no_model_never_completes_an_avatar() {
    let page = || Effect::Answer {
        status: 200,
        headers: Default::default(),
        body: json!("<!doctype html><title>Not found</title>"),
    };
    let empty = || Effect::Answer {
        status: 200,
        headers: Default::default(),
        body: json!(""),
    };
    let gone = || Effect::Answer {
        status: 404,
        headers: Default::default(),
        body: json!({"detail": "Not Found"}),
    };
    for (what, effect) in [
        ("gone", gone()),
        ("a page", page()),
        ("empty", empty()),
        ("cut", Effect::Truncate { bytes: 1000 }),
    ] {
        let world = World::trained().await;
        world.fal.script(weights(effect)).unwrap();
        let job = world.job::<jobs::StoreModel>().await;
        let ran = world.jobs.run_last_attempt(job).await;
        assert_eq!(ran.state, JobState::Dead, "{what}");
        assert_eq!(world.status().await, "failed", "{what}");
        assert_eq!(
            world.text("select failure_code from trainings").await.as_deref(),
            Some("model_invalid"),
            "{what}"
        );
        assert_eq!(
            world
                .count("select count(*) from notifications where kind = 'final'")
                .await,
            1,
            "{what}"
        );
    }
}

#[tokio::test]
async fn store_model_run_twice_completes_once() {
    let world = World::trained().await;
    world.store_model().await;
    let mut tx = world.pool().begin().await.unwrap();
    jobs::enqueue::enqueue(&mut tx, &jobs::StoreModel::new(world.training))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(world.store_model().await.state, JobState::Done);
    assert_eq!(
        world
            .count("select count(*) from notifications where kind = 'final'")
            .await,
        1
    );
    assert_eq!(world.status().await, "completed");
}
