//! `notify_user`: which messages reach a chat, how often, and in which order.

use std::time::Duration;

use aisha::simulators::telegram::{
    Fault, FaultAction, HoldPoint, Known, LedgerFilter, MessageFilter, SimUser,
};
use jobs::producer::Place;
use jobs::queue::JobId;
use jobs::texts::{Message, Phrase};
use jobs::{NotifyUser, StorePhoto};

use crate::support::{Core, PATIENCE};

mod illustrations;
mod killed;
mod moved;
mod rates;
mod refusals;
mod versions;

/// Adds a reply to the outbox. Returns its job.
pub async fn say(core: &Core, person: &SimUser, name: &str) -> JobId {
    say_instead_of(core, person, name, Place::New).await
}

async fn say_instead_of(core: &Core, person: &SimUser, name: &str, place: Place) -> JobId {
    let mut turn = core.turn_of(person).await;
    turn.reply(
        &Message::new(Phrase::StatusCompleted {
            name: name.to_owned(),
        }),
        place,
    )
    .await
    .unwrap();
    turn.finish().await.unwrap();
    core.newest("notify_user").await
}

/// The bot's messages in this chat, oldest first.
pub fn heard(core: &Core, person: &SimUser) -> Vec<String> {
    let from_bot = MessageFilter {
        chat_id: Some(person.id()),
        ..MessageFilter::from_bot()
    };
    core.telegram
        .control()
        .messages(&from_bot)
        .into_iter()
        .map(|message| message.text)
        .collect()
}

/// How many calls of a method had an effect.
pub fn effects(core: &Core, method: &str) -> usize {
    let filter = LedgerFilter {
        method: Some(method.to_owned()),
        accepted: Some(true),
        ..LedgerFilter::default()
    };
    core.telegram.control().ledger(&filter).len()
}

/// How many calls of a method were made, whatever their outcome.
fn attempts(core: &Core, method: &str) -> usize {
    let filter = LedgerFilter {
        method: Some(method.to_owned()),
        ..LedgerFilter::default()
    };
    core.telegram.control().ledger(&filter).len()
}

fn refuse(method: &str, error: Known) -> Fault {
    Fault::on(method, FaultAction::Refuse { error })
}

#[tokio::test]
async fn a_chat_reads_in_order_whichever_job_runs_first() {
    let core = Core::new().await;
    let ann = core.person();
    let jobs = [
        say(&core, &ann, "one").await,
        say(&core, &ann, "two").await,
        say(&core, &ann, "three").await,
    ];
    let worker = &core.jobs;
    for job in jobs.into_iter().rev() {
        worker.run(job).await;
    }
    worker.drain().await;
    assert_eq!(
        heard(&core, &ann),
        ["one", "two", "three"].map(|name| format!("✅ {name}: the avatar is ready."))
    );
    assert_eq!(attempts(&core, "sendMessage"), 3);
}

#[tokio::test]
async fn a_message_that_comes_while_the_one_before_is_being_sent_is_not_forgotten() {
    let core = Core::new().await;
    let ann = core.person();
    let first = say(&core, &ann, "one").await;
    let worker = &core.jobs;
    let control = core.telegram.control().clone();
    control.inject(Fault::on(
        "sendMessage",
        FaultAction::Hold {
            when: HoldPoint::After,
        },
    ));
    let meanwhile = async {
        control
            .wait_held(1, PATIENCE)
            .await
            .expect("the first message is on its way");
        let second = say(&core, &ann, "two").await;
        // It finds the first message undelivered and gives way; only that message's job can wake it.
        worker.run(second).await;
        control.release(None);
    };
    tokio::join!(worker.run(first), meanwhile);
    worker.drain().await;
    assert_eq!(heard(&core, &ann).len(), 2);
}

