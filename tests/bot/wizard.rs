//! The wizard's questions, the answers, and everything that can happen in between.

use aisha::simulators::telegram::MessageFilter;

use super::stage::{Stage, photos};

#[tokio::test]
async fn the_wizard_asks_type_gender_name_and_photos_in_english() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    let first = ann.hears("Hello, Ann!").await;
    assert!(
        first.text.contains("Which kind of avatar shall we make?"),
        "{}",
        first.text
    );
    ann.presses_on(&first, "Portrait");
    ann.presses("Woman").await;
    let asked = ann.hears("What shall we call the avatar?").await;
    assert_eq!(
        asked.message_id, first.message_id,
        "taps move the same message on"
    );
    ann.says("Lisa & <Co>");
    let photos = ann.hears("Send 10–20 photos").await;
    let examples = ann.hears("Which photos work").await;
    assert!(examples.photo.is_some() && examples.message_id < photos.message_id);
    assert!(
        photos.text.starts_with("📸 Lisa & <Co> · portrait · woman"),
        "{}",
        photos.text
    );

    let draft: (String, String, String, String) =
        sqlx::query_as("select training_type::text, gender::text, name, status::text from avatars")
            .fetch_one(stage.pool())
            .await
            .unwrap();
    assert_eq!(
        draft,
        (
            "portrait".into(),
            "female".into(),
            "Lisa & <Co>".into(),
            "draft".into()
        )
    );
}

#[tokio::test]
async fn d20_the_wizard_speaks_russian_to_those_whose_telegram_does() {
    let stage = Stage::new().await;
    let lena = stage.person("Лена", "ru");
    lena.says("/start");
    lena.hears("Здравствуйте, Лена!").await;
    lena.presses("Художественный").await;
    lena.hears("Кто чаще на этих снимках?").await;
    lena.presses("Мужчина").await;
    lena.hears("Как назовём аватар?").await;
    lena.says("Осень");
    let photos = lena.hears("Пришлите фотографии").await;
    assert!(
        photos.text.starts_with("📸 Осень · художественный · мужчина"),
        "{}",
        photos.text
    );
    let kind: String = sqlx::query_scalar("select training_type::text from avatars")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    assert_eq!(kind, "style");
}

#[tokio::test]
async fn the_wizard_speaks_kazakh_to_those_whose_telegram_does() {
    let stage = Stage::new().await;
    let aigerim = stage.person("Айгерім", "kk");
    aigerim.says("/start");
    aigerim.hears("Сәлеметсіз бе, Айгерім!").await;
    aigerim.presses("Портреттік").await;
    aigerim.hears("Бұл кімнің аватары болады?").await;
    aigerim.presses("Әйел адам").await;
    aigerim.hears("Аватарды қалай атаймыз?").await;
    aigerim.says("Гүл");
    let photos = aigerim.hears("10–20 фотосурет жіберіңіз").await;
    assert!(
        photos.text.starts_with("📸 Гүл · портреттік · әйел адам"),
        "{}",
        photos.text
    );
}

/// Two devices of one person may tell two languages; the choice stands against both.
#[tokio::test]
async fn a_language_that_was_chosen_stays_whatever_telegram_tells() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/language");
    let asked = ann.hears("Which language shall I write in?").await;
    ann.presses_on(&asked, "Қазақша");
    let chosen = ann.sees(&asked, "Енді қазақша жазамын.").await;
    assert_eq!(chosen.message_id, asked.message_id);
    ann.says("тіл");
    let asked = ann.hears("Қай тілде жазайын?").await;
    ann.presses_on(&asked, "Русский");
    ann.sees(&asked, "Теперь пишу по-русски.").await;
    ann.says("/status");
    ann.hears("У вас пока нет аватаров.").await;
}

#[tokio::test]
async fn back_takes_one_answer_back_and_asks_it_again() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    let photos = ann.answers_the_questions("Lisa").await;
    ann.presses_on(&photos, "Back");
    let name = ann.sees(&photos, "What shall we call the avatar?").await;
    ann.presses_on(&name, "Back");
    let gender = ann.sees(&photos, "Whose avatar will it be?").await;
    ann.presses_on(&gender, "Back");
    ann.presses("Artistic").await;
    let gender = ann.sees(&photos, "Who is mostly in these pictures?").await;
    ann.presses_on(&gender, "Man");
    ann.sees(&photos, "What shall we call the avatar?").await;
    ann.says("Max");
    ann.hears("📸 Max · artistic · man").await;
    let examples = MessageFilter::from_bot().containing("Which photos work").ever();
    assert_eq!(
        stage.telegram.control().messages(&examples).len(),
        1,
        "once for the portrait, and none for the style"
    );
    assert_eq!(stage.count("select count(*) from avatars").await, 1);
}

#[tokio::test]
async fn a_draft_is_continued_where_it_was_left_and_cancelled_when_asked() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.presses("Portrait").await;
    ann.hears("Whose avatar will it be?").await;
    ann.says("/start");
    ann.hears("An unfinished avatar is waiting for you: no name yet.")
        .await;
    let offer = ann.presses("Continue").await;
    let gender = ann.sees(&offer, "Whose avatar will it be?").await;
    ann.presses_on(&gender, "Woman");
    ann.sees(&offer, "What shall we call the avatar?").await;
    ann.says("/cancel");
    ann.hears("Creation cancelled: no name yet.").await;
    assert_eq!(
        stage
            .count("select count(*) from avatars where deleted_at is null")
            .await,
        0
    );
    ann.says("/cancel");
    ann.hears("There is nothing to cancel").await;
}

