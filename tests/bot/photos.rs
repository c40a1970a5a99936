//! Incoming photos: albums, files, and refusals with their reasons.

use aisha::simulators::telegram::{MediaOptions, MessageFilter};
use bytes::Bytes;

use super::stage::{Stage, photos};
use crate::support::PATIENCE;

const STORED: &str = "select count(*) from avatar_photos where status = 'stored'";

#[tokio::test]
async fn d20_an_album_is_counted_in_one_message_below_it() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    let asked = ann.answers_the_questions("Lisa").await;
    let album = photos(10);
    // The updates of an album may come in any order.
    let order = MediaOptions {
        order: vec![3, 1, 0, 2, 9, 8, 7, 6, 5, 4],
        ..MediaOptions::default()
    };
    let sent = ann.0.send_album(album.clone(), order).await.unwrap();
    let counter = ann.hears("10 photos loaded (10–20 needed)").await;
    assert!(
        sent.iter().all(|photo| *photo < counter.message_id),
        "the card is below the photos"
    );
    ann.misses(&asked).await;
    let chat = ann.chat();
    let cards = chat.messages.iter().filter(|message| {
        message.from_bot && message.text.starts_with("📸") && message.message_id != asked.message_id
    });
    assert_eq!(cards.count(), 1, "one card for one burst: {:?}", chat.messages);
    assert!(
        counter
            .text
            .contains("Ready to start — or add up to 10 more photos"),
        "{}",
        counter.text
    );
    assert!(
        counter.buttons[0][0].text.contains("Start training"),
        "{:?}",
        counter.buttons
    );
    assert!(
        counter.earlier.len() <= 6,
        "ten photos are not ten edits: {:?}",
        counter.earlier
    );

    let rows: Vec<(String, String, String, i64)> = sqlx::query_as(
        "select id::text, storage_key, content_type, bytes from avatar_photos order by position",
    )
    .fetch_all(stage.pool())
    .await
    .unwrap();
    let (avatar, user): (String, String) = sqlx::query_as("select id::text, user_id::text from avatars")
        .fetch_one(stage.pool())
        .await
        .unwrap();
    let mut kept: Vec<Bytes> = Vec::new();
    for (photo, key, content_type, bytes) in rows {
        assert_eq!(key, format!("{user}/{avatar}/{photo}.jpg"));
        assert_eq!(content_type, "image/jpeg");
        let object = stage.s3.get(&key).expect("the object");
        assert_eq!(i64::try_from(object.len()).unwrap(), bytes);
        kept.push(object.into());
    }
    let mut sent = album;
    sent.sort();
    kept.sort();
    assert_eq!(kept, sent, "the original bytes are kept");
}

#[tokio::test]
async fn a_second_album_and_single_photos_are_added_up_to_the_limit() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    ann.0.send_photo(photos(1).remove(0), "").await.unwrap();
    ann.hears("1 photo loaded (10–20 needed)").await;
    ann.hears("9 more photos are needed").await;
    let many: Vec<Bytes> = (0..22).map(distinct).collect();
    ann.0.send_album(many, MediaOptions::default()).await.unwrap();
    ann.hears("20 photos are enough").await;
    ann.hears("All 20 photos are here").await;
    assert_eq!(stage.count(STORED).await, 20);
}

#[tokio::test]
async fn a_photo_sent_twice_is_one_photo_and_the_user_is_told() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let photo = photos(1).remove(0);
    ann.0.send_photo(photo.clone(), "").await.unwrap();
    ann.hears("1 photo loaded").await;
    ann.0.send_photo(photo, "").await.unwrap();
    ann.hears("I have this photo already").await;
    assert_eq!(stage.count("select count(*) from avatar_photos").await, 1);
}

