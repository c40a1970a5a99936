//! The gallery: pages of avatars, the main one, a new name, and what is gone meanwhile.

use aisha::simulators::telegram::{MessageFilter, MessageView};

use super::{
    history::with_pictures,
    stage::{Person, Stage, photos},
};
use crate::support::PATIENCE;

/// Gives a person avatars directly: trained ones, oldest first, of which the first is the main one.
pub async fn trained(stage: &Stage, person: &Person, names: &[&str]) {
    for (number, name) in (0..).zip(names) {
        sqlx::query(
            "insert into avatars (user_id, name, gender, avatar_type, training_type, status, is_main, trigger_phrase,
                                  model_key, model_sha256, training_started_at, completed_at, created_at)
             select id, $2, 'female', 'character', 'portrait', 'completed', $3 = 0, 'TOK_1', 'k', 'ab', now(), now(),
                    now() + make_interval(secs => $3)
               from users where telegram_id = $1",
        )
        .bind(person.0.id())
        .bind(name)
        .bind(number)
        .execute(stage.pool())
        .await
        .unwrap();
    }
}

/// An avatar whose training failed, with ten photos.
pub async fn failed(stage: &Stage, person: &Person, name: &str) {
    let photo = &photos(1)[0];
    for number in 0..10 {
        stage.s3.put(&format!("photos/{number}.jpg"), photo);
    }
    sqlx::query(
        "with avatar as (
            insert into avatars (user_id, name, gender, avatar_type, training_type, status, training_started_at)
            select id, $2, 'female', 'character', 'portrait', 'failed', now() from users where telegram_id = $1
            returning id, user_id
        ), training as (
            insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, failure_code,
                                   finished_at)
            select id, user_id, 'portrait', 'flux-lora-portrait-trainer', 'balanced', 'TOK_1', 'failed', 'timed_out', now()
              from avatar
        )
        insert into avatar_photos (avatar_id, file_id, file_unique_id, status, storage_key, content_type, bytes, settled_at)
        select id, 'f' || n, 'u' || n, 'stored', 'photos/' || n || '.jpg', 'image/jpeg', 5, now()
          from avatar, generate_series(0, 9) n",
    )
    .bind(person.0.id())
    .bind(name)
    .execute(stage.pool())
    .await
    .unwrap();
}

/// A person whom the bot knows, with trained avatars.
pub async fn owner(stage: &Stage, name: &str, avatars: &[&str]) -> Person {
    let person = stage.person(name, "en");
    person.says("/help");
    person.hears("/status").await;
    trained(stage, &person, avatars).await;
    person
}

/// The same with a Telegram in another language.
pub async fn owner_who_speaks(stage: &Stage, language: &str, avatars: &[&str]) -> Person {
    let person = stage.person("Ann", language);
    person.says("/help");
    person.hears("/status").await;
    trained(stage, &person, avatars).await;
    person
}

pub fn labels(message: &MessageView) -> Vec<&str> {
    message
        .buttons
        .iter()
        .flatten()
        .map(|button| button.text.as_str())
        .collect()
}

/// Waits until this message has a button whose label contains this.
pub async fn has_button(person: &Person, message: &MessageView, label: &str) -> MessageView {
    let id = message.message_id;
    let look = |chat: &aisha::simulators::telegram::ChatView| {
        let mut messages = chat.messages.iter();
        messages
            .find(|one| one.message_id == id && labels(one).iter().any(|text| text.contains(label)))
            .cloned()
    };
    person
        .0
        .wait_until(crate::support::PATIENCE, look)
        .await
        .expect(label)
}

/// Waits for an answer to a tap that says this.
pub async fn is_told(person: &Person, words: &str) {
    let told = person.0.wait_until(PATIENCE, |chat| {
        let answers = chat.callbacks.iter().filter_map(|tap| tap.answer.as_ref());
        answers
            .map(|answer| answer.text.clone())
            .find(|text| text.contains(words))
    });
    assert!(told.await.is_some(), "nobody was told {words:?}");
}

