//! `/delete_me`, and what is deleted because of its age: what is left, and what is not touched.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::ops::Deref;
use std::time::Duration;

use aisha::simulators::fal::faults::Effect;
use aisha::simulators::telegram::{MessageView, SimUser};
use jobs::domain::Access;
use jobs::producer::{Place, RetryOutcome};
use jobs::texts::{Message, Phrase};
use jobs::{DeleteAvatar, EraseUser, NotifyUser, Prune};

use crate::pictures::world::Studio;
use crate::saga::world::World;
use crate::support::{Core, eventually};

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

#[tokio::test]
async fn pictures_go_when_their_time_has_come_and_favourites_stay() {
    let mut studio = Studio::asked().await;
    studio.finish().await;
    studio.assert_ready_once("before they are old").await;
    studio
        .change(
            "update pictures set is_favourite = number = 2,
                    created_at = now() - case when number = 1 then interval '23 hours' else interval '9 years' end",
        )
        .await;
    studio
        .change("update avatars set cover_id = (select id from pictures where number = 1)")
        .await;
    let all = studio.world.objects().len();
    let old = studio
        .text("select storage_key from pictures where number = 1")
        .await
        .unwrap();
    studio
        .world
        .keep(|media| media.pictures = Duration::from_hours(24));
    prune(&studio.world).await;
    assert_eq!(studio.pictures().await, 2, "one is too young, one a favourite");
    studio
        .change("update pictures set created_at = created_at - interval '2 hours'")
        .await;
    studio.world.keep(|media| media.pictures = Duration::ZERO);
    prune(&studio.world).await;
    assert_eq!(studio.pictures().await, 2, "for ever");
    studio
        .world
        .keep(|media| media.pictures = Duration::from_hours(24));
    prune(&studio.world).await;
    let left = studio
        .text("select string_agg(number::text, ',') from pictures")
        .await;
    assert_eq!(left.as_deref(), Some("2"), "the favourite");
    assert_eq!(studio.s3.get(&old), None);
    assert_eq!(studio.world.objects().len(), all - 1, "nothing else went");
    assert_eq!(studio.album_status().await, "ready");
    let covers = "select count(*) from avatars where cover_id is not null";
    assert_eq!(studio.count(covers).await, 0, "the gallery goes on without");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draft_that_its_user_goes_on_with_is_not_deleted() {
    let mut core = Core::new().await;
    core.change_services(|services| services.retention.media.drafts = Duration::from_hours(1));
    let ann = core.person();
    core.draft_of(&ann).await;
    core.change("update avatars set updated_at = now() - interval '2 hours'")
        .await;
    core.enqueue(&Prune::default()).await;
    let mut tx = core.pool().begin().await.unwrap();
    sqlx::query("update avatars set updated_at = now()")
        .execute(&mut *tx)
        .await
        .unwrap();
    let waits = async {
        eventually("the deletion waits for the user", async || {
            let waiting = core
                .count("select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
                .await;
            (waiting > 0).then_some(())
        })
        .await;
        tx.commit().await.unwrap();
    };
    tokio::join!(core.run::<Prune>(), waits);
    assert_eq!(
        core.count("select count(*) from avatars where status = 'draft'")
            .await,
        1
    );
    core.leaves::<NotifyUser>();
}

#[tokio::test]
async fn what_the_bot_answered_goes_with_the_updates_and_what_it_said_of_trainings_stays() {
    let world = World::submitted().await;
    world.ends().await;
    let mut turn = world.turn().await;
    turn.reply(&Message::new(Phrase::NotAPhoto {}), Place::New)
        .await
        .unwrap();
    turn.finish().await.unwrap();
    let replies = "select count(*) from notifications where kind = 'reply'";
    let others = "select count(*) from notifications where kind <> 'reply'";
    let said = world.count(others).await;
    prune(&world).await;
    assert_eq!(world.count(replies).await, 1, "it is not sent yet");
    world.jobs.drain_through_time().await;
    prune(&world).await;
    assert_eq!(world.count(replies).await, 1, "too young");
    world
        .change("update notifications set closed_at = closed_at - interval '8 days'")
        .await;
    prune(&world).await;
    assert_eq!(world.count(replies).await, 0);
    assert_eq!(world.count(others).await, said);
}

async fn prune(world: &World) {
    world.enqueue(&Prune::default()).await;
    world.run::<Prune>().await;
}

/// A user who has written, with a draft and one photo in the bucket.
pub struct WithPhoto {
    core: Core,
    pub ann: SimUser,
}

impl Deref for WithPhoto {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl WithPhoto {
    pub async fn new() -> Self {
        let core = Core::new().await;
        let ann = core.person();
        core.draft_of(&ann).await;
        core.change(
            "insert into avatar_photos (id, avatar_id, file_id, file_unique_id, status, storage_key, content_type, bytes, settled_at)
             select '0b7d9c1e-5f0a-4c7e-9a55-0d3c6f1f2a01', id, 'f', 'u', 'stored', user_id || '/' || id || '/1.jpg', 'image/jpeg', 5, now()
               from avatars",
        )
        .await;
        let key = core.text("select storage_key from avatar_photos").await.unwrap();
        core.s3.put(&key, b"bytes");
        core.jobs.drain().await;
        Self { core, ann }
    }

    pub async fn ask_for_data(&self) {
        let mut turn = self.turn_of(&self.ann).await;
        assert_eq!(turn.ask_for_data().await.unwrap(), None);
        turn.finish().await.unwrap();
    }
}

/// The documents that the user has got.
pub fn documents(stage: &WithPhoto) -> Vec<MessageView> {
    let messages = stage.ann.chat().unwrap().messages;
    let got = |message: &MessageView| message.from_bot && message.document.is_some();
    messages.into_iter().filter(got).collect()
}

/// The bytes of a file at Telegram, as its API hands them out.
async fn fetch(core: &Core, file_id: &str) -> Vec<u8> {
    let given: BTreeMap<_, _> = core.telegram.env().into_iter().collect();
    let (api, token) = (&given["TELEGRAM_API_URL"], &given["TELEGRAM_BOT_TOKEN"]);
    let http = reqwest::Client::builder().build().unwrap();
    let get = async |path: String| {
        let answer = http.get(format!("{api}/{path}")).send().await.unwrap();
        answer.bytes().await.unwrap().to_vec()
    };
    let told = get(format!("bot{token}/getFile?file_id={file_id}")).await;
    let told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    let path = told["result"]["file_path"].as_str().expect("a path");
    get(format!("file/bot{token}/{path}")).await
}

/// The files in the copy that the user has got.
async fn names_in_the_copy(stage: &WithPhoto) -> Vec<String> {
    let document = documents(stage).remove(0).document.expect("a document");
    let file = fetch(stage, &document.file_id).await;
    let zip = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let mut names: Vec<String> = zip
        .file_names()
        .map(|name| name.expect("a name").into_owned())
        .collect();
    names.sort();
    names
}

/// Each avatar of all users gets a picture, whose file has the avatar's name.
async fn picture_each(core: &Core) {
    core.change(
        "with album as (
             insert into albums (user_id, avatar_id, origin, status, style, words, aspect, asked_at, settled_at)
             select user_id, id, 'user', 'ready', 'studio', '', 'portrait', now(), now() from avatars returning *),
         generation as (
             insert into generations (album_id, avatar_id, user_id, number, trainer, style, prompt, aspect, wanted, seed,
                                      status, finished_at, failure_code)
             select id, avatar_id, user_id, 1, 'flux-lora-fast-training', style, 'p', aspect, 1, 1, 'failed', now(), 'x'
               from album returning *)
         insert into pictures (generation_id, album_id, avatar_id, user_id, number, storage_key, content_type, bytes, width, height, sha256)
         select g.id, g.album_id, g.avatar_id, g.user_id, 1, g.user_id || '/' || a.id || '/' || a.name || '.jpg', 'image/jpeg', 5, 1, 1, 'x'
           from generation g join avatars a on a.id = g.avatar_id",
    )
    .await;
    let keys: Vec<String> = sqlx::query_scalar("select storage_key from pictures")
        .fetch_all(core.pool())
        .await
        .unwrap();
    for key in keys {
        core.s3.put(&key, b"bytes");
    }
}

#[tokio::test]
async fn a_copy_of_the_data_has_the_users_own_pictures_and_none_of_deleted_avatars() {
    let stage = WithPhoto::new().await;
    let eve = stage.person();
    stage.draft_of(&eve).await;
    stage
        .change(
            "insert into avatars (user_id, name, gender, avatar_type, training_type, status, training_started_at, completed_at, finetune_id, deleted_at)
             select user_id, 'Gone', gender, avatar_type, training_type, 'completed', now(), now(), 'f', now() from avatars
              order by created_at limit 1",
        )
        .await;
    stage
        .change(
            "update avatars set name = 'Eve' where user_id = (select id from users order by created_at desc limit 1)",
        )
        .await;
    picture_each(&stage).await;
    assert_eq!(stage.count("select count(*) from pictures").await, 3);
    stage.ask_for_data().await;
    stage.jobs.drain().await;
    let names = names_in_the_copy(&stage).await;
    assert_eq!(names, ["data.json", "photos/1.jpg", "pictures/Lisa.jpg"]);
}

#[tokio::test]
async fn a_copy_of_the_data_has_the_rows_and_the_photos() {
    let stage = WithPhoto::new().await;
    let eve = stage.person();
    stage.draft_of(&eve).await;
    stage.jobs.drain().await;
    stage.ask_for_data().await;
    stage.jobs.drain().await;
    let document = documents(&stage).remove(0).document.expect("a document");
    let file = fetch(&stage, &document.file_id).await;
    let mut zip = zip::ZipArchive::new(Cursor::new(file)).unwrap();
    let names: Vec<String> = zip
        .file_names()
        .map(|name| name.expect("a name").into_owned())
        .collect();
    assert_eq!(names, ["data.json", "photos/1.jpg"]);
    let mut data = String::new();
    zip.by_name("data.json")
        .unwrap()
        .read_to_string(&mut data)
        .unwrap();
    let data: serde_json::Value = serde_json::from_str(&data).unwrap();
    assert_eq!(data["user"]["telegram_id"], stage.ann.id());
    assert_eq!(data["avatars"][0]["name"], "Lisa");
    assert_eq!(data["avatars"][0]["photos"][0]["bytes"], 5);
    assert!(
        !data.to_string().contains(&eve.id().to_string()),
        "it is not Eve's"
    );
    let mut photo = Vec::new();
    zip.by_name("photos/1.jpg")
        .unwrap()
        .read_to_end(&mut photo)
        .unwrap();
    assert_eq!(photo, b"bytes");
    // Once a day.
    let mut turn = stage.turn_of(&stage.ann).await;
    let wait = turn.ask_for_data().await.unwrap().expect("not again today");
    assert!(wait > Duration::from_hours(23), "{wait:?}");
}
