//! The consequences of Telegram's refusals for a message, its chat and its job.

use aisha::simulators::telegram::{Fault, FaultAction, Known, SimUser};
use jobs::NotifyUser;
use jobs::enqueue::enqueue;
use jobs::producer::Place;
use jobs::queue::JobState;

use super::{attempts, heard, refuse, say, say_instead_of};
use crate::support::Core;

#[tokio::test]
async fn a_429_silences_the_chat_for_as_long_as_telegram_says_and_costs_no_attempt() {
    let core = Core::new().await;
    let (ann, bob) = (core.person(), core.person());
    core.telegram.control().inject(Fault::on(
        "sendMessage",
        FaultAction::RetryAfter {
            seconds: 7,
            parameters: true,
        },
    ));
    let worker = &core.jobs;
    let refused = say(&core, &ann, "one").await;
    assert_eq!(worker.run(refused).await.state, JobState::Scheduled);
    let (attempt, seconds): (i32, f64) = sqlx::query_as(
        "select attempt::int, extract(epoch from run_at - now())::float8 from jobs where id = $1",
    )
    .bind(refused.0)
    .fetch_one(core.pool())
    .await
    .unwrap();
    assert_eq!(attempt, 0);
    assert!((5.0..=7.5).contains(&seconds), "it runs again in {seconds} s");

    // Nothing else is sent to that chat meanwhile, and other chats do not wait.
    say(&core, &ann, "two").await;
    say(&core, &bob, "three").await;
    worker.drain().await;
    assert_eq!(attempts(&core, "sendMessage"), 2);
    assert_eq!(heard(&core, &bob).len(), 1);

    sqlx::query("update users set quiet_until = now()")
        .execute(core.pool())
        .await
        .unwrap();
    worker.drain_through_time().await;
    assert_eq!(heard(&core, &ann).len(), 2);
    assert_eq!(
        core.look::<i32>("select sum(possible_duplicates)::int from notifications")
            .await,
        0
    );
}

#[tokio::test]
async fn a_user_who_blocked_the_bot_is_not_written_to_until_they_write_again() {
    let core = Core::new().await;
    let ann = core.person();
    ann.block().unwrap();
    let worker = &core.jobs;
    say(&core, &ann, "one").await;
    sqlx::query("update users set unreachable_at = null")
        .execute(core.pool())
        .await
        .unwrap();
    worker.drain().await;
    assert_eq!(attempts(&core, "sendMessage"), 1);
    assert_eq!(
        core.look::<String>("select outcome from notifications").await,
        "unreachable"
    );
    assert!(
        core.look::<bool>("select unreachable_at is not null from users")
            .await
    );

    // A message that another part of the system wants to send, such as the end of a training: it is not tried.
    sqlx::query("update notifications set closed_at = null, outcome = null")
        .execute(core.pool())
        .await
        .unwrap();
    let job: NotifyUser =
        serde_json::from_value(core.look("select payload from jobs limit 1").await).unwrap();
    enqueue(&mut core.pool().acquire().await.unwrap(), &job)
        .await
        .unwrap();
    worker.drain().await;
    assert_eq!(attempts(&core, "sendMessage"), 1);

    ann.unblock().unwrap();
    say(&core, &ann, "two").await;
    worker.drain().await;
    assert_eq!(heard(&core, &ann), ["✅ two: the avatar is ready."]);
}

#[tokio::test]
async fn an_answer_that_is_lost_leads_to_a_second_message_and_is_counted() {
    let core = Core::new().await;
    let ann = core.person();
    core.telegram
        .control()
        .inject(Fault::on("sendMessage", FaultAction::LoseAnswer));
    say(&core, &ann, "Lisa").await;
    core.jobs.drain_through_time().await;
    assert_eq!(heard(&core, &ann).len(), 2, "at least once");
    assert_eq!(
        core.look::<i32>("select possible_duplicates from notifications")
            .await,
        1
    );
}

