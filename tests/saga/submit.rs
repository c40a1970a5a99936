//! `submit_training`: one paid request, whatever happens to its answer.

use aisha::simulators::fal::faults::{Effect, Fault, Operation, When};
use jobs::{PollStatus, SubmitTraining, queue::JobState};
use serde_json::json;

use super::world::World;

#[tokio::test]
async fn a_submit_whose_answer_is_lost_is_adopted_and_never_repeated() {
    let world = World::archived().await.submit_unanswered(When::After).await;
    assert_eq!(world.status().await, "submitting", "nobody knows");
    assert_eq!(
        world
            .count("select count(*) from training_attempts where outcome is null")
            .await,
        1
    );

    // A second submit that is enqueued now does not send a second request.
    let mut tx = world.pool().begin().await.unwrap();
    jobs::enqueue::enqueue(&mut tx, &SubmitTraining::new(world.training))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    world.jobs.run_one::<SubmitTraining>().await.unwrap();
    assert_eq!(world.submits(), 1);

    world.fal_is_done().await;
    world.poll().await;
    assert_eq!(world.status().await, "submitted");
    assert_eq!(
        world
            .text("select evidence::text from training_attempts")
            .await
            .as_deref(),
        Some("request_list")
    );
    world.jobs.drain_through_time().await;
    assert_eq!((world.status().await.as_str(), world.submits()), ("completed", 1));
}

#[tokio::test]
async fn w04_a_submit_whose_answer_is_lost_is_adopted_by_its_webhooks_token() {
    let world = World::archived().await.submit_unanswered(When::After).await;
    let token = world.text("select token from training_attempts").await.unwrap();
    let body = json!({"request_id": "11111111-2222-4333-8444-555555555555", "status": "OK", "payload": null});
    let became = world
        .deliver(
            "11111111-2222-4333-8444-555555555555",
            &body,
            Some("style"),
            Some(&token),
        )
        .await;
    assert_eq!(became.as_deref(), Some("looked_up"));
    assert_eq!(world.status().await, "submitted");
    assert_eq!(world.request_id().await, "11111111-2222-4333-8444-555555555555");
    assert_eq!(
        world
            .text("select evidence::text from training_attempts")
            .await
            .as_deref(),
        Some("webhook")
    );
    assert_eq!(world.submits(), 1);
}

#[tokio::test]
async fn a_dead_submit_leaves_an_ambiguous_attempt_to_the_poll() {
    let world = World::archived().await;
    let job = world.job::<SubmitTraining>().await;
    // Dies at the last attempt, while FAL's answer is delayed.
    sqlx::query("update jobs set attempt = 59 where id = $1")
        .bind(job.0)
        .execute(world.pool())
        .await
        .unwrap();
    world.submit_dies_unanswered(When::After).await;
    world.fal.release();
    world.jobs.rescue().await;
    let state = world
        .text("select state::text from jobs where kind = 'submit_training'")
        .await;
    assert_eq!(state.as_deref(), Some("dead"));
    assert_eq!(
        world.status().await,
        "submitting",
        "attempts running out never fail an open attempt (K12)"
    );
    world.fal_is_done().await;
    world.jobs.drain_through_time().await;
    assert_eq!((world.status().await.as_str(), world.submits()), ("completed", 1));
}

#[tokio::test]
async fn a_refused_submit_fails_the_training_and_says_so() {
    let world = World::archived().await;
    world
        .fal
        .answers(Operation::Submit, 422, json!({"detail": "no such field"}));
    let world = world.submit().await;
    assert_eq!(world.status().await, "failed");
    assert_eq!(world.failure().await.as_deref(), Some("rejected_by_provider"));
    assert_eq!(
        world
            .text("select outcome::text from training_attempts")
            .await
            .as_deref(),
        Some("refused")
    );
    assert_eq!(world.final_messages().await, 1);
}

#[tokio::test]
async fn a_busy_fal_is_waited_for_as_long_as_it_says() {
    let world = World::archived().await;
    let busy = Effect::Answer {
        status: 429,
        headers: [("retry-after".to_owned(), "40".to_owned())].into(),
        body: json!({}),
    };
    world.fal.script(Fault::new(Operation::Submit, busy)).unwrap();
    world.jobs.run_one::<SubmitTraining>().await.unwrap();
    let wait = "select extract(epoch from run_at - now())::bigint from jobs where kind = 'submit_training'";
    let seconds = world.count(wait).await;
    assert!((38..=41).contains(&seconds), "{seconds} s");
    assert_eq!(
        world
            .count("select attempt::bigint from jobs where kind = 'submit_training'")
            .await,
        0
    );
}

#[tokio::test]
async fn the_poll_is_there_before_the_submit_is_answered() {
    let world = World::archived().await;
    world.leaves::<SubmitTraining>();
    world.submit_dies_unanswered(When::Before).await;
    world.job::<PollStatus>().await;
}

/// The stop comes after the attempt is committed and before FAL answers that it accepts nothing.
#[tokio::test]
async fn a_training_that_is_stopped_while_fal_refuses_its_submit_is_cancelled_and_told() {
    let world = World::archived().await;
    let stop = "create function stop() returns trigger language plpgsql as $$
        begin new.end_asked := 'user'; new.end_asked_at := now(); return new; end $$;
        create trigger stop before update on trainings for each row when (new.status = 'submitting') execute function stop()";
    sqlx::raw_sql(stop).execute(world.pool()).await.unwrap();
    let busy = Effect::Answer {
        status: 429,
        headers: [("retry-after".to_owned(), "40".to_owned())].into(),
        body: json!({}),
    };
    world.fal.script(Fault::new(Operation::Submit, busy)).unwrap();
    world.jobs.run_one::<SubmitTraining>().await.unwrap();
    assert_eq!(world.status().await, "cancelled");
    // FAL's refusal has put the submit off.
    assert_eq!(world.run::<SubmitTraining>().await.state, JobState::Done);
    assert_eq!((world.submits(), world.endings_told().await), (0, 1));
}
