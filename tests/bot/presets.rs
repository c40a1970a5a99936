//! The choice between speed and quality, what it costs and takes, and /settings.

use aisha::simulators::telegram::MessageFilter;

use super::stage::{Stage, photos};
use crate::support::{aisha, eventually};

const PRESET: &str = "select count(*) from trainings where preset = 'fast' and expected_seconds = 600";

#[tokio::test]
async fn the_card_says_what_each_preset_takes_and_the_training_takes_the_chosen_one() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let card = ann.sends_photos(photos(10)).await;
    for line in [
        "• ⚡ Fast: about 10 minutes, $2.40",
        "✅ ⚖️ Balanced: about 20 minutes, $2.40",
        "• 💎 Quality: about 50 minutes, $6.00",
    ] {
        assert!(card.text.contains(line), "{line:?} is not in {}", card.text);
    }
    ann.presses_on(&card, "Fast");
    let card = ann.sees(&card, "✅ ⚡ Fast").await;
    ann.presses_on(&card, "Start training");
    let progress = ann.sees(&card, "Training the avatar Lisa").await;
    assert!(
        progress.text.contains("About 10 minutes left."),
        "{}",
        progress.text
    );
    assert_eq!(stage.count(PRESET).await, 1);
}

/// Five trainings of ten minutes, and one of a day that somebody forgot.
#[tokio::test]
async fn the_last_trainings_say_how_long_the_next_one_takes() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    sqlx::query(
        "with other as (insert into users (telegram_id, language) values (1, 'en') returning id),
              avatar as (insert into avatars (user_id, name, gender, avatar_type, training_type, status, training_started_at)
                         select id, 'Old', 'male', 'character', 'portrait', 'failed', now() from other returning id, user_id)
         insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, archived_at, archive_url,
                                archive_sha256, submitted_at, request_id, trained_at, result, result_source, created_at, finished_at)
         select avatar.id, user_id, 'portrait', 'flux-lora-portrait-trainer', 'balanced', 'TOK', 'completed', now(), 'u', 's', now(),
                'r' || n, now(), '{}', 'poll', now() - case n when 6 then interval '1 day' else interval '7 min' end, now()
           from avatar, generate_series(1, 6) n",
    )
    .execute(stage.pool())
    .await
    .unwrap();
    let card = ann.sends_photos(photos(10)).await;
    assert!(card.text.contains("Balanced: about 7 minutes"), "{}", card.text);
    assert!(card.text.contains("Quality: about 50 minutes"), "{}", card.text);
}

#[tokio::test]
async fn settings_are_kept_and_new_drafts_begin_with_them() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/settings");
    let settings = ann.hears("Quality of new avatars' training: ⚖️ Balanced").await;
    assert!(
        settings.text.contains("Messages come with a sound."),
        "{}",
        settings.text
    );
    ann.presses_on(&settings, "Quality");
    let settings = ann.sees(&settings, "training: 💎 Quality").await;
    ann.presses_on(&settings, "Without sound");
    let settings = ann.sees(&settings, "Messages come without a sound.").await;
    ann.presses_on(&settings, "Language");
    ann.sees(&settings, "Which language shall I write in?").await;
    ann.answers_the_questions("Lisa").await;
    let card = ann.sends_photos(photos(10)).await;
    assert!(card.text.contains("✅ 💎 Quality"), "{}", card.text);
    let silent = stage
        .telegram
        .control()
        .ledger(&aisha::simulators::telegram::LedgerFilter {
            method: Some("sendMessage".to_owned()),
            ..Default::default()
        });
    let last = silent.last().expect("a message");
    assert_eq!(last.params["disable_notification"], "true", "{last:?}");
}

#[tokio::test]
async fn somebody_elses_draft_has_no_preset_of_mine() {
    let stage = Stage::new().await;
    let (ann, eve) = (stage.person("Ann", "en"), stage.person("Eve", "en"));
    ann.answers_the_questions("Lisa").await;
    let card = ann.sends_photos(photos(10)).await;
    let fast = card.buttons[1][0].data.clone().expect("a button");
    eve.says("/start");
    let hello = eve.hears("Hello, Eve!").await;
    stage.forge_tap(&eve, hello.message_id, &fast).await;
    eve.hears("You have no avatars yet").await;
    assert_eq!(
        stage
            .count("select count(*) from avatars where preset is not null")
            .await,
        0
    );
}

/// What a user reads out leads an operator to the training.
#[tokio::test]
async fn the_code_of_a_failure_is_looked_up_by_operators() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let ready = ann.sends_photos(photos(10)).await;
    ann.presses_on(&ready, "Start training");
    ann.sees(&ready, "Training the avatar Lisa").await;
    sqlx::query("update trainings set status_since = now() - interval '31 days', created_at = now() - interval '31 days'")
        .execute(stage.pool())
        .await
        .unwrap();
    let upkeep = aisha(["worker", "--queues", "upkeep"])
        .env("DATABASE_URL", stage.db.url())
        .env("AVATAR_TEST_MODE", "true")
        .env("AISHA__SAGA__RECONCILE_INTERVAL", "1s")
        .envs(stage.telegram.env())
        .envs(stage.s3.env())
        .start();
    let failed = ann
        .hears_what(MessageFilter::from_bot().containing("Should you need help, tell us the code"))
        .await;
    let code = failed.text.split("the code ").nth(1).unwrap();
    let code = code
        .split_whitespace()
        .next()
        .unwrap()
        .to_lowercase()
        .replace('-', " ");
    let training: String = sqlx::query_scalar("select id::text from trainings")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    let look_up = async |code: &str| {
        let verb = aisha(["avatars", "status", code]).env("DATABASE_URL", stage.db.url());
        verb.start().finish().await.1
    };
    let found = look_up(&code).await;
    assert!(found.contains(&format!("is training {training}")), "{found}");
    assert!(found.contains("Failed: "), "{found}");
    let nothing = look_up("0000-0000").await;
    assert!(
        nothing.contains("nothing has the support code 0000-0000"),
        "{nothing}"
    );
    drop(upkeep);
}

#[tokio::test]
async fn telegram_shows_what_the_bot_is_in_each_language_and_it_is_set_once() {
    let stage = Stage::new().await;
    let of_method = |method: &str| aisha::simulators::telegram::LedgerFilter {
        method: Some(method.to_owned()),
        accepted: Some(true),
        ..Default::default()
    };
    let count = |method: &str| stage.telegram.control().ledger(&of_method(method)).len();
    eventually("the descriptions to be set", async || {
        (count("SetMyShortDescription") == 4).then_some(())
    })
    .await;
    let set = stage.telegram.control().ledger(&of_method("SetMyDescription"));
    let told: Vec<_> = set
        .iter()
        .map(|call| {
            (
                call.params["language_code"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
                call.params["description"].to_string(),
            )
        })
        .collect();
    let languages: Vec<_> = told.iter().map(|(language, _)| language.as_str()).collect();
    assert_eq!(languages, ["", "ru", "en", "kk"]);
    assert!(told[1].1.contains("Обучаю личный ИИ-аватар"), "{told:?}");
    // Another start changes nothing.
    let other = stage.another_bot();
    eventually("the descriptions to be looked at again", async || {
        (count("GetMyShortDescription") >= 8).then_some(())
    })
    .await;
    assert_eq!(count("SetMyDescription"), 4);
    drop(other);
}
