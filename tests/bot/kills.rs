//! Processes that are killed between any two steps of a conversation, without a chance to finish. The next message goes on
//! where it was: nothing is lost, and nothing is said or made twice.
//!
//! The kill follows the tap at once, so it strikes anywhere: before the update is fetched, in the middle of its turn, after
//! it. The words over the chat may be lost, so no test here waits for them; and a message whose answer died with its worker
//! is sent again, which is counted (`notifications.possible_duplicates`).

use aisha::simulators::telegram::{MediaOptions, MessageFilter, MessageView};
use jobs::domain::{Action, PictureId};
use sqlx::types::Uuid;

use super::{
    gallery::{failed, has_button, owner},
    history::with_pictures,
    photos::copy,
    stage::{Person, Stage, photos},
};
use crate::support::eventually;

/// Waits for a message below this one.
async fn hears_below(person: &Person, earlier: &MessageView, part: &str) -> MessageView {
    let below = MessageFilter::from_bot()
        .containing(part)
        .after(earlier.message_id);
    person.hears_what(below).await
}

/// This was said to the person so often, apart from repeats that were counted.
async fn was_said(stage: &Stage, person: &Person, part: &str, times: usize) {
    let counted = "select coalesce(sum(possible_duplicates), 0)::bigint from notifications";
    let repeats = usize::try_from(stage.count(counted).await).unwrap();
    let said = sent(stage, person, part);
    assert!(
        (times..=times + repeats).contains(&said),
        "{part:?} was said {said} times, with {repeats} repeats counted: {:?}",
        person.heard()
    );
}

/// How many messages that contain this were ever sent to the person, edits aside.
fn sent(stage: &Stage, person: &Person, part: &str) -> usize {
    let ever = MessageFilter::from_bot().containing(part).ever();
    let messages = stage.telegram.control().messages(&ever);
    messages
        .iter()
        .filter(|message| message.chat_id == person.0.id())
        .count()
}

async fn becomes(stage: &Stage, what: &str, query: &'static str, number: i64) {
    eventually(what, async || (stage.count(query).await == number).then_some(())).await;
}

#[tokio::test]
async fn kills_between_the_steps_with_pictures_lose_nothing() {
    let mut stage = Stage::hurried(&[]).await;
    let ann = with_pictures(&stage, "Ann", 3).await;
    ann.says("/pictures");
    stage.restart_bot();
    let page = ann.hears("1 of 3 · Lisa").await;
    ann.presses_on(&page, "Save");
    stage.restart_bot();
    let starred = has_button(&ann, &page, "Unsave").await;
    ann.presses_on(&starred, "Favourites");
    stage.restart_bot();
    let favourite = ann.sees(&page, "⭐ 1 of 1").await;
    ann.presses_on(&favourite, "Unsave");
    stage.restart_bot();
    let empty = ann.hears("There are no favourites yet").await;
    ann.presses_on(&empty, "All pictures");
    stage.restart_bot();
    let page = ann.hears("1 of 3 · Lisa").await;
    ann.presses_on(&page, "Delete");
    stage.restart_bot();
    let asked = ann.sees(&page, "Delete this picture?").await;
    ann.presses_on(&asked, "Delete");
    stage.restart_bot();
    let page = ann.sees(&page, "of 2 · Lisa").await;

    // The star under an album.
    let picture: Uuid = sqlx::query_scalar("select id from pictures order by number limit 1")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    let keep = Action::KeepPicture(PictureId(picture)).to_string();
    stage.forge_tap(&ann, page.message_id, &keep).await;
    stage.restart_bot();
    let kept = "select count(*) from pictures where is_favourite";
    becomes(&stage, "the picture to be kept", kept, 1).await;

    ann.presses_on(&page, "More like this");
    stage.restart_bot();
    let card = ann.hears("press “Make”").await;
    ann.presses_on(&card, "Make 2 pictures");
    stage.restart();
    let making = ann.sees(&card, "Sending the request").await;
    ann.presses_on(&making, "Stop");
    stage.restart_bot();
    let stopped = ann.hears("were stopped").await;
    ann.presses_on(&stopped, "Try again");
    stage.restart_bot();
    let making = hears_below(&ann, &stopped, "Sending the request").await;
    ann.presses_on(&making, "Stop");
    stage.restart_bot();
    let stopped = hears_below(&ann, &making, "were stopped").await;
    ann.presses_on(&stopped, "Change");
    stage.restart_bot();
    let card = hears_below(&ann, &stopped, "press “Make”").await;
    ann.presses_on(&card, "Make 2 pictures");
    stage.restart_bot();
    ann.sees(&card, "Sending the request").await;
    let albums = "select count(*) from albums where origin = 'user'";
    assert_eq!(
        stage.count(albums).await,
        4,
        "one from before, two stopped, one made"
    );
    was_said(&stage, &ann, "were stopped", 2).await;
    let counted = "select count(*) from quota_uses where what = 'picture'";
    assert_eq!(stage.count(counted).await, 2, "what was stopped is given back");
    the_avatar_is_deleted(stage, ann, card).await;
}

async fn the_avatar_is_deleted(mut stage: Stage, ann: Person, card: MessageView) {
    ann.says("/gallery");
    stage.restart_bot();
    let avatar = hears_below(&ann, &card, "the avatar is ready").await;
    ann.presses_on(&avatar, "Delete");
    stage.restart_bot();
    let asked = ann.hears("for good?").await;
    ann.presses_on(&asked, "Delete for good");
    stage.restart();
    ann.sees(&asked, "is deleted").await;
    ann.says("/gallery");
    ann.hears("You have no avatars yet").await;
    was_said(&stage, &ann, "for good?", 1).await;
    let deletions = "select count(*) from jobs where kind = 'delete_avatar'";
    assert_eq!(stage.count(deletions).await, 1);
}

