//! Scripted faults, and how teloxide reports them.

use std::time::Duration;

use aisha::simulators::telegram::{
    Fault, FaultAction, HoldPoint, Known, LedgerFilter, MessageFilter, Outcome,
};
use serde_json::json;
use teloxide::payloads::SendMessageSetters;
use teloxide::prelude::Requester;
use teloxide::types::Seconds;
use teloxide::{ApiError, RequestError};

use super::{CHAT, PATIENCE, Sim};

async fn error_of(sim: &Sim, action: FaultAction) -> RequestError {
    sim.inject("sendMessage", action);
    sim.bot()
        .send_message(CHAT, "x")
        .disable_notification(true)
        .await
        .unwrap_err()
}

#[tokio::test]
async fn teloxide_sees_the_classes_of_refusals() {
    let sim = Sim::start().await;
    let unknown = |text: &str| ApiError::Unknown(text.to_owned());
    for (error, seen) in [
        (Known::BotBlocked, ApiError::BotBlocked),
        (Known::UserDeactivated, ApiError::UserDeactivated),
        (
            Known::CantInitiateConversation,
            unknown("Forbidden: bot can't initiate conversation with a user"),
        ),
        (
            Known::CantTalkToBots,
            unknown("Forbidden: bots can't send messages to bots"),
        ),
        (Known::ChatNotFound, ApiError::ChatNotFound),
        (Known::MessageNotModified, ApiError::MessageNotModified),
        (Known::MessageToEditNotFound, ApiError::MessageToEditNotFound),
        (Known::MessageToDeleteNotFound, ApiError::MessageToDeleteNotFound),
        (
            Known::CantDeleteForEveryone,
            unknown("Bad Request: message can't be deleted for everyone"),
        ),
        (
            Known::QueryIsTooOld,
            unknown("Bad Request: query is too old and response timeout expired or query ID is invalid"),
        ),
        (Known::FileIsTooBig, unknown("Bad Request: file is too big")),
        (
            Known::FileIsUnavailable,
            unknown("Bad Request: wrong file_id or the file is temporarily unavailable"),
        ),
        (Known::RequestEntityTooLarge, ApiError::RequestEntityTooLarge),
        (Known::Unauthorized, ApiError::InvalidToken),
        (Known::NotFound, ApiError::InvalidToken),
        (Known::OtherGetUpdates, ApiError::TerminatedByOtherGetUpdates),
    ] {
        let got = error_of(&sim, FaultAction::Refuse { error }).await;
        assert!(
            matches!(&got, RequestError::Api(api) if *api == seen),
            "{error:?}: {got:?}"
        );
    }
}

#[tokio::test]
async fn teloxide_is_told_to_wait_with_and_without_parameters() {
    let sim = Sim::start().await;
    let with = error_of(
        &sim,
        FaultAction::RetryAfter {
            seconds: 3,
            parameters: true,
        },
    )
    .await;
    assert!(matches!(with, RequestError::RetryAfter(seconds) if seconds == Seconds::from_seconds(3)));
    let without = error_of(
        &sim,
        FaultAction::RetryAfter {
            seconds: 3,
            parameters: false,
        },
    )
    .await;
    let RequestError::Api(ApiError::Unknown(text)) = without else {
        panic!("{without:?}")
    };
    assert_eq!(text, "Too Many Requests: retry after 3");
    let moved = FaultAction::Error {
        code: 400,
        description: "Bad Request: group chat was upgraded to a supergroup chat".to_owned(),
        parameters: Some(json!({ "migrate_to_chat_id": -100_123 })),
    };
    assert!(matches!(error_of(&sim, moved).await, RequestError::MigrateToChatId(id) if id.0 == -100_123));
}

#[tokio::test]
async fn a_broken_server_answers_json_or_html() {
    let sim = Sim::start().await;
    let call = || sim.http.get(sim.method("getMe")).send();
    sim.inject(
        "getMe",
        FaultAction::Refuse {
            error: Known::InternalServerError,
        },
    );
    let json = call().await.unwrap();
    assert_eq!(
        (
            json.status().as_u16(),
            json.headers()["content-type"].to_str().unwrap()
        ),
        (500, "application/json")
    );
    sim.inject("getMe", FaultAction::Html { status: 502 });
    let html = call().await.unwrap();
    assert_eq!(html.status(), 502);
    assert!(html.text().await.unwrap().contains("<h1>502 Bad Gateway</h1>"));
    assert_eq!(call().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_dropped_call_has_no_effect_and_a_lost_answer_has() {
    let sim = Sim::start().await;
    for (action, text) in [(FaultAction::Drop, "dropped"), (FaultAction::LoseAnswer, "lost")] {
        sim.inject("sendMessage", action);
        let error = sim.bot().send_message(CHAT, text).await.unwrap_err();
        assert!(matches!(error, RequestError::Network(_)), "{error:?}");
    }
    let shown: Vec<_> = sim
        .control()
        .messages(&MessageFilter::from_bot())
        .into_iter()
        .map(|one| one.text)
        .collect();
    assert_eq!(shown, ["lost"]);
    let entries = sim.control().ledger(&LedgerFilter::default());
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.accepted, entry.outcome, entry.status))
        .collect();
    assert_eq!(
        seen,
        [(false, Outcome::Dropped, None), (true, Outcome::Lost, None)]
    );
}