#[tokio::test]
async fn news_that_comes_while_a_message_is_edited_is_brought_as_well() {
    let core = Core::new().await;
    core.leaves::<StorePhoto>();
    let ann = core.person();
    core.draft_of(&ann).await;
    let mut turn = core.turn_of(&ann).await;
    let draft = turn.draft().await.unwrap().unwrap();
    turn.show_photos(&draft, Place::New).await.unwrap();
    turn.finish().await.unwrap();
    let worker = &core.jobs;
    worker.drain().await;

    let control = core.telegram.control().clone();
    control.inject(Fault::on(
        "editMessageText",
        FaultAction::Hold {
            when: HoldPoint::Before,
        },
    ));
    let photo = async |name: &str| {
        let mut turn = core.turn_of(&ann).await;
        turn.add_photo(&draft, name, name).await.unwrap();
        turn.finish().await.unwrap();
        core.newest("notify_user").await
    };
    let first = photo("1").await;
    let meanwhile = async {
        control
            .wait_held(1, PATIENCE)
            .await
            .expect("the first edit is on its way");
        let second = photo("2").await;
        assert_ne!(
            first, second,
            "a run that has read does not stand for what came after"
        );
        control.release(None);
        second
    };
    let (_, second) = tokio::join!(worker.run(first), meanwhile);
    worker.run(second).await;
    let heard = heard(&core, &ann);
    assert!(heard[0].contains("2 more loading"), "{heard:?}");
}

#[tokio::test]
async fn changes_are_gathered_before_a_message_is_edited() {
    let core = Core::new().await;
    core.leaves::<StorePhoto>();
    let ann = core.person();
    core.draft_of(&ann).await;
    let mut turn = core.turn_of(&ann).await;
    let draft = turn.draft().await.unwrap().unwrap();
    turn.show_photos(&draft, Place::New).await.unwrap();
    turn.finish().await.unwrap();
    let worker = &core.jobs;
    worker.drain().await;
    for name in ["1", "2", "3", "4", "5"] {
        let mut turn = core.turn_of(&ann).await;
        turn.add_photo(&draft, name, name).await.unwrap();
        turn.finish().await.unwrap();
    }
    let waiting: i64 = core
        .look("select count(*) from jobs where kind = 'notify_user' and state = 'scheduled'")
        .await;
    assert_eq!(waiting, 1, "one edit for five photos");
    jobs::testing::advance(&mut core.pool().acquire().await.unwrap(), Duration::from_secs(2)).await;
    worker.run_one::<NotifyUser>().await.expect("it is due");
    assert_eq!(effects(&core, "editMessageText"), 1);
    assert!(heard(&core, &ann)[0].contains("5 more loading"));
}

#[tokio::test]
async fn counters_of_a_crowd_are_edited_ten_a_second_and_an_answer_waits_for_none() {
    let core = Core::new().await;
    core.leaves::<StorePhoto>();
    core.leaves::<NotifyUser>();
    let crowd = [(); 4].map(|()| core.person());
    for person in &crowd {
        core.draft_of(person).await;
        let mut turn = core.turn_of(person).await;
        let draft = turn.draft().await.unwrap().unwrap();
        turn.show_photos(&draft, Place::New).await.unwrap();
        turn.finish().await.unwrap();
    }
    core.jobs.drain().await;
    for person in &crowd {
        let mut turn = core.turn_of(person).await;
        let draft = turn.draft().await.unwrap().unwrap();
        turn.add_photo(&draft, "1", "1").await.unwrap();
        turn.finish().await.unwrap();
    }
    let delays =
        "select string_agg((extract(epoch from run_at - created_at) * 1000)::int::text, ' ' order by id)
                    from jobs where kind = 'notify_user' and state = 'scheduled'";
    assert_eq!(core.text(delays).await.as_deref(), Some("1500 1600 1700 1800"));
    say(&core, &core.person(), "Eve").await;
    let is_due = "select count(*) from jobs where state = 'ready' and kind = 'notify_user'";
    assert_eq!(
        core.count(is_due).await,
        1,
        "the answer waits for no turn of theirs"
    );
}