#[tokio::test]
async fn the_gallery_walks_round_through_all_avatars_in_one_message() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa", "Mia", "Zoe"]).await;
    ann.says("avatars");
    let page = ann.hears("Your main avatar, 1 of 3 · portrait").await;
    assert!(page.text.contains("Lisa: the avatar is ready"), "{}", page.text);
    ann.presses_on(&page, "▶");
    let next = ann.sees(&page, "Avatar 2 of 3 · portrait").await;
    assert!(next.text.contains("Zoe"), "the newest comes first: {}", next.text);
    ann.presses_on(&next, "▶");
    let last = ann.sees(&page, "Avatar 3 of 3").await;
    ann.presses_on(&last, "▶");
    let first = ann.sees(&page, "Your main avatar, 1 of 3").await;
    ann.presses_on(&first, "◀");
    ann.sees(&page, "Avatar 3 of 3").await;
}

#[tokio::test]
async fn the_main_avatar_is_one_whatever_is_tapped_twice() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa", "Mia"]).await;
    ann.says("/gallery");
    let page = ann.hears("Your main avatar, 1 of 2").await;
    assert!(!labels(&page).contains(&"⭐ Main"), "{:?}", labels(&page));
    ann.presses_on(&page, "▶");
    let mia = ann.sees(&page, "Mia").await;
    ann.presses_on(&mia, "⭐ Main");
    ann.presses_on(&mia, "⭐ Main");
    let chosen = ann.sees(&page, "Your main avatar, 1 of 2").await;
    assert!(chosen.text.contains("Mia"), "{}", chosen.text);
    is_told(&ann, "“Mia” is your main avatar now").await;
    let main: Vec<String> = sqlx::query_scalar("select name from avatars where is_main")
        .fetch_all(stage.pool())
        .await
        .unwrap();
    assert_eq!(main, ["Mia"]);
}

#[tokio::test]
async fn an_avatar_is_renamed_by_the_next_text_also_after_a_restart() {
    let mut stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    ann.says("/gallery");
    let page = ann.hears("Lisa: the avatar is ready").await;
    ann.presses_on(&page, "Rename");
    ann.sees(&page, "What shall I call Lisa from now on?").await;
    stage.restart_bot();
    ann.says(&"x".repeat(65));
    ann.hears("a name can have up to 64 characters").await;
    ann.says("Lisa <3");
    let renamed = ann.hears("Now it is called Lisa <3.").await;
    assert!(
        renamed.text.contains("Lisa <3: the avatar is ready"),
        "{}",
        renamed.text
    );
    // The question is answered: the next text is none.
    ann.says("Mia");
    ann.hears("I did not quite get that").await;
    assert_eq!(
        stage
            .count("select count(*) from avatars where name = 'Lisa <3'")
            .await,
        1
    );
}

#[tokio::test]
async fn a_rename_is_left_by_cancel_by_a_command_and_by_a_tap() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    ann.says("/gallery");
    let page = ann.hears("Lisa: the avatar is ready").await;
    ann.presses_on(&page, "Rename");
    let asked = ann.sees(&page, "What shall I call Lisa").await;
    ann.says("/cancel");
    let kept = ann.hears("The name stays: Lisa.").await;
    ann.presses_on(&kept, "Rename");
    ann.sees(&kept, "What shall I call Lisa").await;
    ann.says("/help");
    ann.says("Mia");
    let missed = ann.hears("I did not quite get that").await;
    ann.presses_on(&asked, "Back");
    let back = ann.sees(&page, "Lisa: the avatar is ready").await;
    ann.presses_on(&back, "Rename");
    let asked = ann.sees(&page, "What shall I call Lisa").await;
    ann.presses_on(&asked, "Back");
    ann.sees(&page, "Lisa: the avatar is ready").await;
    ann.says("Mia");
    ann.hears_what(
        MessageFilter::from_bot()
            .containing("I did not quite get that")
            .after(missed.message_id),
    )
    .await;
    assert_eq!(
        stage
            .count("select count(*) from avatars where name = 'Lisa'")
            .await,
        1
    );
}

