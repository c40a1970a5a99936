//! `build_archive`: what becomes of photos.

use jobs::{BuildArchive, SubmitTraining, queue::JobState};

use super::world::{World, photo};

#[tokio::test]
async fn an_archive_waits_for_photos_on_their_way() {
    let world = World::requested().await;
    let late = world.announce_photo().await;
    let ran = world.jobs.run_one::<BuildArchive>().await.unwrap();
    assert_eq!(ran.state, JobState::Scheduled, "it waits");
    assert_eq!(
        world
            .count("select attempt::bigint from jobs where kind = 'build_archive'")
            .await,
        0,
        "at no charge"
    );
    assert_eq!(world.status().await, "requested");

    sqlx::query("delete from avatar_photos where id = $1")
        .bind(late)
        .execute(world.pool())
        .await
        .unwrap();
    let job = world.job::<BuildArchive>().await;
    assert_eq!(world.jobs.run(job).await.state, JobState::Done);
    assert_eq!(world.status().await, "archived");
    world.job::<SubmitTraining>().await;
}

#[tokio::test]
async fn damaged_photos_are_left_out_and_the_user_is_told_why() {
    let world = World::requested().await;
    let whole = photo(9);
    world.store_photo(&whole[..whole.len() / 2]).await;
    world.store_photo(b"no picture at all").await;
    let world = world.archive().await;
    assert_eq!(
        world.count("select archive_photos::bigint from trainings").await,
        4
    );
    let reasons = world
        .text("select string_agg(reason, ',' order by position) from avatar_photos where status = 'rejected'")
        .await;
    assert_eq!(reasons.as_deref(), Some("damaged,not_an_image"));
    let told = world
        .text("select message::text from notifications where kind = 'progress'")
        .await
        .unwrap();
    assert!(
        told.contains("damaged") && told.contains("not_an_image"),
        "{told}"
    );
}

#[tokio::test]
async fn too_few_usable_photos_fail_the_training_at_once() {
    let world = World::requested().await;
    sqlx::query("delete from avatar_photos where ctid in (select ctid from avatar_photos limit 2)")
        .execute(world.pool())
        .await
        .unwrap();
    let ran = world.jobs.run_one::<BuildArchive>().await.unwrap();
    assert_eq!(
        ran.state,
        JobState::Done,
        "a verdict about the photos is no failure of the job"
    );
    assert_eq!(world.status().await, "failed");
    assert_eq!(
        world.text("select failure_code from trainings").await.as_deref(),
        Some("too_few_photos")
    );
    assert_eq!(
        world.text("select status::text from avatars").await.as_deref(),
        Some("failed"),
        "and may be tried again"
    );
    assert_eq!(
        world
            .count("select count(*) from notifications where kind = 'final'")
            .await,
        1
    );
    assert_eq!(world.submits(), 0);
}

#[tokio::test]
async fn a_rebuilt_archive_is_the_same_to_the_byte() {
    let world = World::archived().await;
    let first = world.text("select archive_sha256 from trainings").await;
    sqlx::query("update trainings set status = 'requested'")
        .execute(world.pool())
        .await
        .unwrap();
    world.enqueue_archive().await;
    let world = world.archive().await;
    assert_eq!(world.text("select archive_sha256 from trainings").await, first);
}

#[tokio::test]
async fn an_archive_that_is_gone_from_fal_is_built_again_before_the_submit() {
    let world = World::archived().await;
    sqlx::query("update trainings set archive_url = archive_url || '.gone'")
        .execute(world.pool())
        .await
        .unwrap();
    let world = world.submit().await;
    assert_eq!(world.status().await, "requested");
    assert_eq!(world.submits(), 0);
    let world = world.archive().await.submit().await;
    assert_eq!((world.status().await.as_str(), world.submits()), ("submitted", 1));
}
