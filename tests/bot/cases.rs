//! Every file of `tests/cases/telegram/` is one update that a bot received, or could receive. A person of its own,
//! whose avatar waits for photos or for its name, sends it to the real bot.
//!
//! The bot must never be silent: lose a photo because of its caption, or leave a message unanswered without an
//! operator's notice. And the chat must go on afterwards.

use std::path::Path;

use aisha::simulators::telegram::LedgerFilter;
use jobs::domain::{Action, AvatarId};
use serde_json::Value;
use sqlx::types::Uuid;

use super::stage::{Person, Stage};
use crate::support::eventually;

/// The expected effect of an update.
#[derive(Debug, Clone, Copy)]
enum Leads {
    /// A photo is added to the draft, with this `file_unique_id`.
    Photo(&'static str),
    /// The bot answers with this text.
    Says(&'static str),
    /// The bot answers that it cannot use this, and stores the reason with the update.
    Told(&'static str),
    /// The bot says nothing, and stores the reason with the update.
    Noted(&'static str),
    /// Telegram shows this over the chat for a moment.
    Toast(&'static str),
    /// The bot says nothing, and nothing is wrong.
    Nothing,
}

const NO_USE: &str = "Такое сообщение я";

/// Each file with its expected effect.
const CASES: [(&str, Leads); 43] = [
    ("command_in_capitals", Leads::Says("Я обучаю ИИ-аватары")),
    ("command_in_russian", Leads::Says("Я обучаю ИИ-аватары")),
    (
        "content_of_the_future",
        Leads::Told("its content is unknown: telepathy"),
    ),
    ("document_mime_empty", Leads::Photo("ud")),
    ("document_mime_is_a_number", Leads::Photo("ud")),
    ("document_mime_jpg", Leads::Photo("ud")),
    ("document_named_heic_that_is_a_jpeg", Leads::Photo("ud")),
    ("document_octet_stream", Leads::Photo("ud")),
    ("document_pdf", Leads::Says("Этот файл — не изображение")),
    ("document_without_a_label", Leads::Photo("ud")),
    (
        "document_without_an_id",
        Leads::Told("message.document.file_id is missing"),
    ),
    ("document_without_file_size", Leads::Photo("ud")),
    ("edited_location", Leads::Nothing),
    (
        "live_photo_alone",
        Leads::Told("its content is unknown: live_photo"),
    ),
    ("live_photo_with_its_still", Leads::Photo("uk")),
    ("name_of_fillers", Leads::Says("Имя не может быть пустым")),
    ("name_turned_round", Leads::Says("📸 гро.eman ·")),
    ("name_zero_width", Leads::Says("Имя не может быть пустым")),
    (
        "paid_media_photo",
        Leads::Told("its content is unknown: paid_media"),
    ),
    ("photo_album_id_is_a_number", Leads::Photo("uk")),
    ("photo_caption_entity_date_time", Leads::Photo("uk")),
    ("photo_external_reply_to_live_photo", Leads::Photo("uk")),
    (
        "photo_file_id_is_a_number",
        Leads::Told("message.photo.file_id is no text"),
    ),
    ("photo_is_no_list", Leads::Told("message.photo is no list")),
    ("photo_quote_with_unknown_entity", Leads::Photo("uk")),
    ("photo_reply_to_an_unknown_kind", Leads::Photo("uk")),
    ("photo_sizes_without_dimensions", Leads::Photo("uk")),
    ("photo_unknown_forward_origin", Leads::Photo("uk")),
    ("photo_with_odd_surroundings", Leads::Photo("uk")),
    ("photo_with_one_broken_size", Leads::Photo("uk")),
    ("photo_without_a_chat_type", Leads::Photo("uk")),
    ("photo_without_a_sender", Leads::Photo("uk")),
    ("pinned_message", Leads::Nothing),
    ("poll_answer_without_voter", Leads::Nothing),
    ("tap_from_a_group", Leads::Nothing),
    ("tap_inline", Leads::Says("создание не закончено")),
    ("tap_with_odd_fields", Leads::Toast("Эта кнопка")),
    ("tap_without_language_code", Leads::Toast("загружено")),
    ("text_entity_date_time", Leads::Says("Сейчас жду фотографии")),
    ("text_is_a_number", Leads::Told("message.text is no text")),
    ("unknown_kind", Leads::Noted("its kind is unknown: telepathy")),
    ("video_without_mime_type", Leads::Says(NO_USE)),
    ("voice_without_mime_type", Leads::Says(NO_USE)),
];

#[tokio::test]
async fn every_update_that_was_ever_lost_or_misread_leads_where_it_should() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/telegram");
    let files = names(&folder);
    let known: Vec<&str> = CASES.iter().map(|(name, _)| *name).collect();
    assert_eq!(files, known, "each file has a row in CASES, in order");

    let stage = Stage::new().await;
    let people: Vec<Person> = CASES.iter().map(|(name, _)| stage.person(name, "ru")).collect();
    for anna in &people {
        // A bot may not write first to a person.
        anna.says("/status");
    }
    for anna in &people {
        anna.hears("У вас пока нет аватаров").await;
    }
    for (number, ((name, leads), anna)) in (1_i64..).zip(CASES.iter().zip(&people)) {
        let avatar = draft(&stage, anna, !name.starts_with("name_")).await;
        let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let text = text.replace("<avatar>", &short(avatar));
        let mut update: Value = serde_json::from_str(&text).unwrap();
        play_as(&mut update, anna.0.id());
        update["update_id"] = number.into();
        let before = said(&stage, anna).await;
        store(&stage, anna, number, &update).await;
        let error = handled(&stage, number).await;
        let after = said(&stage, anna).await;
        match *leads {
            Leads::Photo(unique_id) => {
                let known: Vec<String> =
                    sqlx::query_scalar("select file_unique_id from avatar_photos where avatar_id = $1")
                        .bind(avatar)
                        .fetch_all(stage.pool())
                        .await
                        .unwrap();
                assert_eq!(known, [unique_id], "{name}");
                assert_eq!(error, None, "{name}");
                assert!(after > before, "{name}: the counter says nothing");
            }
            Leads::Says(words) => {
                anna.hears(words).await;
                assert_eq!(error, None, "{name}");
            }
            Leads::Told(why) => {
                anna.hears(NO_USE).await;
                assert_eq!(error.as_deref(), Some(why), "{name}");
            }
            Leads::Noted(why) => {
                assert_eq!(after, before, "{name}: something was said");
                assert_eq!(error.as_deref(), Some(why), "{name}");
            }
            Leads::Toast(words) => {
                toasted(&stage, words).await;
                assert_eq!(error, None, "{name}");
            }
            Leads::Nothing => {
                assert_eq!(after, before, "{name}: something was said");
                assert_eq!(error, None, "{name}");
            }
        }
    }
    // None of the updates blocks its chat.
    let open = "select count(*) from telegram_updates where handled_at is null or attempts > 0";
    assert_eq!(stage.count(open).await, 0);
}

/// The names of a folder's files, without their extensions.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let path = entry.unwrap().path();
            path.file_stem().unwrap().to_str().unwrap().to_owned()
        })
        .collect();
    names.sort();
    names
}

/// A draft that waits for photos, or for its name.
async fn draft(stage: &Stage, person: &Person, is_named: bool) -> Uuid {
    sqlx::query_scalar(
        "insert into avatars (user_id, avatar_type, training_type, status, gender, name)
         select id, 'character', 'portrait', 'draft', 'female', case when $2 then 'Лиза' end
           from users where telegram_id = $1
         returning id",
    )
    .bind(person.0.id())
    .bind(is_named)
    .fetch_one(stage.pool())
    .await
    .unwrap()
}

/// The avatar's id as buttons carry it.
fn short(avatar: Uuid) -> String {
    let action = Action::Start(AvatarId(avatar)).to_string();
    action.strip_prefix("start:").unwrap().to_owned()
}

/// Replaces 600, the person's id in the files, by this id.
fn play_as(value: &mut Value, id: i64) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == "id" && *value == 600 {
                    *value = id.into();
                } else {
                    play_as(value, id);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| play_as(item, id)),
        _ => {}
    }
}