#[tokio::test]
async fn an_avatar_has_a_cover_and_another_when_its_user_deletes_that_picture() {
    let stage = Stage::new().await;
    let ann = with_pictures(&stage, "Ann", 2).await;
    sqlx::query("update avatars set cover_id = (select id from pictures where number = 1)")
        .execute(stage.pool())
        .await
        .unwrap();
    ann.says("/gallery");
    let page = ann.hears("the avatar is ready").await;
    let cover = page.photo.as_ref().expect("the cover").file_unique_id.clone();
    // A question has no picture, and the page has it again.
    ann.presses_on(&page, "Rename");
    let asked = ann.hears("What shall I call Lisa").await;
    assert!(asked.photo.is_none(), "{asked:?}");
    ann.misses(&page).await;
    ann.presses_on(&asked, "Back");
    let page = ann
        .hears_what(
            MessageFilter::from_bot()
                .containing("the avatar is ready")
                .after(page.message_id),
        )
        .await;
    assert_eq!(
        page.photo.as_ref().map(|photo| &photo.file_unique_id),
        Some(&cover)
    );
    ann.says("/pictures");
    let mut picture = ann.hears("1 of 2").await;
    if picture.photo.as_ref().map(|photo| &photo.file_unique_id) != Some(&cover) {
        ann.presses_on(&picture, "▶");
        picture = ann.sees(&picture, "2 of 2").await;
    }
    ann.presses_on(&picture, "Delete");
    let asked = ann.sees(&picture, "Delete this picture?").await;
    ann.presses_on(&asked, "Delete");
    ann.sees(&picture, "1 of 1").await;
    ann.says("/gallery");
    let page = MessageFilter::from_bot()
        .containing("the avatar is ready")
        .after(picture.message_id);
    let page = ann.hears_what(page).await;
    let other = page.photo.as_ref().expect("the other picture");
    assert_ne!(other.file_unique_id, cover);
}

#[tokio::test]
async fn a_tap_on_an_avatar_that_is_gone_is_answered_kindly() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa", "Mia"]).await;
    ann.says("/gallery");
    let page = ann.hears("Your main avatar, 1 of 2").await;
    sqlx::query("delete from avatars where name = 'Mia'")
        .execute(stage.pool())
        .await
        .unwrap();
    ann.presses_on(&page, "▶");
    let left = ann.sees(&page, "⭐ Your avatar · portrait").await;
    is_told(&ann, "This avatar is not there any more").await;
    assert!(!labels(&left).contains(&"▶️"), "{:?}", labels(&left));
    ann.presses_on(&left, "Rename");
    let asked = ann.sees(&page, "What shall I call Lisa").await;
    sqlx::query("delete from avatars")
        .execute(stage.pool())
        .await
        .unwrap();
    ann.says("Mia");
    ann.hears("This avatar is not there any more").await;
    ann.presses_on(&asked, "Back");
    let empty = ann.sees(&page, "You have no avatars yet").await;
    assert!(
        labels(&empty).contains(&"✨ Create an avatar"),
        "{:?}",
        labels(&empty)
    );
}

#[tokio::test]
async fn start_and_status_lead_to_the_gallery_and_a_failed_avatar_says_why() {
    let stage = Stage::new().await;
    let lena = stage.person("Лена", "ru");
    lena.says("/help");
    lena.hears("Я обучаю").await;
    trained(&stage, &lena, &["Осень"]).await;
    sqlx::query(
        "with avatar as (update avatars set status = 'failed', is_main = false, completed_at = null returning id, user_id)
         insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, failure_code,
                                finished_at)
         select id, user_id, 'portrait', 't', 'balanced', 'TOK_1', 'failed', 'timed_out', now() from avatar",
    )
    .execute(stage.pool())
    .await
    .unwrap();
    lena.says("/start");
    let greeting = lena.hears("С возвращением, Лена!").await;
    let reason = "обучение не удалось — обучение заняло слишком много времени";
    assert!(
        greeting.text.contains(reason) && labels(&greeting).contains(&"🔁 Попробовать снова «Осень»"),
        "{greeting:?}"
    );
    lena.presses_on(&greeting, "Мои аватары");
    let page = lena.sees(&greeting, "🖼 Ваш аватар · портретный").await;
    assert!(page.text.contains(reason), "{}", page.text);
    lena.presses_on(&page, "Попробовать снова");
    lena.hears("Пришлите фотографии").await;
    lena.says("галерея");
    let draft = lena.hears("создание не закончено").await;
    assert!(labels(&draft).contains(&"🔄 Продолжить"), "{:?}", labels(&draft));
    lena.says("/status");
    let status = lena
        .hears_what(
            MessageFilter::from_bot()
                .containing("создание не закончено")
                .after(draft.message_id),
        )
        .await;
    assert!(
        labels(&status).contains(&"🖼 Мои аватары"),
        "{:?}",
        labels(&status)
    );
}