#[tokio::test]
async fn kills_between_the_steps_of_a_second_try_lose_nothing() {
    let mut stage = Stage::hurried(&[]).await;
    let ann = owner(&stage, "Ann", &[]).await;
    failed(&stage, &ann, "Lisa").await;
    ann.says("/gallery");
    stage.restart_bot();
    let page = ann.hears("the training failed").await;
    ann.presses_on(&page, "Try again");
    stage.restart_bot();
    let card = ann.hears("10 photos loaded").await;
    let sent_photos = photos(2);
    let album = vec![
        sent_photos[0].clone(),
        copy(&sent_photos[0], 0.0),
        copy(&sent_photos[1], 9.0),
    ];
    ann.0.send_album(album, MediaOptions::default()).await.unwrap();
    stage.restart_bot();
    let hints = hears_below(&ann, &card, "is blurred").await;
    assert!(
        hints.text.contains("13 photos loaded") && hints.text.contains("look alike"),
        "{}",
        hints.text
    );
    ann.presses_on(&hints, "Photo 13");
    stage.restart_bot();
    let fewer = ann.hears("12 photos loaded").await;
    ann.0.send_photo(sent_photos[1].clone(), "").await.unwrap();
    stage.restart();
    let replaced = hears_below(&ann, &fewer, "13 photos loaded").await;
    ann.presses_on(&replaced, "Keep all");
    stage.restart_bot();
    eventually("the hints to go", async || {
        let heard = ann.chat().messages;
        let card = heard
            .iter()
            .rfind(|one| !one.deleted && one.text.contains("13 photos loaded"))?;
        (!card.text.contains("look alike")).then_some(())
    })
    .await;
    ann.presses("Start training").await;
    stage.restart_bot();
    let progress = ann.hears("Training the avatar Lisa").await;
    ann.presses_on(&progress, "Stop the training");
    stage.restart_bot();
    let asked = ann.hears("Stop the training of Lisa?").await;
    ann.presses_on(&asked, "Stop the training");
    stage.restart_bot();
    ann.hears("The training of Lisa was cancelled. Your photos are kept.")
        .await;
    was_said(&stage, &ann, "Stop the training of Lisa?", 1).await;
    was_said(&stage, &ann, "Your photos are kept", 1).await;
    let trainings = "select count(*) from trainings where status = 'cancelled'";
    assert_eq!(stage.count(trainings).await, 1);
}

#[tokio::test]
async fn kills_between_the_steps_of_settings_a_broadcast_and_a_goodbye_lose_nothing() {
    let stage = Stage::hurried(&[]).await;
    let root = stage.person("Root", "en");
    let id = root.0.id().to_string();
    let mut stage = stage.another_bot_with(&[("AISHA__BOT__ADMINS", &id)]).await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    ann.says("/settings");
    stage.restart_bot();
    let settings = ann.hears("with a sound").await;
    ann.presses_on(&settings, "Without sound");
    stage.restart_bot();
    let settings = ann.sees(&settings, "without a sound").await;
    ann.presses_on(&settings, "Quality");
    stage.restart_bot();
    let settings = ann.sees(&settings, "training: 💎 Quality").await;
    ann.presses_on(&settings, "Language");
    stage.restart();
    let asked = ann.sees(&settings, "Which language").await;
    ann.presses_on(&asked, "Русский");
    stage.restart_bot();
    ann.sees(&asked, "Теперь пишу по-русски").await;
    let chosen = "select count(*) from users where is_silent and preset = 'quality' and language = 'ru'";
    assert_eq!(stage.count(chosen).await, 1);

    root.says("/broadcast Hello <b>all</b>");
    stage.restart_bot();
    let preview = root.hears("Receivers: 2").await;
    root.presses_on(&preview, "Send (2)");
    stage.restart_bot();
    let mut upkeep = stage.upkeep_worker();
    root.sees(&preview, "Queued:").await;
    upkeep.kill();
    let mut upkeep = stage.upkeep_worker();
    ann.hears("Hello <b>all</b>").await;

    ann.says("/mydata");
    stage.restart_bot();
    upkeep.kill();
    let mut upkeep = stage.upkeep_worker();
    ann.hears("Собираю всё").await;
    stage.restart_bot();
    ann.hears("📦 Ваши данные.").await;
    ann.says("/delete_me");
    stage.restart_bot();
    let asked = ann.hears("Удалить всё, что я о вас знаю?").await;
    ann.presses_on(&asked, "Удалить насовсем");
    stage.restart();
    let again = ann.sees(&asked, "Точно?").await;
    for once in [
        "Hello <b>all</b>",
        "📦 Ваши данные.",
        "Удалить всё, что я о вас знаю?",
    ] {
        was_said(&stage, &ann, once, 1).await;
    }
    ann.presses_on(&again, "Да, удалить всё");
    stage.restart_bot();
    upkeep.kill();
    let _upkeep = stage.upkeep_worker();
    ann.hears("о вас ничего не осталось").await;
    let left = "select count(*) from users";
    becomes(&stage, "the user to be erased", left, 1).await;
    assert_eq!(sent(&stage, &ann, "о вас ничего не осталось"), 1);
}
