//! Uploads of archives and downloads of models.

use std::{
    fs::File,
    io::{Cursor, Read as _, Seek as _, Write as _},
    time::Duration,
};

use aisha::simulators::fal::{
    Running,
    faults::{Effect, Fault, Operation},
    ledger::Event,
};
use image::{ImageFormat, Rgb, RgbImage};
use jobs::{
    domain::{FinetuneComment, Preset, TrainedModel, TrainingOrder, TrainingType, UserId},
    fal::{Error, FalClient, Multipart, ResultOutcome},
};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use super::{accepted, client, completed, simulator, wire::Wire};
use crate::{support::fal_settings, trainers::trainers};

const DAY: Duration = Duration::from_hours(24);
const ZIP: &str = "application/zip";

fn file_of(content: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content).unwrap();
    file
}

fn noise(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(31) >> 3).to_le_bytes()[0])
        .collect()
}

/// A client that uploads files over 2500 bytes in parts of 1000 bytes.
fn in_parts(simulator: &Running) -> FalClient {
    let mut settings = fal_settings(&simulator.url());
    settings.multipart = Multipart {
        above: 2500,
        part: 1000,
        tries: 3,
    };
    client(settings)
}

fn uploaded(simulator: &Running) -> Vec<(u64, String, usize)> {
    let ledger = simulator.ledger();
    let uploads = ledger.iter().filter_map(|entry| match &entry.event {
        Event::Uploaded {
            bytes, sha256, parts, ..
        } => Some((*bytes, sha256.clone(), *parts)),
        _ => None,
    });
    uploads.collect()
}

#[tokio::test]
async fn an_upload_arrives_whole_with_its_lifecycle_and_can_be_fetched() {
    let (simulator, fal) = simulator().await;
    let content = noise(700_000);
    let url = fal
        .upload(file_of(&content), 700_000, ZIP, "photos.zip", DAY)
        .await
        .unwrap();
    assert!(url.ends_with("photos.zip"), "{url}");
    assert_eq!(
        uploaded(&simulator),
        [(700_000, hex::encode(Sha256::digest(&content)), 1)]
    );
    let initiated = simulator.ledger().iter().find_map(|entry| match &entry.event {
        Event::UploadInitiated {
            expires_in_seconds,
            multipart,
            ..
        } => Some((*expires_in_seconds, *multipart)),
        _ => None,
    });
    assert_eq!(initiated, Some((Some(86_400), false)));

    assert!(fal.exists(&url).await.unwrap());
    let mut download = fal.download(&url, 1 << 20).await.unwrap();
    assert_eq!(
        (download.bytes, &download.sha256),
        (700_000, &hex::encode(Sha256::digest(&content)))
    );
    let mut read = Vec::new();
    download.file.rewind().unwrap();
    download.file.read_to_end(&mut read).unwrap();
    assert_eq!(read, content);
    let leaked = simulator.ledger().iter().any(|entry| {
        matches!(
            entry.event,
            Event::Downloaded {
                leaked_authorization: true,
                ..
            }
        )
    });
    assert!(!leaked, "no file needs the key");
}

#[tokio::test]
async fn a_large_file_goes_up_in_parts_and_a_cut_part_is_sent_again() {
    let (simulator, _) = simulator().await;
    let fal = in_parts(&simulator);
    let content = noise(4321);
    simulator
        .script(Fault {
            nth: 2,
            ..Fault::new(Operation::Upload, Effect::Close {})
        })
        .unwrap();
    fal.upload(file_of(&content), 4321, ZIP, "photos.zip", DAY)
        .await
        .unwrap();
    assert_eq!(
        uploaded(&simulator),
        [(4321, hex::encode(Sha256::digest(&content)), 5)]
    );
}

