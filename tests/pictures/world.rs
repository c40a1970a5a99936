//! A user with a trained avatar who has asked for pictures of it.

use std::ops::Deref;

use aisha::simulators::fal::{
    faults::{Effect, Fault, Operation, When},
    ledger::Event,
};
use jobs::{
    CancelGeneration, GenerateImages, StorePictures,
    domain::{AlbumId, GenerationId},
    enqueue::enqueue,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{saga::world::World, support::Core};

/// A [`World`] whose training is completed, with one album in the making.
pub struct Studio {
    pub world: World,
    pub album: AlbumId,
    pub generation: GenerationId,
}

impl Deref for Studio {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.world
    }
}

impl Studio {
    /// Two pictures were just asked for.
    pub async fn asked() -> Self {
        Self::asked_on(World::submitted().await).await
    }

    /// As [`Studio::asked`], on a world that may differ. Its training has to be at FAL.
    pub async fn asked_on(world: World) -> Self {
        world.ends().await;
        assert_eq!(world.avatar_status().await, "completed");
        let album = album(&world).await;
        let generation = generation(&world, album, 1, 2).await;
        Self {
            world,
            album: AlbumId(album),
            generation,
        }
    }

    /// As [`Studio::asked`], and FAL has accepted the request.
    pub async fn submitted() -> Self {
        Self::asked().await.submit().await
    }

    pub async fn submit(self) -> Self {
        self.jobs
            .run_one::<GenerateImages>()
            .await
            .expect("pictures to ask for");
        self
    }

    /// As [`Studio::submit`], but the answer is lost, before or after FAL has accepted the request.
    pub async fn submit_unanswered(self, when: When) -> Self {
        let lost = Fault {
            when: Some(when),
            ..Fault::new(Operation::Submit, Effect::Close {})
        };
        self.fal.script(lost).unwrap();
        self.submit().await
    }

    /// As [`Studio::asked`]; FAL's run will have this effect.
    pub async fn at_fal(effect: Effect) -> Self {
        let studio = Self::asked().await;
        studio
            .fal
            .script(Fault::new(Operation::Execution, effect))
            .unwrap();
        studio.submit().await
    }

    /// As [`Studio::submitted`], with FAL's result stored and the pictures still at FAL.
    pub async fn generated() -> Self {
        let studio = Self::submitted().await;
        studio.pictures_are_made().await;
        studio.world.poll().await;
        assert_eq!(studio.generation_status().await, "generated");
        studio
    }

    /// Another request for the same album.
    pub async fn another(&self, number: i16) -> GenerationId {
        generation(&self.world, self.album.0, number, 2).await
    }

