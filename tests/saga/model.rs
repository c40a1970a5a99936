//! `store_model`: a training is completed only when the whole model is in our bucket.

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
    assert_eq!(world.final_messages().await, 1);
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
        assert_eq!(world.failure().await.as_deref(), Some("model_invalid"), "{what}");
        assert_eq!(world.final_messages().await, 1, "{what}");
    }
}

#[tokio::test]
async fn a_model_that_is_gone_for_a_moment_is_not_given_up() {
    let world = World::trained().await;
    let gone = Effect::Answer {
        status: 404,
        headers: Default::default(),
        body: json!({"detail": "Not Found"}),
    };
    let once = Fault {
        times: 1,
        ..weights(gone)
    };
    world.fal.script(once).unwrap();
    let job = world.job::<jobs::StoreModel>().await;
    assert_eq!(world.jobs.run(job).await.state, JobState::Scheduled);
    assert_eq!(world.status().await, "trained");
    assert_eq!(world.jobs.run(job).await.state, JobState::Done);
    assert_eq!(world.status().await, "completed");
}

#[tokio::test]
async fn a_model_that_fals_storage_hides_is_waited_for_until_it_can_be_read() {
    for status in [403, 404] {
        let world = World::trained().await;
        let hidden = Effect::Answer {
            status,
            headers: Default::default(),
            body: json!({"detail": "no"}),
        };
        world.fal.script(weights(hidden)).unwrap();
        let job = world.job::<jobs::StoreModel>().await;
        for look in 1..=8 {
            assert_eq!(
                world.jobs.run(job).await.state,
                JobState::Scheduled,
                "look {look}"
            );
        }
        assert_eq!(world.status().await, "trained", "it is paid for");
        // An operator makes the storage accessible.
        world.fal.clear_faults();
        assert_eq!(world.jobs.run(job).await.state, JobState::Done);
        assert_eq!(world.status().await, "completed");
    }
}

#[tokio::test]
async fn a_model_that_stays_a_web_page_is_believed_to_be_none_after_six_looks() {
    let world = World::trained().await;
    let page = Effect::Answer {
        status: 200,
        headers: Default::default(),
        body: json!("<!doctype html><title>Not found</title>"),
    };
    world.fal.script(weights(page)).unwrap();
    let job = world.job::<jobs::StoreModel>().await;
    for look in 1..6 {
        assert_eq!(
            world.jobs.run(job).await.state,
            JobState::Scheduled,
            "look {look}"
        );
    }
    assert_eq!(world.jobs.run(job).await.state, JobState::Dead);
    let code = world
        .text("select error_code from jobs where kind = 'store_model'")
        .await;
    assert_eq!(code.as_deref(), Some("model_invalid"));
    assert_eq!(world.status().await, "failed");
}

/// The URL in the stored result does not work; FAL's current result has another.
#[tokio::test]
async fn a_model_whose_url_has_expired_is_found_through_a_fresh_result() {
    let world = World::trained().await;
    let expired =
        "update trainings set result = jsonb_set(result, '{diffusers_lora_file,url}', to_jsonb($1::text))
                   returning result #>> '{diffusers_lora_file,url}'";
    let dead = format!("{}/cdn/files/b/expired/lora.safetensors", world.fal.url());
    let stored: String = sqlx::query_scalar(expired)
        .bind(&dead)
        .fetch_one(world.pool())
        .await
        .unwrap();
    assert_eq!(stored, dead);
    assert_eq!(world.store_model().await.state, JobState::Done);
    assert_eq!(world.status().await, "completed");
    let url = world
        .text("select lora_url from avatars")
        .await
        .expect("FAL's URL of it");
    assert_ne!(url, dead);
    let key = world
        .text("select model_key from avatars")
        .await
        .expect("a model");
    assert!(world.s3.get(&key).is_some(), "and it lies in our bucket");
}

/// A result whose URL is inside our network: it is not called, nothing of it is stored, and the paid training waits.
#[tokio::test]
async fn a_model_at_a_foreign_host_is_not_fetched_and_its_training_waits() {
    let world = World::trained().await;
    let inside = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/meta-data/s3cret", inside.local_addr().unwrap());
    sqlx::query(
        "update trainings set result = jsonb_set(result, '{diffusers_lora_file,url}', to_jsonb($1::text))",
    )
    .bind(&url)
    .execute(world.pool())
    .await
    .unwrap();
    let job = world.job::<jobs::StoreModel>().await;
    for _ in 0..8 {
        assert_eq!(world.jobs.run(job).await.state, JobState::Scheduled);
    }
    assert_eq!(world.status().await, "trained");
    let error = world
        .text("select string_agg(error, ' ') from job_attempts")
        .await
        .expect("errors");
    assert!(
        error.contains("fal.file_hosts") && !error.contains("s3cret"),
        "{error}"
    );
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(1), inside.accept()).await;
    assert!(nobody.is_err(), "somebody called");
}

#[tokio::test]
async fn a_finetune_completes_only_with_an_id_of_the_right_shape() {
    let finetune = async |id: &str| {
        let world = World::trained().await;
        sqlx::query("update trainings set trainer = 'flux-pro-trainer', result = $1")
            .bind(json!({"finetune_id": id}))
            .execute(world.pool())
            .await
            .unwrap();
        let job = world.job::<jobs::StoreModel>().await;
        world.jobs.run_last_attempt(job).await;
        world
    };
    let world = finetune("a8f9f3a0-1111-4222-8333-444455556666").await;
    assert_eq!(world.status().await, "completed");
    assert_eq!(
        world.text("select finetune_id from avatars").await.as_deref(),
        Some("a8f9f3a0-1111-4222-8333-444455556666")
    );
    for id in ["", "../x", "a b", "<html>"] {
        let world = finetune(id).await;
        assert_eq!(world.status().await, "failed", "{id:?}");
        assert_eq!(
            world.text("select finetune_id from avatars").await,
            None,
            "{id:?}"
        );
    }
}

#[tokio::test]
async fn a_bucket_that_is_away_costs_no_training() {
    let world = World::trained().await;
    world.s3.break_bucket();
    let job = world.job::<jobs::StoreModel>().await;
    for _ in 0..8 {
        assert_eq!(world.jobs.run(job).await.state, JobState::Scheduled);
    }
    assert_eq!(world.status().await, "trained");
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
    assert_eq!(world.final_messages().await, 1);
    assert_eq!(world.status().await, "completed");
}
