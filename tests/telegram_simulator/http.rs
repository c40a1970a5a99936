//! Tokens, names and encodings.

use reqwest::multipart::{Form, Part};
use serde_json::json;
use teloxide::prelude::Requester;

use super::{CHAT, Sim, TOKEN};
use aisha::simulators::telegram::{LedgerFilter, TelegramSimulatorConfig};

#[tokio::test]
async fn teloxide_is_told_who_the_bot_is() {
    let sim = Sim::start().await;
    let me = sim.bot().get_me().await.unwrap();
    assert_eq!(me.user.id.0, 4_200_042);
    assert!(me.user.is_bot);
    assert_eq!(me.username(), "aisha_simulated_bot");
}

#[tokio::test]
async fn a_method_is_found_in_any_case_and_with_any_encoding() {
    let sim = Sim::start().await;
    let text = |answer: serde_json::Value| answer["result"]["text"].as_str().unwrap().to_owned();
    let query = sim
        .http
        .get(sim.method("SENDMESSAGE"))
        .query(&[("chat_id", "77"), ("text", "query")]);
    let form = sim
        .http
        .post(sim.method("SendMessage"))
        .form(&[("chat_id", "77"), ("text", "form")]);
    let body = sim
        .http
        .post(sim.method("sendmessage"))
        .json(&json!({ "chat_id": "77", "text": "json" }));
    let parts = Form::new().text("chat_id", "77").text("text", "parts");
    let multipart = sim.http.post(sim.method("sendMessage")).multipart(parts);
    for (request, expected) in [
        (query, "query"),
        (form, "form"),
        (body, "json"),
        (multipart, "parts"),
    ] {
        assert_eq!(
            text(request.send().await.unwrap().json().await.unwrap()),
            expected
        );
    }
}

#[tokio::test]
async fn tokens_and_methods_that_do_not_exist_are_refused_like_the_real_server_does() {
    let config = TelegramSimulatorConfig {
        token: Some(TOKEN.to_owned()),
        ..TelegramSimulatorConfig::default()
    };
    let sim = Sim::start_with(config).await;
    for (path, status, description) in [
        ("/bot4200042:another/getMe", 401, "Unauthorized"),
        ("/botnonsense/getMe", 401, "Unauthorized: invalid token specified"),
        (
            &format!("/bot{TOKEN}/getNothing"),
            404,
            "Not Found: method not found",
        ),
        ("/elsewhere", 404, "Not Found"),
        ("/file/bot4200042:another/photos/file_0.jpg", 401, "Unauthorized"),
    ] {
        let answer = sim
            .http
            .get(format!("{}{path}", sim.running.url()))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{path}");
        let body: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(
            body,
            json!({ "ok": false, "error_code": status, "description": description })
        );
    }
}

#[tokio::test]
async fn a_request_beyond_fifty_megabytes_is_413() {
    let sim = Sim::start().await;
    let file = Part::bytes(vec![0; 51 << 20]).file_name("large.bin");
    let form = Form::new().text("chat_id", "77").part("document", file);
    let answer = sim
        .http
        .post(sim.method("sendDocument"))
        .multipart(form)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 413);
    let entries = sim.control().ledger(&LedgerFilter::default());
    assert_eq!(
        (entries.len(), entries[0].status, entries[0].accepted),
        (1, Some(413), false)
    );
    sim.say("over the same connection").await;
}

#[tokio::test]
async fn the_ledger_tells_every_call_with_its_answer_and_never_the_token() {
    let sim = Sim::start().await;
    sim.say("one").await;
    sim.refusal("sendMessage", json!({ "chat_id": 999, "text": "two" }))
        .await;
    let entries = sim.control().ledger(&LedgerFilter::default());
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.seq, entry.chat_id, entry.accepted, entry.status))
        .collect();
    assert_eq!(
        seen,
        [
            (1, Some(CHAT.0), true, Some(200)),
            (2, Some(999), false, Some(400))
        ]
    );
    assert_eq!(entries[0].params, json!({ "chat_id": "77", "text": "one" }));
    assert_eq!(entries[0].answer.as_ref().unwrap()["result"]["text"], "one");
    assert!(!serde_json::to_string(&entries).unwrap().contains(TOKEN));
}
