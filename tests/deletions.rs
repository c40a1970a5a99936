//! Users delete avatars: what is gone at once, and what is left in the end, which is nothing.

use aisha::simulators::fal::faults::{Effect, Operation};
use aisha::simulators::fal::ledger::Event;
use jobs::domain::UserId;
use jobs::producer::{Deleted, Place};
use jobs::testing::enqueued;
use jobs::{DeleteAvatar, NotifyUser, Prune, StorePhoto};
use serde_json::json;

use crate::saga::world::World;
use crate::support::Core;

/// A trained avatar.
async fn completed() -> World {
    let world = World::submitted().await;
    world.ends().await;
    world.assert_completed_once("before its deletion").await;
    world
}

#[tokio::test]
async fn a_deleted_avatar_leaves_nothing_behind() {
    let world = completed().await;
    assert!(
        world.objects().len() > 4,
        "photos and a model: {:?}",
        world.objects()
    );
    assert!(matches!(world.delete_avatar().await, Deleted::Yes { .. }));
    world.jobs.drain_through_time().await;
    world.assert_erased("after the job").await;
    for table in [
        "trainings",
        "training_attempts",
        "avatar_photos",
        "fal_deliveries",
    ] {
        assert_eq!(world.rows_in(table).await, 0, "{table}");
    }
    assert!(matches!(world.delete_avatar().await, Deleted::Stale));
}

#[tokio::test]
async fn a_deleted_avatar_is_gone_from_view_at_once() {
    let world = completed().await;
    let mut turn = world.turn().await;
    assert_eq!(turn.avatars().await.unwrap().len(), 1);
    let avatar = world.avatar();
    assert!(turn.would_be_lost(avatar).await.unwrap().unwrap().has_model);
    assert!(matches!(
        turn.delete_avatar(avatar).await.unwrap(),
        Deleted::Yes { .. }
    ));
    assert!(turn.avatars().await.unwrap().is_empty());
    assert!(turn.would_be_lost(avatar).await.unwrap().is_none());
    assert!(matches!(
        turn.delete_avatar(avatar).await.unwrap(),
        Deleted::Stale
    ));
    turn.finish().await.unwrap();
    world.leaves::<DeleteAvatar>();
}

#[tokio::test]
async fn another_user_deletes_nothing() {
    let world = completed().await;
    let eve = world.person();
    let mut turn = world.turn_of(&eve).await;
    let avatar = world.avatar();
    assert!(turn.would_be_lost(avatar).await.unwrap().is_none());
    assert!(matches!(
        turn.delete_avatar(avatar).await.unwrap(),
        Deleted::Stale
    ));
    turn.finish().await.unwrap();
    world.assert_completed_once("it is not Eve's").await;
}

#[tokio::test]
async fn the_newest_completed_avatar_becomes_the_main_one() {
    let world = completed().await;
    world
        .change(
            "insert into avatars (id, user_id, name, gender, avatar_type, training_type, status, training_started_at,
                                  completed_at, finetune_id, deleted_at)
             select gen_random_uuid(), user_id, name || n, gender, avatar_type, training_type, 'completed', now(),
                    now() + make_interval(hours => n), 'f', case when n = 3 then now() end
               from avatars, generate_series(1, 3) n",
        )
        .await;
    let Deleted::Yes { name, new_main } = world.delete_avatar().await else {
        panic!("it was there")
    };
    assert_eq!(
        (name.as_deref(), new_main.as_deref()),
        (Some("Lisa"), Some("Lisa2"))
    );
    let main = world
        .text("select string_agg(name, ',') from avatars where is_main")
        .await;
    assert_eq!(main.as_deref(), Some("Lisa2"));
    world.leaves::<DeleteAvatar>();
}

#[tokio::test]
async fn deleting_an_avatar_in_training_stops_it_at_fal() {
    let world = World::at_fal(Effect::StuckInQueue {}).await;
    let mut turn = world.turn().await;
    let lost = turn.would_be_lost(world.avatar()).await.unwrap().unwrap();
    assert!(lost.is_training && lost.is_paid && !lost.has_model, "{lost:?}");
    drop(turn);
    world.delete_avatar().await;
    assert_eq!(world.status().await, "submitted", "FAL has to say so first");
    world.jobs.drain_through_time().await;
    assert_eq!(world.cancels(), [200]);
    world.assert_erased("once it was stopped").await;
}

/// It belonged to something that its user threw away.
#[tokio::test]
async fn nobody_is_told_how_the_training_of_a_deleted_avatar_ended() {
    let world = World::archived().await;
    world.delete_avatar().await;
    assert_eq!(world.status().await, "cancelled");
    assert_eq!(world.final_messages().await, 0);
    let last = "select message ->> 'text' from notifications where kind = 'progress' and is_last";
    assert!(world.text(last).await.unwrap().contains("stage-deleted"));
    world.jobs.drain_through_time().await;
    world.assert_erased("without FAL").await;
}

#[tokio::test]
async fn a_model_that_comes_after_the_deletion_is_neither_kept_nor_told() {
    let world = World::submitted().await;
    world.fal_is_done().await;
    // The deletion comes first, FAL's answer to the cancel is that it is too late.
    world.delete_avatar().await;
    world.jobs.drain_through_time().await;
    world.assert_erased("though FAL finished").await;
    assert_eq!(world.final_messages().await, 0);
}

