//! Photos, documents, albums and downloads, with real bytes.

use std::time::Duration;

use aisha::simulators::telegram::MediaOptions;
use image::ImageFormat;
use serde_json::{Value, json};
use teloxide::net::Download;
use teloxide::payloads::{SendDocumentSetters, SendPhotoSetters};
use teloxide::prelude::Requester;
use teloxide::types::{FileId, InputFile, InputMedia, InputMediaDocument, InputMediaPhoto};

use super::{CHAT, Sim, TOKEN, jpeg, picture};

async fn download(sim: &Sim, file_id: &str) -> Vec<u8> {
    let bot = sim.bot();
    let file = bot.get_file(FileId(file_id.to_owned())).await.unwrap();
    let mut bytes = Vec::new();
    bot.download_file(&file.path, &mut bytes).await.unwrap();
    assert_eq!(bytes.len(), usize::try_from(file.size).unwrap());
    bytes
}

async fn last_message(sim: &Sim) -> Value {
    sim.updates(-1).await.pop().unwrap()["message"].take()
}

#[tokio::test]
async fn a_photo_comes_in_sizes_and_the_largest_is_what_was_sent() {
    let sim = Sim::start().await;
    let original = jpeg(1200, 900, 10);
    sim.ann.send_photo(original.clone(), "me").await.unwrap();
    let message = last_message(&sim).await;
    assert_eq!(message["caption"], "me");
    let sizes = message["photo"].as_array().unwrap();
    let dimensions: Vec<_> = sizes
        .iter()
        .map(|size| (size["width"].clone(), size["height"].clone()))
        .collect();
    assert_eq!(
        dimensions,
        [(320, 240), (800, 600), (1200, 900)].map(|(w, h)| (json!(w), json!(h)))
    );
    for (size, (width, height)) in sizes.iter().zip([(320, 240), (800, 600), (1200, 900)]) {
        let bytes = download(&sim, size["file_id"].as_str().unwrap()).await;
        let decoded = image::load_from_memory_with_format(&bytes, ImageFormat::Jpeg).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (width, height));
        assert_eq!(bytes == original, width == 1200);
    }
}

#[tokio::test]
async fn png_and_webp_have_their_real_dimensions_too() {
    let sim = Sim::start().await;
    for format in [ImageFormat::Png, ImageFormat::WebP] {
        sim.ann
            .send_photo(picture(310, 200, 1, format), "")
            .await
            .unwrap();
        let photo = last_message(&sim).await["photo"].take();
        assert_eq!(
            (&photo[0]["width"], &photo[0]["height"]),
            (&json!(310), &json!(200)),
            "{format:?}"
        );
    }
    let refused = sim
        .ann
        .send_photo("no picture at all", "")
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("IMAGE_PROCESS_FAILED"), "{refused}");
    let refused = sim
        .ann
        .send_photo(jpeg(2100, 100, 1), "")
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("PHOTO_INVALID_DIMENSIONS"), "{refused}");
}

#[tokio::test]
async fn the_same_content_has_the_same_unique_id_and_another_has_another() {
    let sim = Sim::start().await;
    let mut ids = Vec::new();
    for shade in [10, 200, 10] {
        sim.ann.send_photo(jpeg(100, 100, shade), "").await.unwrap();
        ids.push(last_message(&sim).await["photo"][0]["file_unique_id"].clone());
    }
    assert_eq!(ids[0], ids[2]);
    assert_ne!(ids[0], ids[1]);
}

