//! Pictures that are part of the program: uploaded once, and never in the way.

use aisha::simulators::telegram::{Fault, FaultAction, LedgerFilter, SimUser};
use jobs::texts::{Illustration, Message, Phrase};

use super::{attempts, heard, say};
use crate::support::Core;

/// An illustration and a message after it, as the wizard sends them.
async fn illustrate(core: &Core, person: &SimUser, subject: &str) {
    let message = Message::new(Phrase::PhotoExamples {}).with_illustration(Illustration::PhotoExamples);
    let mut turn = core.turn_of(person).await;
    turn.reply_once(subject, &message).await.unwrap();
    turn.finish().await.unwrap();
    say(core, person, subject).await;
    core.jobs.drain().await;
}

#[tokio::test]
async fn an_illustration_that_cannot_be_sent_holds_nothing_up() {
    let core = Core::new().await;
    let ann = core.person();
    let refused = FaultAction::Error {
        code: 400,
        description: "Bad Request: a rule of next year".to_owned(),
        parameters: None,
    };
    let faults = [
        ("refused", refused),
        ("broken", FaultAction::Html { status: 502 }),
        ("cut", FaultAction::Drop),
        ("lost", FaultAction::LoseAnswer),
    ];
    for (tried, (word, fault)) in (1..).zip(faults) {
        core.telegram.control().inject(Fault::on("sendPhoto", fault));
        illustrate(&core, &ann, word).await;
        assert_eq!(attempts(&core, "sendPhoto"), tried, "{word}: it is tried once");
        let newest = heard(&core, &ann).pop().unwrap_or_default();
        assert!(newest.contains(word), "{word}: {newest}");
    }
    let waiting = "select count(*) from notifications where closed_at is null";
    assert_eq!(core.count(waiting).await, 0);
}

#[tokio::test]
async fn an_illustration_is_uploaded_once_and_shown_once_for_a_subject() {
    let core = Core::new().await;
    let (ann, bob) = (core.person(), core.person());
    for person in [&ann, &bob, &ann] {
        illustrate(&core, person, "the wizard").await;
    }
    let sent = LedgerFilter {
        method: Some("sendPhoto".to_owned()),
        ..LedgerFilter::default()
    };
    let sent = core.telegram.control().ledger(&sent);
    let chats: Vec<_> = sent.iter().map(|call| call.chat_id).collect();
    assert_eq!(chats, [Some(ann.id()), Some(bob.id())], "Ann has seen it");
    assert!(sent[0].params["photo"].is_object(), "{}", sent[0].params);
    assert!(sent[1].params["photo"].is_string(), "{}", sent[1].params);
}