#[tokio::test]
async fn a_message_takes_the_place_of_another_and_is_sent_anew_when_that_is_gone() {
    let core = Core::new().await;
    let ann = core.person();
    let worker = &core.jobs;
    say(&core, &ann, "question").await;
    worker.drain().await;
    let message_id: i64 = core.look("select message_id from notifications").await;
    say_instead_of(&core, &ann, "answer", Place::InsteadOf(message_id)).await;
    worker.drain().await;
    assert_eq!(heard(&core, &ann), ["✅ answer: the avatar is ready."]);

    for error in [Known::MessageToEditNotFound, Known::MessageCantBeEdited] {
        core.telegram.control().inject(refuse("editMessageText", error));
        say_instead_of(&core, &ann, "next", Place::InsteadOf(message_id)).await;
        worker.drain().await;
    }
    assert_eq!(heard(&core, &ann).len(), 3);
    assert_eq!(
        core.look::<i64>("select count(*) from notifications where outcome = 'delivered'")
            .await,
        4
    );
}

#[tokio::test]
async fn an_edit_that_changes_nothing_is_a_success() {
    let core = Core::new().await;
    let ann = core.person();
    let worker = &core.jobs;
    say(&core, &ann, "same").await;
    worker.drain().await;
    let message_id: i64 = core.look("select message_id from notifications").await;
    say_instead_of(&core, &ann, "same", Place::InsteadOf(message_id)).await;
    worker.drain().await;
    assert_eq!(attempts(&core, "editMessageText"), 1);
    assert_eq!(
        core.look::<i64>("select count(*) from notifications where outcome = 'delivered'")
            .await,
        2
    );
}

#[tokio::test]
async fn a_refused_token_burns_no_attempts_and_loses_no_message() {
    let core = Core::new().await;
    let ann = core.person();
    core.telegram.control().inject(Fault {
        times: Some(3),
        ..refuse("sendMessage", Known::Unauthorized)
    });
    let job = say(&core, &ann, "Lisa").await;
    let worker = &core.jobs;
    assert_eq!(worker.run(job).await.state, JobState::Scheduled);
    assert_eq!(core.look::<i32>("select attempt::int from jobs").await, 0);
    worker.drain_through_time().await;
    assert_eq!(heard(&core, &ann).len(), 1);
}

