//! `/delete_me`, and what is deleted because of its age: what is left, and what is not touched.

use std::time::Duration;

use aisha::simulators::fal::faults::Effect;
use jobs::domain::Access;
use jobs::producer::RetryOutcome;
use jobs::{DeleteAvatar, EraseUser, NotifyUser, Prune};

use crate::saga::world::World;
use crate::support::Core;

#[tokio::test]
async fn after_delete_me_nothing_names_the_user() {
    let world = World::submitted().await;
    let delivered = world.request_id().await;
    world.ends().await;
    let mut words = vec![delivered];
    for query in [
        "select id::text from users",
        "select telegram_id::text from users",
        "select id::text from avatars",
        "select id::text from trainings",
        "select token from training_attempts",
        "select max(id::text) from avatar_photos",
        "select username from users",
    ] {
        words.push(world.text(query).await.expect(query));
    }
    // Otherwise the search would prove nothing.
    let before = world.rows_with(&words).await;
    for table in ["users", "avatars", "trainings", "jobs", "notifications"] {
        assert!(
            before.iter().any(|row| row.starts_with(table)),
            "{table}: {before:?}"
        );
    }
    world.leave().await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.rows_with(&words).await, Vec::<String>::new());
    world.assert_nobody("after the receipt").await;
    // The account's trainings of the day are counted all the same.
    assert_eq!(
        world
            .count("select count(*) from quota_uses where what = 'submit' and user_id is null")
            .await,
        1
    );
}

#[tokio::test]
async fn the_receipt_is_the_last_word() {
    let core = Core::new().await;
    let ann = core.person();
    core.draft_of(&ann).await;
    let mut turn = core.turn_of(&ann).await;
    assert_eq!(turn.everything().await.unwrap().avatars, 1);
    turn.leave().await.unwrap();
    turn.leave().await.unwrap();
    turn.finish().await.unwrap();
    assert_eq!(core.count("select count(*) from erasures").await, 1);
    core.jobs.drain_through_time().await;
    let chat = ann.chat().unwrap();
    let last = chat.messages.iter().rfind(|message| message.from_bot);
    assert!(
        last.is_some_and(|last| last.text.contains("nothing about you is left")),
        "{last:?}"
    );
    assert_eq!(core.count("select count(*) from users").await, 0);
    // A new beginning.
    let mut turn = core.turn_of(&ann).await;
    assert_eq!(turn.access().unwrap(), Access::Open);
    assert!(turn.draft().await.unwrap().is_none());
}

#[tokio::test]
async fn nothing_is_accepted_from_a_user_who_leaves() {
    let core = Core::new().await;
    let (ann, eve) = (core.person(), core.person());
    let mut turn = core.turn_of(&ann).await;
    turn.leave().await.unwrap();
    turn.finish().await.unwrap();
    assert_eq!(core.turn_of(&ann).await.access().unwrap(), Access::Leaving);
    assert_eq!(core.turn_of(&eve).await.access().unwrap(), Access::Open);
    core.leaves::<EraseUser>();
}

#[tokio::test]
async fn a_running_training_is_stopped_before_its_user_is_erased() {
    let world = World::at_fal(Effect::StuckInQueue {}).await;
    world.leave().await;
    world.jobs.drain_through_time().await;
    assert_eq!(world.cancels(), [200]);
    world.assert_nobody("once FAL had stopped").await;
}

#[tokio::test]
async fn photos_go_when_their_time_has_come_and_retry_asks_for_new_ones() {
    let world = World::submitted().await;
    world.ends().await;
    let all = world.objects().len();
    prune(&world).await;
    assert_eq!(world.rows_in("avatar_photos").await, 4, "too young");
    world
        .change("update trainings set finished_at = now() - interval '31 days'")
        .await;
    prune(&world).await;
    assert_eq!(world.rows_in("avatar_photos").await, 0);
    assert_eq!(world.objects().len(), all - 4, "the model stays");
    world
        .change("update avatars set status = 'failed', completed_at = null, is_main = false")
        .await;
    let mut turn = world.turn().await;
    let avatar = world.avatar();
    assert!(matches!(
        turn.retry(avatar).await.unwrap(),
        RetryOutcome::Reopened
    ));
    assert_eq!(turn.draft_photos(avatar).await.unwrap(), 0);
}

#[tokio::test]
async fn photos_are_kept_for_ever_where_the_setting_says_so() {
    let world = World::with(|services| services.retention.media.photos = Duration::ZERO).await;
    world
        .change("update trainings set status = 'cancelled', finished_at = now() - interval '9 years'")
        .await;
    world.change("update avatars set status = 'cancelled'").await;
    world.change("delete from jobs").await;
    prune(&world).await;
    assert_eq!(world.rows_in("avatar_photos").await, 4);
}

#[tokio::test]
async fn a_draft_that_nobody_touches_is_deleted() {
    let mut core = Core::new().await;
    core.change_services(|services| services.retention.media.drafts = Duration::from_hours(1));
    let (ann, eve) = (core.person(), core.person());
    core.draft_of(&ann).await;
    core.change("update avatars set updated_at = now() - interval '2 hours'")
        .await;
    let touched = core.draft_of(&eve).await;
    core.enqueue(&Prune::default()).await;
    core.run::<Prune>().await;
    core.run::<DeleteAvatar>().await;
    let left = core.text("select string_agg(id::text, ',') from avatars").await;
    assert_eq!(left, Some(touched.to_string()));
    core.leaves::<NotifyUser>();
}

async fn prune(world: &World) {
    world.enqueue(&Prune::default()).await;
    world.run::<Prune>().await;
}
