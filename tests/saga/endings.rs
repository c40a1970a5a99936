//! How the user learns of an end: the progress message shows its last text before the final message is sent, unless
//! that is impossible.

use std::time::Duration;

use aisha::simulators::telegram::{Fault, FaultAction, HoldPoint, LedgerFilter, SimUser};
use jobs::{
    NotifyUser,
    queue::{JobId, JobState},
    runtime::WorkerOptions,
};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::world::World;
use crate::support::{PATIENCE, eventually};

/// The owner sees the progress message and the training has just ended: an edit and a final message wait to be sent.
async fn just_ended() -> World {
    let world = World::trained().await;
    owner(&world).await.send_text("hello").unwrap();
    world
        .jobs
        .run_one::<NotifyUser>()
        .await
        .expect("a message to send");
    assert_eq!(sends(&world), 1);
    world.store_model().await;
    world
}

async fn owner(world: &World) -> SimUser {
    let id = world.count("select telegram_id from users").await;
    world.telegram.user(id)
}

/// The job that sends the message of this kind.
async fn job(world: &World, kind: &str) -> JobId {
    let id = sqlx::query_scalar(
        "select jobs.id from jobs join notifications n on payload->>'notification_id' = n.id::text
          where jobs.kind = 'notify_user' and state in ('ready', 'scheduled') and n.kind = $1",
    )
    .bind(kind)
    .fetch_one(world.pool())
    .await;
    JobId(id.unwrap_or_else(|error| panic!("no {kind} message waits: {error}")))
}

async fn run(world: &World, kind: &str) -> JobState {
    world.jobs.run(job(world, kind).await).await.state
}

/// How many new messages Telegram was asked to send.
fn sends(world: &World) -> usize {
    let sends = LedgerFilter {
        method: Some("sendMessage".to_owned()),
        ..LedgerFilter::default()
    };
    world.telegram.control().ledger(&sends).len()
}

/// The first line of each message in the owner's chat as it is now, oldest message first.
async fn chat(world: &World) -> Vec<String> {
    let chat = owner(world).await.chat().unwrap();
    let of_bot = chat.messages.into_iter().filter(|message| message.from_bot);
    of_bot.map(|message| message.text.replace('\n', " ")).collect()
}

fn is_told(chat: &[String]) -> bool {
    matches!(chat, [progress, ending] if progress.ends_with("✅ Done.") && ending.contains("is ready!"))
}

/// Makes a final message wait this many seconds less.
async fn wait_on(world: &World, seconds: i32) {
    let pass = "update notifications set held_since = held_since - make_interval(secs => $1)";
    sqlx::query(pass)
        .bind(f64::from(seconds))
        .execute(world.pool())
        .await
        .unwrap();
}

#[tokio::test]
async fn an_ending_comes_after_the_last_word_of_the_progress_message() {
    let world = just_ended().await;
    assert_eq!(run(&world, "final").await, JobState::Scheduled);
    assert_eq!(sends(&world), 1, "the edit is still due");
    assert_eq!(run(&world, "progress").await, JobState::Done);
    assert_eq!(run(&world, "final").await, JobState::Done);
    assert!(is_told(&chat(&world).await), "{:?}", chat(&world).await);
    let charged = world
        .count("select max(attempt)::bigint from jobs where kind = 'notify_user'")
        .await;
    assert_eq!(charged, 1, "giving way costs no attempt");
}

/// Both are claimed at the same moment, and the edit is slow.
#[tokio::test(flavor = "multi_thread")]
async fn an_ending_waits_for_an_edit_that_is_on_its_way() {
    let world = just_ended().await;
    let action = FaultAction::Hold {
        when: HoldPoint::Before,
    };
    world
        .telegram
        .control()
        .inject(Fault::on("editMessageText", action));
    // The edit was delayed to collect more changes.
    world
        .change("update jobs set run_at = now() where kind = 'notify_user' and state = 'scheduled'")
        .await;
    let options = WorkerOptions {
        slots: vec![(jobs::queues::NOTIFY, 4)],
        poll: Duration::from_millis(100),
        ..WorkerOptions::default()
    };
    let worker = jobs::runtime::worker(&world.services, options).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(worker.run(stop.clone(), stop.clone()));
    let held = world.telegram.control().wait_held(1, PATIENCE).await;
    held.expect("the edit is on its way");
    eventually("the ending to give way", async || {
        (world.count("select coalesce(sum(snoozes), 0) from jobs").await >= 1).then_some(())
    })
    .await;
    assert_eq!(sends(&world), 1);
    world.telegram.control().release(None);
    eventually("the ending", async || is_told(&chat(&world).await).then_some(())).await;
    stop.cancel();
}

