//! Limits per user: how many trainings, drafts and photos, and who may use the bot. `tests/bot/closed.rs` tests the
//! texts.

use std::sync::Arc;

use aisha::simulators::telegram::SimUser;
use jobs::{
    BuildArchive, DeleteAvatar, NotifyUser, StorePhoto,
    domain::{AvatarId, Quotas},
    producer::{Draft, PhotoTaken, Place, Producer, RetryOutcome, Rules, Sender, Started, Turn},
    texts::Locale,
};
use serde_json::json;
use uuid::Uuid;

use crate::support::Core;

async fn core(quotas: Quotas) -> Core {
    let mut core = Core::new().await;
    // Jobs are enqueued here and not run: what they cost is counted before.
    core.leaves::<NotifyUser>();
    core.leaves::<StorePhoto>();
    core.leaves::<BuildArchive>();
    core.rules = Rules::with_quotas(
        core.services.settings.photos.clone(),
        (*core.services.trainers).clone(),
        Arc::clone(&core.services.pictures),
        quotas,
    );
    core
}

/// A draft that is ready to start: its questions are answered and its photos are in the bucket.
async fn ready(core: &Core, person: &SimUser) -> AvatarId {
    let draft = core.draft_of(person).await;
    sqlx::query(
        "insert into avatar_photos (avatar_id, file_id, file_unique_id, status, storage_key, content_type, bytes, settled_at)
         select $1, n::text, n::text, 'stored', n::text, 'image/jpeg', 1, now() from generate_series(1, 10) n",
    )
    .bind(draft.0)
    .execute(core.pool())
    .await
    .unwrap();
    draft
}

async fn start(core: &Core, person: &SimUser, avatar: AvatarId) -> Started {
    let mut turn = core.turn_of(person).await;
    let started = turn.request_training(avatar, Place::New).await.unwrap();
    turn.finish().await.unwrap();
    started
}

async fn call_off(core: &Core, started: &Started) {
    let Started::Yes(training) = started else {
        panic!("nothing was started: {started:?}")
    };
    let cancelled = Producer::new(core.pool().clone())
        .cancel_training(training.0, "a test", false)
        .await;
    cancelled.unwrap().expect("a training");
}

async fn discard(core: &Core, person: &SimUser, avatar: AvatarId) {
    let mut turn = core.turn_of(person).await;
    turn.discard(avatar, Place::New).await.unwrap().expect("a draft");
    turn.finish().await.unwrap();
    core.leaves::<DeleteAvatar>();
}

async fn a_day_goes_by(core: &Core) {
    sqlx::query("update quota_uses set at = at - interval '25 hours'")
        .execute(core.pool())
        .await
        .unwrap();
}

async fn current(turn: &mut Turn) -> Draft {
    turn.draft().await.unwrap().expect("a draft")
}

async fn send_photo(core: &Core, person: &SimUser, name: &str) -> PhotoTaken {
    let mut turn = core.turn_of(person).await;
    let draft = current(&mut turn).await;
    let taken = turn.add_photo(&draft, name, name).await.unwrap();
    turn.finish().await.unwrap();
    taken
}

#[tokio::test]
async fn a_user_has_as_many_live_trainings_as_allowed_and_another_when_one_has_ended() {
    let core = core(Quotas {
        live_trainings: 2,
        ..Quotas::default()
    })
    .await;
    let person = core.person();
    let first = ready(&core, &person).await;
    let first = start(&core, &person, first).await;
    let second = ready(&core, &person).await;
    assert!(matches!(start(&core, &person, second).await, Started::Yes(_)));
    let third = ready(&core, &person).await;
    assert_eq!(
        start(&core, &person, third).await,
        Started::TooManyLive { live: 2 }
    );
    assert_eq!(
        core.look::<String>("select status::text from avatars order by created_at desc limit 1")
            .await,
        "draft",
        "what was refused is kept"
    );
    let stranger = core.person();
    let theirs = ready(&core, &stranger).await;
    assert!(matches!(start(&core, &stranger, theirs).await, Started::Yes(_)));

    call_off(&core, &first).await;
    assert!(matches!(start(&core, &person, third).await, Started::Yes(_)));
}

#[tokio::test]
async fn cancelled_repeated_and_discarded_trainings_count_for_a_day() {
    let core = core(Quotas {
        trainings_a_day: 2,
        ..Quotas::default()
    })
    .await;
    let person = core.person();
    let avatar = ready(&core, &person).await;
    for _ in 0..2 {
        let started = start(&core, &person, avatar).await;
        call_off(&core, &started).await;
        let mut turn = core.turn_of(&person).await;
        assert!(matches!(
            turn.retry(avatar).await.unwrap(),
            RetryOutcome::Reopened
        ));
        turn.finish().await.unwrap();
    }
    let refused = start(&core, &person, avatar).await;
    assert!(
        matches!(refused, Started::TooManyToday { most: 2, wait } if wait.as_secs() > 86_000),
        "{refused:?}"
    );
    // Discarding a draft deletes its training rows, but not what they counted.
    discard(&core, &person, avatar).await;
    core.change("update avatars set deleted_at = deleted_at - interval '2 min'")
        .await;
    core.run::<DeleteAvatar>().await;
    assert_eq!(core.look::<i64>("select count(*) from trainings").await, 0);
    let another = ready(&core, &person).await;
    let refused = start(&core, &person, another).await;
    assert!(matches!(refused, Started::TooManyToday { .. }), "{refused:?}");

    a_day_goes_by(&core).await;
    assert!(matches!(start(&core, &person, another).await, Started::Yes(_)));
}

