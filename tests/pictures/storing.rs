//! `store_pictures`: what FAL made is checked before it is anybody's picture.

use std::{
    io::{Cursor, Write as _},
    time::Duration,
};

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation},
    ledger::Event,
};
use image::{DynamicImage, ImageFormat};
use jobs::{StorePictures, queue::JobState};
use serde_json::{Value, json};

use super::world::{Studio, path_at_fal};
use crate::{notify_user::effects, store_photo::jpeg_header};

#[tokio::test]
async fn store_pictures_run_twice_completes_once() {
    let studio = Studio::generated().await;
    studio.run::<StorePictures>().await;
    studio.enqueue(&StorePictures::new(studio.generation)).await;
    studio.run::<StorePictures>().await;
    studio.assert_ready_once("twice").await;
}

#[tokio::test]
async fn a_flagged_picture_is_never_delivered_and_not_counted() {
    let studio = Studio::at_fal(Effect::Nsfw { first: None }).await;
    studio.finish().await;
    assert_eq!(studio.generation_status().await, "completed");
    assert_eq!(studio.album_status().await, "failed");
    assert_eq!(studio.pictures().await, 0);
    assert_eq!(studio.albums_written().await, 0);
    assert_eq!(studio.told().await.as_deref(), Some("album-flagged"));
    assert_eq!(studio.used().await, 0, "given back");
}

#[tokio::test]
async fn the_pictures_beside_a_flagged_one_are_delivered() {
    let studio = Studio::at_fal(Effect::Nsfw { first: Some(1) }).await;
    let before = studio.world.objects().len();
    studio.finish().await;
    let fetched = downloads(&studio);
    let is_fetched = async |query| {
        let path = path_at_fal(&studio.text(query).await.unwrap());
        fetched.iter().any(|fetched| fetched.contains(&path))
    };
    assert!(
        !is_fetched("select result #>> '{images,0,url}' from generations").await,
        "what FAL flagged is not even fetched: {fetched:?}"
    );
    assert!(is_fetched("select result #>> '{images,1,url}' from generations").await);
    assert_eq!(studio.world.objects().len(), before + 1, "one more in the bucket");
    assert_eq!(studio.album_status().await, "ready");
    assert_eq!(studio.pictures().await, 1);
    assert_eq!(
        studio.count("select number::bigint from pictures").await,
        2,
        "the first was flagged"
    );
    assert_eq!(studio.used().await, 1, "the flagged one is given back");
    let said = "select string_agg(part ->> 'say', ' ') from notifications, jsonb_array_elements(message -> 'text') part
                 where dedupe_key like 'album:%'";
    let said = studio.text(said).await.unwrap();
    assert!(said.contains("album-partly-flagged"), "{said}");
}

/// FAL's output, changed: its pictures are those of a run that went well.
async fn with_output(change: impl FnOnce(&mut Value)) -> Studio {
    let studio = Studio::submitted().await;
    studio.pictures_are_made().await;
    studio.world.poll().await;
    let mut result: Value = studio.look("select result from generations").await;
    change(&mut result);
    sqlx::query("update generations set result = $1")
        .bind(result)
        .execute(studio.pool())
        .await
        .unwrap();
    studio
}

#[tokio::test]
async fn a_result_without_pictures_fails_the_generation() {
    let studio = with_output(|result| result["images"] = json!([])).await;
    studio.jobs.drain_through_time().await;
    studio.assert_failed_once("model_invalid").await;
}

#[tokio::test]
async fn more_pictures_than_asked_for_are_left_at_fal() {
    let studio = with_output(|result| {
        let first = result["images"][0].clone();
        result["images"]
            .as_array_mut()
            .unwrap()
            .extend([first.clone(), first]);
        result["has_nsfw_concepts"] = json!([false, false, false, false]);
    })
    .await;
    studio.jobs.drain_through_time().await;
    studio.assert_ready_once("two of four").await;
}

