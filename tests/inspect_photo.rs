//! `inspect_photo`: what the owner of a draft is told about its photos before the start, and what they do about it.

use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, imageops};
use jobs::domain::PhotoId;
use jobs::producer::{PhotoRemoved, PhotoTaken, Started};
use jobs::queue::JobState;
use jobs::{InspectPhoto, NotifyUser, StorePhoto};
use uuid::Uuid;

use crate::store_photo::{counter, draft, offer, portrait, send};
use crate::support::{Core, aisha, eventually};

/// A cat.
pub fn no_face() -> Vec<u8> {
    photo("portrait/06_chelsea.jpg")
}

fn photo(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/photos/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

fn edited(photo: &[u8], edit: impl Fn(DynamicImage) -> DynamicImage) -> Vec<u8> {
    let picture = edit(image::load_from_memory(photo).unwrap());
    let mut file = Vec::new();
    picture
        .write_with_encoder(JpegEncoder::new_with_quality(&mut file, 90))
        .unwrap();
    file
}

fn halved(photo: &[u8]) -> Vec<u8> {
    edited(photo, |picture| picture.thumbnail(640, 640))
}

fn blurred(photo: &[u8]) -> Vec<u8> {
    edited(photo, |picture| picture.fast_blur(8.0))
}

fn two_people(left: &[u8], right: &[u8]) -> Vec<u8> {
    let right = image::load_from_memory(right).unwrap();
    edited(left, |left| {
        let mut both = DynamicImage::new_rgb8(left.width() * 2, left.height());
        imageops::replace(&mut both, &left, 0, 0);
        imageops::replace(&mut both, &right, left.width().into(), 0);
        both
    })
}

async fn photo_id(core: &Core, number: i64) -> PhotoId {
    let id: Uuid = sqlx::query_scalar("select id from avatar_photos order by position offset $1 limit 1")
        .bind(number - 1)
        .fetch_one(core.pool())
        .await
        .unwrap();
    PhotoId(id)
}

/// Priorities order the jobs of one user only. With turns of their own, the inspections of those who came first would hold up
/// the photos of those who come later, whose counters stand still meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn photos_of_all_users_are_stored_before_others_are_inspected() {
    let core = Core::new().await;
    core.leaves::<NotifyUser>();
    let people = [(); 8].map(|()| core.person());
    for person in &people {
        draft(&core, person).await;
    }
    let (early, late) = people.split_at(4);
    for person in early {
        let storing = send(&core, person, &portrait(0)).await;
        core.jobs.run(storing).await;
    }
    for person in late {
        send(&core, person, &portrait(1)).await;
    }
    let _worker = aisha(["worker", "--queues", "media", "--slots", "media=1"])
        .env("DATABASE_URL", core.db.url())
        .env("AVATAR_TEST_MODE", "true")
        .envs(core.telegram.env())
        .envs(core.s3.env())
        .start();
    eventually("all photos are inspected", async || {
        let inspected = "select count(*) from avatar_photos where inspected_at is not null";
        (core.count(inspected).await == 8).then_some(())
    })
    .await;
    let before = "select count(*) from avatar_photos
                   where inspected_at < (select max(settled_at) from avatar_photos)";
    assert!(core.count(before).await <= 1, "the inspections share one turn");
}

/// The golden set: each bad photo gets its hint, and no good one does.
#[tokio::test]
async fn hints_are_shown_on_the_card_and_every_photo_stays_counted() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    for bytes in [
        portrait(0),
        portrait(1),
        blurred(&portrait(2)),
        halved(&portrait(0)),
        no_face(),
        two_people(&portrait(1), &portrait(2)),
    ] {
        send(&core, &ann, &bytes).await;
    }
    core.jobs.drain_through_time().await;
    let card = counter(&core, &ann);
    for line in [
        "6 photos loaded",
        "photos 1 and 4 look alike",
        "photo 3 is blurred",
        "photo 5: no face is seen",
        "photo 6: several faces",
        "Remove a photo and send another, or keep all",
    ] {
        assert!(card.contains(line), "{line:?} is not in {card:?}");
    }
    assert!(!card.contains("photo 2"), "the second is good: {card}");
    assert_eq!(
        core.count("select count(*) from avatar_photos where status = 'stored'")
            .await,
        6
    );
}

#[tokio::test]
async fn a_photo_that_cannot_be_decoded_has_no_hint() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    // Its header is good, so it is stored; the archive will find out.
    send(&core, &ann, &photo("edge/trunc.jpg")).await;
    core.jobs.drain_through_time().await;
    let card = counter(&core, &ann);
    assert!(card.contains("1 photo loaded") && !card.contains("🔎"), "{card}");
    assert_eq!(
        core.count(
            "select count(*) from avatar_photos where inspected_at is not null and fingerprint is null"
        )
        .await,
        1
    );
    assert_eq!(
        core.count("select count(*) from jobs where state <> 'done'")
            .await,
        0
    );
}

