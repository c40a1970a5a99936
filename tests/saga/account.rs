//! FAL refuses our account: every job that would upload or submit is parked, and no training fails.

use std::time::Duration;

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation, When},
    ledger::Event,
};
use jobs::{
    BuildArchive, PollStatus, ReconcileTrainings, SubmitTraining, domain::TrainingId, queue::JobState,
    reader::Reader,
};
use serde_json::{Value, json};

use super::world::World;
use crate::support::aisha;

fn locked() -> Fault {
    let effect = Effect::Answer {
        status: 403,
        headers: Default::default(),
        body: json!({"detail": "User is locked. Reason: Exhausted balance."}),
    };
    Fault::new(Operation::Submit, effect)
}

#[tokio::test]
async fn a_locked_account_parks_every_submit_until_a_probe_succeeds() {
    let world = World::archived().await;
    world.fal.script(Fault { times: 2, ..locked() }).unwrap();
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    assert_eq!(
        world.status().await,
        "archived",
        "nobody's training fails for our bill"
    );
    let parked = Reader::new(world.pool().clone()).fal_parked().await.unwrap();
    let parked = parked.expect("operators see it");
    assert!(parked.reason.contains("Exhausted balance"), "{}", parked.reason);
    assert_eq!(parked.waiting, 1);

    // A job that runs before the probe is due does not call FAL.
    let attempts = "select count(*) from training_attempts";
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    assert_eq!(world.count(attempts).await, 1);
    world.change("update fal_account set probe_at = now()").await;
    assert_eq!(
        world.run::<SubmitTraining>().await.state,
        JobState::Scheduled,
        "refused again"
    );
    assert_eq!(world.count(attempts).await, 2);
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    assert_eq!(
        world.count(attempts).await,
        2,
        "and everybody waits for the next probe"
    );

    world.change("update fal_account set probe_at = now()").await;
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Done);
    assert_eq!((world.status().await.as_str(), world.submits()), ("submitted", 1));
    assert_eq!(
        world.count("select count(*) from fal_account").await,
        0,
        "the way is open for all"
    );
    assert_eq!(
        world
            .count("select attempt::bigint from jobs where kind = 'submit_training'")
            .await,
        1,
        "being parked costs no attempt"
    );
}

/// Locks the account at FAL, or unlocks it.
async fn lock(world: &World, reason: Option<&str>) {
    let url = format!("{}/__sim/settings", world.fal.url());
    let answer = reqwest::Client::builder()
        .no_proxy()
        .build()
        .unwrap()
        .post(url)
        .json(&json!({"locked": reason}))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
}

async fn is_due(world: &World) {
    world
        .change("update fal_account set probe_at = now(), upload_probe_at = now()")
        .await;
}

fn initiated(world: &World) -> usize {
    let ledger = world.fal.ledger();
    let initiated = ledger
        .iter()
        .filter(|entry| matches!(entry.event, Event::UploadInitiated { .. }));
    initiated.count()
}

#[tokio::test]
async fn a_locked_account_holds_back_archives_before_they_are_built() {
    let world = World::requested().await;
    lock(&world, Some("Exhausted balance")).await;
    assert_eq!(world.run::<BuildArchive>().await.state, JobState::Scheduled);
    let parked = Reader::new(world.pool().clone())
        .fal_parked()
        .await
        .unwrap()
        .expect("it is seen");
    assert_eq!((parked.call.as_str(), parked.waiting), ("upload", 1));
    assert!(parked.reason.contains("Exhausted balance"), "{}", parked.reason);

    // Without the bucket a build fails, so a build would be noticed.
    world.s3.remove_bucket();
    for turn in ["waiting", "probing"] {
        assert_eq!(
            world.run::<BuildArchive>().await.state,
            JobState::Scheduled,
            "{turn}"
        );
        is_due(&world).await;
    }
    let attempts = "select attempt::bigint from jobs where kind = 'build_archive'";
    assert_eq!(
        world.count(attempts).await,
        0,
        "nothing was tried, and nothing charged"
    );

    lock(&world, None).await;
    is_due(&world).await;
    world.run::<BuildArchive>().await;
    assert_eq!(
        world.count("select count(*) from fal_account").await,
        0,
        "the way is open"
    );
    assert_eq!(world.count(attempts).await, 1, "and the photos are looked for");
    assert_eq!(initiated(&world), 1, "by an upload that was only prepared");
}

#[tokio::test]
async fn a_lock_that_lasts_days_fails_nobody_before_the_submit_deadline() {
    let world = World::requested().await;
    lock(&world, Some("Exhausted balance")).await;
    for _ in 0..5 {
        assert_eq!(world.run::<BuildArchive>().await.state, JobState::Scheduled);
        let mut db = world.pool().acquire().await.unwrap();
        jobs::testing::advance(&mut db, Duration::from_hours(24)).await;
        drop(db);
        world
            .change("update trainings set status_since = status_since - interval '24 hours'")
            .await;
        world.enqueue(&ReconcileTrainings::default()).await;
        world.run::<ReconcileTrainings>().await;
        assert_eq!(world.status().await, "requested");
        is_due(&world).await;
    }
    lock(&world, None).await;
    is_due(&world).await;
    world.jobs.drain_through_time().await;
    assert_eq!((world.status().await.as_str(), world.submits()), ("completed", 1));
}

