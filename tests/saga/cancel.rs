//! A cancel works everywhere: at FAL, in the queue and in the state. Also tests the results that arrive after a
//! cancel.

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation, When},
    ledger::{Entry, Event},
};
use jobs::{
    BuildArchive, CancelTraining, PollStatus, ReconcileTrainings, StoreModel, SubmitTraining,
    producer::CancelledTraining, queue::JobState,
};
use serde_json::json;

use super::world::World;
use crate::support::aisha;

fn answers(status: u16, word: &str) -> Fault {
    answers_to(Operation::Cancel, status, word)
}

fn answers_to(operation: Operation, status: u16, word: &str) -> Fault {
    let effect = Effect::Answer {
        status,
        headers: Default::default(),
        body: json!({ "status": word }),
    };
    Fault::new(operation, effect)
}

/// FAL answers every call of this kind with "no such request".
fn denies(world: &World, operation: Operation) {
    let denial = Fault {
        times: 0,
        ..answers_to(operation, 404, "NOT_FOUND")
    };
    world.fal.script(denial).unwrap();
}

async fn wait_for(world: &World, what: &str, is_it: fn(&Event) -> bool) {
    let look = |entries: &[Entry]| entries.iter().any(|entry| is_it(&entry.event)).then_some(());
    world
        .fal
        .wait_for(what, look)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}

async fn runs(world: &World) {
    wait_for(world, "a run", |event| matches!(event, Event::RunStarted { .. })).await;
}

async fn assert_cancelled(world: &World) {
    assert_eq!(world.status().await, "cancelled");
    assert_eq!(world.avatar_status().await, "cancelled", "it may be tried again");
    assert_eq!(world.endings_told().await, 1);
}

#[tokio::test]
async fn a_training_that_is_not_at_fal_is_cancelled_with_its_jobs() {
    let world = World::requested().await;
    assert_eq!(world.cancel().await, CancelledTraining::Cancelled);
    assert_cancelled(&world).await;
    assert!(!world.is_live::<BuildArchive>().await);
    assert_eq!(
        world
            .text("select state::text from jobs where kind = 'build_archive'")
            .await
            .as_deref(),
        Some("cancelled")
    );
    assert_eq!(
        world
            .text("select result_source::text from trainings")
            .await
            .as_deref(),
        Some("operator")
    );

    let world = World::archived().await;
    assert_eq!(world.cancel().await, CancelledTraining::Cancelled);
    assert_cancelled(&world).await;
    assert!(!world.is_live::<SubmitTraining>().await);
    assert_eq!(world.submits(), 0);
    assert_eq!(world.cancel().await, CancelledTraining::Over);
}

#[tokio::test]
async fn a_training_in_fals_queue_is_taken_out_of_it() {
    let world = World::at_fal(Effect::StuckInQueue {}).await;
    assert_eq!(world.cancel().await, CancelledTraining::Stopping);
    assert_eq!(world.cancel().await, CancelledTraining::AlreadyStopping);
    assert_eq!(world.status().await, "submitted", "FAL has to be told first");
    world.run::<CancelTraining>().await;
    assert_eq!(world.cancels(), [200]);
    assert_cancelled(&world).await;
    world.jobs.drain_through_time().await;
    assert_eq!(
        world.endings_told().await,
        1,
        "and the poll has nothing more to do"
    );
}

#[tokio::test]
async fn a_training_that_runs_is_told_to_stop_and_the_poll_learns_that_it_did() {
    let world = World::at_fal(Effect::StuckInProgress {}).await;
    runs(&world).await;
    assert_eq!(world.cancel().await, CancelledTraining::Stopping);
    world.run::<CancelTraining>().await;
    assert_eq!(world.cancels(), [202]);
    assert_eq!(world.status().await, "submitted", "it may still finish");
    assert!(
        world
            .text("select message::text from notifications where kind = 'progress'")
            .await
            .is_some_and(|text| text.contains("stage-stopping")),
        "its owner sees it"
    );
    world.fal_is_done().await;
    world.poll().await;
    assert_cancelled(&world).await;
}