#[tokio::test]
async fn a_removed_photo_makes_room_for_another_and_two_taps_remove_one() {
    let core = Core::new().await;
    let (ann, eve) = (core.person(), core.person());
    draft(&core, &ann).await;
    for bytes in [portrait(0), halved(&portrait(0)), portrait(1)] {
        send(&core, &ann, &bytes).await;
    }
    core.jobs.drain_through_time().await;
    let second = photo_id(&core, 2).await;

    core.draft_of(&eve).await;
    let mut turn = core.turn_of(&eve).await;
    let answer = turn.remove_photo(second).await.unwrap();
    assert_eq!(answer, PhotoRemoved::Stale, "it is somebody else's");
    turn.finish().await.unwrap();

    for expected in [PhotoRemoved::Yes { number: 2 }, PhotoRemoved::Before] {
        let mut turn = core.turn_of(&ann).await;
        assert_eq!(turn.remove_photo(second).await.unwrap(), expected);
        turn.finish().await.unwrap();
    }
    core.jobs.drain_through_time().await;
    let card = counter(&core, &ann);
    assert!(
        card.contains("2 photos loaded") && !card.contains("look alike"),
        "{card}"
    );
    assert!(!card.contains("did not work"), "it was no refusal: {card}");

    send(&core, &ann, &no_face()).await;
    core.jobs.drain_through_time().await;
    let card = counter(&core, &ann);
    assert!(card.contains("3 photos loaded"), "{card}");
    assert!(
        card.contains("photo 4: no face"),
        "numbered as the user sent them: {card}"
    );
}

#[tokio::test]
async fn a_photo_removed_while_it_is_on_its_way_stays_away_and_may_come_again() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    let storing = send(&core, &ann, &no_face()).await;
    let photo = photo_id(&core, 1).await;
    let remove = async || {
        let mut turn = core.turn_of(&ann).await;
        let removed = turn.remove_photo(photo).await.unwrap();
        turn.finish().await.unwrap();
        removed
    };
    assert_eq!(remove().await, PhotoRemoved::Yes { number: 1 });
    assert_eq!(core.jobs.run(storing).await.state, JobState::Done);
    assert_eq!(
        core.text("select reason from avatar_photos").await.as_deref(),
        Some("removed")
    );

    assert_eq!(
        offer(&core, &ann, &no_face()).await,
        PhotoTaken::Yes,
        "it may come again"
    );
    core.run::<StorePhoto>().await;
    assert!(core.is_live::<InspectPhoto>().await);
    assert_eq!(remove().await, PhotoRemoved::Yes { number: 1 });
    assert_eq!(core.run::<InspectPhoto>().await.state, JobState::Done);
    assert_eq!(
        core.text("select status::text from avatar_photos where inspected_at is null")
            .await
            .as_deref(),
        Some("rejected")
    );
    core.jobs.drain_through_time().await;
    assert!(
        !counter(&core, &ann).contains("loaded"),
        "{}",
        counter(&core, &ann)
    );
}

/// The job of the first sending is still live when the photo comes again, and is for the same row: the second sending
/// must not be lost with its end.
#[tokio::test]
async fn a_photo_removed_and_sent_again_before_its_job_has_run_is_stored() {
    let core = Core::new().await;
    let ann = core.person();
    draft(&core, &ann).await;
    let storing = send(&core, &ann, &portrait(0)).await;
    let mut turn = core.turn_of(&ann).await;
    let photo = photo_id(&core, 1).await;
    assert_eq!(
        turn.remove_photo(photo).await.unwrap(),
        PhotoRemoved::Yes { number: 1 }
    );
    turn.finish().await.unwrap();
    assert_eq!(offer(&core, &ann, &portrait(0)).await, PhotoTaken::Yes);
    assert_eq!(core.newest("store_photo").await, storing, "one job for the row");
    core.jobs.drain_through_time().await;
    let card = counter(&core, &ann);
    assert!(card.contains("1 photo loaded"), "{card}");
}

#[tokio::test]
async fn kept_photos_have_no_more_hints_until_another_looks_like_them() {
    let core = Core::new().await;
    let ann = core.person();
    let avatar = draft(&core, &ann).await;
    send(&core, &ann, &no_face()).await;
    core.jobs.drain_through_time().await;
    assert!(counter(&core, &ann).contains("no face"));
    let mut turn = core.turn_of(&ann).await;
    assert!(turn.keep_photos(avatar).await.unwrap());
    turn.finish().await.unwrap();
    core.jobs.drain_through_time().await;
    assert!(!counter(&core, &ann).contains("🔎"), "{}", counter(&core, &ann));
    send(&core, &ann, &halved(&no_face())).await;
    core.jobs.drain_through_time().await;
    let card = counter(&core, &ann);
    assert!(card.contains("photos 1 and 2 look alike"), "{card}");
    assert!(card.contains("photo 2: no face"), "only the new one: {card}");
}

#[tokio::test]
async fn nothing_is_removed_from_a_training() {
    let core = Core::new().await;
    let ann = core.person();
    let avatar = draft(&core, &ann).await;
    for number in 0..10 {
        send(
            &core,
            &ann,
            &edited(&portrait(0), |picture| picture.crop_imm(number * 40, 0, 800, 800)),
        )
        .await;
    }
    core.jobs.drain_through_time().await;
    let photo = photo_id(&core, 1).await;
    let mut turn = core.turn_of(&ann).await;
    let started = turn
        .request_training(avatar, jobs::producer::Place::New)
        .await
        .unwrap();
    assert!(matches!(started, Started::Yes(_)), "{started:?}");
    assert_eq!(turn.remove_photo(photo).await.unwrap(), PhotoRemoved::Stale);
    assert!(!turn.keep_photos(avatar).await.unwrap());
    turn.finish().await.unwrap();
    core.leaves::<jobs::BuildArchive>();
    core.leaves::<jobs::NotifyUser>();
}
