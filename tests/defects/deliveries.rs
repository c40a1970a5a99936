//! D1-D6: the incumbent's webhooks never arrived, were lost or misunderstood, or were believed from anybody.

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation},
    ledger::Event,
};
use jobs::{ApplyFalDelivery, queue::JobState};
use reqwest::StatusCode;
use serde_json::json;

use crate::{
    saga::world::World,
    support::{Db, FAL_USER, FalSigner, Web, eventually},
    webhook::line::{Line, error, web_for, worker, worker_for},
};

/// The incumbent told FAL a hard-coded address that its own API did not serve: every webhook was answered 404.
#[tokio::test]
async fn d01_fal_is_given_a_webhook_address_that_the_web_role_serves() {
    let world = World::archived().await;
    let web = web_for(&world).await;
    let worker = worker(
        &world,
        &[
            ("FAL_WEBHOOK_URL", &web.url("")),
            // Polling would hide that the webhook never comes.
            ("AISHA__FAL__POLL_FIRST_AFTER", "1h"),
        ],
    );
    eventually("the training to be completed", async || {
        (world.status().await == "completed").then_some(())
    })
    .await;
    let ledger = world.fal.ledger();
    let answers: Vec<_> = ledger
        .iter()
        .filter_map(|entry| match &entry.event {
            Event::WebhookAttempted { url, http_status, .. } => Some((url.as_str(), *http_status)),
            _ => None,
        })
        .collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
    assert!(
        answers[0]
            .0
            .starts_with(&web.url("/api/v1/avatar/status_update?training_type=style&token="))
    );
    assert_eq!(answers[0].1, Some(200));
    drop(worker);
}

/// The incumbent's proxy let 20 webhooks a minute through and answered the rest 503.
#[tokio::test]
async fn d02_a_burst_of_deliveries_from_one_address_is_taken_whole() {
    let (db, signer) = (Db::new().await, FalSigner::new().await);
    let variables = [
        ("FAL_JWKS_URL", signer.jwks_url()),
        ("FAL_WEBHOOK_USER_ID", FAL_USER),
        // The machine may be slow because of other work; the test is not about that.
        ("AISHA__DATABASE__ACQUIRE_TIMEOUT", "25s"),
        ("AISHA__WEB__REQUEST_TIMEOUT", "28s"),
    ];
    let web = Web::start(&db, &variables).await;
    let posts = (0..150).map(async |number| {
        let request = format!("request-{number}");
        let body = json!({"request_id": request, "status": "OK", "payload": {"n": number}}).to_string();
        let delivery = signer.sign(&request, body);
        let post = web
            .client
            .post(web.url("/api/v1/avatar/status_update?training_type=style"));
        delivery.on(post).send().await.unwrap().status()
    });
    let answers = futures::future::join_all(posts).await;
    assert_eq!(answers, vec![StatusCode::OK; 150]);
    let stored: i64 = sqlx::query_scalar("select count(*) from fal_deliveries")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert_eq!(stored, 150);
}

/// The incumbent answered 200 and did the work in a task of the same process, which died with the process.
#[tokio::test]
async fn d03_an_acknowledged_delivery_survives_the_death_of_every_process() {
    let (mut line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
    line.web.process.kill();

    let world = &line.world;
    let slow_model = Fault {
        contains: Some(".safetensors".to_owned()),
        ..Fault::new(
            Operation::Download,
            Effect::Hold {
                until_delivered: false,
            },
        )
    };
    world.fal.script(slow_model).unwrap();
    let mut victim = worker_for(world, "media,upkeep", &[]);
    world.fal.held(1).await.unwrap();
    victim.kill();
    world.fal.release();

    let successor = worker_for(world, "media,upkeep", &[]);
    eventually("the training to be completed", async || {
        (world.status().await == "completed").then_some(())
    })
    .await;
    let source = world.text("select result_source::text from trainings").await;
    assert_eq!(source.as_deref(), Some("webhook"));
    drop(successor);
}

/// The incumbent waited for COMPLETED, FAILED and `result`, words that FAL does not send.
#[tokio::test]
async fn d04_fals_own_words_are_understood() {
    let (line, request) = Line::to_a_submitted_training().await;
    let ok = line.ok(&request).await;
    assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
    line.world.jobs.drain().await;
    assert_eq!(line.world.status().await, "completed");

    let (line, request) = Line::to_a_submitted_training().await;
    assert_eq!(line.post(&request, &error(&request)).await, StatusCode::OK);
    line.world.jobs.drain().await;
    assert_eq!(line.world.status().await, "failed");
    let code = line.world.failure().await;
    assert_eq!(code.as_deref(), Some("rejected_by_provider"));
}

/// Anybody could post a result to the incumbent, and list the results that it had.
#[tokio::test]
async fn d05_nothing_is_believed_without_a_signature_and_nothing_can_be_listed() {
    let (line, request) = Line::to_a_submitted_training().await;
    line.world.leaves::<ApplyFalDelivery>();
    let ok = line.ok(&request).await;
    let unsigned = line
        .web
        .client
        .post(line.web.url("/api/v1/avatar/status_update?training_type=style"))
        .json(&ok);
    assert_eq!(unsigned.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    assert_eq!(line.verdicts().await, Vec::<String>::new());

    assert_eq!(line.post(&request, &ok).await, StatusCode::OK);
    for path in [
        "/",
        "/api/v1/avatar",
        "/api/v1/avatar/status_update",
        "/webhook/fal/status",
        "/livez",
        "/readyz",
        "/metrics",
    ] {
        let answer = line.web.get(path).await;
        let body = answer.text().await.unwrap();
        assert!(!body.contains(&request), "{path} tells who trains what: {body}");
    }
    assert_eq!(
        line.web.get("/api/v1/avatar/status_update").await.status(),
        StatusCode::METHOD_NOT_ALLOWED
    );
}

/// The incumbent logged a delivery whose request it did not know yet, and dropped it.
#[tokio::test]
async fn d06_a_delivery_that_comes_before_its_request_is_known_is_kept_and_applied() {
    const EARLY: &str = "99999999-2222-4333-8444-555555555555";
    let line = Line::to(World::submitted().await).await;
    assert_eq!(line.post(EARLY, &error(EARLY)).await, StatusCode::OK);
    let apply = line.world.job::<ApplyFalDelivery>().await;
    assert_eq!(line.world.jobs.run(apply).await.state, JobState::Scheduled);
    sqlx::query("update trainings set request_id = $1")
        .bind(EARLY)
        .execute(line.world.pool())
        .await
        .unwrap();
    assert_eq!(line.world.jobs.run(apply).await.state, JobState::Done);
    assert_eq!(line.world.status().await, "failed");
    assert_eq!(line.verdicts().await, ["applied"]);
}
