//! `sweep_orphans`: deletes from the bucket what no row names, and nothing else.

use std::time::Duration;

use jobs::{SweepOrphans, queue::JobState};
use uuid::Uuid;

use super::world::World;

/// A completed training, in a world where every object is old enough to be swept.
async fn old_world() -> World {
    let world = World::with_settings(|settings| {
        settings.orphan_age = Duration::ZERO;
    })
    .await
    .archive()
    .await
    .submit()
    .await;
    world.fal_is_done().await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.status().await, "completed");
    world
}

async fn sweep(world: &World) {
    world.enqueue(&SweepOrphans::default()).await;
    while world.is_live::<SweepOrphans>().await {
        assert_eq!(world.run::<SweepOrphans>().await.state, JobState::Done);
    }
}

#[tokio::test]
async fn the_sweep_removes_only_what_no_row_names() {
    let world = old_world().await;
    let named: Vec<String> = sqlx::query_scalar(
        "select storage_key from avatar_photos union select model_key from avatars where model_key is not null",
    )
    .fetch_all(world.pool())
    .await
    .unwrap();
    assert_eq!(named.len(), 5, "four photos and a model");
    let (user, avatar) = (Uuid::now_v7(), Uuid::now_v7());
    let ours = named[0].rsplit_once('/').unwrap().0;
    let orphans = [
        format!("{user}/{avatar}/{}.jpg", Uuid::now_v7()),
        format!("{ours}/{}.jpg", Uuid::now_v7()),
        format!("{ours}/photos-0123.zip"),
        format!("{ours}/{}.safetensors", Uuid::now_v7()),
    ];
    let foreign = ["backup/2026.zip".to_owned(), format!("{ours}/notes.txt")];
    for key in orphans.iter().chain(&foreign) {
        world.s3.put(key, b"bytes");
    }
    for sweeps in 1..=2 {
        sweep(&world).await;
        for key in named.iter().chain(&foreign) {
            assert!(world.s3.get(key).is_some(), "{key} was removed by sweep {sweeps}");
        }
        for key in &orphans {
            assert!(
                world.s3.get(key).is_none(),
                "{key} is still there after sweep {sweeps}"
            );
        }
    }
}

#[tokio::test]
async fn young_objects_and_those_that_a_row_may_name_soon_stay() {
    // With the default configuration, every object of a test is too young.
    let world = World::requested().await;
    let orphan = format!("{}/{}/{}.jpg", Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    world.s3.put(&orphan, b"bytes");
    sweep(&world).await;
    assert!(world.s3.get(&orphan).is_some());

    // A photo that is being stored, and the archive of a training that is running.
    let world = World::with_settings(|settings| {
        settings.orphan_age = Duration::ZERO;
    })
    .await;
    let late = world.announce_photo().await;
    let key = world
        .text("select storage_key from avatar_photos where status = 'stored' limit 1")
        .await
        .unwrap();
    let ours = key.rsplit_once('/').unwrap().0;
    let soon = [format!("{ours}/{late}.jpg"), format!("{ours}/photos-0123.zip")];
    for key in &soon {
        world.s3.put(key, b"bytes");
    }
    sweep(&world).await;
    for key in &soon {
        assert!(world.s3.get(key).is_some(), "{key} was removed");
    }
}

#[tokio::test]
async fn an_original_stays_as_long_as_its_avatar_also_when_it_was_refused() {
    let world = World::with_settings(|settings| {
        settings.orphan_age = Duration::ZERO;
    })
    .await;
    world.store_photo(b"no picture at all").await;
    let world = world.archive().await.submit().await;
    world.fal_is_done().await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.status().await, "completed");
    let refused = world
        .text("select storage_key from avatar_photos where status = 'rejected'")
        .await
        .expect("the key is still known");
    sweep(&world).await;
    assert_eq!(
        world.s3.get(&refused).as_deref(),
        Some(b"no picture at all".as_slice())
    );
}