#[tokio::test]
async fn an_image_sent_as_a_file_keeps_its_own_bytes_and_type() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    let png = encoded(image::ImageFormat::Png);
    ann.0
        .send_document("lisa.png", Some("image/png"), png.clone(), "")
        .await
        .unwrap();
    ann.hears("1 photo loaded").await;
    let (key, content_type): (String, String) =
        sqlx::query_as("select storage_key, content_type from avatar_photos")
            .fetch_one(stage.pool())
            .await
            .unwrap();
    assert_eq!(content_type, "image/png");
    assert_eq!(stage.s3.get(&key).unwrap(), png);
}

#[tokio::test]
async fn a_file_that_cannot_become_a_photo_is_refused_with_a_friendly_reason() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    ann.0
        .send_document("plan.pdf", Some("application/pdf"), "%PDF-1.7", "")
        .await
        .unwrap();
    ann.hears("This file isn't an image").await;
    ann.0
        .send_document("IMG_1.HEIC", Some("image/heic"), "ftypheic", "")
        .await
        .unwrap();
    ann.hears("I can't read HEIC yet").await;
    let large = vec![0_u8; 20_000_001];
    ann.0
        .send_document("huge.jpg", Some("image/jpeg"), large, "")
        .await
        .unwrap();
    ann.hears("The file is larger than 20 MB").await;
    assert_eq!(stage.count("select count(*) from avatar_photos").await, 0);
}

#[tokio::test]
async fn a_bad_file_that_only_its_bytes_reveal_is_refused_in_the_counter() {
    let stage = Stage::new().await;
    let lena = stage.person("Лена", "ru");
    lena.says("/start");
    lena.presses("Портретный").await;
    lena.presses("Женщина").await;
    lena.hears("Как назовём аватар?").await;
    lena.says("Лиза");
    let asked = lena.hears("Пришлите фотографии").await;
    lena.0.send_photo(photos(1).remove(0), "").await.unwrap();
    lena.hears("Загружена 1 фотография").await;
    let text = lena
        .0
        .send_document("text.jpg", Some("image/jpeg"), "I am not a picture", "")
        .await
        .unwrap();
    let answer = lena.hears("Не подошло: это не изображение").await;
    assert_eq!(
        answer.reply_to_message_id,
        Some(text),
        "the answer shows which one it means"
    );
    lena.hears("• фото 2 — это не изображение").await;
    lena.0
        .send_document("bomb.jpg", Some("image/jpeg"), claims_to_be_huge(), "")
        .await
        .unwrap();
    lena.hears("• фото 3 — изображение больше 51 MP; пришлите снимок как фото")
        .await;
    lena.misses(&asked).await;
    assert_eq!(stage.count(STORED).await, 1);
}

#[tokio::test]
async fn a_photo_that_comes_too_early_is_kept_and_the_open_question_is_asked_again() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.0.send_photo(photos(1).remove(0), "").await.unwrap();
    ann.hears("Let us create an avatar first").await;
    ann.says("/start");
    ann.presses("Portrait").await;
    ann.hears("Whose avatar will it be?").await;
    ann.0
        .send_album(photos(3), MediaOptions::default())
        .await
        .unwrap();
    let again = ann.hears("I keep your photos").await;
    assert!(again.text.contains("Whose avatar will it be?"), "{}", again.text);
    ann.presses_on(&again, "Woman");
    ann.sees(&again, "call the avatar").await;
    ann.says("Lisa");
    ann.hears("3 photos loaded (10–20 needed)").await;
    let told = MessageFilter::from_bot().containing("I keep your photos").ever();
    assert_eq!(
        stage.telegram.control().messages(&told).len(),
        1,
        "an album is answered once"
    );
}

#[tokio::test]
async fn a_worker_that_dies_between_photos_loses_none() {
    let mut stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    stage.worker.kill();
    ann.0
        .send_album(photos(10), MediaOptions::default())
        .await
        .unwrap();
    stage.worker = stage.another_worker();
    ann.hears("10 photos loaded (10–20 needed)").await;
    assert_eq!(stage.count(STORED).await, 10);
}