#[tokio::test]
async fn an_edit_that_fails_holds_an_ending_back_for_ten_seconds() {
    for action in [
        FaultAction::Drop,
        FaultAction::Html { status: 502 },
        FaultAction::Error {
            code: 500,
            description: "Internal Server Error".to_owned(),
            parameters: None,
        },
    ] {
        let world = just_ended().await;
        let broken = Fault::on("editMessageText", action).times(None);
        world.telegram.control().inject(broken);
        for waited in [0, 4, 5] {
            wait_on(&world, waited).await;
            assert_eq!(run(&world, "progress").await, JobState::Scheduled);
            assert_eq!(run(&world, "final").await, JobState::Scheduled, "{waited}");
        }
        wait_on(&world, 1).await;
        assert_eq!(run(&world, "final").await, JobState::Done);
        assert!(chat(&world).await[1].contains("is ready!"));
        world.telegram.control().clear_faults(None);
        assert_eq!(run(&world, "progress").await, JobState::Done);
        assert!(is_told(&chat(&world).await));
    }
}

/// The first progress message replaces the photo counter, so it is an edit too.
#[tokio::test]
async fn an_edit_that_never_worked_holds_an_ending_back_for_no_longer() {
    let world = World::trained().await;
    owner(&world).await.send_text("hello").unwrap();
    world.jobs.run_one::<NotifyUser>().await.expect("a message");
    world
        .change("update notifications set delivered_revision = 0 where kind = 'progress'")
        .await;
    world.store_model().await;
    world
        .telegram
        .control()
        .inject(Fault::on("editMessageText", FaultAction::Drop).times(None));
    assert_eq!(run(&world, "progress").await, JobState::Scheduled);
    assert_eq!(run(&world, "final").await, JobState::Scheduled);
    wait_on(&world, 10).await;
    assert_eq!(run(&world, "final").await, JobState::Done);
    assert!(chat(&world).await[1].contains("is ready!"));
}

/// Telegram asks us to stop sending when the edit is due: afterwards the edit is still sent first.
#[tokio::test]
async fn the_order_outlasts_a_silence_that_telegram_asks_for() {
    let world = just_ended().await;
    let too_many = FaultAction::Error {
        code: 429,
        description: "Too Many Requests: retry after 30".to_owned(),
        parameters: Some(json!({"retry_after": 30})),
    };
    world
        .telegram
        .control()
        .inject(Fault::on("editMessageText", too_many).times(None));
    assert_eq!(run(&world, "final").await, JobState::Scheduled);
    let silence = async || {
        assert_eq!(run(&world, "progress").await, JobState::Scheduled);
        wait_on(&world, 30).await;
        world.change("update users set quiet_until = now()").await;
    };
    silence().await;
    assert_eq!(run(&world, "final").await, JobState::Scheduled, "the edit is due");
    // If Telegram refused for ever, the final message would be sent one minute after its first turn.
    silence().await;
    assert_eq!(run(&world, "final").await, JobState::Done);
    world.telegram.control().clear_faults(None);
    assert_eq!(run(&world, "progress").await, JobState::Done);
    assert!(is_told(&chat(&world).await));
}

/// After a final message was sent without waiting for a broken edit, later final messages in this chat still arrive.
#[tokio::test]
async fn an_edit_that_fails_holds_back_no_second_ending() {
    let world = just_ended().await;
    world
        .telegram
        .control()
        .inject(Fault::on("editMessageText", FaultAction::Drop).times(None));
    world
        .change(
            "insert into notifications (user_id, kind, dedupe_key, message, message_id, is_last)
             select user_id, 'reply', 'update:1', message, message_id, true from notifications where kind = 'progress'",
        )
        .await;
    world
        .change(
            "insert into notifications (user_id, avatar_id, training_id, kind, dedupe_key, message, is_last)
             select user_id, avatar_id, training_id, kind, 'late:1', message, true from notifications where kind = 'final'",
        )
        .await;
    // The edit's message is marked as unseen too, so a search for the chat's next message finds that one.
    world
        .change("update notifications set delivered_revision = 0 where kind = 'progress'")
        .await;
    assert_eq!(run(&world, "final").await, JobState::Scheduled);
    wait_on(&world, 10).await;
    assert_eq!(run(&world, "final").await, JobState::Done);
    assert_eq!(sends(&world), 2);
    // The first final message woke this one.
    assert_eq!(
        run(&world, "final").await,
        JobState::Scheduled,
        "each ending gives way for itself"
    );
    wait_on(&world, 10).await;
    assert_eq!(run(&world, "final").await, JobState::Done);
    assert_eq!(sends(&world), 3);
}
