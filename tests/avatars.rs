//! `aisha avatars`: the progress of a training, in the incumbent's words (K18).

use serde_json::{Value, json};
use sqlx::types::Uuid;

use crate::support::{Db, aisha};

async fn status(db: &Db, arguments: &[&str]) -> (Option<i32>, String) {
    let arguments = ["avatars", "status"].iter().chain(arguments);
    aisha(arguments)
        .env("AISHA_ENV", "test")
        .env("DATABASE_URL", db.url())
        .start()
        .finish()
        .await
}

/// A training at FAL that is 40 % done. Returns the avatar's id.
async fn avatar_in_training(db: &Db) -> Uuid {
    let query = "with owner as (insert into users (telegram_id, language) values (77, 'en') returning id), \
        avatar as (insert into avatars (user_id, name, gender, avatar_type, training_type, status, training_started_at) \
            select id, 'A', 'female', 'character', 'portrait', 'training', now() from owner returning id, user_id), \
        training as (insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status, \
            archive_url, archive_sha256, archived_at, request_id, submitted_at, progress, progress_message, created_at) \
            select id, user_id, 'portrait', 'flux-lora-portrait-trainer', 'balanced', 'TOK_1', 'submitted', \
            'http://x/a.zip', 'ab', now(), 'r-1', now(), 40, 'step 400/1000', '2026-11-20T10:00:00Z' from avatar) \
        select id from avatar";
    sqlx::query_scalar(query).fetch_one(&db.pool).await.unwrap()
}

#[tokio::test]
async fn a_training_under_way_is_shown_with_its_progress() {
    let db = Db::new().await;
    let avatar = avatar_in_training(&db).await.to_string();
    let (code, output) = status(&db, &[&avatar, "--json"]).await;
    assert_eq!(code, Some(0), "{output}");
    let shown: Value = serde_json::from_str(&output).expect("one JSON object");
    let expected = json!({"status": "in_progress", "progress": 40, "message": "step 400/1000",
                          "created_at": "2026-11-20T10:00:00Z", "completed_at": null});
    assert_eq!(shown, expected);

    let (code, output) = status(&db, &[&avatar]).await;
    assert_eq!(code, Some(0), "{output}");
    assert!(output.starts_with("in_progress 40%: step 400/1000"), "{output}");
}

#[tokio::test]
async fn an_avatar_that_nobody_has_is_an_error_and_no_id_is_wrong_usage() {
    let db = Db::new().await;
    let (code, output) = status(&db, &["00000000-0000-0000-0000-000000000001", "--json"]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("there is no avatar"), "{output}");
    assert_eq!(status(&db, &["no-id"]).await.0, Some(2));
}