#[tokio::test]
async fn a_training_that_finishes_in_spite_of_the_cancel_is_completed() {
    // FAL says that it will try to stop, but the run completes.
    let world = World::at_fal(Effect::IgnoreCancel {}).await;
    world.fal.script(answers(202, "CANCELLATION_REQUESTED")).unwrap();
    world.cancel().await;
    world.run::<CancelTraining>().await;
    world.fal_is_done().await;
    world.poll().await;
    assert_eq!(world.status().await, "trained");
    world.run::<StoreModel>().await;
    assert_eq!(
        (
            world.status().await.as_str(),
            world.avatar_status().await.as_str()
        ),
        ("completed", "completed")
    );
    assert_eq!(world.endings_told().await, 1);

    // FAL says that the request has already ended.
    let world = World::submitted().await;
    world.fal_is_done().await;
    world.cancel().await;
    world.run::<CancelTraining>().await;
    assert_eq!(world.cancels(), [400]);
    assert_eq!(world.status().await, "submitted", "the result decides");
    world.poll().await;
    assert_eq!(world.cancel().await, CancelledTraining::TooLate);
    world.run::<StoreModel>().await;
    assert_eq!(world.status().await, "completed");
}

#[tokio::test]
async fn a_cancel_that_fal_denies_for_a_moment_is_told_again() {
    let world = World::at_fal(Effect::StuckInQueue {}).await;
    world.fal.script(answers(404, "NOT_FOUND")).unwrap();
    world.cancel().await;
    assert_eq!(world.run::<CancelTraining>().await.state, JobState::Scheduled);
    assert_eq!(
        (world.status().await.as_str(), world.endings_told().await),
        ("submitted", 0)
    );
    let pause =
        "select round(extract(epoch from run_at - now()))::bigint from jobs where kind = 'cancel_training'";
    assert!(
        (25..=35).contains(&world.count(pause).await),
        "after twice the usual pace"
    );
    world.run::<CancelTraining>().await;
    assert_eq!(world.cancels().last(), Some(&200));
    assert_cancelled(&world).await;
    assert_eq!(
        world
            .count("select attempt::bigint from jobs where kind = 'cancel_training'")
            .await,
        1,
        "the look that was put off costs no attempt"
    );
}

#[tokio::test]
async fn a_cancel_that_fal_denies_is_believed_after_a_few_looks() {
    let world = World::at_fal(Effect::StuckInQueue {}).await;
    for call in [Operation::Cancel, Operation::Status, Operation::Result] {
        denies(&world, call);
    }
    world.cancel().await;
    for look in 1..6 {
        assert_eq!(
            world.run::<CancelTraining>().await.state,
            JobState::Scheduled,
            "look {look}"
        );
        assert_eq!(world.endings_told().await, 0, "look {look}");
    }
    assert_eq!(world.run::<CancelTraining>().await.state, JobState::Done);
    assert_cancelled(&world).await;
    assert_eq!(
        world
            .text("select late_model::text from trainings")
            .await
            .as_deref(),
        Some("watched"),
        "FAL did not say that nothing will come"
    );
    world.poll().await;
    assert_eq!(world.endings_told().await, 1);
}

#[tokio::test]
async fn a_request_that_its_status_knows_is_told_to_stop_until_the_deadline() {
    let world = World::at_fal(Effect::StuckInQueue {}).await;
    denies(&world, Operation::Cancel);
    world.cancel().await;
    for look in 0..8 {
        world.run::<CancelTraining>().await;
        world.poll().await;
        assert_eq!(world.status().await, "submitted", "look {look}");
    }
    world.cancel_deadline_is_over().await;
    world.enqueue(&ReconcileTrainings::default()).await;
    world.run::<ReconcileTrainings>().await;
    assert_cancelled(&world).await;
    // A request that still runs at FAL costs money: we tell FAL to stop a few more times.
    for _ in 0..6 {
        world.run::<CancelTraining>().await;
    }
    assert!(!world.is_live::<CancelTraining>().await);
    assert!(world.is_live::<PollStatus>().await, "and it is watched");
    assert_eq!(world.endings_told().await, 1);
}