async fn store(stage: &Stage, person: &Person, number: i64, update: &Value) {
    let insert =
        "with stored as (insert into telegram_updates (update_id, chat_id, body) values ($1, $2, $3))
                  select pg_notify('telegram_updates', '')";
    sqlx::query(insert)
        .bind(number)
        .bind(person.0.id())
        .bind(update)
        .execute(stage.pool())
        .await
        .unwrap();
}

/// Waits until the update is handled; returns the reason stored with it.
async fn handled(stage: &Stage, number: i64) -> Option<String> {
    eventually("the update to be handled", async || {
        sqlx::query_scalar(
            "select error from telegram_updates where update_id = $1 and handled_at is not null",
        )
        .bind(number)
        .fetch_optional(stage.pool())
        .await
        .unwrap()
    })
    .await
}

/// How many messages to this person were sent or changed.
async fn said(stage: &Stage, person: &Person) -> i64 {
    sqlx::query_scalar(
        "select coalesce(sum(revision), 0) from notifications n join users u on u.id = n.user_id where telegram_id = $1",
    )
    .bind(person.0.id())
    .fetch_one(stage.pool())
    .await
    .unwrap()
}

async fn toasted(stage: &Stage, words: &str) {
    let filter = LedgerFilter {
        method: Some("answerCallbackQuery".to_owned()),
        ..LedgerFilter::default()
    };
    eventually("the answer over the chat", async || {
        let calls = stage.telegram.control().ledger(&filter);
        let mut texts = calls.iter().filter_map(|call| call.params["text"].as_str());
        texts.any(|text| text.contains(words)).then_some(())
    })
    .await;
}
