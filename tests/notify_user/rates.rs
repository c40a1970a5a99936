//! Q14 at Telegram: what one chat is told to wait for, no other waits for; and when all are told so, all wait.

use std::time::Duration;

use aisha::simulators::telegram::{Fault, FaultAction};
use jobs::job::Queue;
use jobs::queue::{Rate, Rates};
use jobs::runtime::{Worker, WorkerOptions};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{heard, say};
use crate::support::{Core, eventually};

/// 429, once, in a chat.
fn too_many(chat: i64, retry_after: u32) -> Fault {
    let error = FaultAction::Error {
        code: 429,
        description: format!("Too Many Requests: retry after {retry_after}"),
        parameters: Some(json!({"retry_after": retry_after})),
    };
    Fault::on("sendMessage", error).in_chat(chat)
}

/// A worker for messages as `aisha worker` starts it; it ends with the test.
fn start(core: &Core) -> CancellationToken {
    let options = WorkerOptions {
        slots: vec![(Queue::Notify, 4)],
        poll: Duration::from_hours(1),
        rates: vec![(
            Queue::Notify,
            Rates {
                queue: Some(Rate {
                    per_second: 100.0,
                    burst: 10,
                }),
                key: Some(Rate {
                    per_second: 20.0,
                    burst: 4,
                }),
            },
        )],
        ..WorkerOptions::default()
    };
    let worker = Worker::new(&core.services, options).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(worker.run(stop.clone(), stop.clone()));
    stop
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_429_of_one_chat_delays_that_chat_alone() {
    let core = Core::new().await;
    let (ann, bob) = (core.person(), core.person());
    core.telegram.control().inject(too_many(ann.id(), 3600));
    let first = say(&core, &ann, "1").await;
    let stop = start(&core);
    eventually("Telegram to ask for silence", async || {
        let snoozes: i64 = core.look("select sum(snoozes)::bigint from jobs").await;
        (snoozes == 1).then_some(())
    })
    .await;
    let second = say(&core, &ann, "2").await;
    for n in 1..=3 {
        say(&core, &bob, &n.to_string()).await;
    }
    eventually("the others' messages", async || {
        (heard(&core, &bob).len() == 3).then_some(())
    })
    .await;
    assert!(heard(&core, &ann).is_empty());
    let touched: i64 =
        sqlx::query_scalar("select sum(attempt + snoozes)::bigint from jobs where id = any ($1)")
            .bind([first.0, second.0])
            .fetch_one(core.pool())
            .await
            .unwrap();
    assert_eq!(
        touched, 1,
        "no attempt is charged, and what waits behind is not even claimed"
    );
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_chat_is_served_as_soon_as_its_silence_is_over() {
    let core = Core::new().await;
    let ann = core.person();
    core.telegram.control().inject(too_many(ann.id(), 1));
    say(&core, &ann, "1").await;
    say(&core, &ann, "2").await;
    let stop = start(&core);
    // No poll comes to help.
    eventually("both messages", async || {
        (heard(&core, &ann).len() == 2).then_some(())
    })
    .await;
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_when_several_chats_are_told_to_wait_the_whole_token_waits() {
    let core = Core::new().await;
    let people = [core.person(), core.person(), core.person()];
    for person in &people {
        core.telegram.control().inject(too_many(person.id(), 3600));
        say(&core, person, "1").await;
    }
    let stop = start(&core);
    eventually("all of them to be told", async || {
        let told: i64 = core.look("select sum(snoozes)::bigint from jobs").await;
        (told == 3).then_some(())
    })
    .await;
    stop.cancel();
    say(&core, &core.person(), "of somebody else").await;
    let (claimed, next_in): (i32, f64) = sqlx::query_as(
        "select claimed, next_in from queue_claim('notify', gen_random_uuid(), 'w', 60, '{notify_user}', '{1}', 5, false,
                                                  100, 10, 20, 4)",
    )
    .fetch_one(core.pool())
    .await
    .unwrap();
    assert_eq!(claimed, 0);
    assert!((3000.0..=3600.0).contains(&next_in), "{next_in}");
}