    /// Waits until FAL's run of each accepted request has ended.
    pub async fn pictures_are_made(&self) {
        let asked = self.asked_for().len();
        let ended = |entries: &[aisha::simulators::fal::ledger::Entry]| {
            let ended = entries
                .iter()
                .filter(|entry| matches!(entry.event, Event::RunEnded { .. }));
            // One more is the training's.
            (ended.count() > asked).then_some(())
        };
        self.fal
            .wait_for("the pictures", ended)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Lets FAL finish, and runs all jobs until none is left.
    pub async fn finish(&self) {
        self.jobs.drain().await;
        if !self.asked_for().is_empty() {
            self.pictures_are_made().await;
        }
        self.jobs.drain_through_time().await;
    }

    /// The inputs of all requests for pictures that FAL accepted.
    pub fn asked_for(&self) -> Vec<Value> {
        self.asked_where().into_iter().map(|(_, input)| input).collect()
    }

    /// As [`Studio::asked_for`], each with its endpoint.
    pub fn asked_where(&self) -> Vec<(String, Value)> {
        let accepted = self
            .fal
            .ledger()
            .into_iter()
            .filter_map(|entry| match entry.event {
                Event::Submitted { endpoint, input, .. } => Some((endpoint, input)),
                _ => None,
            });
        // Trainings have no prompt.
        accepted
            .filter(|(_, input)| input["prompt"].is_string())
            .collect()
    }

    /// Lets Telegram bring the user what the bot says, from now on.
    pub async fn hears(&self) {
        self.world.person.send_text("hello").unwrap();
        self.change("update users set unreachable_at = null").await;
    }

    pub async fn generation_status(&self) -> String {
        self.text("select string_agg(distinct status::text, ',') from generations")
            .await
            .unwrap()
    }

    pub async fn generation_failure(&self) -> Option<String> {
        self.text("select failure_code from generations").await
    }

    pub async fn album_status(&self) -> String {
        self.text("select status::text from albums").await.unwrap()
    }

    /// How many pictures are stored.
    pub async fn pictures(&self) -> i64 {
        self.count("select count(*) from pictures").await
    }

    /// How many messages with pictures were written.
    pub async fn albums_written(&self) -> i64 {
        self.count("select count(*) from notifications where message ? 'pictures'")
            .await
    }

    /// The text of the album's last message, as its first phrase's name.
    pub async fn told(&self) -> Option<String> {
        self.text(
            "select max(message -> 'text' -> 0 ->> 'say') from notifications where dedupe_key like 'album:%'",
        )
        .await
    }

    /// FAL was asked once, the pictures are in the bucket, and the album was written once.
    pub async fn assert_ready_once(&self, when: &str) {
        assert_eq!(self.generation_status().await, "completed", "{when}");
        assert_eq!(self.album_status().await, "ready", "{when}");
        assert_eq!(self.asked_for().len(), 1, "{when}");
        assert_eq!(self.pictures().await, 2, "{when}");
        assert_eq!(self.albums_written().await, 1, "{when}");
        assert_eq!(self.told().await.as_deref(), Some("album-ready"), "{when}");
        let keys: Vec<String> = sqlx::query_scalar("select storage_key from pictures order by number")
            .fetch_all(self.pool())
            .await
            .unwrap();
        for key in keys {
            assert!(self.s3.get(&key).is_some(), "{when}: {key}");
        }
    }

    /// The pictures failed for this reason, and their user was told once.
    pub async fn assert_failed_once(&self, code: &str) {
        assert_eq!(self.generation_status().await, "failed", "{code}");
        assert_eq!(self.generation_failure().await.as_deref(), Some(code));
        assert_eq!(self.album_status().await, "failed", "{code}");
        assert_eq!(self.told().await.as_deref(), Some("album-failed"), "{code}");
        assert_eq!(self.albums_written().await, 0, "{code}");
        assert_eq!(self.used().await, 0, "{code}: given back");
    }

    /// Pictures that count towards the user's day.
    pub async fn used(&self) -> i64 {
        self.count("select count(*) from quota_uses where what = 'picture'")
            .await
    }

    /// The user wants FAL to stop.
    pub async fn stop(&self) {
        self.change("update generations set end_asked = 'user', end_asked_at = now()")
            .await;
        self.enqueue(&CancelGeneration::new(self.generation)).await;
    }

    pub async fn store_pictures(&self) {
        self.run::<StorePictures>().await;
    }
}

async fn album(world: &World) -> Uuid {
    let album: Uuid = sqlx::query_scalar(
        "insert into albums (user_id, avatar_id, origin, status, style, words, aspect, wanted, asked_at)
         select user_id, id, 'user', 'making', 'studio', 'in the rain', 'portrait', 2, now() from avatars returning id",
    )
    .fetch_one(world.pool())
    .await
    .unwrap();
    sqlx::query("insert into quota_uses (user_id, what, album_id) select user_id, 'picture', id from albums, generate_series(1, 2)")
        .execute(world.pool())
        .await
        .unwrap();
    album
}

async fn generation(world: &World, album: Uuid, number: i16, wanted: i16) -> GenerationId {
    let mut tx = world.pool().begin().await.unwrap();
    let id: Uuid = sqlx::query_scalar(
        "insert into generations (album_id, avatar_id, user_id, number, trainer, style, prompt, negative, aspect, wanted, seed, status)
         select $1, avatar_id, user_id, $2, trainer, 'studio', 'zorvane woman in the rain', 'hat', 'portrait', $3, 4711 + $2, 'requested'
           from trainings returning id",
    )
    .bind(album)
    .bind(number)
    .bind(wanted)
    .fetch_one(&mut *tx)
    .await
    .unwrap();
    enqueue(&mut tx, &GenerateImages::new(GenerationId(id)))
        .await
        .unwrap();
    tx.commit().await.unwrap();
    GenerationId(id)
}

/// The part of a file's URL by which a fault at FAL's CDN is told to strike this file only.
pub fn path_at_fal(url: &str) -> String {
    let (_, path) = url.rsplit_once("/files/").expect("a file at FAL");
    path.to_owned()
}
