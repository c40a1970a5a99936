//! The dialogue that asks for pictures, up to the request: a worker that knows FAL takes it from there.

use aisha::simulators::telegram::{ButtonChoice, MessageFilter, MessageView};

use super::{
    gallery::{has_button, is_told, labels, owner},
    stage::{Person, Stage},
};
use crate::support::{Aisha, aisha, eventually};

/// From the gallery to the styles, in one message.
async fn opens_the_styles(person: &Person) -> MessageView {
    person.says("/gallery");
    let page = person.hears("the avatar is ready").await;
    person.presses_on(&page, "Make pictures");
    person.sees(&page, "Which style").await
}

/// To the card of an album in the style of films, without words.
async fn opens_the_card(person: &Person) -> MessageView {
    let styles = opens_the_styles(person).await;
    person.presses_on(&styles, "Cinema");
    let words = person.sees(&styles, "What should be in the picture?").await;
    person.presses_on(&words, "Without words");
    person.sees(&styles, "press “Make”").await
}

/// A number is a part of the shapes' labels too.
fn presses_exactly(person: &Person, message: &MessageView, label: &str) {
    let mut buttons = message.buttons.iter().flatten();
    let choice = ButtonChoice {
        message_id: Some(message.message_id),
        data: buttons
            .find(|button| button.text == label)
            .expect(label)
            .data
            .clone(),
        label: None,
    };
    person.0.press_button(&choice).unwrap();
}

