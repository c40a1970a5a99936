//! `getUpdates`: which updates are confirmed, who may poll, which updates come again.

use aisha::simulators::telegram::{FaultAction, LedgerFilter};
use serde_json::{Value, json};
use teloxide::prelude::Requester;
use teloxide::types::UpdateKind;

use super::{PATIENCE, Sim};

fn texts(updates: &[Value]) -> Vec<&str> {
    updates
        .iter()
        .map(|update| update["message"]["text"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_update_comes_until_a_higher_offset_confirms_it() {
    let sim = Sim::start().await;
    sim.ann.send_text("two").unwrap();
    let first = sim.updates(0).await;
    assert_eq!(texts(&first), ["hello", "two"]);
    assert_eq!(sim.updates(0).await, first, "nothing was confirmed");
    let second_id = first[1]["update_id"].as_i64().unwrap();
    assert_eq!(texts(&sim.updates(second_id).await), ["two"]);
    assert_eq!(
        texts(&sim.updates(0).await),
        ["two"],
        "the first is gone for good"
    );
    assert!(sim.updates(second_id + 1).await.is_empty());
}

#[tokio::test]
async fn a_negative_offset_keeps_the_last_ones_and_limit_cuts() {
    let sim = Sim::start().await;
    for text in ["two", "three", "four"] {
        sim.ann.send_text(text).unwrap();
    }
    let limited = sim.ok("getUpdates", json!({ "limit": 2 })).await;
    assert_eq!(texts(limited.as_array().unwrap()), ["hello", "two"]);
    assert_eq!(texts(&sim.updates(-2).await), ["three", "four"]);
    assert_eq!(
        texts(&sim.updates(0).await),
        ["three", "four"],
        "the earlier ones are forgotten"
    );
}

#[tokio::test]
async fn a_long_poll_ends_when_something_happens() {
    let sim = Sim::start().await;
    let last = sim.updates(0).await[0]["update_id"].as_i64().unwrap();
    let poll = sim.ok("getUpdates", json!({ "offset": last + 1, "timeout": 50 }));
    let news = async {
        sim.control()
            .wait_ledger(
                &LedgerFilter {
                    after: 1,
                    ..LedgerFilter::default()
                },
                1,
                PATIENCE,
            )
            .await
            .unwrap();
        sim.ann.send_text("news").unwrap();
    };
    let (updates, ()) = tokio::join!(poll, news);
    assert_eq!(texts(updates.as_array().unwrap()), ["news"]);
}

#[tokio::test]
async fn a_second_poller_ends_the_first_with_409() {
    let sim = Sim::start().await;
    let last = sim.updates(0).await[0]["update_id"].as_i64().unwrap();
    let poll = json!({ "offset": last + 1, "timeout": 50 });
    let polls = LedgerFilter {
        after: 1,
        ..LedgerFilter::default()
    };
    let second = async {
        sim.control().wait_ledger(&polls, 1, PATIENCE).await.unwrap();
        sim.ok("getUpdates", poll.clone()).await
    };
    let end = async {
        sim.control().wait_ledger(&polls, 2, PATIENCE).await.unwrap();
    };
    let first = async {
        let refusal = sim.refusal("getUpdates", poll.clone()).await;
        sim.ann.send_text("to the second").unwrap();
        refusal
    };
    let (first, second, ()) = tokio::join!(first, second, end);
    assert_eq!(
        first,
        "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
    );
    assert_eq!(texts(second.as_array().unwrap()), ["to the second"]);
}

#[tokio::test]
async fn only_allowed_kinds_are_queued() {
    let sim = Sim::start().await;
    sim.ann.block().unwrap();
    sim.ann.unblock().unwrap();
    let kinds: Vec<bool> = sim
        .updates(0)
        .await
        .iter()
        .map(|update| update["my_chat_member"].is_object())
        .collect();
    assert_eq!(kinds, [false, true, true]);
    sim.ok(
        "getUpdates",
        json!({ "offset": -1, "allowed_updates": ["message"] }),
    )
    .await;
    sim.ann.block().unwrap();
    sim.ann.unblock().unwrap();
    sim.ann.send_text("wanted").unwrap();
    let updates = sim.updates(0).await;
    assert_eq!(
        updates
            .iter()
            .filter(|update| update["my_chat_member"].is_object())
            .count(),
        1,
        "{updates:?}"
    );
    assert_eq!(updates.last().unwrap()["message"]["text"], "wanted");
}

#[tokio::test]
async fn teloxide_reads_every_kind_of_update() {
    let sim = Sim::start().await;
    sim.ann.send_photo(super::jpeg(30, 30, 1), "photo").await.unwrap();
    sim.ann.send_document("a.txt", None, "text", "").await.unwrap();
    let markup = json!({ "inline_keyboard": [[{ "text": "Go", "callback_data": "go" }]] });
    sim.ok(
        "sendMessage",
        json!({ "chat_id": 77, "text": "?", "reply_markup": markup }),
    )
    .await;
    sim.ann.press("Go").unwrap();
    sim.ann.block().unwrap();
    let updates = sim.bot().get_updates().await.unwrap();
    assert_eq!(updates.len(), 5);
    assert!(
        updates
            .iter()
            .all(|update| !matches!(update.kind, UpdateKind::Error(_))),
        "{updates:#?}"
    );
    assert!(
        matches!(&updates[3].kind, UpdateKind::CallbackQuery(query) if query.data.as_deref() == Some("go"))
    );
    assert!(
        matches!(&updates[4].kind, UpdateKind::MyChatMember(change) if change.new_chat_member.is_banned())
    );
}

#[tokio::test]
async fn an_update_can_come_again_with_its_id_or_a_new_one() {
    let sim = Sim::start().await;
    let id = sim.updates(0).await[0]["update_id"].as_i64().unwrap();
    assert!(sim.updates(id + 1).await.is_empty());
    assert_eq!(sim.control().resend_update(Some(id), false), Some(id));
    let again = sim.updates(id + 1).await;
    assert_eq!(
        (texts(&again), again[0]["update_id"].as_i64()),
        (vec!["hello"], Some(id))
    );
    assert!(sim.updates(id + 1).await.is_empty(), "once");

    let new_id = sim.control().resend_update(None, true).unwrap();
    assert!(new_id > id);
    let renumbered = sim.updates(id + 1).await;
    assert_eq!(
        (texts(&renumbered), renumbered[0]["update_id"].as_i64()),
        (vec!["hello"], Some(new_id))
    );
    assert_eq!(sim.control().resend_update(Some(1), false), None);
}

#[tokio::test]
async fn updates_whose_answer_was_lost_come_again() {
    let sim = Sim::start().await;
    sim.inject("getUpdates", FaultAction::LoseAnswer);
    assert!(sim.http.get(sim.method("getUpdates")).send().await.is_err());
    assert_eq!(texts(&sim.updates(0).await), ["hello"]);
}
