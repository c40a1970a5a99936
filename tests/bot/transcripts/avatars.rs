//! What a user does with avatars besides making them, with the settings, and with everything that is known about them.

use super::{Transcript, compare};
use crate::bot::{
    gallery::{failed, trained},
    photos::copy,
    stage::{Stage, photos},
};

async fn conversation(language: &str, name: &str, avatars: [&str; 3]) -> String {
    let stage = Stage::hurried(&[]).await;
    let upkeep = stage.upkeep_worker();
    let mut lena = Transcript::of(&stage, stage.person(name, language));
    lena.says("/start").await;
    trained(&stage, &lena.person, &avatars[..2]).await;
    failed(&stage, &lena.person, avatars[2]).await;
    lena.text.clear();

    lena.says("/start").await;
    lena.presses("gallery").await;
    lena.presses("▶️").await;
    lena.presses("main:").await;
    lena.presses("rename:").await;
    lena.says(&"х".repeat(65)).await;
    lena.says("Мия <3").await;
    lena.presses("delete:").await;
    lena.presses("status").await;
    lena.says("/gallery").await;
    lena.presses("delete:").await;
    lena.presses("delete_now:").await;
    lena.presses("gallery").await;

    lena.says("/status").await;
    lena.presses("retry:").await;
    lena.says("/gallery").await;
    lena.presses("discard:").await;
    lena.presses("create").await;
    let sent = photos(2);
    let twin = copy(&sent[0], 0.0);
    let blurred = copy(&sent[1], 9.0);
    lena.sends_photos(vec![sent[0].clone(), twin, blurred], 1).await;
    lena.presses("remove_photo:").await;
    lena.sends_photos(vec![sent[1].clone()], 1).await;
    lena.presses("keep_photos:").await;
    lena.presses("start:").await;
    lena.presses("stop:").await;
    lena.presses("stop_now:").await;
    lena.presses("retry:").await;
    lena.presses("discard:").await;
    lena.presses("discard_now:").await;

    lena.says("/settings").await;
    lena.presses("sound:off").await;
    lena.presses("use:quality").await;
    lena.presses("language").await;
    lena.presses(&format!("speak:{language}")).await;
    lena.says("/privacy").await;
    lena.says("/mydata").await;
    lena.says("/mydata").await;
    lena.says("/delete_me").await;
    lena.presses("status").await;
    lena.says("/delete_me").await;
    lena.presses("delete_me").await;
    lena.presses_until("delete_me_now", "select 1 - count(*) from users")
        .await;
    lena.says("/start").await;
    drop(upkeep);
    lena.ends()
}

#[tokio::test]
async fn avatars_and_data_read_well_in_russian() {
    compare(
        "avatars.ru",
        &conversation("ru", "Лена", ["Лиза", "Мия", "Осень"]).await,
    );
}

#[tokio::test]
async fn avatars_and_data_read_well_in_english() {
    compare(
        "avatars.en",
        &conversation("en", "Ann", ["Lisa", "Mia", "Autumn"]).await,
    );
}

#[tokio::test]
async fn avatars_and_data_read_well_in_kazakh() {
    compare(
        "avatars.kk",
        &conversation("kk", "Айгерім", ["Гүл", "Мия", "Күз"]).await,
    );
}
