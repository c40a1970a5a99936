//! The whole path as deployed: web and worker processes, FAL's own deliveries (W4, W9, W11).

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation},
    ledger::Event,
};

use super::line::{web_for, worker};
use crate::{saga::world::World, support::eventually};

async fn is_completed(world: &World) {
    eventually("the training to be completed", async || {
        let status = world.status().await;
        assert_ne!(status, "failed");
        (status == "completed").then_some(())
    })
    .await;
}

/// How many deliveries of FAL were acknowledged.
fn delivered(world: &World) -> usize {
    let ledger = world.fal.ledger();
    let delivered = |event: &Event| matches!(event, Event::WebhookAttempted { delivered: true, .. });
    ledger.iter().filter(|entry| delivered(&entry.event)).count()
}

async fn source(world: &World) -> Option<String> {
    world.text("select result_source::text from trainings").await
}

/// FAL answers our submit only after its webhook was acknowledged.
#[tokio::test]
async fn w04_a_delivery_that_overtakes_the_submits_answer_completes_the_training() {
    let world = World::archived().await;
    let hold = Effect::Hold {
        until_delivered: true,
    };
    world.fal.script(Fault::new(Operation::Submit, hold)).unwrap();
    let web = web_for(&world).await;
    let worker = worker(&world, &[("FAL_WEBHOOK_URL", &web.url(""))]);
    is_completed(&world).await;
    assert_eq!((world.submits(), delivered(&world)), (1, 1));
    // The poll may have been faster than the job, but the token already showed which training it is for.
    let verdict = eventually("the delivery's verdict", async || {
        world.text("select max(disposition) from fal_deliveries").await
    })
    .await;
    assert!(matches!(verdict.as_str(), "applied" | "late"), "{verdict}");
    drop(worker);
}

#[tokio::test]
async fn w09_fals_delivery_with_a_payload_error_completes_the_training() {
    let world = World::archived().await;
    world
        .fal
        .script(Fault::new(Operation::Webhook, Effect::NullPayload {}))
        .unwrap();
    let web = web_for(&world).await;
    let worker = worker(&world, &[("FAL_WEBHOOK_URL", &web.url(""))]);
    is_completed(&world).await;
    assert_eq!(
        source(&world).await.as_deref(),
        Some("poll"),
        "the result was fetched"
    );
    eventually("the delivery's verdict", async || {
        let verdict = world.text("select max(disposition) from fal_deliveries").await;
        verdict.filter(|verdict| matches!(verdict.as_str(), "looked_up" | "late"))
    })
    .await;
    drop(worker);
}

/// The limit: the next status call (`fal.poll_interval`) sees the end at FAL, and the first call after
/// `fal.webhook_grace` accepts it. Counted in calls, because time runs differently on a loaded machine.
#[tokio::test]
async fn w11_without_any_webhook_the_second_look_after_the_end_finishes_the_training() {
    let world = World::archived().await;
    let dropped = Fault {
        times: 0,
        ..Fault::new(Operation::Webhook, Effect::Drop {})
    };
    world.fal.script(dropped).unwrap();
    let web = web_for(&world).await;
    let worker = worker(&world, &[("FAL_WEBHOOK_URL", &web.url(""))]);
    is_completed(&world).await;
    assert_eq!(source(&world).await.as_deref(), Some("poll"));
    assert_eq!(world.count("select count(*) from fal_deliveries").await, 0);
    let ledger = world.fal.ledger();
    let looks = ledger.iter().filter(|entry| match &entry.event {
        Event::Polled {
            operation: Operation::Status,
            word,
            ..
        } => word.as_deref() == Some("COMPLETED"),
        _ => false,
    });
    assert_eq!(looks.count(), 2);
    drop(worker);
}