#[tokio::test]
async fn a_fault_strikes_the_calls_it_names_as_often_as_it_says() {
    let sim = Sim::start().await;
    let other = sim.control().user(5);
    other.send_text("hi").unwrap();
    let error = FaultAction::Refuse {
        error: Known::BotBlocked,
    };
    let fault = Fault::on("sendmessage", error)
        .in_chat(CHAT.0)
        .containing("photo")
        .after(1)
        .times(Some(2));
    let id = sim.control().inject(fault);
    let mut blocked = Vec::new();
    for (chat_id, text) in [
        (77, "photo 1"),
        (5, "photo"),
        (77, "text"),
        (77, "photo 2"),
        (77, "photo 3"),
        (77, "photo 4"),
    ] {
        let answer = sim
            .call("sendMessage", json!({ "chat_id": chat_id, "text": text }))
            .await;
        if answer["ok"] == false {
            blocked.push(text);
        }
    }
    assert_eq!(blocked, ["photo 2", "photo 3"]);
    let struck: Vec<_> = sim
        .control()
        .ledger(&LedgerFilter::default())
        .into_iter()
        .filter_map(|one| one.fault)
        .collect();
    assert_eq!(struck, [id, id]);
}

#[tokio::test]
async fn a_fault_without_end_lasts_until_it_is_removed() {
    let sim = Sim::start().await;
    let fault = Fault::on("getMe", FaultAction::Html { status: 504 }).times(None);
    let id = sim.control().inject(fault);
    let status = async || {
        sim.http
            .get(sim.method("getMe"))
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!([status().await, status().await], [504, 504]);
    assert_eq!(sim.control().clear_faults(Some(id)), 1);
    assert_eq!(status().await, 200);
}

#[tokio::test]
async fn a_held_call_takes_effect_before_or_after_its_release() {
    for (when, effect_while_held) in [(HoldPoint::Before, 0), (HoldPoint::After, 1)] {
        let sim = Sim::start().await;
        sim.inject("sendMessage", FaultAction::Hold { when });
        let watch = async {
            let held = sim
                .control()
                .wait_held(1, PATIENCE)
                .await
                .expect("nothing is held");
            let shown = sim.control().messages(&MessageFilter::from_bot()).len();
            assert_eq!(sim.control().release(Some(held[0].id)), 1);
            (held[0].when, held[0].chat_id, shown)
        };
        let (id, seen) = tokio::join!(sim.say("held"), watch);
        assert_eq!(seen, (when, Some(CHAT.0), effect_while_held));
        assert!(id > 0);
        assert!(sim.control().held().is_empty());
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_held_leaves_what_was_done() {
    for (when, effects) in [(HoldPoint::Before, 0), (HoldPoint::After, 1)] {
        let sim = Sim::start().await;
        sim.inject("sendMessage", FaultAction::Hold { when });
        {
            let client = reqwest::Client::builder().no_proxy().build().unwrap();
            let call = client
                .post(sim.method("sendMessage"))
                .json(&json!({ "chat_id": CHAT.0, "text": "x" }))
                .send();
            tokio::select! {
                _ = call => panic!("the call was not held"),
                held = sim.control().wait_held(1, PATIENCE) => drop(held.expect("nothing is held")),
            }
        }
        let gone = LedgerFilter {
            outcome: Some(Outcome::Abandoned),
            ..LedgerFilter::default()
        };
        sim.control()
            .wait_ledger(&gone, 1, PATIENCE)
            .await
            .expect("the simulator did not notice");
        assert_eq!(
            sim.control().messages(&MessageFilter::from_bot()).len(),
            effects,
            "{when:?}"
        );
        assert!(sim.control().held().is_empty());
    }
}

#[tokio::test]
async fn a_delayed_call_goes_on_as_usual() {
    let sim = Sim::start().await;
    sim.inject("sendMessage", FaultAction::Delay { seconds: 0.05 });
    let before = std::time::Instant::now();
    sim.say("late").await;
    assert!(before.elapsed() >= Duration::from_millis(50));
}