/// FAL repeats its deliveries for two hours, and knows nothing of deletions.
#[tokio::test]
async fn a_delivery_that_comes_after_the_deletion_is_not_kept() {
    let world = completed().await;
    let request = world.request_id().await;
    let token = world.text("select token from training_attempts").await;
    world.delete_avatar().await;
    world.jobs.drain_through_time().await;
    world.assert_erased("before FAL repeats itself").await;
    // With the addresses of what is gone. The second is known by its token only.
    let body = |id: &str| json!({"request_id": id, "status": "OK", "payload": {"images": [{"url": "https://v3.fal.media/lisa.jpg"}]}});
    world
        .store_delivery(&request, &body(&request), Some("style"), None)
        .await;
    let other = "0b7d9c1e-5f0a-4c7e-9a55-0d3c6f1f2a01";
    world
        .store_delivery(other, &body(other), None, token.as_deref())
        .await;
    world.jobs.drain().await;
    assert_eq!(world.rows_in("fal_deliveries").await, 0);
    assert_eq!(world.rows_with(&[request]).await, Vec::<String>::new());
    let dead =
        "select count(*) from jobs where state = 'dead' or kind = 'apply_fal_delivery' and state <> 'done'";
    assert_eq!(world.count(dead).await, 0);
    // A week later nobody knows that there was a request.
    world
        .change("update erased_requests set erased_at = erased_at - interval '8 days'")
        .await;
    world.enqueue(&Prune::default()).await;
    world.run::<Prune>().await;
    assert_eq!(world.rows_in("erased_requests").await, 0);
}

#[tokio::test]
async fn a_deletion_that_fal_refuses_goes_on_without() {
    let world = completed().await;
    world.fal.always_answers(
        Operation::Erase,
        403,
        json!({"error": {"type": "authorization_error"}}),
    );
    world.delete_avatar().await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.rows_in("avatars").await, 0);
    assert!(world.objects().is_empty(), "{:?}", world.objects());
    assert_eq!(world.rows_in("fal_account").await, 0, "the account is in order");
}

#[tokio::test]
async fn a_deletion_waits_a_day_for_fal_and_no_longer() {
    let world = completed().await;
    world.fal.always_answers(Operation::Erase, 503, json!({}));
    world.delete_avatar().await;
    world
        .change("update avatars set deleted_at = deleted_at - interval '2 min'")
        .await;
    world.run::<DeleteAvatar>().await;
    assert!(world.is_live::<DeleteAvatar>().await);
    assert_eq!(world.rows_in("avatars").await, 1, "its requests are known by it");
    assert!(world.objects().is_empty(), "the bucket does not wait");
    world
        .change("update avatars set deleted_at = deleted_at - interval '1 day'")
        .await;
    world.run::<DeleteAvatar>().await;
    assert_eq!(world.rows_in("avatars").await, 0);
}

#[tokio::test]
async fn a_discarded_draft_takes_its_photos_out_of_the_bucket() {
    let core = Core::new().await;
    let ann = core.person();
    let draft = core.draft_of(&ann).await;
    core.s3.put(&photo_key(&core).await, b"bytes");
    let mut turn = core.turn_of(&ann).await;
    assert!(turn.discard(draft, Place::New).await.unwrap().is_some());
    turn.finish().await.unwrap();
    // The next draft does not wait for the last one to be erased.
    let next = core.draft_of(&ann).await;
    core.run::<DeleteAvatar>().await;
    assert_eq!(core.s3.get(&photo_key(&core).await), None);
    let left = core.text("select string_agg(id::text, ',') from avatars").await;
    assert_eq!(left, Some(next.to_string()));
    core.leaves::<NotifyUser>();
    let mut db = core.pool().acquire().await.unwrap();
    assert!(enqueued::<StorePhoto>(&mut db).await.is_empty());
}

/// An object of the first draft.
async fn photo_key(core: &Core) -> String {
    let user = core.text("select id::text from users").await.unwrap();
    let avatar = core
        .text("select coalesce((select payload ->> 'avatar_id' from jobs where kind = 'delete_avatar' limit 1), (select id::text from avatars))")
        .await
        .unwrap();
    format!("{user}/{avatar}/0b7d9c1e-5f0a-4c7e-9a55-0d3c6f1f2a01.jpg")
}

/// Its id could come from a fault of ours, or from an operator who revives an old job.
#[tokio::test]
async fn an_avatar_that_nobody_deleted_is_not_erased_by_a_job() {
    let world = completed().await;
    let objects = world.objects();
    let user = world.look("select id from users").await;
    world
        .enqueue(&DeleteAvatar::new(UserId(user), world.avatar()))
        .await;
    world.run::<DeleteAvatar>().await;
    assert!(!world.is_live::<DeleteAvatar>().await);
    world.assert_completed_once("after the job").await;
    assert_eq!(world.objects(), objects);
    assert_eq!(world.rows_in("avatar_photos").await, 4);
    let erased = world.fal.ledger().into_iter();
    let erased = erased.filter(|entry| matches!(entry.event, Event::Erased { .. }));
    assert_eq!(erased.count(), 0, "at FAL");
}
