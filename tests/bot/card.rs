//! The photo card's place in the chat: below the photos that it counts, whatever else is said.

use aisha::simulators::telegram::{MediaOptions, MessageFilter, MessageView};
use bytes::Bytes;

use super::stage::{Person, Stage, photos};
use crate::support::{PATIENCE, eventually};

/// Waits until the newest message of the chat is the card, and says this.
async fn ends_with_the_card(person: &Person, part: &str) -> MessageView {
    let look = |chat: &aisha::simulators::telegram::ChatView| {
        let newest = chat.messages.iter().rfind(|message| !message.deleted)?;
        (newest.from_bot && newest.text.starts_with("📸") && newest.text.contains(part))
            .then(|| newest.clone())
    };
    let card = person.0.wait_until(PATIENCE, look).await;
    card.unwrap_or_else(|| panic!("the chat does not end with {part:?}: {:?}", person.heard()))
}

/// Every message with buttons that is still in the chat.
fn with_buttons(person: &Person) -> Vec<String> {
    let messages = person.chat().messages.into_iter();
    let live = messages.filter(|message| !message.deleted && !message.buttons.is_empty());
    live.map(|message| message.text).collect()
}

#[tokio::test]
async fn each_burst_of_photos_has_the_card_below_it_and_no_older_card_is_left() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    let asked = ann.answers_the_questions("Lisa").await;
    ann.0
        .send_album(photos(4), MediaOptions::default())
        .await
        .unwrap();
    let four = ends_with_the_card(&ann, "4 photos loaded").await;
    assert!(four.text.contains("Best are different angles"), "{}", four.text);
    for photo in photos(10).drain(4..) {
        ann.0.send_photo(photo, "").await.unwrap();
    }
    let ten = ends_with_the_card(&ann, "10 photos loaded").await;
    ann.misses(&asked).await;
    ann.misses(&four).await;
    assert!(
        with_buttons(&ann)
            .iter()
            .filter(|text| text.starts_with("📸"))
            .count()
            == 1,
        "{:?}",
        with_buttons(&ann)
    );
    // And the progress is written in the newest card.
    ann.presses_on(&ten, "Start training");
    ann.sees(&ten, "Training the avatar Lisa").await;
    let retired = "select count(*) from notifications where retires <> '{}'";
    assert_eq!(stage.count(retired).await, 0);
}

#[tokio::test]
async fn a_tap_on_an_older_card_starts_the_training_in_the_newest() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    let asked = ann.answers_the_questions("Lisa").await;
    ann.sends_photos(photos(10)).await;
    let newest = ends_with_the_card(&ann, "10 photos loaded").await;
    ann.misses(&asked).await;
    let start = newest.buttons[0][0].data.clone().expect("a button");
    stage.forge_tap(&ann, asked.message_id, &start).await;
    ann.sees(&newest, "Training the avatar Lisa").await;
}

#[tokio::test]
async fn chatter_does_not_leave_the_card_above_it_and_a_discard_takes_it_along() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    ann.sends_photos(photos(10)).await;
    ann.0
        .send_document("plan.pdf", Some("application/pdf"), "%PDF-1.7", "")
        .await
        .unwrap();
    ann.hears("This file isn't an image").await;
    ends_with_the_card(&ann, "10 photos loaded").await;
    ann.0.send_photo(photos(1).remove(0), "").await.unwrap();
    ann.hears("I have this photo already").await;
    let card = ends_with_the_card(&ann, "10 photos loaded").await;
    ann.says("what now?");
    ann.hears("I am waiting for photos").await;
    let newest = ends_with_the_card(&ann, "10 photos loaded").await;
    ann.misses(&card).await;
    a_discarded_draft_takes_its_card_along(&ann, &newest).await;
}

/// The question stands below the card; its answer takes its place, and the card goes with all its buttons.
async fn a_discarded_draft_takes_its_card_along(person: &Person, card: &MessageView) {
    person.presses_on(card, "Cancel");
    let question = person.hears("Delete the avatar Lisa and 10 photos?").await;
    person.presses_on(&question, "Delete");
    person.sees(&question, "Creation cancelled: Lisa.").await;
    person.misses(card).await;
    let live = with_buttons(person);
    assert!(!live.iter().any(|text| text.starts_with("📸")), "{live:?}");
}

/// Ten files of an album were answered ten times, and eighty photos too many with eighty messages, for a minute.
#[tokio::test]
async fn an_album_of_files_that_cannot_be_read_is_answered_once_and_too_many_photos_once_a_draft() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    for number in 0..22_u8 {
        ann.0.send_photo(distinct(number), "").await.unwrap();
    }
    ends_with_the_card(&ann, "All 20 photos are here").await;
    for number in 22..30_u8 {
        ann.0.send_photo(distinct(number), "").await.unwrap();
    }
    eventually("all updates to be handled", async || {
        let open = stage
            .count("select count(*) from telegram_updates where handled_at is null")
            .await;
        (open == 0).then_some(())
    })
    .await;
    ends_with_the_card(&ann, "All 20 photos are here").await;
    let told = MessageFilter::from_bot()
        .containing("20 photos are enough")
        .ever();
    assert_eq!(stage.telegram.control().messages(&told).len(), 1);
}

/// Two bots handle the photos of one chat by turns, and both are killed in the middle.
#[tokio::test]
async fn a_card_on_its_way_down_survives_its_bots_and_its_worker() {
    let mut stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    let asked = ann.answers_the_questions("Lisa").await;
    let mut other = stage.another_bot();
    ann.0
        .send_album(photos(10), MediaOptions::default())
        .await
        .unwrap();
    eventually("the first photos to be noted", async || {
        (stage.count("select count(*) from avatar_photos").await > 0).then_some(())
    })
    .await;
    stage.bot.kill();
    other.kill();
    stage.worker.kill();
    stage.worker = stage.another_worker();
    stage.bot = stage.another_bot();
    let card = ends_with_the_card(&ann, "10 photos loaded").await;
    ann.misses(&asked).await;
    ann.presses_on(&card, "Start training");
    ann.sees(&card, "Training the avatar Lisa").await;
}

/// A small picture that differs for each number.
fn distinct(number: u8) -> Bytes {
    let colour = image::Rgb([number.wrapping_mul(11), number, 255 - number]);
    let mut jpeg = std::io::Cursor::new(Vec::new());
    image::RgbImage::from_pixel(64, 64, colour)
        .write_to(&mut jpeg, image::ImageFormat::Jpeg)
        .unwrap();
    jpeg.into_inner().into()
}
