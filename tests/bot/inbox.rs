//! Incoming updates: stored before they are acknowledged, handled once and in order, by any number of bots.

use aisha::simulators::telegram::{Fault, FaultAction, LedgerFilter, MessageFilter};
use serde_json::json;

use super::stage::Stage;
use crate::support::{PATIENCE, eventually};

#[tokio::test]
async fn an_update_that_comes_again_is_handled_once() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
    stage
        .telegram
        .control()
        .resend_update(None, false)
        .expect("an update to send again");
    ann.says("/help");
    ann.hears("I train AI avatars from photos").await;
    let greetings = MessageFilter::from_bot().containing("Hello, Ann!").ever();
    assert_eq!(stage.telegram.control().messages(&greetings).len(), 1);
    assert_eq!(stage.count("select count(*) from telegram_updates").await, 2);
    assert_eq!(
        stage
            .count("select count(*) from telegram_updates where handled_at is null")
            .await,
        0
    );
}

#[tokio::test]
async fn two_bots_share_the_work_and_keep_each_chat_in_order() {
    let stage = Stage::new().await;
    let mut second = stage.another_bot();
    second.line("The bot is running").await;
    let people: Vec<_> = (0..6)
        .map(|number| stage.person(&format!("P{number}"), "en"))
        .collect();
    for step in ["/start", "/help", "/status", "/frobnicate"] {
        for person in &people {
            person.says(step);
        }
    }
    for person in &people {
        person.hears("I don't know this command").await;
        let heard = person.heard();
        let order = [
            "Hello",
            "I train AI avatars",
            "You have no avatars yet",
            "I don't know this command",
        ];
        assert_eq!(heard.len(), order.len(), "{heard:?}");
        for (said, expected) in heard.iter().zip(order) {
            assert!(
                said.contains(expected),
                "{expected} is not where it should be: {heard:?}"
            );
        }
    }
    // Both are told to end and both do: neither holds a lock that the other needs.
    second.terminate();
    assert!(second.exit().await.success());
}

#[tokio::test]
async fn when_the_bot_that_polls_dies_another_one_takes_over() {
    let mut stage = Stage::new().await;
    let second = stage.another_bot();
    second.line("The bot is running").await;
    stage.bot.kill();
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    second.line("polls Telegram").await;
    ann.hears("Hello, Ann!").await;
}

#[tokio::test]
async fn what_cannot_be_read_is_noted_and_the_chat_goes_on() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    let odd = json!({"update_id": 1, "message": {"message_id": 1, "chat": {"id": ann.0.id(), "type": "private"}, "telepathy": true}});
    sqlx::query("insert into telegram_updates (update_id, chat_id, body) values (1, $1, $2)")
        .bind(ann.0.id())
        .bind(odd)
        .execute(stage.pool())
        .await
        .unwrap();
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
    let error: Option<String> = sqlx::query_scalar("select error from telegram_updates where update_id = 1")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    assert!(error.expect("a reason").contains("unknown"));
}

#[tokio::test]
async fn an_update_that_only_postgres_can_read_holds_up_no_chat() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    let deep = format!("{}{}", "[".repeat(300), "]".repeat(300));
    for (number, odd) in [(1, "1e400"), (2, &deep)] {
        let body = format!(
            r#"{{"update_id": {number}, "message": {{"chat": {{"id": {}, "type": "private"}}, "odd": {odd}}}}}"#,
            ann.0.id()
        );
        sqlx::query(
            "insert into telegram_updates (update_id, chat_id, body) values ($1, $2, $3::text::jsonb)",
        )
        .bind(number)
        .bind(ann.0.id())
        .bind(body)
        .execute(stage.pool())
        .await
        .unwrap();
    }
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
    let noted = "select count(*) from telegram_updates where error like 'it is no JSON that can be read: %'";
    assert_eq!(stage.count(noted).await, 2);
}

#[tokio::test]
async fn an_update_that_always_fails_is_given_up_and_its_sender_told() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.presses("Portrait").await;
    ann.hears("Whose avatar").await;
    // A constraint that refuses exactly this change, as a bug of ours would.
    sqlx::raw_sql("alter table avatars add constraint no_women check (gender is distinct from 'female')")
        .execute(stage.pool())
        .await
        .unwrap();
    ann.presses("Woman").await;
    ann.hears("I could not handle your message").await;
    assert_eq!(
        stage
            .count("select count(*) from telegram_updates where attempts = 5 and error like '%no_women%'")
            .await,
        1
    );
    sqlx::raw_sql("alter table avatars drop constraint no_women")
        .execute(stage.pool())
        .await
        .unwrap();
    ann.presses("Woman").await;
    ann.hears("call the avatar").await;
}

#[tokio::test]
async fn telegram_being_away_for_a_while_costs_nothing_but_time() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    let broken = Fault {
        times: Some(2),
        ..Fault::on("getUpdates", FaultAction::Drop)
    };
    stage.telegram.control().inject(broken);
    let refused = Fault::on(
        "sendMessage",
        FaultAction::RetryAfter {
            seconds: 1,
            parameters: true,
        },
    );
    stage.telegram.control().inject(refused);
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
}

const GONE: &str = "select count(*) from users where unreachable_at is not null";

#[tokio::test]
async fn a_user_who_blocked_the_bot_is_left_in_peace_until_they_return() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
    ann.0.block().unwrap();
    eventually("the user is known to be gone", async || {
        (stage.count(GONE).await == 1).then_some(())
    })
    .await;
    ann.0.unblock().unwrap();
    eventually("the user is known to be back", async || {
        (stage.count(GONE).await == 0).then_some(())
    })
    .await;
    ann.says("/help");
    ann.hears("I train AI avatars").await;
}

#[tokio::test]
async fn the_menu_is_set_in_both_languages() {
    let stage = Stage::new().await;
    let (ann, lena) = (stage.person("Ann", "en"), stage.person("Лена", "ru"));
    let calls = LedgerFilter {
        method: Some("setMyCommands".into()),
        ..LedgerFilter::default()
    };
    stage
        .telegram
        .control()
        .wait_ledger(&calls, 3, PATIENCE)
        .await
        .expect("three menus");
    assert_eq!(ann.chat().commands[1]["description"], "how the training is going");
    assert_eq!(lena.chat().commands[1]["description"], "как идёт обучение");
}

#[tokio::test]
async fn in_webhook_mode_the_bot_registers_the_address_and_handles_what_web_stored() {
    let stage = super::stage::Stage::by_webhook().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
    ann.presses("Portrait").await;
    ann.hears("Whose avatar").await;
}
