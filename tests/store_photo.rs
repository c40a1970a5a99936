//! `store_photo`: a photo is in our bucket as it was sent, or its sender learns why not.

use aisha::simulators::telegram::{Fault, FaultAction, Known, MessageFilter, SimUser};
use jobs::domain::AvatarId;
use jobs::producer::{PhotoTaken, Place};
use jobs::queue::{JobId, JobState};

use sha2::{Digest as _, Sha256};

use crate::support::{Core, S3Proxy, Tamper, bucket_out_of_reach};

/// A draft at the photo step, with a visible counter.
pub async fn draft(core: &Core, person: &SimUser) -> AvatarId {
    let avatar = core.draft_of(person).await;
    let mut turn = core.turn_of(person).await;
    let draft = turn.draft().await.unwrap().unwrap();
    turn.show_photos(&draft, Place::New).await.unwrap();
    turn.finish().await.unwrap();
    core.jobs.drain().await;
    avatar
}

/// The person sends a photo; returns the job that downloads it.
pub async fn send(core: &Core, person: &SimUser, bytes: &[u8]) -> JobId {
    assert_eq!(offer(core, person, bytes).await, PhotoTaken::Yes);
    core.newest("store_photo").await
}

pub async fn offer(core: &Core, person: &SimUser, bytes: &[u8]) -> PhotoTaken {
    let message = person
        .send_document("photo.jpg", Some("image/jpeg"), bytes.to_vec(), "")
        .await
        .unwrap();
    let chat = person.chat().unwrap();
    let file = chat
        .messages
        .iter()
        .find(|one| one.message_id == message)
        .unwrap()
        .document
        .clone()
        .unwrap();
    let mut turn = core.turn_of(person).await;
    let draft = turn.draft().await.unwrap().unwrap();
    let taken = turn
        .add_photo(&draft, &file.file_id, &file.file_unique_id)
        .await
        .unwrap();
    turn.finish().await.unwrap();
    taken
}

/// The photo card, as it is now.
pub fn counter(core: &Core, person: &SimUser) -> String {
    let filter = MessageFilter {
        chat_id: Some(person.id()),
        ..MessageFilter::from_bot()
    };
    let messages = core.telegram.control().messages(&filter);
    let mut cards = messages
        .into_iter()
        .filter(|message| message.text.starts_with("📸"));
    cards.next_back().expect("a card").text
}

pub fn portrait(number: usize) -> Vec<u8> {
    let names = ["00_astronaut", "01_astronaut", "02_astronaut"];
    let file = format!(
        "{}/tests/photos/portrait/{}.jpg",
        env!("CARGO_MANIFEST_DIR"),
        names[number]
    );
    std::fs::read(file).unwrap()
}

#[tokio::test]
async fn a_photo_that_telegram_never_hands_out_is_refused_in_the_end_and_the_user_knows() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    let job = send(&core, &ann, &portrait(0)).await;
    let gone = Fault::on(
        "getFile",
        FaultAction::Refuse {
            error: Known::FileIsUnavailable,
        },
    );
    core.telegram.control().inject(Fault { times: None, ..gone });
    let worker = &core.jobs;
    assert_eq!(
        worker.run(job).await.state,
        JobState::Scheduled,
        "it may only be unavailable for now"
    );
    assert_eq!(worker.run_last_attempt(job).await.state, JobState::Dead);
    worker.drain_through_time().await;
    assert_eq!(
        core.look::<String>("select reason from avatar_photos").await,
        "unavailable"
    );
    assert!(
        counter(&core, &ann).contains("photo 1 — Telegram does not hand out this file"),
        "{}",
        counter(&core, &ann)
    );
}

#[tokio::test]
async fn a_refused_photo_is_told_again_and_one_that_was_unavailable_may_come_again() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    send(&core, &ann, b"I am not a picture").await;
    let worker = &core.jobs;
    worker.drain_through_time().await;
    let refused = PhotoTaken::Refused {
        reason: "not_an_image".to_owned(),
        detail: None,
    };
    assert_eq!(offer(&core, &ann, b"I am not a picture").await, refused);

    let job = send(&core, &ann, &portrait(0)).await;
    let gone = Fault::on(
        "getFile",
        FaultAction::Refuse {
            error: Known::FileIsUnavailable,
        },
    );
    core.telegram.control().inject(gone);
    assert_eq!(worker.run_last_attempt(job).await.state, JobState::Dead);
    assert_eq!(offer(&core, &ann, &portrait(0)).await, PhotoTaken::Yes);
    worker.drain_through_time().await;
    assert!(
        counter(&core, &ann).contains("1 photo loaded"),
        "{}",
        counter(&core, &ann)
    );
    assert_eq!(offer(&core, &ann, &portrait(0)).await, PhotoTaken::Known);
}

