//! Entities, parse modes, keyboards and pressed buttons.

use serde_json::{Value, json};
use teloxide::payloads::SendMessageSetters;
use teloxide::prelude::Requester;
use teloxide::types::{MessageEntityKind, ParseMode};

use super::{CHAT, Sim};

async fn send(sim: &Sim, text: &str, parse_mode: &str) -> Value {
    sim.call(
        "sendMessage",
        json!({ "chat_id": CHAT.0, "text": text, "parse_mode": parse_mode }),
    )
    .await
}

#[tokio::test]
async fn html_becomes_text_and_entities() {
    let sim = Sim::start().await;
    let text = "😀 <b>bold <i>both</i></b> &lt;tag&gt; <a href=\"https://example.org/?a=1&amp;b=2\">link</a> <code>x</code>";
    let sent = sim
        .bot()
        .send_message(CHAT, text)
        .parse_mode(ParseMode::Html)
        .await
        .unwrap();
    assert_eq!(sent.text(), Some("😀 bold both <tag> link x"));
    let entities: Vec<_> = sent
        .entities()
        .unwrap()
        .iter()
        .map(|entity| (entity.offset, entity.length))
        .collect();
    // The emoji has length two.
    assert_eq!(entities, [(3, 9), (8, 4), (19, 4), (24, 1)]);
    let MessageEntityKind::TextLink { url } = &sent.entities().unwrap()[2].kind else {
        panic!("no link")
    };
    assert_eq!(url.as_str(), "https://example.org/?a=1&b=2");
}

#[tokio::test]
async fn html_that_telegram_refuses_is_refused_in_its_words() {
    let sim = Sim::start().await;
    for (text, reason) in [
        ("<b>open", "Can't find end tag corresponding to start tag \"b\""),
        ("close</b>", "Unexpected end tag at byte offset 5"),
        (
            "<b>x</i>",
            "Unmatched end tag at byte offset 4, expected \"</b>\", found \"</i>\"",
        ),
        ("a <div>x</div>", "Unsupported start tag \"div\" at byte offset 2"),
        ("1 <b", "Unclosed start tag at byte offset 2"),
        (
            "<span>x</span>",
            "Tag \"span\" must have class \"tg-spoiler\" at byte offset 0",
        ),
    ] {
        let answer = send(&sim, text, "HTML").await;
        assert_eq!(
            answer["description"],
            format!("Bad Request: can't parse entities: {reason}"),
            "{text}"
        );
    }
    let empty = send(&sim, "<b></b>", "HTML").await;
    assert_eq!(empty["description"], "Bad Request: message text is empty");
    let mode = send(&sim, "x", "BBCode").await;
    assert_eq!(mode["description"], "Bad Request: unsupported parse_mode");
}

