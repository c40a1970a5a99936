//! "Start" from the user's side: one training is shown, called off, and tried again.

use aisha::simulators::telegram::MessageFilter;

use super::stage::{Stage, photos};
use crate::support::PATIENCE;

#[tokio::test]
async fn start_turns_the_counter_into_the_progress_message() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let ready = ann.sends_photos(photos(10)).await;
    ann.presses_on(&ready, "Start training");
    let progress = ann
        .sees(&ready, "Training the avatar Lisa · portrait · 10 photos")
        .await;
    assert!(
        progress.text.contains("Preparing the photos"),
        "{}",
        progress.text
    );

    let row: (String, String, String, String, String) = sqlx::query_as(
        "select t.status::text, t.training_type::text, t.trainer, t.preset, t.trigger_phrase
           from trainings t join avatars a on a.id = t.avatar_id and a.trigger_phrase = t.trigger_phrase
          where a.status = 'training'",
    )
    .fetch_one(stage.pool())
    .await
    .unwrap();
    assert_eq!(row.0, "requested");
    assert_eq!(row.1, "portrait");
    assert_eq!(row.2, "flux-lora-portrait-trainer");
    assert_eq!(row.3, "balanced");
    let avatar: String = sqlx::query_scalar("select id::text from avatars")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    assert_eq!(row.4, format!("TOK_{}", &avatar[..8]));
    assert_eq!(
        stage
            .count("select count(*) from jobs where kind = 'build_archive'")
            .await,
        1
    );

    ann.says("/status");
    ann.hears("⏳ Lisa\n📦 Preparing the photos").await;
}

#[tokio::test]
async fn d11_a_double_tap_on_start_is_one_training() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let ready = ann.sends_photos(photos(10)).await;
    for _ in 0..5 {
        ann.presses_on(&ready, "Start training");
    }
    ann.sees(&ready, "Training the avatar Lisa").await;
    let answered = ann.0.wait_until(PATIENCE, |chat| {
        let starts = chat.callbacks.iter().filter(|tap| tap.data.starts_with("start:"));
        let toasts: Vec<_> = starts
            .filter_map(|tap| tap.answer.as_ref())
            .map(|answer| answer.text.clone())
            .collect();
        (toasts.len() == 5).then_some(toasts)
    });
    let toasts = answered.await.expect("every tap is answered");
    let repeats = toasts
        .iter()
        .filter(|text| text.contains("“Lisa” is in training already"))
        .count();
    assert_eq!(repeats, 4, "{toasts:?}");
    assert_eq!(stage.count("select count(*) from trainings").await, 1);
    assert_eq!(
        stage
            .count("select count(*) from jobs where kind = 'build_archive'")
            .await,
        1
    );
}

#[tokio::test]
async fn start_is_offered_at_ten_photos_and_refused_below() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let nine = ann.sends_photos(photos(9)).await;
    assert!(
        !nine
            .buttons
            .iter()
            .flatten()
            .any(|button| button.text.contains("Start")),
        "{:?}",
        nine.buttons
    );
    ann.0.send_photo(photos(10).remove(9), "").await.unwrap();
    let ten = ann.hears("10 photos loaded").await;
    ann.misses(&nine).await;
    // One photo is lost after the button was shown and before the tap.
    sqlx::query(
        "update avatar_photos set status = 'rejected', reason = 'damaged', storage_key = null
          where position = (select max(position) from avatar_photos)",
    )
    .execute(stage.pool())
    .await
    .unwrap();
    ann.presses_on(&ten, "Start training");
    let toast = ann.0.wait_until(PATIENCE, |chat| {
        chat.callbacks.iter().find_map(|tap| {
            Some(tap.answer.as_ref()?.text.clone()).filter(|text| text.contains("9 photos are"))
        })
    });
    assert_eq!(
        toast.await.as_deref(),
        Some("9 photos are loaded so far, and at least 10 are needed. Please send 1 more.")
    );
    assert_eq!(stage.count("select count(*) from trainings").await, 0);
}

#[tokio::test]
async fn a_training_that_is_not_at_the_trainer_yet_is_called_off_and_tried_again() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let ready = ann.sends_photos(photos(10)).await;
    ann.presses_on(&ready, "Start training");
    let progress = ann.sees(&ready, "Training the avatar Lisa").await;
    ann.says("/cancel");
    let asked = ann.hears("Stop the training of Lisa?").await;
    ann.presses_on(&asked, "Stop the training");
    let last = ann.hears("The training of Lisa was cancelled").await;
    ann.sees(&progress, "The training was cancelled").await;
    ann.sees(&asked, "Lisa: the training was cancelled").await;
    assert_eq!(
        stage
            .count("select count(*) from trainings where status = 'cancelled' and result_source = 'user'")
            .await,
        1
    );
    assert_eq!(
        stage
            .count("select count(*) from avatars where status = 'cancelled'")
            .await,
        1
    );

    ann.presses_on(&last, "Try again");
    let again = ann
        .hears_what(
            MessageFilter::from_bot()
                .containing("10 photos loaded")
                .after(last.message_id),
        )
        .await;
    ann.presses_on(&again, "Start training");
    ann.sees(&again, "Training the avatar Lisa").await;
    assert_eq!(stage.count("select count(*) from trainings").await, 2);
}