#[tokio::test]
async fn a_file_that_is_no_picture_is_refused_with_its_reason() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    send(&core, &ann, b"I am not a picture").await;
    core.jobs.drain_through_time().await;
    assert_eq!(
        core.look::<String>("select reason from avatar_photos").await,
        "not_an_image"
    );
    assert!(
        counter(&core, &ann).contains("photo 1 — this isn't an image"),
        "{}",
        counter(&core, &ann)
    );
    assert_eq!(
        core.look::<i64>("select count(*) from avatar_photos where storage_key is not null")
            .await,
        0
    );
}

#[tokio::test]
async fn a_file_that_bots_may_not_fetch_is_refused_as_too_large() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    send(&core, &ann, &portrait(0)).await;
    core.telegram.control().inject(Fault::on(
        "getFile",
        FaultAction::Refuse {
            error: Known::FileIsTooBig,
        },
    ));
    core.jobs.drain_through_time().await;
    assert_eq!(
        core.look::<String>("select reason from avatar_photos").await,
        "too_large"
    );
}

#[tokio::test]
async fn a_bucket_that_is_away_costs_time_and_no_photo() {
    let mut core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    let job = send(&core, &ann, &portrait(0)).await;
    let there = core.services.objects.clone();
    core.change_services(|services| services.objects = bucket_out_of_reach());
    assert_eq!(core.jobs.run(job).await.state, JobState::Scheduled);
    assert_eq!(
        core.look::<String>("select status::text from avatar_photos")
            .await,
        "pending"
    );
    core.change_services(|services| services.objects = there);
    core.jobs.drain_through_time().await;
    assert_eq!(
        core.look::<String>("select status::text from avatar_photos")
            .await,
        "stored"
    );
}

#[tokio::test]
async fn a_photo_of_a_draft_that_was_thrown_away_is_let_go() {
    let core = Core::new().await;
    let ann = core.person();
    let avatar = draft(&core, &ann).await;
    let job = send(&core, &ann, &portrait(0)).await;
    let mut turn = core.turn_of(&ann).await;
    assert!(turn.discard(avatar, Place::New).await.unwrap().is_some());
    turn.finish().await.unwrap();
    assert_eq!(core.jobs.run(job).await.state, JobState::Done);
    core.jobs.drain_through_time().await;
    assert_eq!(
        core.look::<i64>("select count(*) from jobs where state <> 'done'")
            .await,
        0
    );
}

/// A store that answers 200 and keeps half: we ask for what it has, and put the rest again.
#[tokio::test]
async fn a_photo_that_the_store_cut_is_put_again() {
    let mut core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    let job = send(&core, &ann, &portrait(0)).await;
    let proxy = S3Proxy::before(&core.s3).await;
    proxy.tamper(Tamper::CutPuts);
    core.change_services(|services| services.objects = proxy.bucket());
    let worker = &core.jobs;
    assert_eq!(worker.run(job).await.state, JobState::Scheduled);
    assert_eq!(
        core.look::<String>("select status::text from avatar_photos")
            .await,
        "pending",
        "half a photo is not stored"
    );
    proxy.tamper(Tamper::Nothing);
    worker.drain_through_time().await;
    let row: (String, i64, String) =
        sqlx::query_as("select storage_key, bytes, sha256 from avatar_photos where status = 'stored'")
            .fetch_one(core.pool())
            .await
            .unwrap();
    assert_eq!(core.s3.get(&row.0).unwrap(), portrait(0));
    assert_eq!(row.1, i64::try_from(portrait(0).len()).unwrap());
    assert_eq!(row.2, hex::encode(Sha256::digest(portrait(0))));
}

#[tokio::test]
async fn a_refusal_names_the_format_or_the_limit_and_what_to_do() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    send(&core, &ann, b"GIF89a and so on").await;
    send(&core, &ann, &jpeg_header(8192, 6300)).await;
    send(&core, &ann, &jpeg_header(12_001, 9)).await;
    send(&core, &ann, &vec![7; 20 * 1024 * 1024 + 1]).await;
    core.jobs.drain_through_time().await;
    let told = counter(&core, &ann);
    for said in [
        "photo 1 — GIF, which I can't read; send the picture as a photo",
        "photo 2 — the picture is larger than 51 MP; send it as a photo",
        "photo 3 — the picture is larger than 12000 px; send it as a photo",
        "photo 4 — the file has more than 20 MB; send it as a photo",
    ] {
        assert!(told.contains(said), "{said:?} is not in {told:?}");
    }
}

/// A JPEG of this size, but only its header.
pub fn jpeg_header(width: u16, height: u16) -> Vec<u8> {
    let ([w1, w0], [h1, h0]) = (width.to_be_bytes(), height.to_be_bytes());
    let frame = [
        0xff, 0xc0, 0, 17, 8, h1, h0, w1, w0, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0,
    ];
    let scan = [0xff, 0xda, 0, 12, 3, 1, 0, 2, 0, 3, 0, 0, 63, 0];
    [[0xff, 0xd8].as_slice(), &frame, &scan].concat()
}