#[tokio::test]
async fn markdown_v2_wants_its_characters_escaped() {
    let sim = Sim::start().await;
    let sent = send(
        &sim,
        r"*bold _both_* `co.de` [a](https://example.org/x) 1\.",
        "MarkdownV2",
    )
    .await;
    assert_eq!(sent["result"]["text"], "bold both co.de a 1.");
    let kinds: Vec<_> = sent["result"]["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].clone())
        .collect();
    assert_eq!(kinds, ["bold", "italic", "code", "text_link"]);
    for (text, reason) in [
        (
            "Done.",
            "Character '.' is reserved and must be escaped with the preceding '\\'",
        ),
        ("*open", "Can't find end of Bold entity at byte offset 0"),
    ] {
        let answer = send(&sim, text, "MarkdownV2").await;
        assert_eq!(
            answer["description"],
            format!("Bad Request: can't parse entities: {reason}")
        );
    }
    // A non-ASCII character after a backslash, and a backslash at the end: no panic, nothing lost.
    assert_eq!(
        send(&sim, "\\ю я\\", "MarkdownV2").await["result"]["text"],
        "\\ю я\\"
    );
}

#[tokio::test]
async fn commands_are_marked_in_what_people_write() {
    let sim = Sim::start().await;
    sim.ann
        .send_text("привет /status@aisha_simulated_bot и /help, но не a/b")
        .unwrap();
    let update = sim.updates(0).await.pop().unwrap();
    let entities = &update["message"]["entities"];
    assert_eq!(
        *entities,
        json!([{ "type": "bot_command", "offset": 7, "length": 27 }, { "type": "bot_command", "offset": 37, "length": 5 }])
    );
}

#[tokio::test]
async fn callback_data_holds_64_bytes_and_no_more() {
    let sim = Sim::start().await;
    let button = |data: &str| json!([[{ "text": "Go", "callback_data": data }]]);
    let message =
        |rows: Value| json!({ "chat_id": CHAT.0, "text": "x", "reply_markup": { "inline_keyboard": rows } });
    sim.ok("sendMessage", message(button(&"я".repeat(32)))).await;
    let long = sim
        .refusal("sendMessage", message(button(&format!("{}.", "я".repeat(32)))))
        .await;
    assert_eq!(long, "Bad Request: BUTTON_DATA_INVALID");
    let textual = sim
        .refusal("sendMessage", message(json!([[{ "text": "Go" }]])))
        .await;
    assert_eq!(
        textual,
        "Bad Request: can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard"
    );
    let url = sim
        .refusal(
            "sendMessage",
            message(json!([[{ "text": "Go", "url": "nowhere" }]])),
        )
        .await;
    assert_eq!(url, "Bad Request: BUTTON_URL_INVALID");
}

async fn ask(sim: &Sim) -> i64 {
    let rows =
        json!([[{ "text": "✅ Yes", "callback_data": "yes" }, { "text": "No", "callback_data": "no" }]]);
    let question = json!({ "chat_id": CHAT.0, "text": "Sure?", "reply_markup": { "inline_keyboard": rows } });
    sim.ok("sendMessage", question).await["message_id"]
        .as_i64()
        .unwrap()
}

#[tokio::test]
async fn a_pressed_button_is_answered_once() {
    let sim = Sim::start().await;
    let message_id = ask(&sim).await;
    let query_id = sim.ann.press("Yes").unwrap();
    let update = sim.updates(0).await.pop().unwrap();
    assert_eq!(update["callback_query"]["id"], query_id.as_str());
    assert_eq!(update["callback_query"]["data"], "yes");
    assert_eq!(update["callback_query"]["message"]["message_id"], message_id);

    let answer = json!({ "callback_query_id": query_id, "text": "noted", "show_alert": true });
    sim.ok("answerCallbackQuery", answer.clone()).await;
    let shown = sim.ann.chat().unwrap().callbacks.pop().unwrap().answer.unwrap();
    assert_eq!((shown.text.as_str(), shown.show_alert), ("noted", true));
    let again = sim.refusal("answerCallbackQuery", answer).await;
    assert_eq!(
        again,
        "Bad Request: query is too old and response timeout expired or query ID is invalid"
    );
}

#[tokio::test]
async fn an_answer_after_fifteen_seconds_is_too_late() {
    let sim = Sim::start().await;
    ask(&sim).await;
    let (in_time, too_late) = (
        sim.ann.press_data("no").unwrap(),
        sim.ann.press_data("no").unwrap(),
    );
    assert_ne!(in_time, too_late, "each press is a query of its own");
    sim.control().advance_clock(13);
    sim.ok("answerCallbackQuery", json!({ "callback_query_id": in_time }))
        .await;
    sim.control().advance_clock(3);
    let refusal = sim
        .refusal("answerCallbackQuery", json!({ "callback_query_id": too_late }))
        .await;
    assert_eq!(
        refusal,
        "Bad Request: query is too old and response timeout expired or query ID is invalid"
    );
}

#[tokio::test]
async fn a_button_that_is_not_shown_cannot_be_pressed() {
    let sim = Sim::start().await;
    ask(&sim).await;
    let error = sim.ann.press("Maybe").unwrap_err().to_string();
    assert!(
        error.contains("Maybe") && error.contains("✅ Yes (yes)"),
        "{error}"
    );
}

#[tokio::test]
async fn a_reply_keyboard_is_shown_until_it_is_removed() {
    let sim = Sim::start().await;
    let with = |markup: Value| json!({ "chat_id": CHAT.0, "text": "x", "reply_markup": markup });
    sim.ok(
        "sendMessage",
        with(json!({ "keyboard": [[{ "text": "Portrait" }, { "text": "Style" }]] })),
    )
    .await;
    let rows = sim.ann.chat().unwrap().keyboard;
    assert_eq!(
        rows[0]
            .iter()
            .map(|button| button.text.as_str())
            .collect::<Vec<_>>(),
        ["Portrait", "Style"]
    );
    sim.ok("sendMessage", with(json!({ "remove_keyboard": true })))
        .await;
    assert!(sim.ann.chat().unwrap().keyboard.is_empty());
}
