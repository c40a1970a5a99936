//! Connections of a bot that fall silent without an end, as when a firewall forgets them: the bot gives up waiting
//! for an answer, drops them and goes on.

use super::stage::{Person, Stage};
use crate::support::{Proxy, aisha, eventually};

/// A bot that reaches the database through a proxy, and a person whom it has answered.
async fn behind_a_proxy() -> (Stage, Proxy, Person) {
    let stage = Stage::new().await;
    let proxy = Proxy::before(stage.db.url()).await;
    let stage = stage.another_bot_with(&[("DATABASE_URL", &proxy.url())]).await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
    (stage, proxy, ann)
}

#[tokio::test]
async fn a_bot_whose_connections_to_the_database_fall_silent_hears_on() {
    let (_stage, proxy, ann) = behind_a_proxy().await;
    proxy.silence();
    ann.says("/help");
    ann.hears("I train AI avatars from photos").await;
}

#[tokio::test]
async fn a_turn_whose_connection_falls_silent_is_taken_again() {
    let (stage, proxy, ann) = behind_a_proxy().await;
    // The turn waits for its user's row, in the middle of a statement, when the connection falls silent.
    let mut lock = stage.pool().begin().await.unwrap();
    sqlx::query("select from users for update")
        .execute(&mut *lock)
        .await
        .unwrap();
    ann.says("/help");
    eventually("the turn to wait", async || {
        let waiting = "select count(*) from pg_stat_activity
                        where datname = current_database() and application_name = 'aisha bot' and wait_event_type = 'Lock'";
        (stage.count(waiting).await > 0).then_some(())
    })
    .await;
    proxy.silence();
    lock.rollback().await.unwrap();
    ann.hears("I train AI avatars from photos").await;
}

#[tokio::test]
async fn a_telegram_that_falls_silent_is_asked_and_told_on_new_connections() {
    let stage = Stage::new().await;
    let proxy = Proxy::before(&stage.telegram.url()).await;
    let way = [
        ("TELEGRAM_API_URL", proxy.http_url()),
        ("AISHA__TELEGRAM__POLL_TIMEOUT", "1s".to_owned()),
        ("AISHA__TELEGRAM__TIMEOUT", "1s".to_owned()),
    ];
    let variables = way.each_ref().map(|(name, value)| (*name, value.as_str()));
    let mut stage = stage.another_bot_with(&variables).await;
    stage.worker.kill();
    let worker = aisha(["worker", "--queues", "media,notify"])
        .env("DATABASE_URL", stage.db.url())
        .env("AVATAR_TEST_MODE", "true")
        .envs(stage.telegram.env())
        .envs(stage.s3.env())
        .envs(way)
        .start();
    worker.line("claiming jobs").await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
    proxy.silence();
    ann.says("/help");
    ann.hears("I train AI avatars from photos").await;
}