/// A small picture that differs for each number.
fn distinct(number: u8) -> Bytes {
    let picture = image::RgbImage::from_pixel(
        64,
        64,
        image::Rgb([number.wrapping_mul(11), number, 255 - number]),
    );
    let mut jpeg = Vec::new();
    picture
        .write_to(&mut std::io::Cursor::new(&mut jpeg), image::ImageFormat::Jpeg)
        .unwrap();
    jpeg.into()
}

fn encoded(format: image::ImageFormat) -> Vec<u8> {
    let picture = image::RgbImage::from_fn(80, 60, |x, y| {
        image::Rgb([x, y, 99].map(|part| u8::try_from(part).unwrap()))
    });
    let mut bytes = Vec::new();
    picture
        .write_to(&mut std::io::Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

/// A small JPEG whose header says 20,000 × 20,000 pixels.
fn claims_to_be_huge() -> Vec<u8> {
    let mut jpeg = encoded(image::ImageFormat::Jpeg);
    let frame = jpeg
        .windows(2)
        .position(|marker| marker == [0xff, 0xc0])
        .expect("a baseline frame");
    let side = 20_000_u16.to_be_bytes();
    jpeg[frame + 5..frame + 7].copy_from_slice(&side);
    jpeg[frame + 7..frame + 9].copy_from_slice(&side);
    jpeg
}

#[tokio::test]
async fn a_hinted_photo_is_removed_by_its_button_and_replaced() {
    let stage = Stage::new().await;
    let ann = stage.person("Ann", "en");
    ann.answers_the_questions("Lisa").await;
    // Six portraits and four cats.
    ann.sends_photos(photos(10)).await;
    let card = ann.hears("photos 7, 8, 9 and 10: no face is seen").await;
    let toasts = async |count: usize| {
        let heard = ann.0.wait_until(PATIENCE, |chat| {
            let said = chat
                .callbacks
                .iter()
                .filter_map(|tap| Some(tap.answer.as_ref()?.text.clone()));
            let said: Vec<_> = said.filter(|text| text.contains("hoto")).collect();
            (said.len() == count).then_some(said)
        });
        heard.await.expect("the toasts")
    };
    // Two taps on the same button, as an impatient person makes them.
    ann.presses_on(&card, "🗑 Photo 7");
    ann.presses_on(&card, "🗑 Photo 7");
    let said = toasts(2).await;
    assert!(
        said[0].contains("Photo 7 is removed. You can send another"),
        "{said:?}"
    );
    assert_eq!(said[1], "This photo is removed already.");
    let card = ann.hears("photos 8, 9 and 10: no face").await;
    assert!(card.text.contains("9 photos loaded"), "{}", card.text);
    assert!(card.text.contains("1 more photo is needed"), "{}", card.text);
    // The eleventh: another cup of coffee.
    ann.0.send_photo(photos(11).remove(10), "").await.unwrap();
    let card = ann.hears("photos 8, 9, 10 and 11: no face").await;
    assert!(card.text.contains("10 photos loaded"), "{}", card.text);
    ann.presses_on(&card, "Keep all");
    assert_eq!(toasts(3).await[2], "👌 All right, all photos stay.");
    let card = ann.sees(&card, "Ready to start").await;
    ann.0
        .wait_until(PATIENCE, |chat| {
            let now = chat
                .messages
                .iter()
                .find(|one| one.message_id == card.message_id)?;
            (!now.text.contains("🔎")).then_some(())
        })
        .await
        .expect("the hints vanish");
    assert_eq!(stage.count(STORED).await, 10);
}

/// The picture once more, as another file; blurred by so much.
pub fn copy(photo: &[u8], blur: f32) -> Bytes {
    let picture = image::load_from_memory(photo).unwrap();
    let picture = if blur > 0.0 { picture.blur(blur) } else { picture };
    let mut jpeg = std::io::Cursor::new(Vec::new());
    picture
        .to_rgb8()
        .write_to(&mut jpeg, image::ImageFormat::Jpeg)
        .unwrap();
    jpeg.into_inner().into()
}
