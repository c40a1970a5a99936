//! The photo card on its way down: each step can be the last one of a worker, and is taken up by the next.

use aisha::simulators::telegram::{Fault, FaultAction, HoldPoint, Known, SimUser};
use jobs::StorePhoto;
use jobs::producer::Place;

use super::{attempts, effects, heard, refuse};
use crate::support::Core;

/// A person whose card is in the chat, with a photo below it that is settled for some seconds.
async fn with_a_photo_below_the_card(core: &Core) -> SimUser {
    core.leaves::<StorePhoto>();
    let ann = core.person();
    core.draft_of(&ann).await;
    let mut turn = core.turn_of(&ann).await;
    let draft = turn.draft().await.unwrap().unwrap();
    turn.show_photos(&draft, Place::New).await.unwrap();
    turn.finish().await.unwrap();
    core.jobs.drain().await;
    let below = ann.send_text("a photo").unwrap();
    let mut turn = core.turn_of(&ann).await;
    turn.message(below, None).await.unwrap();
    turn.add_photo(&draft, "1", "1").await.unwrap();
    turn.finish().await.unwrap();
    core.change("update avatar_photos set status = 'stored', storage_key = 'k', settled_at = now()")
        .await;
    core.change("update users set newest_message_at = now() - interval '3 s'")
        .await;
    core.change(
        "update jobs set run_at = now(), state = 'ready' where kind = 'notify_user' and state = 'scheduled'",
    )
    .await;
    ann
}

#[tokio::test]
async fn a_card_above_other_messages_is_sent_anew_and_its_old_message_deleted() {
    let core = Core::new().await;
    let ann = with_a_photo_below_the_card(&core).await;
    core.jobs.drain().await;
    assert_eq!(heard(&core, &ann).len(), 1, "{:?}", heard(&core, &ann));
    assert_eq!(
        (effects(&core, "sendMessage"), effects(&core, "deleteMessage")),
        (2, 1)
    );
    assert_eq!(effects(&core, "editMessageText"), 0);
    let left: i64 = core
        .look("select count(*) from notifications where retires <> '{}' or message_id is null")
        .await;
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_card_waits_while_photos_come_in() {
    let core = Core::new().await;
    let ann = with_a_photo_below_the_card(&core).await;
    core.change("update avatar_photos set status = 'pending', storage_key = null, settled_at = null")
        .await;
    core.run::<jobs::NotifyUser>().await;
    core.change("update avatar_photos set status = 'stored', storage_key = 'k', settled_at = now()")
        .await;
    core.change("update users set newest_message_at = now()").await;
    core.run::<jobs::NotifyUser>().await;
    assert_eq!(
        (attempts(&core, "sendMessage"), attempts(&core, "editMessageText")),
        (1, 0),
        "{:?}",
        heard(&core, &ann)
    );
    // A clock that was set back says nothing about the burst.
    core.change("update users set newest_message_at = now() + interval '1 h'")
        .await;
    core.run::<jobs::NotifyUser>().await;
    assert_eq!(effects(&core, "sendMessage"), 2);
}

#[tokio::test]
async fn an_old_message_that_telegram_no_longer_deletes_loses_its_buttons() {
    let core = Core::new().await;
    let ann = with_a_photo_below_the_card(&core).await;
    core.telegram
        .control()
        .inject(refuse("deleteMessage", Known::MessageCantBeDeleted));
    core.jobs.drain().await;
    let with_buttons = ann.chat().unwrap().messages;
    let with_buttons = with_buttons.iter().filter(|message| !message.buttons.is_empty());
    assert_eq!(with_buttons.count(), 1);
    assert_eq!(effects(&core, "editMessageReplyMarkup"), 1);
}

#[tokio::test]
async fn a_worker_that_dies_before_the_old_message_is_deleted_leaves_it_to_the_next() {
    let core = Core::new().await;
    let ann = with_a_photo_below_the_card(&core).await;
    let fail = FaultAction::Html { status: 502 };
    core.telegram.control().inject(Fault::on("deleteMessage", fail));
    core.run::<jobs::NotifyUser>().await;
    assert_eq!(
        heard(&core, &ann).len(),
        2,
        "the new one is there, and the old one still"
    );
    core.run::<jobs::NotifyUser>().await;
    assert_eq!(heard(&core, &ann).len(), 1);
    assert_eq!(effects(&core, "sendMessage"), 2, "it is not sent again");
}

/// The tap on the old card is handled while the new one is being sent.
#[tokio::test]
async fn a_card_that_is_taken_over_while_it_is_sent_leaves_no_second_card() {
    let core = Core::new().await;
    let ann = with_a_photo_below_the_card(&core).await;
    let control = core.telegram.control().clone();
    let when = HoldPoint::Before;
    control.inject(Fault::on("sendMessage", FaultAction::Hold { when }));
    let job = core.job::<jobs::NotifyUser>().await;
    let meanwhile = async {
        control
            .wait_held(1, crate::support::PATIENCE)
            .await
            .expect("the card is on its way");
        let mut turn = core.turn_of(&ann).await;
        let draft = turn.draft().await.unwrap().unwrap();
        let old: i64 = core
            .look("select retires[1] from notifications where kind = 'photos'")
            .await;
        turn.show_photos(&draft, Place::InsteadOf(old)).await.unwrap();
        turn.finish().await.unwrap();
        control.release(None);
    };
    tokio::join!(core.jobs.run(job), meanwhile);
    core.jobs.drain().await;
    let cards = heard(&core, &ann);
    assert_eq!(cards.len(), 1, "{cards:?}");
}
