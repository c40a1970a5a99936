//! D18: messages that were sent twice, or never because a name had an underscore.

use jobs::{
    NotifyUser,
    enqueue::enqueue,
    producer::Place,
    texts::{Message, Phrase},
};

use aisha::simulators::telegram::MessageFilter;

use crate::support::Core;

/// The incumbent sent names unescaped as Markdown; Telegram refused the message, and the failure went unnoticed.
#[tokio::test]
async fn d18_a_name_full_of_markup_arrives_as_it_was_written() {
    let core = Core::new().await;
    let worker = &core.jobs;
    for name in [
        "_snake_*case*",
        "<b>bold</b> & \"quoted\"",
        "[a](http://x)`b`",
        "Ёж 🦔 > <",
    ] {
        let ann = core.person();
        let mut turn = core.turn_of(&ann).await;
        let message = Message::new(Phrase::StatusCompleted {
            name: name.to_owned(),
        });
        turn.reply(&message, Place::New).await.unwrap();
        turn.finish().await.unwrap();
        worker.drain().await;
        let filter = MessageFilter {
            chat_id: Some(ann.id()),
            ..MessageFilter::from_bot()
        };
        let heard = core.telegram.control().messages(&filter);
        let heard: Vec<_> = heard.into_iter().map(|message| message.text).collect();
        assert_eq!(heard, [format!("✅ {name}: the avatar is ready.")]);
    }
}

/// The incumbent remembered a sent message for 30 seconds, in memory; ours has a row.
#[tokio::test]
async fn d18_a_message_is_not_sent_again_however_late_its_job_comes_back() {
    let core = Core::new().await;
    let worker = &core.jobs;
    let ann = core.person();
    let mut turn = core.turn_of(&ann).await;
    let message = Message::new(Phrase::StatusCompleted {
        name: "Lisa".to_owned(),
    });
    turn.reply(&message, Place::New).await.unwrap();
    turn.finish().await.unwrap();
    worker.drain().await;
    for moved in [
        "update jobs set created_at = created_at - interval '2 days', finished_at = finished_at - interval '2 days' where finished_at is not null",
        "update notifications set created_at = created_at - interval '2 days', updated_at = updated_at - interval '2 days'",
    ] {
        sqlx::query(moved).execute(core.pool()).await.unwrap();
    }
    let payload: serde_json::Value = core
        .look("select payload from jobs where kind = 'notify_user' limit 1")
        .await;
    let again: NotifyUser = serde_json::from_value(payload).unwrap();
    enqueue(&mut core.pool().acquire().await.unwrap(), &again)
        .await
        .unwrap();
    worker.drain_through_time().await;
    let filter = MessageFilter {
        chat_id: Some(ann.id()),
        ..MessageFilter::from_bot()
    };
    assert_eq!(core.telegram.control().messages(&filter).len(), 1);
}