#[tokio::test]
async fn archives_are_built_while_only_submits_are_refused() {
    let world = World::archived().await;
    world.fal.script(Fault { times: 0, ..locked() }).unwrap();
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    world.change("update trainings set status = 'requested'").await;
    world.enqueue_archive().await;
    assert_eq!(world.run::<BuildArchive>().await.state, JobState::Done);
    assert_eq!(
        world.count("select count(*) from fal_account").await,
        1,
        "an upload does not prove a submit"
    );
}

/// Another training of the same kind, with its own avatar, that waits to be submitted.
async fn another_to_submit(world: &World) -> TrainingId {
    world
        .change(
            "insert into avatars select (jsonb_populate_record(a, jsonb_build_object('id', gen_random_uuid()))).* from avatars a",
        )
        .await;
    let id: uuid::Uuid = sqlx::query_scalar(
        "insert into trainings
         select (jsonb_populate_record(t, jsonb_build_object('id', gen_random_uuid(), 'status', 'archived', 'request_id', null,
                 'submitted_at', null, 'avatar_id', (select a.id from avatars a where a.id <> t.avatar_id)))).*
           from trainings t returning id",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    TrainingId(id)
}

#[tokio::test]
async fn a_status_that_is_refused_does_not_keep_a_submit_from_finding_out() {
    let world = World::submitted().await;
    world.fal.always_answers(
        Operation::Status,
        403,
        json!({"detail": "Cannot access application"}),
    );
    assert_eq!(world.run::<PollStatus>().await.state, JobState::Scheduled);
    let parked = Reader::new(world.pool().clone())
        .fal_parked()
        .await
        .unwrap()
        .expect("it is seen");
    assert_eq!(parked.call, "status");
    world.run::<PollStatus>().await;

    let other = another_to_submit(&world).await;
    world.enqueue(&SubmitTraining::new(other)).await;
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Done);
    assert_eq!(world.submits(), 2);
    assert_eq!(
        world.count("select count(*) from fal_account").await,
        0,
        "a submit proves more than a status"
    );
}

/// A job that does not know whether its submit was accepted asks FAL's request list, and may be the first to see the
/// refusal.
#[tokio::test]
async fn a_request_list_that_is_refused_parks_the_account_and_decides_nothing() {
    for status in [401, 402, 403] {
        let world = World::archived().await.submit_unanswered(When::Before).await;
        world.decision_is_due().await;
        world.fal.answers(
            Operation::List,
            status,
            json!({"detail": "User is locked. Reason: Exhausted balance."}),
        );
        assert_eq!(
            world.run::<PollStatus>().await.state,
            JobState::Scheduled,
            "{status}"
        );
        let parked = Reader::new(world.pool().clone()).fal_parked().await.unwrap();
        let parked = parked.expect("operators see it");
        assert_eq!(parked.call, "request list", "{status}");
        assert!(parked.reason.contains("Exhausted balance"), "{}", parked.reason);
        assert_eq!(world.status().await, "submitting", "{status}");

        world.run::<PollStatus>().await;
        assert_eq!(
            world.count("select count(*) from fal_account").await,
            0,
            "{status}: the list is answered again"
        );
        assert_eq!(
            world.failure().await.as_deref(),
            Some("submit_outcome_unknown"),
            "{status}: and now it decides"
        );
    }
}

async fn account(world: &World, arguments: &[&str]) -> String {
    let (code, output) = aisha(["fal", "account"].iter().chain(arguments))
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", world.db.url())
        .start()
        .finish()
        .await;
    assert_eq!(code, Some(0), "{output}");
    output
}

#[tokio::test]
async fn operators_are_told_where_and_since_when_our_account_is_refused() {
    let world = World::requested().await;
    let untried = account(&world, &[]).await;
    assert_eq!(
        untried.trim(),
        "FAL has not refused our account. Last accepted submit: none yet"
    );

    lock(&world, Some("TOP_UP")).await;
    world.run::<BuildArchive>().await;
    let refused = account(&world, &[]).await;
    for told in [
        "refuses our account since",
        "at the upload: 403",
        "TOP_UP",
        "1 trainings",
        "none yet",
    ] {
        assert!(refused.contains(told), "{told}: {refused}");
    }
    let json: Value = serde_json::from_str(&account(&world, &["--json"]).await).unwrap();
    assert_eq!((&json["parked"], &json["call"]), (&true.into(), &"upload".into()));

    lock(&world, None).await;
    is_due(&world).await;
    world.run::<BuildArchive>().await;
    let world = world.submit().await;
    let taken = account(&world, &[]).await;
    assert!(
        taken.starts_with("FAL has not refused our account. Last accepted submit: "),
        "{taken}"
    );
    assert!(taken.trim().ends_with("s ago"), "{taken}");
}

/// The account was refused while the database's clock was a month ahead.
#[tokio::test]
async fn q28_a_probe_that_is_due_in_a_month_is_due_now() {
    let a_month_on = "update fal_account set probe_at = probe_at + interval '30 days', upload_probe_at = upload_probe_at + interval '30 days'";
    let world = World::archived().await;
    world.fal.script(locked()).unwrap();
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Scheduled);
    world.change(a_month_on).await;
    world.run::<SubmitTraining>().await;
    assert_eq!(world.status().await, "submitted");

    let world = World::requested().await;
    lock(&world, Some("Exhausted balance")).await;
    assert_eq!(world.run::<BuildArchive>().await.state, JobState::Scheduled);
    world.change(a_month_on).await;
    lock(&world, None).await;
    assert_eq!(world.run::<BuildArchive>().await.state, JobState::Done);
}