#[tokio::test]
async fn a_storage_that_stays_in_trouble_is_tried_three_times_a_part() {
    let (simulator, _) = simulator().await;
    let fal = in_parts(&simulator);
    let trouble = Effect::Answer {
        status: 500,
        headers: std::iter::empty().collect(),
        body: json!("down"),
    };
    simulator
        .script(Fault {
            times: 3,
            ..Fault::new(Operation::Upload, trouble.clone())
        })
        .unwrap();
    let error = fal
        .upload(file_of(&noise(3000)), 3000, ZIP, "photos.zip", DAY)
        .await
        .expect_err("an error");
    assert!(matches!(error, Error::Server { status: 500, .. }), "{error}");
    simulator
        .script(Fault {
            times: 2,
            ..Fault::new(Operation::Upload, trouble)
        })
        .unwrap();
    fal.upload(file_of(&noise(2000)), 2000, ZIP, "photos.zip", DAY)
        .await
        .expect("the third try");
}

#[tokio::test]
async fn a_file_that_is_shorter_than_promised_is_an_error_and_no_upload() {
    let (simulator, fal) = simulator().await;
    let error = fal
        .upload(file_of(&noise(100)), 200, ZIP, "photos.zip", DAY)
        .await
        .expect_err("an error");
    assert!(
        matches!(error, Error::Unreachable { .. } | Error::File { .. }),
        "{error}"
    );
    assert_eq!(uploaded(&simulator), []);
}

#[tokio::test]
async fn a_file_that_is_gone_or_forbidden_is_not_there() {
    let (simulator, fal) = simulator().await;
    let url = fal
        .upload(file_of(b"PK"), 2, ZIP, "photos.zip", DAY)
        .await
        .unwrap();
    for status in [403, 404, 410] {
        let gone = Effect::Answer {
            status,
            headers: std::iter::empty().collect(),
            body: json!("gone"),
        };
        simulator
            .script(Fault::new(Operation::Download, gone.clone()))
            .unwrap();
        assert!(!fal.exists(&url).await.unwrap(), "{status}");
    }
    let trouble = Effect::Answer {
        status: 503,
        headers: std::iter::empty().collect(),
        body: json!("later"),
    };
    simulator
        .script(Fault::new(Operation::Download, trouble))
        .unwrap();
    assert!(fal.exists(&url).await.is_err(), "trouble is no absence");
}

#[tokio::test]
async fn a_download_is_whole_and_within_its_limit_or_an_error() {
    let (simulator, fal) = simulator().await;
    let url = fal
        .upload(file_of(&noise(5000)), 5000, ZIP, "model.safetensors", DAY)
        .await
        .unwrap();
    assert!(matches!(
        fal.download(&url, 4999).await,
        Err(Error::TooLarge { limit: 4999, .. })
    ));
    simulator
        .script(Fault::new(Operation::Download, Effect::Truncate { bytes: 1000 }))
        .unwrap();
    assert!(matches!(
        fal.download(&url, 5000).await,
        Err(Error::Unreachable { .. })
    ));
    let missing = format!("{url}x");
    assert!(matches!(
        fal.download(&missing, 5000).await,
        Err(Error::Missing { .. })
    ));
    assert!(matches!(
        fal.download("file:///etc/passwd", 5000).await,
        Err(Error::Garbled { .. })
    ));
}

/// FAL's storage is at one address, another server at a second one; only the
/// operator's settings say which one is FAL's.
#[tokio::test]
async fn nothing_is_sent_to_a_host_that_only_an_answer_names() {
    let inside = Wire::answering("200 OK", "Content-Type: text/plain\r\n", "internal-secret").await;
    let there = format!("{}/latest/meta-data", inside.base());
    let redirecting = Wire::answering("302 Found", &format!("Location: {there}\r\n"), "").await;
    let fal = client(fal_settings(&redirecting.base()));
    let redirected = format!("{}/cdn/lora.safetensors", redirecting.base());
    for url in [&there, &redirected] {
        let error = fal.download(url, 1000).await.expect_err("an error");
        assert!(matches!(error, Error::ForeignHost { .. }), "{url}: {error}");
        let said = error.to_string();
        assert!(
            said.contains(&inside.base()) && said.contains("fal.file_hosts"),
            "{said}"
        );
        assert!(!said.contains("meta-data"), "{said}");
    }

    let initiated = json!({"upload_url": there, "file_url": there}).to_string();
    let initiating = Wire::answering("200 OK", "Content-Type: application/json\r\n", &initiated).await;
    let fal = client(fal_settings(&initiating.base()));
    let error = fal.upload(file_of(b"PK"), 2, ZIP, "photos.zip", DAY).await;
    let error = error.expect_err("an error");
    assert!(matches!(error, Error::ForeignHost { .. }), "{error}");
    assert_eq!(
        inside.heard().len(),
        0,
        "somebody called the inside of the network"
    );
}

