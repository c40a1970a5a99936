//! Two versions of the bot side by side: which of them can write a message, and what becomes of
//! messages that this worker cannot write.

use std::time::Duration;

use aisha::simulators::telegram::SimUser;
use jobs::{
    NotifyUser,
    producer::Place,
    queue::{JobId, JobState},
    texts::{Message, Phrase},
};

use super::{heard, say};
use crate::support::Core;

/// Messages that the next version may have put into the outbox.
const FROM_THE_FUTURE: [&str; 4] = [
    r#"{"text":[{"say":"from-the-future","name":"Lisa"}]}"#,
    r#"{"text":[{"say":"draft-waits","avatar":{"say":"from-the-future"}}]}"#,
    r#"{"text":[{"say":"status-nothing"}],"buttons":[[{"label":{"say":"from-the-future"},"data":"x"}]]}"#,
    r#"{"text":[{"say":"status-completed","called":"Lisa"}]}"#,
];

/// Gives the newest message this content.
async fn becomes(core: &Core, message: &str) {
    sqlx::query(
        "update notifications set message = $1::jsonb where seq = (select max(seq) from notifications)",
    )
    .bind(message)
    .execute(core.pool())
    .await
    .unwrap();
}

async fn reply(core: &Core, person: &SimUser, phrase: Phrase) -> JobId {
    let mut turn = core.turn_of(person).await;
    turn.reply(&Message::new(phrase), Place::New).await.unwrap();
    turn.finish().await.unwrap();
    core.newest("notify_user").await
}

/// The lowest version of a worker that takes the job.
async fn version(core: &Core, job: JobId) -> i16 {
    sqlx::query_scalar("select version from jobs where id = $1")
        .bind(job.0)
        .fetch_one(core.pool())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_phrase_that_this_worker_does_not_know_is_left_for_a_newer_one() {
    let core = Core::new().await;
    let worker = &core.jobs;
    for message in FROM_THE_FUTURE {
        let ann = core.person();
        let job = say(&core, &ann, "Lisa").await;
        becomes(&core, message).await;
        for look in 1..=50 {
            assert_eq!(
                worker.run(job).await.state,
                JobState::Scheduled,
                "{message} {look}"
            );
        }
        let (attempt, is_open): (i64, bool) = sqlx::query_as(
            "select attempt::bigint, (select closed_at is null from notifications order by seq desc limit 1)
               from jobs where id = $1",
        )
        .bind(job.0)
        .fetch_one(core.pool())
        .await
        .unwrap();
        assert_eq!((attempt, is_open), (0, true), "{message}");
        // To a worker that knows it, it is a message like any other.
        becomes(&core, r#"{"text":[{"say":"status-completed","name":"Lisa"}]}"#).await;
        assert_eq!(worker.run(job).await.state, JobState::Done, "{message}");
        assert_eq!(heard(&core, &ann), ["✅ Lisa: the avatar is ready."], "{message}");
    }
}

#[tokio::test]
async fn a_message_for_newer_workers_holds_up_no_other() {
    let core = Core::new().await;
    core.leaves::<NotifyUser>();
    let worker = &core.jobs;
    let ann = core.person();
    let first = say(&core, &ann, "Lisa").await;
    // It gives way to the first message, whatever that says.
    let second = say(&core, &ann, "Max").await;
    assert_eq!(worker.run(second).await.state, JobState::Done);
    assert!(heard(&core, &ann).is_empty());
    sqlx::query(
        "update notifications set message = $1::jsonb where seq = (select min(seq) from notifications)",
    )
    .bind(FROM_THE_FUTURE[0])
    .execute(core.pool())
    .await
    .unwrap();
    assert_eq!(worker.run(first).await.state, JobState::Scheduled);
    worker.drain().await;
    assert_eq!(heard(&core, &ann), ["✅ Max: the avatar is ready."]);
    say(&core, &ann, "Anna").await;
    worker.drain().await;
    assert_eq!(heard(&core, &ann).len(), 2);

    // For some minutes a newer worker is looked for often, and later more rarely.
    let pause = "select extract(epoch from run_at - now())::bigint from jobs where state = 'scheduled'";
    assert!(core.look::<i64>(pause).await <= 20);
    sqlx::query("update notifications set created_at = created_at - interval '11 minutes'")
        .execute(core.pool())
        .await
        .unwrap();
    assert_eq!(worker.run(first).await.state, JobState::Scheduled);
    assert!(core.look::<i64>(pause).await > 400);
}

#[tokio::test]
async fn a_message_that_no_worker_can_say_for_two_days_is_given_up_and_seen() {
    let core = Core::new().await;
    let worker = &core.jobs;
    let ann = core.person();
    let job = say(&core, &ann, "Lisa").await;
    becomes(&core, FROM_THE_FUTURE[0]).await;
    assert_eq!(worker.run(job).await.state, JobState::Scheduled);
    let mut db = core.pool().acquire().await.unwrap();
    jobs::testing::advance(&mut db, Duration::from_hours(49)).await;
    drop(db);
    assert_eq!(worker.run(job).await.state, JobState::Dead);
    let outcome: String = core.look("select outcome from notifications").await;
    assert_eq!(outcome, "undeliverable");
    let why: String = core.look("select error from jobs").await;
    assert!(why.contains("another version"), "{why}");
}

#[tokio::test]
async fn a_message_is_left_alone_by_workers_that_cannot_say_it() {
    let core = Core::new().await;
    let ann = core.person();
    let name = || "Lisa".to_owned();
    let known = reply(&core, &ann, Phrase::StatusCompleted { name: name() }).await;
    assert_eq!(version(&core, known).await, 1, "as every version did");
    let newer = reply(&core, &ann, Phrase::TooManyLive { live: 2 }).await;
    assert_eq!(version(&core, newer).await, 2);
    let within = Phrase::TrainingsUsedUp {
        most: 1,
        wait: Phrase::in_time(Duration::from_hours(2)),
    };
    let newer = reply(&core, &ann, within).await;
    assert_eq!(version(&core, newer).await, 2);
    let worker = &core.jobs;
    worker.drain().await;
    assert_eq!(heard(&core, &ann).len(), 3);
}