#[tokio::test]
async fn a_row_of_another_version_blocks_nobody() {
    let core = Core::new().await;
    core.leaves::<NotifyUser>();
    let ann = core.person();
    say(&core, &ann, "one").await;
    sqlx::query(r#"update notifications set message = '{"text": [{"say": "from-the-future"}]}'"#)
        .execute(core.pool())
        .await
        .unwrap();
    say(&core, &ann, "two").await;
    core.jobs.drain().await;
    assert_eq!(heard(&core, &ann), ["✅ two: the avatar is ready."]);
}

#[tokio::test]
async fn an_ending_that_could_not_reach_a_user_is_told_when_they_are_back() {
    let core = Core::new().await;
    let ann = core.person();
    let worker = &core.jobs;
    say(&core, &ann, "Lisa").await;
    sqlx::query("update notifications set kind = 'final'")
        .execute(core.pool())
        .await
        .unwrap();
    ann.block().unwrap();
    worker.drain().await;
    assert_eq!(
        core.look::<String>("select outcome from notifications").await,
        "unreachable"
    );

    ann.unblock().unwrap();
    say(&core, &ann, "Max").await;
    worker.drain().await;
    assert_eq!(
        heard(&core, &ann),
        ["Lisa", "Max"].map(|name| format!("✅ {name}: the avatar is ready."))
    );
}

/// Guards against a bug: one character that Postgres cannot store, in a proxy's error, kept a slot occupied for ever.
#[tokio::test]
async fn q23_an_answer_with_a_nul_character_ends_one_attempt() {
    let core = Core::new().await;
    let ann = core.person();
    core.telegram.control().inject(Fault::on(
        "sendMessage",
        FaultAction::Error {
            code: 502,
            description: "Bad Gateway: upstream said x\0y".to_owned(),
            parameters: None,
        },
    ));
    let job = say(&core, &ann, "Lisa").await;
    let worker = &core.jobs;
    assert_eq!(worker.run(job).await.state, JobState::Scheduled);
    let error: String = core.look("select error from jobs").await;
    assert!(error.ends_with("upstream said x\u{fffd}y"), "{error}");
    worker.drain_through_time().await;
    assert_eq!(heard(&core, &ann), ["✅ Lisa: the avatar is ready."]);
}

#[tokio::test]
async fn q23_a_wait_longer_than_any_calendar_is_a_long_silence_of_that_chat() {
    let core = Core::new().await;
    core.leaves::<NotifyUser>();
    let ann = core.person();
    core.telegram.control().inject(Fault::on(
        "sendMessage",
        FaultAction::Error {
            code: 429,
            description: "Too Many Requests: retry after 99999999999999999".to_owned(),
            parameters: None,
        },
    ));
    let job = say(&core, &ann, "Lisa").await;
    core.jobs.run(job).await;
    let silence: f64 = core
        .look("select extract(epoch from quiet_until - now())::float8 from users")
        .await;
    // One week, far longer than any wait that Telegram asks for.
    assert!((600_000.0..=604_800.0).contains(&silence), "{silence}");
    assert_ne!(
        core.look::<String>("select state::text from jobs").await,
        "running"
    );
}

/// Sends the message that a training ended, once. Returns the person and what became of the message.
async fn final_that_meets(core: &Core, name: &str, status: u16, description: &str) -> (SimUser, String) {
    let person = core.person();
    let job = say(core, &person, name).await;
    sqlx::query("update notifications set kind = 'final' where outcome is null")
        .execute(core.pool())
        .await
        .unwrap();
    let action = FaultAction::Error {
        code: status,
        description: description.to_owned(),
        parameters: None,
    };
    core.telegram
        .control()
        .inject(Fault::on("sendMessage", action).in_chat(person.id()));
    let worker = &core.jobs;
    worker.run_last_attempt(job).await;
    let outcome = core
        .look("select outcome from notifications where kind = 'final' order by seq desc limit 1")
        .await;
    (person, outcome)
}

#[tokio::test]
async fn an_ending_that_never_arrived_is_told_when_its_reader_writes_whatever_kept_it() {
    let core = Core::new().await;
    for (code, description, outcome) in [
        (400, "Bad Request: USER_IS_BLOCKED", "unreachable"),
        (400, "Bad Request: PEER_ID_INVALID", "unreachable"),
        (400, "Bad Request: INPUT_USER_DEACTIVATED", "unreachable"),
        (400, "Bad Request: invalid user_id specified", "unreachable"),
        (400, "Bad Request: a rule of next year", "rejected"),
        (500, "Internal Server Error", "undeliverable"),
    ] {
        let (ann, became) = final_that_meets(&core, "Lisa", code, description).await;
        assert_eq!(became, outcome, "{description}");
        assert_eq!(heard(&core, &ann).len(), 0, "{description}");
        core.turn_of(&ann).await.finish().await.unwrap();
        core.jobs.drain_through_time().await;
        assert_eq!(
            heard(&core, &ann),
            ["✅ Lisa: the avatar is ready."],
            "{description}"
        );
        core.turn_of(&ann).await.finish().await.unwrap();
        core.jobs.drain_through_time().await;
        assert_eq!(heard(&core, &ann).len(), 1, "told once: {description}");
    }
}

#[tokio::test]
async fn an_ending_that_is_refused_twice_is_not_brought_at_every_word() {
    let core = Core::new().await;
    let (ann, became) = final_that_meets(&core, "Lisa", 400, "Bad Request: a rule of next year").await;
    assert_eq!(became, "rejected");
    let action = FaultAction::Error {
        code: 400,
        description: "Bad Request: a rule of next year".to_owned(),
        parameters: None,
    };
    core.telegram.control().inject(Fault {
        times: None,
        ..Fault::on("sendMessage", action)
    });
    for _ in 0..3 {
        core.turn_of(&ann).await.finish().await.unwrap();
        core.jobs.drain_through_time().await;
    }
    assert_eq!(attempts(&core, "sendMessage"), 2);
}
