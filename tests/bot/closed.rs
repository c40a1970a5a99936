//! Users that the bot refuses, and what it tells them.

use aisha::simulators::telegram::MessageFilter;

use super::stage::{Stage, photos};
use crate::support::{PATIENCE, eventually};

#[tokio::test]
async fn a_stranger_hears_once_that_the_bot_is_for_the_invited_and_leaves_nothing_behind() {
    let stage = Stage::with_bot(&[("AISHA__QUOTAS__ALLOWED", "999999")]).await;
    let eve = stage.person("Ева", "ru");
    eve.says("/start");
    let told = eve.hears("только для приглашённых").await;
    eve.says("Лиза");
    eve.0.send_photo(photos(1).remove(0), "").await.unwrap();
    stage.forge_tap(&eve, told.message_id, "new:portrait").await;
    let open = "select count(*) from telegram_updates where handled_at is null";
    eventually("every update is handled", async || {
        (stage.count(open).await == 0).then_some(())
    })
    .await;
    assert_eq!(eve.heard().len(), 1, "{:?}", eve.heard());
    assert_eq!(stage.count("select count(*) from avatars").await, 0);
}

#[tokio::test]
async fn somebody_on_the_list_is_let_in_unless_they_are_shut_out() {
    let stage = Stage::new().await;
    let (ann, eve) = (stage.person("Ann", "en"), stage.person("Eve", "en"));
    let both = format!("{},{}", ann.0.id(), eve.0.id());
    let _stage = stage
        .another_bot_with(&[
            ("AISHA__QUOTAS__ALLOWED", &both),
            ("AISHA__QUOTAS__BLOCKED", &eve.0.id().to_string()),
        ])
        .await;
    ann.says("/start");
    ann.hears("Hello, Ann!").await;
    eve.says("/start");
    eve.hears("Your access to this bot is closed").await;
}

#[tokio::test]
async fn a_user_at_a_limit_hears_which_one_and_when_it_ends() {
    let limits = [
        ("AISHA__QUOTAS__LIVE_TRAININGS", "1"),
        ("AISHA__QUOTAS__PHOTOS_A_DAY", "12"),
        ("AISHA__QUOTAS__DRAFTS_A_DAY", "2"),
    ];
    let stage = Stage::with_bot(&limits).await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let ready = ann.sends_photos(photos(10)).await;
    ann.presses_on(&ready, "Start training");
    ann.sees(&ready, "Training the avatar Lisa").await;

    ann.says("/start");
    ann.presses("Create").await;
    let asked = ann
        .hears_what(
            MessageFilter::from_bot()
                .with_button("Portrait")
                .after(ready.message_id),
        )
        .await;
    ann.presses_on(&asked, "Portrait");
    ann.sees(&asked, "Whose avatar").await;
    for photo in photos(3) {
        ann.0.send_photo(photo, "").await.unwrap();
    }
    ann.hears("12 photos a day is the most that I can take from one person. Please send more in 24 hours")
        .await;
    // The photos are marked as stored, so that only the limit of live trainings can refuse.
    sqlx::query(
        "with draft as (update avatars set name = 'Anna', gender = 'female' where status = 'draft' returning id)
         insert into avatar_photos (avatar_id, file_id, file_unique_id, status, storage_key, content_type, bytes, settled_at)
         select id, n::text, n::text, 'stored', n::text, 'image/jpeg', 1, now() from draft, generate_series(1, 10) n",
    )
    .execute(stage.pool())
    .await
    .unwrap();
    ann.says("/start");
    ann.presses("Continue").await;
    ann.presses("Start training").await;
    let toast = ann.0.wait_until(PATIENCE, |chat| {
        chat.callbacks.iter().find_map(|tap| {
            Some(tap.answer.as_ref()?.text.clone()).filter(|text| text.contains("may run at once"))
        })
    });
    assert_eq!(
        toast.await.as_deref(),
        Some(
            "⏳ 1 training of yours is running, and no more may run at once. Start this one when one has ended: everything is kept."
        )
    );
    assert_eq!(stage.count("select count(*) from trainings").await, 1);
}
