//! The control API over HTTP: its waits, the page, and the shutdown.

use aisha::simulators::telegram::{MessageFilter, NewUser, TelegramSimulatorConfig};
use reqwest::multipart::{Form, Part};
use serde_json::json;

use super::{CHAT, PATIENCE, Sim, jpeg};

#[tokio::test]
async fn a_person_is_played_over_http() {
    let sim = Sim::start().await;
    let new = json!({ "id": 5, "first_name": "Боря", "username": "borya", "language_code": "ru" });
    assert_eq!(sim.post("/sim/users", new).await["first_name"], "Боря");
    assert_eq!(
        sim.post("/sim/users", json!({ "id": 5, "language_code": "en" }))
            .await["username"],
        "borya"
    );
    let text = sim.post("/sim/users/5/text", json!({ "text": "/start" })).await["message_id"]
        .as_i64()
        .unwrap();

    let part = |shade| {
        Part::bytes(jpeg(40, 30, shade))
            .file_name("a.jpg")
            .mime_str("image/jpeg")
            .unwrap()
    };
    let form = Form::new()
        .part("1", part(1))
        .part("2", part(2))
        .text("caption", "two")
        .text("order", "1,0");
    let url = format!("{}/sim/users/5/photos", sim.running.url());
    let sent: serde_json::Value = sim
        .http
        .post(url)
        .multipart(form)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(sent["message_ids"], json!([text + 1, text + 2]));

    let markup = json!({ "inline_keyboard": [[{ "text": "Дальше", "callback_data": "next" }]] });
    sim.ok(
        "sendMessage",
        json!({ "chat_id": 5, "text": "Выбери", "reply_markup": markup }),
    )
    .await;
    let pressed = sim.post("/sim/users/5/press", json!({ "label": "Дальше" })).await;
    assert!(pressed["callback_query_id"].is_string());

    let arrived: Vec<_> = sim
        .updates(0)
        .await
        .iter()
        .skip(1)
        .map(|one| one["message"]["message_id"].clone())
        .collect();
    assert_eq!(
        arrived,
        [json!(text), json!(text + 2), json!(text + 1), json!(null)]
    );
    let chat = sim.get("/sim/chats/5").await;
    assert_eq!(chat["messages"].as_array().unwrap().len(), 4);
    assert_eq!(chat["callbacks"][0]["data"], "next");
    let photo = chat["messages"][1]["photo"]["file_unique_id"].as_str().unwrap();
    let file = sim
        .http
        .get(format!("{}/sim/files/{photo}", sim.running.url()))
        .send()
        .await
        .unwrap();
    assert_eq!(file.headers()["content-type"], "image/jpeg");
    assert_eq!(file.bytes().await.unwrap(), jpeg(40, 30, 1));
}

#[tokio::test]
async fn what_a_person_cannot_do_is_said_and_why() {
    let sim = Sim::start().await;
    let post = |path: &str, body: serde_json::Value| {
        sim.http
            .post(format!("{}{path}", sim.running.url()))
            .json(&body)
            .send()
    };
    assert_eq!(
        post("/sim/users/999/text", json!({ "text": "hi" }))
            .await
            .unwrap()
            .status(),
        404
    );
    assert_eq!(
        post("/sim/users/77/text", json!({ "text": " " }))
            .await
            .unwrap()
            .status(),
        400
    );
    assert_eq!(
        post("/sim/users/77/press", json!({ "label": "Go" }))
            .await
            .unwrap()
            .status(),
        400
    );
    sim.post("/sim/users/77/block", json!({})).await;
    assert_eq!(
        post("/sim/users/77/text", json!({ "text": "hi" }))
            .await
            .unwrap()
            .status(),
        409
    );
    let misspelt = post(
        "/sim/faults",
        json!({ "metod": "getMe", "action": { "kind": "drop" } }),
    )
    .await
    .unwrap();
    assert_eq!(misspelt.status(), 422);
}

#[tokio::test]
async fn a_wait_ends_with_the_message_it_waits_for() {
    let sim = Sim::start().await;
    let url = format!(
        "{}/sim/wait?chat_id=77&from=bot&containing=7%20of&data=start&count=1&timeout=20",
        sim.running.url()
    );
    let answer = async {
        let first = sim.say("Loaded 6 of 10").await;
        let markup = json!({ "inline_keyboard": [[{ "text": "Start", "callback_data": "start:1" }]] });
        let edit =
            json!({ "chat_id": 77, "message_id": first, "text": "Loaded 7 of 10", "reply_markup": markup });
        sim.ok("editMessageText", edit).await;
    };
    let (waited, ()) = tokio::join!(sim.http.get(url).send(), answer);
    let waited: serde_json::Value = waited.unwrap().json().await.unwrap();
    assert_eq!(waited["messages"][0]["text"], "Loaded 7 of 10");
    assert_eq!(waited["messages"][0]["buttons"][0][0]["data"], "start:1");

    let earlier = MessageFilter::from_bot().containing("Loaded 6");
    assert!(
        sim.control().messages(&earlier).is_empty(),
        "it no longer says so"
    );
    assert_eq!(sim.control().messages(&earlier.ever()).len(), 1);
}