#[tokio::test]
async fn a_cancel_of_an_ambiguous_submit_is_resolved_once_the_request_is_known() {
    let world = World::archived().await;
    let lost = Fault {
        when: Some(When::After),
        ..Fault::new(Operation::Submit, Effect::Close {})
    };
    world.fal.script(lost).unwrap();
    world
        .fal
        .script(Fault::new(Operation::Execution, Effect::StuckInProgress {}))
        .unwrap();
    let world = world.submit().await;
    runs(&world).await;
    assert_eq!(world.cancel().await, CancelledTraining::Stopping);
    assert!(
        !world.is_live::<CancelTraining>().await,
        "there is nothing yet that FAL could be told"
    );
    assert_eq!(world.status().await, "submitting");
    world.poll().await;
    assert_eq!(world.status().await, "submitted", "found in the list");
    world.run::<CancelTraining>().await;
    assert_eq!(world.cancels(), [202]);
    world.fal_is_done().await;
    world.poll().await;
    assert_cancelled(&world).await;
    assert_eq!(world.submits(), 1);
}

#[tokio::test]
async fn a_cancel_of_a_submit_that_is_never_found_ends_with_the_decision() {
    let world = World::archived().await.submit_unanswered(When::Before).await;
    assert_eq!(world.cancel().await, CancelledTraining::Stopping);
    world.poll().await;
    assert_eq!(world.status().await, "submitting");
    world.decision_is_due().await;
    world.poll().await;
    assert_cancelled(&world).await;
    assert_eq!(world.failure().await, None, "it ended as it was wished");
}

#[tokio::test]
async fn fal_that_does_not_stop_is_given_up_and_its_result_is_kept() {
    let world = World::at_fal(Effect::StuckInProgress {}).await;
    world.fal.held(1).await.unwrap();
    world.fal.script(answers(202, "CANCELLATION_REQUESTED")).unwrap();
    world.cancel().await;
    world.run::<CancelTraining>().await;
    world.cancel_deadline_is_over().await;
    world.enqueue(&ReconcileTrainings::default()).await;
    assert_eq!(world.run::<ReconcileTrainings>().await.state, JobState::Done);
    assert_cancelled(&world).await;
    world.fal.release();
    world.fal_is_done().await;
    world.poll().await;
    world.run::<StoreModel>().await;
    assert_eq!(world.status().await, "cancelled", "the first ending stands");
    assert_eq!(
        world.avatar_status().await,
        "completed",
        "and what was paid for is its owner's"
    );
    assert_eq!(
        world
            .count("select count(*) from notifications where dedupe_key like 'late:%'")
            .await,
        1
    );
}

#[tokio::test]
async fn the_verb_says_what_it_would_do_and_does_it() {
    let world = World::archived().await;
    let id = world.training.to_string();
    let run = async |arguments: &[&str]| {
        let arguments = [&["avatars", "cancel", id.as_str(), "--json"], arguments].concat();
        aisha(&arguments)
            .env("DATABASE_URL", world.db.url())
            .start()
            .finish()
            .await
    };
    let (code, output) = run(&["--dry-run"]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(
        output.contains(r#""outcome":"cancelled""#) && output.contains(r#""was":"archived""#),
        "{output}"
    );
    assert_eq!(world.status().await, "archived", "nothing was changed");
    let (code, output) = run(&["--reason", "asked for in support"]).await;
    assert_eq!(code, Some(0), "{output}");
    assert_cancelled(&world).await;
    assert_eq!(
        world
            .text("select failure_detail from trainings")
            .await
            .as_deref(),
        Some("asked for in support")
    );
    let (code, output) = run(&[]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains(r#""outcome":"over""#), "{output}");
}