async fn settled(stage: &Stage) {
    eventually("every update to be handled", async || {
        let open = "select count(*) from telegram_updates where handled_at is null";
        (stage.count(open).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn pictures_are_asked_for_in_four_taps_and_a_sentence() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    let styles = opens_the_styles(&ann).await;
    ann.presses_on(&styles, "Cinema");
    ann.sees(&styles, "Lisa · 🎬 Cinema").await;
    ann.says("на берегу моря <b>ночью</b>");
    let card = ann.hears("press “Make”").await;
    assert!(
        card.text.contains("✍️ на берегу моря <b>ночью</b>"),
        "{}",
        card.text
    );
    assert!(
        labels(&card).contains(&"✅ 16:9"),
        "the style's own shape: {:?}",
        labels(&card)
    );
    ann.presses_on(&card, "1:1");
    let card = has_button(&ann, &card, "✅ 1:1").await;
    presses_exactly(&ann, &card, "2");
    let card = has_button(&ann, &card, "Make 2 pictures").await;
    ann.presses_on(&card, "Make 2 pictures");
    ann.sees(&card, "Lisa").await;
    eventually("the album to be made", async || {
        let making = "select count(*) from albums where status = 'making' and style = 'cinema' and aspect = 'square' and wanted = 2";
        (stage.count(making).await == 1).then_some(())
    })
    .await;
    let (prompt, trainer): (String, String) = sqlx::query_as("select prompt, trainer from generations")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    assert!(
        prompt.contains("TOK_1 woman") && prompt.contains("на берегу моря <b>ночью</b>"),
        "{prompt}"
    );
    assert_eq!(trainer, "flux-lora-portrait-trainer");
    assert_eq!(
        stage
            .count("select count(*) from jobs where kind = 'generate_images'")
            .await,
        1
    );
    assert_eq!(
        stage
            .count("select count(*) from quota_uses where what = 'picture'")
            .await,
        2
    );
    assert!(!ann.heard().join("\n").contains("TOK_1"), "{:?}", ann.heard());
}

#[tokio::test]
async fn two_taps_on_make_are_one_album() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    let card = opens_the_card(&ann).await;
    for _ in 0..5 {
        ann.presses_on(&card, "Make 4 pictures");
    }
    is_told(&ann, "being made already").await;
    settled(&stage).await;
    assert_eq!(stage.count("select count(*) from albums").await, 1);
    assert_eq!(stage.count("select count(*) from generations").await, 1);
    assert_eq!(
        stage
            .count("select count(*) from quota_uses where what = 'picture'")
            .await,
        4
    );
}

#[tokio::test]
async fn a_restart_between_any_two_steps_of_the_dialogue_loses_nothing() {
    let mut stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    let styles = opens_the_styles(&ann).await;
    stage.restart_bot();
    ann.presses_on(&styles, "Cinema");
    ann.sees(&styles, "What should be in the picture?").await;
    stage.restart_bot();
    ann.says("in the rain");
    let card = ann.hears("✍️ in the rain").await;
    stage.restart_bot();
    ann.presses_on(&card, "Make 4 pictures");
    eventually("the album to be made", async || {
        (stage
            .count("select count(*) from albums where status = 'making' and words = 'in the rain'")
            .await
            == 1)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn words_that_say_nothing_are_refused_kindly_and_asked_for_again() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    let styles = opens_the_styles(&ann).await;
    ann.presses_on(&styles, "Cinema");
    ann.sees(&styles, "What should be in the picture?").await;
    ann.says("😀 🎉");
    ann.hears("Emoji and signs alone tell the artist nothing").await;
    ann.says(&"слово ".repeat(200));
    ann.hears("up to 500 characters fit").await;
    ann.says("\u{202e}\u{200b}");
    ann.hears("I see no words there").await;
    ann.says("\u{202e}على الشاطئ\u{202c}");
    let card = ann.hears("press “Make”").await;
    assert!(card.text.contains("✍️ على الشاطئ"), "{:?}", card.text);
    let words: String = sqlx::query_scalar("select words from albums")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    assert_eq!(words, "على الشاطئ");
}

#[tokio::test]
async fn the_dialogue_is_left_by_cancel_and_by_its_button() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    let styles = opens_the_styles(&ann).await;
    ann.presses_on(&styles, "Cinema");
    ann.sees(&styles, "What should be in the picture?").await;
    ann.says("/cancel");
    let left = ann.hears("no pictures this time").await;
    ann.says("by the sea");
    ann.hears("I did not quite get that").await;
    assert_eq!(stage.count("select count(*) from albums").await, 0);
    ann.presses_on(&left, "My avatars");
    let page = ann.sees(&left, "the avatar is ready").await;
    ann.presses_on(&page, "Make pictures");
    let styles = ann.sees(&left, "Which style").await;
    ann.presses_on(&styles, "Cancel");
    ann.sees(&left, "the avatar is ready").await;
    assert_eq!(stage.count("select count(*) from albums").await, 0);
    // A card that is open is what /cancel leaves if there is nothing else.
    opens_the_card(&ann).await;
    ann.says("/cancel");
    ann.hears_what(
        MessageFilter::from_bot()
            .containing("no pictures this time")
            .after(left.message_id),
    )
    .await;
    ann.says("/cancel");
    ann.hears("There is nothing to cancel").await;
}

#[tokio::test]
async fn an_avatar_that_is_deleted_before_the_last_tap_makes_no_pictures() {
    let stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    let card = opens_the_card(&ann).await;
    sqlx::query("update avatars set deleted_at = now(), is_main = false")
        .execute(stage.pool())
        .await
        .unwrap();
    ann.presses_on(&card, "Make 4 pictures");
    is_told(&ann, "out of date").await;
    ann.hears("You have no avatars yet").await;
    assert_eq!(stage.count("select count(*) from generations").await, 0);
}

#[tokio::test]
async fn a_day_has_so_many_pictures_and_two_albums_are_made_at_once() {
    let stage = Stage::with_bot(&[("AISHA__QUOTAS__PICTURES_A_DAY", "6")]).await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    let card = opens_the_card(&ann).await;
    ann.presses_on(&card, "Make 4 pictures");
    eventually("the album to be made", async || {
        (stage
            .count("select count(*) from albums where status = 'making'")
            .await
            == 1)
            .then_some(())
    })
    .await;
    let card = opens_the_card_below(&ann, &card).await;
    ann.presses_on(&card, "Make 4 pictures");
    is_told(&ann, "Only 2 more pictures are left for today").await;
    presses_exactly(&ann, &card, "1");
    let one = has_button(&ann, &card, "Make 1 picture").await;
    ann.presses_on(&one, "Make 1 picture");
    eventually("the second album to be made", async || {
        (stage
            .count("select count(*) from albums where status = 'making'")
            .await
            == 2)
            .then_some(())
    })
    .await;
    let card = opens_the_card_below(&ann, &card).await;
    ann.presses_on(&card, "Make 1 picture");
    is_told(&ann, "2 albums of yours are being made").await;
    sqlx::query("update albums set status = 'failed', settled_at = now() where status = 'making'")
        .execute(stage.pool())
        .await
        .unwrap();
    sqlx::query("insert into quota_uses (user_id, what) select id, 'picture' from users")
        .execute(stage.pool())
        .await
        .unwrap();
    ann.presses_on(&card, "Make 1 picture");
    is_told(&ann, "6 pictures a day is the most").await;
    assert_eq!(stage.count("select count(*) from generations").await, 2);
}

/// As [`opens_the_card`], in a message below an earlier one.
async fn opens_the_card_below(person: &Person, earlier: &MessageView) -> MessageView {
    person.says("/gallery");
    let page = MessageFilter::from_bot()
        .containing("the avatar is ready")
        .after(earlier.message_id);
    let page = person.hears_what(page).await;
    person.presses_on(&page, "Make pictures");
    let styles = person.sees(&page, "Which style").await;
    person.presses_on(&styles, "Cinema");
    let words = person.sees(&page, "What should be in the picture?").await;
    person.presses_on(&words, "Without words");
    person.sees(&page, "press “Make”").await
}

#[tokio::test]
async fn a_style_that_is_gone_from_the_table_is_said_and_others_are_shown() {
    let mut stage = Stage::new().await;
    let ann = owner(&stage, "Ann", &["Lisa"]).await;
    let card = opens_the_card(&ann).await;
    let config = tempfile::tempdir().unwrap();
    let styles = include_str!("../../config/styles.toml").replace("[cinema]", "[cinema_2]");
    std::fs::write(config.path().join("styles.toml"), styles).unwrap();
    stage.bot.kill();
    stage.bot = bot_with_config(&stage, config.path());
    ann.presses_on(&card, "Make 4 pictures");
    is_told(&ann, "not offered any more").await;
    let styles = ann.sees(&card, "Which style").await;
    assert_eq!(stage.count("select count(*) from generations").await, 0);
    ann.presses_on(&styles, "Cinema");
    let card = ann.sees(&card, "press “Make”").await;
    ann.presses_on(&card, "Make 4 pictures");
    eventually("the album to be made", async || {
        (stage
            .count("select count(*) from albums where status = 'making' and style = 'cinema_2'")
            .await
            == 1)
            .then_some(())
    })
    .await;
}

fn bot_with_config(stage: &Stage, config: &std::path::Path) -> Aisha {
    aisha(["--config", config.to_str().unwrap(), "bot"])
        .env("DATABASE_URL", stage.db.url())
        .envs(stage.telegram.env())
        .start()
}

#[tokio::test]
async fn the_styles_have_their_names_in_the_readers_language() {
    let stage = Stage::new().await;
    for (language, generate, asked, style, words) in [
        (
            "ru",
            "Генерировать",
            "В каком стиле",
            "Студийный портрет",
            "Что должно быть на картинке?",
        ),
        (
            "kk",
            "Сурет жасау",
            "қандай стильде",
            "Студиялық портрет",
            "Суретте не болсын?",
        ),
    ] {
        let person = super::gallery::owner_who_speaks(&stage, language, &["Лиза"]).await;
        person.says("/gallery");
        let page = person.presses(generate).await;
        let styles = person.sees(&page, asked).await;
        person.presses_on(&styles, style);
        person.sees(&page, words).await;
    }
}