#[tokio::test]
async fn code_waits_for_whatever_it_can_express() {
    let sim = Sim::start().await;
    let spoke = sim.ann.wait_until(PATIENCE, |chat| {
        chat.messages.iter().find(|one| one.from_bot).cloned()
    });
    let (spoke, id) = tokio::join!(spoke, sim.say("at last"));
    assert_eq!(spoke.map(|message| message.message_id), Some(id));
}

#[tokio::test]
async fn a_wait_in_vain_says_what_there_was_instead() {
    let sim = Sim::start().await;
    sim.say("something else").await;
    let late = sim
        .get("/sim/wait?chat_id=77&containing=never&timeout=0.05")
        .await;
    let error = late["error"].as_str().unwrap();
    assert!(
        error.contains("never") && error.contains("something else"),
        "{error}"
    );
    let ledger = sim.http.get(format!(
        "{}/sim/ledger?method=getMe&count=1&timeout=0.05",
        sim.running.url()
    ));
    assert_eq!(ledger.send().await.unwrap().status(), 408);
}

#[tokio::test]
async fn the_chat_is_watched_by_its_version() {
    let sim = Sim::start().await;
    let version = sim.get("/sim/chats/77").await["version"].as_u64().unwrap();
    let path = format!("/sim/chats/77?since={version}&timeout=20");
    let (news, _) = tokio::join!(sim.get(&path), sim.say("news"));
    assert!(news["version"].as_u64().unwrap() > version);
}

#[tokio::test]
async fn faults_holds_and_the_clock_are_driven_over_http() {
    let sim = Sim::start().await;
    let fault =
        json!({ "method": "sendMessage", "chat_id": 77, "action": { "kind": "hold", "when": "after" } });
    let id = sim.post("/sim/faults", fault).await["id"].clone();
    let watch = async {
        let held = sim.get("/sim/held?count=1&timeout=20").await;
        assert_eq!(
            sim.post("/sim/held/release", json!({ "id": held[0]["id"] }))
                .await["released"],
            1
        );
    };
    tokio::join!(sim.say("held"), watch);
    let faults = sim.get("/sim/faults").await;
    assert_eq!((&faults[0]["id"], &faults[0]["struck"]), (&id, &json!(1)));
    let retry = json!({ "times": null, "action": { "kind": "retry_after", "seconds": 2 } });
    sim.post("/sim/faults", retry).await;
    let refused = sim.http.get(sim.method("getMe")).send().await.unwrap();
    assert_eq!(
        (
            refused.status().as_u16(),
            refused.headers()["retry-after"].to_str().unwrap()
        ),
        (429, "2")
    );
    let url = format!("{}/sim/faults", sim.running.url());
    let removed: serde_json::Value = sim.http.delete(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(removed["removed"], 2);

    let before = sim.post("/sim/clock", json!({ "advance_seconds": 0 })).await["now"]
        .as_i64()
        .unwrap();
    let after = sim.post("/sim/clock", json!({ "advance_seconds": 1000 })).await["now"]
        .as_i64()
        .unwrap();
    assert!((1000..1100).contains(&(after - before)));
    assert_eq!(sim.get("/sim/updates").await.as_array().unwrap().len(), 1);
    let resent = sim.post("/sim/updates/resend", json!({ "new_id": true })).await["update_id"]
        .as_i64()
        .unwrap();
    assert_eq!(sim.get("/sim/updates").await[1]["update_id"], resent);
}

#[tokio::test]
async fn the_page_is_served_where_it_is_wanted() {
    let with = Sim::start_with(TelegramSimulatorConfig {
        page: true,
        ..TelegramSimulatorConfig::default()
    })
    .await;
    let page = with.http.get(with.running.url()).send().await.unwrap();
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().starts_with("<!doctype html>"));
    let without = Sim::start().await;
    assert_eq!(
        without
            .http
            .get(without.running.url())
            .send()
            .await
            .unwrap()
            .status(),
        404
    );
}

#[tokio::test]
async fn stopping_answers_long_polls_and_closes_the_port() {
    let sim = Sim::start().await;
    let (url, http) = (sim.method("getUpdates"), sim.http.clone());
    let poll = tokio::spawn({
        let request = http
            .post(&url)
            .json(&json!({ "offset": 900_000_000, "timeout": 50 }));
        async move {
            request
                .send()
                .await
                .unwrap()
                .json::<serde_json::Value>()
                .await
                .unwrap()
        }
    });
    sim.control()
        .wait_ledger(&aisha::simulators::telegram::LedgerFilter::default(), 1, PATIENCE)
        .await
        .unwrap();
    sim.running.stop().await;
    assert_eq!(poll.await.unwrap(), json!({ "ok": true, "result": [] }));
    assert!(http.get(&url).send().await.is_err());
}

#[tokio::test]
async fn people_have_names_and_languages_that_the_bot_sees() {
    let sim = Sim::start().await;
    let new = NewUser {
        id: Some(CHAT.0),
        first_name: Some("Ann".to_owned()),
        last_name: Some("Lee".to_owned()),
        language_code: Some("en".to_owned()),
        ..NewUser::default()
    };
    sim.control().create_user(new).send_text("it's me").unwrap();
    let from = sim.updates(-1).await[0]["message"]["from"].clone();
    assert_eq!(
        from,
        json!({ "id": 77, "is_bot": false, "first_name": "Ann", "last_name": "Lee", "language_code": "en" })
    );
}