#[tokio::test]
async fn no_error_quotes_a_file_server_and_no_referer_is_sent() {
    for (status, headers) in [
        ("403 Forbidden", ""),
        ("404 Not Found", ""),
        ("500 Internal Server Error", ""),
        ("429 Too Many Requests", ""),
        ("418 I'm a teapot", ""),
    ] {
        let wire = Wire::answering(status, headers, "AWS_SECRET_ACCESS_KEY=wJalr").await;
        let fal = client(fal_settings(&wire.base()));
        let url = format!("{}/cdn/a?signature=s3cret", wire.base());
        let error = fal.download(&url, 1000).await.expect_err("an error").to_string();
        assert!(!error.contains("wJalr") && !error.contains("s3cret"), "{error}");
        let heard = wire.heard()[0].text.to_lowercase();
        assert!(
            !heard.contains("referer") && !heard.contains("authorization"),
            "{heard}"
        );
    }
    let end = Wire::answering("200 OK", "", "x").await;
    let location = format!("Location: {}/cdn/b\r\n", end.base());
    let begin = Wire::answering("302 Found", &location, "").await;
    let mut settings = fal_settings(&begin.base());
    settings.rest_url = format!("{}/rest", end.base()).parse().unwrap();
    let fal = client(settings);
    let url = format!("{}/cdn/a?signature=s3cret", begin.base());
    assert_eq!(fal.download(&url, 1000).await.expect("within FAL's").bytes, 1);
    let heard = end.heard()[0].text.to_lowercase();
    assert!(!heard.contains("referer") && !heard.contains("s3cret"), "{heard}");
}

/// From end to end: the simulator's portrait trainer accepts the input that the trainer table makes.
#[tokio::test]
async fn a_training_of_uploaded_photos_leaves_a_model_that_can_be_fetched() {
    let (_simulator, fal) = simulator().await;
    let zip = zip_of_photos(10);
    let length = zip.len() as u64;
    let archive_url = fal
        .upload(file_of(&zip), length, ZIP, "photos.zip", DAY)
        .await
        .unwrap();
    let trainers = trainers();
    for trainer in [
        trainers.default_for(TrainingType::Portrait),
        trainers.default_for(TrainingType::Style),
    ] {
        let input = trainer.request(&TrainingOrder {
            archive_url: &archive_url,
            trigger: "TOK_0b5c2d9e",
            preset: Preset::Fast,
            comment: FinetuneComment {
                avatar_name: None,
                telegram_username: None,
                user_id: UserId(uuid::Uuid::nil()),
                token: "00ff",
            },
        });
        let request = accepted(&fal, &trainer.endpoint, &input).await;
        completed(&fal, &request).await;
        let outcome = fal.result(&request).await.unwrap();
        let ResultOutcome::Succeeded(output) = outcome else {
            panic!("{outcome:?}")
        };
        let TrainedModel::Lora {
            url,
            file_size: Some(size),
            ..
        } = trainer.output(&output).unwrap()
        else {
            panic!("{output}")
        };
        assert_eq!(fal.download(&url, 1 << 30).await.unwrap().bytes, size);
    }
}

fn zip_of_photos(count: u8) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for number in 1..=count {
        let mut photo = Cursor::new(Vec::new());
        let picture = RgbImage::from_fn(512, 512, |x, y| {
            Rgb([x.to_le_bytes()[0], y.to_le_bytes()[0], number])
        });
        picture.write_to(&mut photo, ImageFormat::Jpeg).unwrap();
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        zip.start_file(format!("photo_{number:03}.jpg"), options).unwrap();
        zip.write_all(photo.get_ref()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}
