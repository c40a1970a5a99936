//! `apply_fal_delivery`: the first fact that ends a training wins; everything is recorded.

use serde_json::{Value, json};

use super::world::World;

fn error(request_id: &str) -> Value {
    json!({"request_id": request_id, "gateway_request_id": "g", "status": "ERROR", "error": "Invalid status code: 422",
           "payload": {"detail": [{"loc": ["body"], "msg": "bad", "type": "value_error"}]}})
}

fn ok(request_id: &str) -> Value {
    let file = json!({"url": "http://127.0.0.1:9/lora.safetensors", "file_size": 1000});
    json!({"request_id": request_id, "gateway_request_id": "g", "status": "OK", "payload": {"diffusers_lora_file": file}})
}

#[tokio::test]
async fn a_duplicate_delivery_changes_nothing() {
    let world = World::trained().await;
    let request = world.request_id().await;
    let became = world.deliver(&request, &ok(&request), Some("style"), None).await;
    assert_eq!(became.as_deref(), Some("late"));
    assert_eq!(world.status().await, "trained");
    assert_eq!(
        world
            .count("select count(*) from jobs where kind = 'store_model'")
            .await,
        1
    );
}

#[tokio::test]
async fn the_first_terminal_fact_wins_and_the_rest_is_recorded() {
    let world = World::submitted().await;
    let request = world.request_id().await;
    assert_eq!(
        world
            .deliver(&request, &error(&request), Some("style"), None)
            .await
            .as_deref(),
        Some("applied")
    );
    assert_eq!(world.status().await, "failed");
    assert_eq!(
        world
            .deliver(&request, &ok(&request), Some("style"), None)
            .await
            .as_deref(),
        Some("late")
    );
    assert_eq!(world.status().await, "failed", "OK after ERROR changes nothing");
    assert_eq!(
        world
            .count("select count(*) from fal_deliveries where applied_at is not null")
            .await,
        2
    );

    let world = World::trained().await;
    let request = world.request_id().await;
    assert_eq!(
        world
            .deliver(&request, &error(&request), Some("style"), None)
            .await
            .as_deref(),
        Some("late")
    );
    assert_eq!(world.status().await, "trained", "ERROR after OK changes nothing");
}

#[tokio::test]
async fn a_delivery_with_a_foreign_training_type_is_applied_and_flagged() {
    for (named, flag) in [
        (Some("portrait"), "training_type_differs"),
        (None, "training_type_missing"),
    ] {
        let world = World::submitted().await;
        let request = world.request_id().await;
        assert_eq!(
            world
                .deliver(&request, &ok(&request), named, None)
                .await
                .as_deref(),
            Some("applied")
        );
        assert_eq!(
            world
                .text("select array_to_string(flags, ',') from fal_deliveries")
                .await
                .as_deref(),
            Some(flag)
        );
        assert_eq!(world.status().await, "trained", "the training row's type counts");
    }
}

#[tokio::test]
async fn a_second_request_for_one_attempt_is_reported_and_not_followed() {
    let world = World::submitted().await;
    let token = world.text("select token from training_attempts").await.unwrap();
    let other = "99999999-2222-4333-8444-555555555555";
    let became = world
        .deliver(other, &ok(other), Some("style"), Some(&token))
        .await;
    assert_eq!(became.as_deref(), Some("second_request"));
    assert_eq!(world.status().await, "submitted");
}

#[tokio::test]
async fn a_signed_delivery_that_cannot_be_read_is_kept() {
    let world = World::submitted().await;
    let request = world.request_id().await;
    let became = world
        .deliver(
            &request,
            &json!({"request_id": request, "status": 7}),
            Some("style"),
            None,
        )
        .await;
    assert!(
        matches!(became.as_deref(), Some("unreadable" | "looked_up")),
        "{became:?}"
    );
    assert_eq!(world.status().await, "submitted");
}