#[tokio::test]
async fn photos_of_drafts_that_were_thrown_away_count_for_a_day() {
    let core = core(Quotas {
        photos_a_day: 3,
        ..Quotas::default()
    })
    .await;
    let person = core.person();
    let draft = core.draft_of(&person).await;
    assert_eq!(send_photo(&core, &person, "a").await, PhotoTaken::Yes);
    assert_eq!(send_photo(&core, &person, "b").await, PhotoTaken::Yes);
    // Rejected photos count too: their bytes were downloaded and checked.
    sqlx::query("update avatar_photos set status = 'rejected', reason = 'damaged', settled_at = now()")
        .execute(core.pool())
        .await
        .unwrap();
    discard(&core, &person, draft).await;
    core.draft_of(&person).await;
    assert_eq!(send_photo(&core, &person, "c").await, PhotoTaken::Yes);
    let refused = send_photo(&core, &person, "d").await;
    assert!(
        matches!(refused, PhotoTaken::TooManyToday { most: 3, .. }),
        "{refused:?}"
    );
    assert_eq!(
        send_photo(&core, &person, "c").await,
        PhotoTaken::Known,
        "which costs nothing"
    );
    a_day_goes_by(&core).await;
    assert_eq!(send_photo(&core, &person, "d").await, PhotoTaken::Yes);
}

#[tokio::test]
async fn drafts_that_were_thrown_away_count_for_a_day() {
    let core = core(Quotas {
        drafts_a_day: 2,
        ..Quotas::default()
    })
    .await;
    let person = core.person();
    let wait = async || {
        let mut turn = core.turn_of(&person).await;
        let wait = turn.draft_wait().await.unwrap();
        turn.finish().await.unwrap();
        wait
    };
    for _ in 0..2 {
        assert_eq!(wait().await, None);
        let draft = core.draft_of(&person).await;
        assert_eq!(wait().await, None, "there is one to go on with");
        discard(&core, &person, draft).await;
    }
    assert!(matches!(wait().await, Some((2, _))));
    a_day_goes_by(&core).await;
    assert_eq!(wait().await, None);
}

#[tokio::test]
async fn of_two_photos_that_two_bots_take_at_the_same_moment_one_gets_the_last_place() {
    let core = core(Quotas {
        photos_a_day: 1,
        ..Quotas::default()
    })
    .await;
    let person = core.person();
    core.draft_of(&person).await;
    // Updates of one chat are handled one at a time; updates of two chats may run together.
    let from_chat = async |chat: i64, name: &str| {
        let update = json!({"update_id": 1_000_000 + chat, "message": {"chat": {"id": chat}}});
        core.producer.accept_telegram_update(update).await.unwrap();
        let mut turn = core.producer.next_turn(&core.rules, None).await.unwrap().unwrap();
        let sender = Sender {
            telegram_id: person.id(),
            username: None,
            first_name: "Ann".to_owned(),
            locale: Some(Locale::En),
        };
        turn.sender(&sender).await.unwrap();
        let draft = current(&mut turn).await;
        let taken = turn.add_photo(&draft, name, name).await.unwrap();
        turn.finish().await.unwrap();
        taken
    };
    let (one, other) = tokio::join!(from_chat(-1, "a"), from_chat(-2, "b"));
    let taken = [&one, &other];
    assert_eq!(
        taken.iter().filter(|taken| ***taken == PhotoTaken::Yes).count(),
        1,
        "{taken:?}"
    );
    assert!(
        taken
            .iter()
            .any(|taken| matches!(taken, PhotoTaken::TooManyToday { .. })),
        "{taken:?}"
    );
}

#[tokio::test]
async fn uses_that_count_no_more_are_pruned() {
    let core = core(Quotas::default()).await;
    let person = core.person();
    core.draft_of(&person).await;
    sqlx::query(
        "insert into quota_uses (user_id, what, attempt_id, at) select id, 'submit', $1, now() - interval '3 days' from users",
    )
    .bind(Uuid::now_v7())
    .execute(core.pool())
    .await
    .unwrap();
    let mut tx = core.pool().begin().await.unwrap();
    jobs::enqueue::enqueue(&mut tx, &jobs::Prune::default())
        .await
        .unwrap();
    tx.commit().await.unwrap();
    core.jobs.run(core.newest("prune").await).await;
    assert_eq!(
        core.look::<String>("select string_agg(what, ',') from quota_uses")
            .await,
        "draft"
    );
}