#[tokio::test]
async fn an_album_is_messages_with_one_group_in_the_order_they_arrive() {
    let sim = Sim::start().await;
    let photos = (0..3).map(|shade| jpeg(50, 50, shade * 80).into()).collect();
    let options = MediaOptions {
        caption: "us".to_owned(),
        order: vec![2, 0, 1],
        delay: Duration::from_millis(1),
    };
    let sent = sim.ann.send_album(photos, options).await.unwrap();
    let updates = sim.updates(0).await;
    let album: Vec<&Value> = updates
        .iter()
        .map(|update| &update["message"])
        .filter(|it| !it["photo"].is_null())
        .collect();
    let ids: Vec<_> = album
        .iter()
        .map(|message| message["message_id"].as_i64().unwrap())
        .collect();
    assert_eq!(ids, [sent[2], sent[0], sent[1]]);
    assert!(
        album
            .iter()
            .all(|message| message["media_group_id"] == album[0]["media_group_id"])
    );
    assert_eq!(
        album
            .iter()
            .map(|message| message["caption"].as_str())
            .collect::<Vec<_>>(),
        [None, Some("us"), None]
    );
}

#[tokio::test]
async fn more_than_ten_photos_are_several_albums() {
    let sim = Sim::start().await;
    let photos = (0..13).map(|shade| jpeg(40, 40, shade).into()).collect();
    sim.ann.send_album(photos, MediaOptions::default()).await.unwrap();
    let messages = sim.ann.chat().unwrap().messages;
    let mut groups: Vec<_> = messages
        .into_iter()
        .filter_map(|message| message.media_group_id)
        .collect();
    groups.dedup();
    assert_eq!(groups.len(), 2);
}

#[tokio::test]
async fn a_document_keeps_its_bytes_name_and_type() {
    let sim = Sim::start().await;
    let bytes = picture(60, 60, 9, ImageFormat::Png);
    sim.ann
        .send_document("me.png", None, bytes.clone(), "")
        .await
        .unwrap();
    let document = last_message(&sim).await["document"].take();
    assert_eq!(
        (&document["file_name"], &document["mime_type"]),
        (&json!("me.png"), &json!("image/png"))
    );
    assert_eq!(download(&sim, document["file_id"].as_str().unwrap()).await, bytes);
    sim.ann
        .send_document("me.heic", Some("image/heic"), "ftypheic", "")
        .await
        .unwrap();
    assert_eq!(last_message(&sim).await["document"]["mime_type"], "image/heic");
}

#[tokio::test]
async fn bots_download_up_to_20_megabytes_for_an_hour() {
    let sim = Sim::start().await;
    sim.ann
        .send_document("fits.bin", None, vec![7; 20 << 20], "")
        .await
        .unwrap();
    let fits = last_message(&sim).await["document"]["file_id"].take();
    sim.ann
        .send_document("large.bin", None, vec![7; (20 << 20) + 1], "")
        .await
        .unwrap();
    let large = last_message(&sim).await["document"]["file_id"].take();
    assert_eq!(
        sim.refusal("getFile", json!({ "file_id": large })).await,
        "Bad Request: file is too big"
    );
    assert_eq!(
        sim.refusal("getFile", json!({ "file_id": "none" })).await,
        "Bad Request: invalid file_id"
    );

    let path = sim.ok("getFile", json!({ "file_id": fits })).await["file_path"]
        .as_str()
        .unwrap()
        .to_owned();
    let url = format!("{}/file/bot{TOKEN}/{path}", sim.running.url());
    let fetch = async || sim.http.get(&url).send().await.unwrap().status().as_u16();
    assert_eq!(fetch().await, 200);
    sim.control().advance_clock(3601);
    assert_eq!(fetch().await, 404);
    sim.ok("getFile", json!({ "file_id": fits })).await;
    assert_eq!(fetch().await, 200);
}