#[tokio::test]
async fn fewer_pictures_than_asked_for_are_delivered_and_the_rest_is_given_back() {
    let studio = with_output(|result| {
        result["images"].as_array_mut().unwrap().truncate(1);
    })
    .await;
    studio.jobs.drain_through_time().await;
    assert_eq!(studio.album_status().await, "ready");
    assert_eq!(studio.pictures().await, 1);
    assert_eq!(studio.used().await, 1);
}

#[tokio::test]
async fn a_broken_picture_costs_its_own_place_only() {
    for body in [json!("<html>no</html>"), json!(""), json!("\u{fffd}JFIF")] {
        let studio = Studio::generated().await;
        let second = studio
            .text("select result #>> '{images,1,url}' from generations")
            .await
            .unwrap();
        let broken = Fault {
            times: 0,
            contains: Some(path_at_fal(&second)),
            ..Fault::new(
                Operation::Download,
                Effect::Answer {
                    status: 200,
                    headers: Default::default(),
                    body,
                },
            )
        };
        studio.fal.script(broken).unwrap();
        assert_eq!(
            studio.run::<StorePictures>().await.state,
            JobState::Scheduled,
            "looked at again"
        );
        studio.jobs.drain_through_time().await;
        assert_eq!(studio.album_status().await, "ready");
        assert_eq!(studio.pictures().await, 1);
        assert_eq!(studio.used().await, 1, "the other is given back");
    }
}

#[tokio::test]
async fn pictures_that_fals_storage_denies_for_a_moment_are_delivered() {
    let studio = Studio::generated().await;
    studio.fal.answers(Operation::Download, 404, Value::Null);
    studio.run::<StorePictures>().await;
    studio.jobs.drain_through_time().await;
    studio.assert_ready_once("after a moment").await;
}

/// Paths of the files that were read at FAL.
fn downloads(studio: &Studio) -> Vec<String> {
    let ledger = studio.fal.ledger().into_iter();
    let read = ledger.filter_map(|entry| match entry.event {
        Event::Downloaded { path, .. } => Some(path),
        _ => None,
    });
    read.collect()
}

/// Puts a file on FAL's CDN, as a generator would. Returns its address.
async fn at_fals_cdn(studio: &Studio, bytes: &[u8]) -> String {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    let length = u64::try_from(bytes.len()).unwrap();
    let fal = &studio.services.fal;
    fal.upload(
        file,
        length,
        "image/jpeg",
        "picture.jpeg",
        Duration::from_hours(1),
    )
    .await
    .unwrap()
}

fn jpeg(width: u32, height: u32) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    DynamicImage::new_rgb8(width, height)
        .write_to(&mut file, ImageFormat::Jpeg)
        .unwrap();
    file.into_inner()
}

/// Telegram takes photos of at most 10 MB, with at most 10,000 pixels in width and height together, and with a longer side
/// that is at most twenty times the shorter one. One picture beyond that would keep the whole album from its user.
#[tokio::test]
async fn a_picture_that_telegram_would_not_take_costs_its_own_place_only() {
    let studio = Studio::generated().await;
    studio.hears().await;
    let (longest, too_long) = (jpeg(2000, 100), jpeg(100, 2100));
    let mut large = longest.clone();
    large.resize(20_000_001, 0);
    let mut images = Vec::new();
    for file in [too_long, jpeg_header(30_000, 30_000), large, longest] {
        images.push(json!({"url": at_fals_cdn(&studio, &file).await}));
    }
    sqlx::query("update generations set wanted = 4, result = $1")
        .bind(json!({"images": images, "has_nsfw_concepts": [false, false, false, false]}))
        .execute(studio.pool())
        .await
        .unwrap();
    studio.jobs.drain_through_time().await;
    assert_eq!(studio.album_status().await, "ready");
    let stored = studio
        .text("select string_agg(number || ': ' || width || 'x' || height, ', ') from pictures")
        .await;
    assert_eq!(stored.as_deref(), Some("4: 2000x100"));
    assert_eq!(effects(&studio, "sendPhoto"), 1, "it is delivered");
}