#[tokio::test]
async fn a_training_at_the_trainer_is_asked_to_stop_and_the_user_is_told() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let ready = ann.sends_photos(photos(10)).await;
    ann.presses_on(&ready, "Start training");
    let progress = ann.sees(&ready, "Training the avatar Lisa").await;
    sqlx::query(
        "update trainings set status = 'submitting', archived_at = now(), archive_url = 'https://x.invalid/a.zip', archive_sha256 = '0'",
    )
    .execute(stage.pool())
    .await
    .unwrap();
    ann.presses_on(&progress, "Stop the training");
    let asked = ann.hears("Stop the training of Lisa?").await;
    assert_eq!(
        stage
            .count("select count(*) from trainings where end_asked is not null")
            .await,
        0,
        "a question stops nothing"
    );
    ann.presses_on(&asked, "Stop the training");
    ann.hears("I am asking the server to stop the training of Lisa")
        .await;
    ann.sees(&progress, "Stopping the training").await;
    ann.says("/cancel");
    let told = MessageFilter::from_bot().containing("I am asking the server to stop");
    ann.0.wait_for_many(told, 2, PATIENCE).await.unwrap();
    assert_eq!(
        stage
            .count("select count(*) from trainings where status = 'submitting' and end_asked = 'user'")
            .await,
        1
    );
    // Too late: the model is being stored.
    sqlx::query(
        "update trainings set status = 'trained', submitted_at = now(), request_id = 'r', trained_at = now(), result = '{}',
                result_source = 'poll', end_asked = null, end_asked_at = null",
    )
    .execute(stage.pool())
    .await
    .unwrap();
    ann.says("/cancel");
    ann.hears("its model is being saved").await;
}

#[tokio::test]
async fn somebody_elses_avatar_and_training_cannot_be_touched() {
    let stage = Stage::new().await;
    let (ann, eve) = (stage.person("Ann", "en"), stage.person("Eve", "en"));
    ann.answers_the_questions("Lisa").await;
    let ready = ann.sends_photos(photos(10)).await;
    let start = ready.buttons[0][0].data.clone().unwrap();
    eve.says("/start");
    let hello = eve.hears("Hello, Eve!").await;
    for action in [
        start.clone(),
        start.replace("start:", "discard:"),
        start.replace("start:", "retry:"),
    ] {
        stage.forge_tap(&eve, hello.message_id, &action).await;
    }
    let outdated = eve.0.wait_for_many(
        MessageFilter::from_bot().containing("You have no avatars yet"),
        3,
        PATIENCE,
    );
    outdated.await.unwrap();
    assert_eq!(
        stage
            .count("select count(*) from avatars where status = 'draft'")
            .await,
        1
    );
    assert_eq!(stage.count("select count(*) from trainings").await, 0);
}

/// Two equal buttons in the wrong order stopped the other training, which was paid for.
#[tokio::test]
async fn each_button_of_the_status_names_its_avatar_and_stands_in_the_order_of_the_lines() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    for name in ["Lisa", "Mia"] {
        if name == "Mia" {
            ann.says("/start");
            ann.presses("Create an avatar").await;
        }
        ann.answers_the_questions(name).await;
        let ready = ann.sends_photos(photos(10)).await;
        ann.presses_on(&ready, "Start training");
        ann.sees(&ready, &format!("Training the avatar {name}")).await;
    }
    ann.says("/status");
    let status = ann
        .hears_what(MessageFilter::from_bot().containing("⏳ Mia"))
        .await;
    let lines = ["⏳ Mia", "⏳ Lisa"].map(|line| status.text.find(line).expect(line));
    assert!(lines[0] < lines[1], "{}", status.text);
    let labels: Vec<_> = status
        .buttons
        .iter()
        .flatten()
        .map(|button| button.text.as_str())
        .collect();
    assert_eq!(
        labels,
        [
            "✖️ Stop “Mia”",
            "✖️ Stop “Lisa”",
            "🖼 My avatars",
            "✨ Create an avatar"
        ]
    );
    ann.presses_on(&status, "Stop “Lisa”");
    let asked = ann.hears("Stop the training of Lisa?").await;
    ann.presses_on(&asked, "Go on training");
    ann.sees(&asked, "⏳ Mia").await;
    assert_eq!(
        stage
            .count("select count(*) from trainings where status = 'cancelled' or end_asked is not null")
            .await,
        0
    );
    ann.says("/cancel");
    let which = ann.hears("Which training shall I stop?").await;
    ann.presses_on(&which, "Stop “Lisa”");
    let asked = ann
        .hears_what(
            MessageFilter::from_bot()
                .containing("Stop the training of Lisa?")
                .after(which.message_id),
        )
        .await;
    ann.presses_on(&asked, "Stop the training");
    ann.hears("The training of Lisa was cancelled").await;
    // And Lisa can be tried again from here, however far up that message is.
    ann.says("/status");
    let status = ann
        .hears_what(
            MessageFilter::from_bot()
                .containing("Lisa: the training was cancelled")
                .after(asked.message_id),
        )
        .await;
    ann.presses_on(&status, "Try “Lisa” again");
    ann.hears_what(
        MessageFilter::from_bot()
            .containing("10 photos loaded")
            .after(status.message_id),
    )
    .await;
}

/// Twenty photos were thrown away at one tap.
#[tokio::test]
async fn a_draft_with_photos_is_thrown_away_only_after_a_question() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let ready = ann.sends_photos(photos(10)).await;
    ann.presses_on(&ready, "Cancel");
    let asked = ann.hears("Delete the avatar Lisa and 10 photos?").await;
    ann.presses_on(&asked, "Continue");
    let kept = ann.sees(&asked, "10 photos loaded").await;
    assert_eq!(stage.count("select count(*) from avatar_photos").await, 10);
    ann.says("/cancel");
    let asked = ann
        .hears_what(
            MessageFilter::from_bot()
                .containing("Delete the avatar Lisa and 10 photos?")
                .after(kept.message_id),
        )
        .await;
    ann.presses_on(&asked, "Delete");
    ann.sees(&asked, "Creation cancelled: Lisa.").await;
    let left = "select count(*) from avatars where deleted_at is null";
    assert_eq!(stage.count(left).await, 0);
}