#[tokio::test]
async fn the_bot_sends_photos_and_documents_from_memory_and_by_id() {
    let sim = Sim::start().await;
    let bot = sim.bot();
    let photo = bot
        .send_photo(CHAT, InputFile::memory(jpeg(90, 60, 3)))
        .caption("new")
        .await
        .unwrap();
    let size = photo.photo().unwrap().last().unwrap().clone();
    assert_eq!((size.width, size.height, photo.caption()), (90, 60, Some("new")));
    let again = bot
        .send_photo(CHAT, InputFile::file_id(size.file.id.clone()))
        .await
        .unwrap();
    assert_eq!(
        again.photo().unwrap().last().unwrap().file.unique_id,
        size.file.unique_id
    );

    let file = InputFile::memory("text").file_name("notes.txt");
    let document = bot.send_document(CHAT, file).caption("read").await.unwrap();
    assert_eq!(
        document.document().unwrap().file_name.as_deref(),
        Some("notes.txt")
    );
    let wrong = json!({ "chat_id": CHAT.0, "photo": document.document().unwrap().file.id.0 });
    assert_eq!(
        sim.refusal("sendPhoto", wrong).await,
        "Bad Request: can't use file of type Document as Photo"
    );
    let url = json!({ "chat_id": CHAT.0, "photo": "https://example.org/a.jpg" });
    assert_eq!(
        sim.refusal("sendPhoto", url).await,
        "Bad Request: failed to get HTTP URL content"
    );
    let long = json!({ "chat_id": CHAT.0, "photo": size.file.id.0, "caption": "x".repeat(1025) });
    assert_eq!(
        sim.refusal("sendPhoto", long).await,
        "Bad Request: message caption is too long"
    );
}

#[tokio::test]
async fn the_bot_sends_albums_of_two_to_ten_of_one_kind() {
    let sim = Sim::start().await;
    let photo = |shade| InputMedia::Photo(InputMediaPhoto::new(InputFile::memory(jpeg(30, 30, shade))));
    let sent = sim
        .bot()
        .send_media_group(CHAT, [photo(1), photo(2)])
        .await
        .unwrap();
    assert_eq!(sent.len(), 2);
    assert!(sent[0].media_group_id().is_some() && sent[0].media_group_id() == sent[1].media_group_id());

    let id = sent[0].photo().unwrap().last().unwrap().file.id.0.clone();
    let album = |count: usize| json!({ "chat_id": CHAT.0, "media": vec![json!({ "type": "photo", "media": id }); count] });
    assert_eq!(
        sim.ok("sendMediaGroup", album(10))
            .await
            .as_array()
            .unwrap()
            .len(),
        10
    );
    for (count, reason) in [
        (0, "there are no messages to send"),
        (1, "too few messages to send as an album"),
        (11, "too many messages to send as an album"),
    ] {
        assert_eq!(
            sim.refusal("sendMediaGroup", album(count)).await,
            format!("Bad Request: {reason}")
        );
    }
    let document = InputMedia::Document(InputMediaDocument::new(InputFile::memory("x")));
    let mixed = sim
        .bot()
        .send_media_group(CHAT, [photo(1), document])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        mixed.contains("document can't be mixed with other media types"),
        "{mixed}"
    );
}

#[tokio::test]
async fn captions_and_media_of_a_sent_photo_can_be_replaced() {
    let sim = Sim::start().await;
    let bot = sim.bot();
    let sent = bot
        .send_photo(CHAT, InputFile::memory(jpeg(30, 30, 1)))
        .await
        .unwrap();
    let other = InputMedia::Photo(InputMediaPhoto::new(InputFile::memory(jpeg(44, 33, 2))).caption("second"));
    let edited = bot.edit_message_media(CHAT, sent.id, other).await.unwrap();
    assert_eq!(
        (edited.photo().unwrap()[0].width, edited.caption()),
        (44, Some("second"))
    );
    let caption = json!({ "chat_id": CHAT.0, "message_id": sent.id.0, "caption": "third" });
    assert_eq!(
        sim.ok("editMessageCaption", caption.clone()).await["caption"],
        "third"
    );
    assert!(
        sim.refusal("editMessageCaption", caption)
            .await
            .contains("message is not modified")
    );
    let text = json!({ "chat_id": CHAT.0, "message_id": sent.id.0, "text": "no" });
    assert_eq!(
        sim.refusal("editMessageText", text).await,
        "Bad Request: there is no text in the message to edit"
    );
}
