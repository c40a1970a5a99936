//! Q14 with Telegram: a 429 in one chat delays that chat only; 429s in several chats at once delay all.

use std::time::Duration;

use aisha::simulators::telegram::{Fault, FaultAction};
use jobs::NotifyUser;
use jobs::queue::{Rate, Rates};
use jobs::queues;
use jobs::runtime::WorkerOptions;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{attempts, heard, say};
use crate::support::{Core, eventually};

/// A 429 in this chat, once.
fn too_many(chat: i64, retry_after: u32) -> Fault {
    let error = FaultAction::Error {
        code: 429,
        description: format!("Too Many Requests: retry after {retry_after}"),
        parameters: Some(json!({"retry_after": retry_after})),
    };
    Fault::on("sendMessage", error).in_chat(chat)
}

/// A worker for messages with the options of `aisha worker`; it ends with the test.
fn start(core: &Core) -> CancellationToken {
    let options = WorkerOptions {
        slots: vec![(queues::NOTIFY, 4)],
        poll: Duration::from_hours(1),
        rates: vec![(
            queues::NOTIFY,
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
    let worker = jobs::runtime::worker(&core.services, options).unwrap();
    let stop = CancellationToken::new();
    tokio::spawn(worker.run(stop.clone(), stop.clone()));
    stop
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_429_of_one_chat_delays_that_chat_alone() {
    let core = Core::new().await;
    core.leaves::<NotifyUser>();
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
    core.leaves::<NotifyUser>();
    let ann = core.person();
    core.telegram.control().inject(too_many(ann.id(), 1));
    say(&core, &ann, "1").await;
    say(&core, &ann, "2").await;
    let stop = start(&core);
    // Polling is too rare to help here.
    eventually("both messages", async || {
        (heard(&core, &ann).len() == 2).then_some(())
    })
    .await;
    stop.cancel();
}

/// What a claim of the queue would return now: the number of jobs, or the seconds to wait.
async fn would_claim(core: &Core) -> (i32, f64) {
    let mut tx = core.pool().begin().await.unwrap();
    let claim = sqlx::query_as(
        "select claimed, coalesce(next_in, 0) from queue_claim_step('notify', gen_random_uuid(), 'w', 60, '{notify_user}', '{1}', 5, false,
                                                               100, 10, 20, 4, 500, null, null, null)",
    )
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    tx.rollback().await.unwrap();
    claim
}

/// Ends the current silence of the whole queue, as time would.
async fn pass_silence(core: &Core) {
    sqlx::raw_sql("update queue_buckets set quiet_until = now() where key = ''; select queue_wake('notify')")
        .execute(core.pool())
        .await
        .unwrap();
}

async fn told_to_wait(core: &Core, chats: i64) {
    eventually("all of them to be told", async || {
        let told: i64 = core
            .look("select count(*) from queue_buckets where held_at is not null and key <> ''")
            .await;
        let all: i64 = core.look("select sum(snoozes)::bigint from jobs").await;
        (told == chats && all == chats).then_some(())
    })
    .await;
}

/// Guards against a bug: the third chat's wait was once taken for all, so that nothing was sent for ten hours,
/// without a sign of it and with no way to end it.
#[tokio::test(flavor = "multi_thread")]
async fn q14_when_several_chats_are_told_to_wait_all_wait_for_the_shortest() {
    let core = Core::new().await;
    core.leaves::<NotifyUser>();
    let people = [core.person(), core.person(), core.person()];
    for (person, wait) in people.iter().zip([2, 2, 36_000]) {
        core.telegram.control().inject(too_many(person.id(), wait));
        say(&core, person, "1").await;
    }
    let stop = start(&core);
    told_to_wait(&core, 3).await;
    let innocent = core.person();
    say(&core, &innocent, "1").await;
    // Polling is too rare to help here.
    for person in [&innocent, &people[0], &people[1]] {
        eventually("their message", async || {
            (heard(&core, person).len() == 1).then_some(())
        })
        .await;
    }
    assert_eq!(
        heard(&core, &people[2]).len(),
        0,
        "one chat's wait stays that chat's"
    );
    stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn q14_a_silence_of_all_lasts_a_minute_at_most_and_ends_with_one_that_tries() {
    let core = Core::new().await;
    core.leaves::<NotifyUser>();
    for _ in 0..3 {
        let person = core.person();
        core.telegram.control().inject(too_many(person.id(), 36_000));
        say(&core, &person, "1").await;
    }
    let stop = start(&core);
    told_to_wait(&core, 3).await;
    let (claimed, next_in) = would_claim(&core).await;
    assert!(
        claimed == 0 && (1.0..=60.0).contains(&next_in),
        "{claimed} {next_in}"
    );
    let others: Vec<_> = (0..6).map(|_| core.person()).collect();
    for person in &others {
        say(&core, person, "1").await;
    }

    // The first job that probes gets a 429 too: no other job has been tried, and all wait for at most another minute.
    let error = FaultAction::Error {
        code: 429,
        description: "Too Many Requests: retry after 36000".to_owned(),
        parameters: Some(json!({"retry_after": 36_000})),
    };
    core.telegram.control().inject(Fault::on("sendMessage", error));
    sqlx::query("update queue_buckets set held_at = held_at - interval '1 min' where key <> ''")
        .execute(core.pool())
        .await
        .unwrap();
    pass_silence(&core).await;
    told_to_wait(&core, 4).await;
    assert_eq!(attempts(&core, "sendMessage"), 4);
    let (claimed, next_in) = would_claim(&core).await;
    assert!(
        claimed == 0 && (1.0..=60.0).contains(&next_in),
        "{claimed} {next_in}"
    );

    // The next probe succeeds: all jobs go on at once.
    pass_silence(&core).await;
    eventually("all others to be served", async || {
        let served = others.iter().filter(|person| heard(&core, person).len() == 1);
        (served.count() == 5).then_some(())
    })
    .await;
    assert_eq!(attempts(&core, "sendMessage"), 4 + 5);
    eventually(
        "their jobs to have ended, and the others' to cost no attempt",
        async || {
            let charged: i64 = core
                .look("select sum(attempt)::bigint from jobs where state <> 'done'")
                .await;
            (charged == 0).then_some(())
        },
    )
    .await;
    stop.cancel();
}

/// The probe's worker died, or the probe had nothing to send: the silence must not last for want of its answer.
#[tokio::test]
async fn q14_a_probe_that_is_never_answered_is_followed_by_another() {
    let core = Core::new().await;
    core.leaves::<NotifyUser>();
    sqlx::raw_sql(
        "insert into queue_buckets (queue, key, full_at, quiet_until, held_at)
         values ('notify', '', 'infinity', now() - interval '1 second', now() - interval '1 min')",
    )
    .execute(core.pool())
    .await
    .unwrap();
    for _ in 0..3 {
        say(&core, &core.person(), "1").await;
    }
    for _ in 0..2 {
        let claimed: i32 = core
            .look(
                "select claimed from queue_claim_step('notify', gen_random_uuid(), 'w', 60, '{notify_user}', '{1}', 5, false,
                                                 100, 10, 20, 4, 500, null, null, null)",
            )
            .await;
        assert_eq!(claimed, 1, "one tries");
        let (claimed, next_in) = would_claim(&core).await;
        assert!(
            claimed == 0 && (50.0..=60.0).contains(&next_in),
            "{claimed} {next_in}"
        );
        pass_silence(&core).await;
    }
}

/// A 429 that came while the database's clock ran a month ahead. The rest of that silence is not believed, even if a
/// 429 of the correct clock has come since.
#[tokio::test]
async fn q28_a_chats_silence_of_the_future_is_not_believed() {
    let core = Core::new().await;
    let (ann, bob) = (core.person(), core.person());
    core.telegram.control().inject(too_many(ann.id(), 5));
    let worker = &core.jobs;
    let first = say(&core, &ann, "1").await;
    worker.run(first).await;
    worker.run(say(&core, &bob, "1").await).await;
    sqlx::raw_sql(
        "update queue_buckets set quiet_until = quiet_until + interval '30 days', held_at = held_at + interval '30 days';
         update users set quiet_until = quiet_until + interval '30 days', quiet_asked_at = quiet_asked_at + interval '30 days';",
    )
    .execute(core.pool())
    .await
    .unwrap();
    core.telegram.control().inject(too_many(ann.id(), 7));
    worker.run(first).await;
    for silence in [
        "select extract(epoch from quiet_until - now())::float8 from users where quiet_until is not null",
        "select extract(epoch from quiet_until - now())::float8 from queue_buckets where key <> ''",
    ] {
        let seconds: f64 = core.look(silence).await;
        assert!((5.0..=7.0).contains(&seconds), "{seconds} s by {silence}");
    }
    // As another version writes it, without the moment of the 429.
    sqlx::raw_sql("update users set quiet_until = now() + interval '30 days', quiet_asked_at = null")
        .execute(core.pool())
        .await
        .unwrap();
    worker.drain_through_time().await;
    assert_eq!((heard(&core, &ann).len(), heard(&core, &bob).len()), (1, 1));
}
