//! What a simulator with a directory remembers after a restart, and which ids one without a directory never reuses.

use std::path::Path;

use aisha::simulators::telegram::{Memory, NewUser, StartError, TelegramSimulator, TelegramSimulatorConfig};
use serde_json::{Value, json};

use super::{CHAT, Sim, TOKEN, jpeg};
use crate::support::eventually;

fn remembering(directory: &Path) -> TelegramSimulatorConfig {
    TelegramSimulatorConfig {
        memory: Memory::Directory(directory.to_owned()),
        ..TelegramSimulatorConfig::default()
    }
}

fn ids(updates: &[Value]) -> Vec<i64> {
    let id = |update: &Value| update["update_id"].as_i64().unwrap();
    updates.iter().map(id).collect()
}

#[tokio::test]
async fn people_chats_files_and_unconfirmed_updates_outlive_the_process() {
    let directory = tempfile::tempdir().unwrap();
    let sim = Sim::start_with(remembering(directory.path())).await;
    let bert = sim.control().create_user(NewUser {
        first_name: Some("Bert".to_owned()),
        ..NewUser::default()
    });
    let bert_id = bert.id();
    bert.send_text("I am Bert").unwrap();
    let first = sim.updates(0).await;
    sim.updates(ids(&first)[1]).await; // confirms Ann's hello
    let card = sim.say("how many?").await;
    let edit = json!({
        "chat_id": CHAT.0, "message_id": card, "text": "twelve",
        "reply_markup": { "inline_keyboard": [[{ "text": "Go", "callback_data": "go" }]] },
    });
    sim.ok("editMessageText", edit).await;
    let photo = jpeg(40, 30, 7);
    sim.ann.send_photo(photo.clone(), "").await.unwrap();
    bert.block().unwrap();
    let users = sim.get("/sim/users").await;
    let chat = sim.get("/sim/chats/77").await;
    let waiting = sim.updates(0).await;
    sim.running.stop().await;
    // They keep the first simulator, and so its directory, in use.
    drop((sim.ann, bert));

    let running = TelegramSimulator::start(remembering(directory.path()))
        .await
        .unwrap();
    let again = Sim {
        ann: running.user(CHAT.0),
        running,
        http: sim.http,
    };
    assert_eq!(again.get("/sim/users").await, users);
    assert_eq!(again.get("/sim/chats/77").await["messages"], chat["messages"]);
    assert_eq!(
        again.updates(0).await,
        waiting,
        "what was not confirmed still waits, nothing else"
    );
    let photo_id = waiting
        .iter()
        .find_map(|update| update["message"]["photo"][0]["file_id"].as_str())
        .unwrap();
    let path = again.ok("getFile", json!({ "file_id": photo_id })).await;
    let path = path["file_path"].as_str().unwrap().to_owned();
    let url = format!("{}/file/bot{}/{path}", again.running.url(), TOKEN);
    let bytes = again.http.get(url).send().await.unwrap().bytes().await.unwrap();
    assert_eq!(bytes, photo);
    // The old button still works, and new ids are higher than all earlier ones.
    again.ann.press_data("go").unwrap();
    let said = again.say("more").await;
    assert!(said > card);
    let all = again.updates(0).await;
    assert!(ids(&all).is_sorted_by(|one, next| one < next), "{:?}", ids(&all));
    let carla = again.control().create_user(NewUser::default());
    assert!(carla.id() > bert_id);
}

#[tokio::test]
async fn a_directory_serves_one_simulator_at_a_time_and_the_next_starts_on_it_when_that_one_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let first = TelegramSimulator::start(remembering(directory.path()))
        .await
        .unwrap();
    let second = TelegramSimulator::start(remembering(directory.path())).await;
    let Err(StartError::Memory(refused)) = second else {
        panic!("two simulators with one memory");
    };
    assert!(refused.to_string().contains("in use"), "{refused}");
    first.stop().await;
}

#[tokio::test]
async fn without_a_directory_no_id_of_an_earlier_life_comes_again() {
    let forgetful = || TelegramSimulatorConfig {
        memory: Memory::Ids,
        ..TelegramSimulatorConfig::default()
    };
    let life = async || {
        let sim = Sim::start_with(forgetful()).await;
        let person = sim.control().create_user(NewUser::default()).id();
        let update = ids(&sim.updates(0).await)[0];
        let message = sim.say("hi").await;
        sim.running.stop().await;
        [person, update, message]
    };
    let before = life().await;
    // Ids rise with each whole second of the clock.
    eventually("the clock to go on", async || {
        let after = life().await;
        after
            .iter()
            .zip(before)
            .all(|(after, before)| *after > before)
            .then_some(())
    })
    .await;
    assert!(before.iter().all(|id| *id < i64::from(i32::MAX)), "{before:?}");
}