#[tokio::test]
async fn start_leads_where_the_user_left_off() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    ann.sends_photos(photos(10)).await;
    ann.says("/start");
    let offer = ann.hears("An unfinished avatar is waiting for you: Lisa.").await;
    ann.presses_on(&offer, "Continue");
    let card = ann.sees(&offer, "10 photos loaded").await;
    ann.presses_on(&card, "Start training");
    ann.sees(&card, "Training the avatar Lisa").await;
    ann.says("/start");
    let greeting = ann.hears("Welcome back, Ann!").await;
    assert!(greeting.text.contains("⏳ Lisa"), "{}", greeting.text);
    let over = "with ended as (update trainings set status = 'cancelled', finished_at = now())
        update avatars set status = 'completed', completed_at = now(), finetune_id = 'f'";
    sqlx::query(over).execute(stage.pool()).await.unwrap();
    ann.says("/start");
    let newest = MessageFilter::from_bot()
        .containing("Welcome back, Ann!")
        .after(greeting.message_id);
    let greeting = ann.hears_what(newest).await;
    assert!(!greeting.text.contains("Lisa"), "{}", greeting.text);
    ann.presses_on(&greeting, "My avatars");
    ann.sees(&greeting, "Your avatar · portrait").await;
}

#[tokio::test]
async fn a_restart_between_any_two_steps_loses_nothing() {
    let mut stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.hears("Which kind").await;
    restart(&mut stage).await;
    ann.presses("Portrait").await;
    ann.hears("Whose avatar").await;
    restart(&mut stage).await;
    ann.presses("Woman").await;
    ann.hears("call the avatar").await;
    // Messages that are sent while no bot runs wait at Telegram.
    stage.bot.kill();
    ann.says("Lisa");
    stage.bot = stage.another_bot();
    ann.hears("different angles").await;
}

async fn restart(stage: &mut Stage) {
    stage.restart_bot();
    stage.bot.line("polls Telegram").await;
}

#[tokio::test]
async fn what_does_not_fit_gets_a_helpful_answer() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("hello?");
    ann.hears("I did not quite get that").await;
    ann.says("/frobnicate");
    ann.hears("I don't know this command").await;
    ann.says("/help");
    ann.hears("up to 20 MB").await;
    ann.says("/status");
    ann.hears("You have no avatars yet").await;
    ann.says("/start");
    ann.presses("Portrait").await;
    ann.hears("Whose avatar").await;
    ann.says("a woman");
    let again = ann.hears("Please choose with a button below").await;
    assert!(again.text.contains("Whose avatar will it be?"), "{}", again.text);
    ann.presses_on(&again, "Woman");
    ann.hears("call the avatar").await;
    ann.says(&"x".repeat(65));
    ann.hears("a name can have up to 64 characters").await;
    ann.says("Lisa");
    ann.hears("different angles").await;
    ann.says("what now?");
    ann.hears("I am waiting for photos").await;
}

#[tokio::test]
async fn a_button_of_another_time_says_so_and_shows_where_we_are() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.presses("Portrait").await;
    let old = ann.hears("Whose avatar").await;
    ann.says("/cancel");
    let discarded = ann.hears("Creation cancelled").await;
    ann.presses_on(&old, "Woman");
    ann.hears_what(
        MessageFilter::from_bot()
            .containing("no avatars yet")
            .after(discarded.message_id),
    )
    .await;
    let toast = ann.0.wait_until(crate::support::PATIENCE, |chat| {
        chat.callbacks
            .iter()
            .find(|tap| {
                tap.answer
                    .as_ref()
                    .is_some_and(|answer| answer.text.contains("out of date"))
            })
            .cloned()
    });
    assert!(toast.await.is_some());
}

#[tokio::test]
async fn a_name_is_corrected_by_editing_the_message_that_gave_it() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.says("/start");
    ann.presses("Portrait").await;
    ann.presses("Woman").await;
    ann.hears("call the avatar").await;
    let too_long = ann.0.send_text(&"x".repeat(65)).unwrap();
    ann.hears("a name can have up to 64 characters").await;
    stage.forge_edit(&ann, too_long, "Lsia").await;
    let photos = ann.hears("📸 Lsia · portrait · woman").await;
    stage.forge_edit(&ann, too_long, "Lisa").await;
    ann.sees(&photos, "📸 Lisa · portrait · woman").await;
    // An edit of any other message does not change the name.
    stage.forge_edit(&ann, too_long - 1, "Max").await;
    stage.forge_edit(&ann, too_long, &"y".repeat(65)).await;
    ann.hears_what(
        MessageFilter::from_bot()
            .containing("a name can have up to 64 characters")
            .after(photos.message_id),
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
async fn somebody_without_a_visible_name_is_greeted_without_one() {
    let stage = Stage::new().await;
    let nobody = stage.person("\u{2060}\u{3164}", "en");
    nobody.says("/Start");
    let greeting = nobody.hears("Which kind of avatar").await;
    assert!(greeting.text.starts_with("👋 Hello!\n"), "{}", greeting.text);
    nobody.presses("Portrait").await;
    nobody.hears("Whose avatar").await;
    nobody.says("start");
    let again = nobody.hears("An unfinished avatar").await;
    assert!(again.text.starts_with("👋 Welcome back!\n"), "{}", again.text);
}
