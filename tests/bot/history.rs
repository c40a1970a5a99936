//! The pictures of the past: pages, favourites, more like this, deletion.

use aisha::simulators::telegram::MessageView;

use super::{
    gallery::{is_told, labels, owner},
    stage::{Person, Stage, photos},
};
use crate::support::{PATIENCE, eventually};

/// A person with a trained avatar and pictures of one album, which Telegram has already: the bot sends them by their
/// handles.
pub async fn with_pictures(stage: &Stage, name: &str, count: usize) -> Person {
    let person = owner(stage, name, &["Lisa"]).await;
    for photo in photos(count) {
        person.0.send_photo(photo, "").await.unwrap();
    }
    person.hears("Nice photo!").await;
    let id = person.0.id();
    eventually("the photos to be handled", async || {
        let handled: i64 = sqlx::query_scalar(
            "select count(*) from telegram_updates where chat_id = $1 and handled_at is not null and body->'message' ? 'photo'",
        )
        .bind(id)
        .fetch_one(stage.pool())
        .await
        .unwrap();
        (usize::try_from(handled) == Ok(count)).then_some(())
    })
    .await;
    sqlx::query(
        "with owner as (
            select a.user_id, a.id as avatar_id from avatars a join users u on u.id = a.user_id where u.telegram_id = $1
        ), album as (
            insert into albums (user_id, avatar_id, origin, status, style, words, aspect, wanted, asked_at, settled_at)
            select user_id, avatar_id, 'user', 'ready', 'cinema', 'by the sea', 'wide', 2, now(), now() from owner
            returning id, user_id, avatar_id
        ), generation as (
            insert into generations (album_id, avatar_id, user_id, number, trainer, style, prompt, aspect, wanted, seed, status,
                                     request_id, submitted_at, generated_at, finished_at, result, result_source)
            select id, avatar_id, user_id, 1, 't', 'cinema', 'p', 'wide', 2, 1, 'completed', $1::text, now(), now(), now(), '{}',
                   'poll' from album
            returning id, album_id, avatar_id, user_id
        ), file as (
            select body->'message'->'photo'->-1->>'file_id' as file_id, row_number() over (order by update_id) as number
              from telegram_updates where chat_id = $1 and body->'message' ? 'photo'
        )
        insert into pictures (generation_id, album_id, avatar_id, user_id, number, storage_key, content_type, bytes, width, height,
                              sha256, file_id)
        select g.id, g.album_id, g.avatar_id, g.user_id, f.number, 'k', 'image/jpeg', 1, 1, 1, 'ab', f.file_id
          from generation g, file f",
    )
    .bind(id)
    .execute(stage.pool())
    .await
    .unwrap();
    person
}

/// Waits until this message shows a picture with these words below it.
async fn shows(person: &Person, message: &MessageView, words: &str) -> MessageView {
    let seen = person.sees(message, words).await;
    assert!(seen.photo.is_some(), "no picture: {}", seen.text);
    seen
}

async fn opens_the_pictures(person: &Person) -> MessageView {
    person.says("/pictures");
    let first = person.hears("1 of 3 · Lisa · 🎬 Cinema").await;
    assert!(
        first.photo.is_some() && first.text.contains("✍️ by the sea"),
        "{}",
        first.text
    );
    first
}

#[tokio::test]
async fn pictures_are_walked_through_in_one_message_and_starred() {
    let stage = Stage::new().await;
    let ann = with_pictures(&stage, "Ann", 3).await;
    let first = opens_the_pictures(&ann).await;
    ann.presses_on(&first, "▶");
    let second = shows(&ann, &first, "2 of 3").await;
    assert_ne!(
        second.photo.as_ref().unwrap().file_unique_id,
        first.photo.as_ref().unwrap().file_unique_id
    );
    ann.presses_on(&second, "Save");
    is_told(&ann, "among your favourites").await;
    ann.presses_on(&second, "Favourites");
    let starred = shows(&ann, &first, "⭐ 1 of 1").await;
    assert_eq!(
        starred.photo.as_ref().unwrap().file_unique_id,
        second.photo.as_ref().unwrap().file_unique_id
    );
    // An empty shelf is no picture: Telegram cannot make a text of the message, so it goes and another comes.
    ann.presses_on(&starred, "Unsave");
    let empty = ann.hears("There are no favourites yet").await;
    let gone = ann.0.wait_until(PATIENCE, |chat| {
        let mut messages = chat.messages.iter();
        messages
            .find(|message| message.message_id == first.message_id)
            .is_none_or(|message| message.deleted)
            .then_some(())
    });
    assert!(gone.await.is_some(), "the picture stays above an empty shelf");
    ann.presses_on(&empty, "All pictures");
    shows(&ann, &empty, "1 of 3").await;
}

#[tokio::test]
async fn a_picture_is_deleted_after_a_question_and_the_next_takes_its_place() {
    let stage = Stage::new().await;
    let ann = with_pictures(&stage, "Ann", 3).await;
    let first = opens_the_pictures(&ann).await;
    ann.presses_on(&first, "Delete");
    let asked = shows(&ann, &first, "Delete this picture?").await;
    ann.presses_on(&asked, "Back");
    let back = shows(&ann, &first, "1 of 3").await;
    ann.presses_on(&back, "Delete");
    let asked = shows(&ann, &first, "Delete this picture?").await;
    ann.presses_on(&asked, "Delete");
    ann.presses_on(&asked, "Delete");
    shows(&ann, &first, "of 2").await;
    is_told(&ann, "The picture is deleted").await;
    is_told(&ann, "This picture is not there any more").await;
    assert_eq!(stage.count("select count(*) from pictures").await, 2);
}

#[tokio::test]
async fn more_like_a_picture_opens_the_dialogue_with_its_choices() {
    let stage = Stage::new().await;
    let ann = with_pictures(&stage, "Ann", 3).await;
    let first = opens_the_pictures(&ann).await;
    ann.presses_on(&first, "More like this");
    let card = ann.hears("press “Make”").await;
    assert!(card.text.contains("✍️ by the sea"), "{}", card.text);
    assert!(
        labels(&card).contains(&"✅ 16:9") && labels(&card).contains(&"✅ 2"),
        "{:?}",
        labels(&card)
    );
    ann.presses_on(&card, "Make 2 pictures");
    eventually("the album to be made", async || {
        let making = "select count(*) from albums where status = 'making' and style = 'cinema' and words = 'by the sea'";
        (stage.count(making).await == 1).then_some(())
    })
    .await;
}
