//! One user, one avatar in training, and everything that its jobs talk to.

use std::{ops::Deref, sync::Arc};

use aisha::simulators::{
    fal::{
        faults::{Effect, Fault, Operation, When},
        ledger::Event,
    },
    telegram::SimUser,
};
use jobs::{
    ApplyFalDelivery, BuildArchive, NotifyUser, PollStatus, StoreModel, SubmitTraining,
    domain::{MediaAges, TrainingId},
    enqueue::enqueue,
    producer::CancelledTraining,
    queue::JobId,
    runtime::{Services, TrainingSettings},
    testing::Ran,
};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use uuid::Uuid;

use crate::support::{Core, Db, S3};

mod deletion;

/// A photo that passes every check, small and quick to pack; the archive's own tests use large ones.
pub const PHOTO: &[u8] = include_bytes!("../photos/portrait/18_rocket.jpg");

/// Where a world differs from `config/default.toml`: few photos are enough, nothing waits for a webhook that never
/// comes, a lost answer is given up early, and the account has no daily limit.
const DIFFERENT: [(&str, &str); 4] = [
    ("AISHA__PHOTOS__MIN", "4"),
    ("AISHA__FAL__WEBHOOK_GRACE", "0s"),
    ("AISHA__FAL__SUBMIT_TIMEOUT", "2s"),
    ("AISHA__QUOTAS__ACCOUNT_TRAININGS_A_DAY", "0"),
];

/// A [`Core`] with one training in it.
pub struct World {
    core: Core,
    /// Its user; Telegram lets the bot write to them once they have written.
    pub person: SimUser,
    pub training: TrainingId,
    avatar: Uuid,
}

impl Deref for World {
    type Target = Core;

    fn deref(&self) -> &Core {
        &self.core
    }
}

impl World {
    /// A training that was just requested, with four stored photos: the kind is a style, whose trainer needs only
    /// four.
    pub async fn requested() -> Self {
        Self::with(|_| {}).await
    }

    /// As [`World::requested`], with changed settings or clients.
    pub async fn with(change: impl FnOnce(&mut Services)) -> Self {
        Self::on(Db::new().await, S3::new().await, change).await
    }

    /// As [`World::requested`], with other settings of trainings.
    pub async fn with_settings(change: impl FnOnce(&mut TrainingSettings)) -> Self {
        Self::with(|services| change(Arc::make_mut(&mut services.settings))).await
    }

    /// As [`World::requested`], on a database and a store that the test has prepared.
    pub async fn on(db: Db, s3: S3, change: impl FnOnce(&mut Services)) -> Self {
        let mut core = Core::on(db, s3, &DIFFERENT).await;
        core.change_services(change);
        let person = core.telegram.control().create_user(Default::default());
        let (avatar, training) = rows(core.pool(), person.id()).await;
        // Most tests of the saga look at what is told in the outbox; `tests/notify_user.rs` looks at what is sent.
        core.leaves::<NotifyUser>();
        let world = Self {
            core,
            person,
            training: TrainingId(training),
            avatar,
        };
        for number in 0..4 {
            world.store_photo(&photo(number)).await;
        }
        world.enqueue_archive().await;
        world
    }

    /// As [`World::requested`], and the archive is at FAL.
    pub async fn archived() -> Self {
        Self::requested().await.archive().await
    }

    /// As [`World::archived`], and FAL has accepted the training.
    pub async fn submitted() -> Self {
        Self::archived().await.submit().await
    }

    /// Changes the settings of all jobs that run from now on.
    pub fn change_settings(&mut self, change: impl FnOnce(&mut TrainingSettings)) {
        self.core
            .change_services(|services| change(Arc::make_mut(&mut services.settings)));
    }

    /// As [`World::change_settings`], for how long photos, pictures and drafts are kept.
    pub fn keep(&mut self, change: impl FnOnce(&mut MediaAges)) {
        self.core
            .change_services(|services| change(&mut services.retention.media));
    }

    pub async fn archive(self) -> Self {
        self.jobs
            .run_one::<BuildArchive>()
            .await
            .expect("an archive to build");
        assert_eq!(self.status().await, "archived");
        self
    }

    pub async fn submit(self) -> Self {
        self.jobs
            .run_one::<SubmitTraining>()
            .await
            .expect("a training to submit");
        self
    }

    /// As [`World::submit`], but the answer is lost, before or after FAL has accepted the training.
    pub async fn submit_unanswered(self, when: When) -> Self {
        let lost = Fault {
            when: Some(when),
            ..Fault::new(Operation::Submit, Effect::Close {})
        };
        self.fal.script(lost).unwrap();
        self.submit().await
    }

    /// As [`World::submitted`], with a run at FAL that has this effect.
    pub async fn at_fal(effect: Effect) -> Self {
        let world = Self::archived().await;
        world
            .fal
            .script(Fault::new(Operation::Execution, effect))
            .unwrap();
        world.submit().await
    }

    /// The process dies while FAL delays its answer to the submit, before or after FAL has accepted the training.
    pub async fn submit_dies_unanswered(&self, when: When) {
        let withheld = Effect::Hold {
            until_delivered: false,
        };
        let withheld = Fault {
            when: Some(when),
            ..Fault::new(Operation::Submit, withheld)
        };
        self.fal.script(withheld).unwrap();
        tokio::select! {
            ran = self.run::<SubmitTraining>() => panic!("the answer was withheld, and yet: {ran:?}"),
            held = self.fal.held(1) => drop(held.unwrap()),
        }
    }

    /// Makes the decision about an unanswered attempt due.
    pub async fn decision_is_due(&self) {
        self.change("update training_attempts set created_at = created_at - interval '2 hours'")
            .await;
    }

    /// The archive expires: we no longer wait for a result from FAL.
    pub async fn archive_has_expired(&self) {
        self.change("update trainings set archive_expires_at = now() - interval '13 hours'")
            .await;
    }

    /// The deadline passes for FAL to stop the training.
    pub async fn cancel_deadline_is_over(&self) {
        self.change("update trainings set end_asked_at = end_asked_at - interval '11 minutes'")
            .await;
    }

    /// Waits for FAL's run to end, if there is one, then runs all jobs until none is left.
    pub async fn ends(&self) {
        if self.submits() > 0 {
            self.fal_is_done().await;
        }
        self.jobs.drain_through_time().await;
    }

    /// As [`World::submitted`], with a stored result and no model yet.
    pub async fn trained() -> Self {
        let world = Self::submitted().await;
        world.fal_is_done().await;
        world.deliver_ok(world.request_id().await).await;
        assert_eq!(world.status().await, "trained");
        world
    }

    /// Puts a photo into the bucket, as `store_photo` does.
    pub async fn store_photo(&self, bytes: &[u8]) -> Uuid {
        store_photo(self, self.avatar, bytes).await
    }

    /// A photo that is at Telegram and not yet in the bucket.
    pub async fn announce_photo(&self) -> Uuid {
        sqlx::query_scalar(
            "insert into avatar_photos (avatar_id, file_id, file_unique_id, status) values ($1, 'later', 'later', 'pending') returning id",
        )
        .bind(self.avatar)
        .fetch_one(self.pool())
        .await
        .unwrap()
    }

    pub async fn enqueue_archive(&self) -> JobId {
        self.enqueue(&BuildArchive::new(self.training)).await;
        self.job::<BuildArchive>().await
    }

    /// Cancels the training as an operator.
    pub async fn cancel(&self) -> CancelledTraining {
        let done = self
            .producer
            .cancel_training(self.training.0, "a test", false)
            .await;
        done.unwrap().expect("a training").outcome
    }

    /// FAL accepted one training, the avatar has its model, and its owner was told once.
    pub async fn assert_completed_once(&self, when: &str) {
        assert_eq!(self.status().await, "completed", "{when}");
        assert_eq!(self.avatar_status().await, "completed", "{when}");
        assert_eq!(self.submits(), 1, "{when}");
        assert_eq!(self.final_messages().await, 1, "{when}");
    }

    /// The training failed with this code, and its owner was told once.
    pub async fn assert_failed_once(&self, code: &str) {
        assert_eq!(self.failure().await.as_deref(), Some(code));
        assert_eq!(self.status().await, "failed", "{code}");
        assert_eq!(self.avatar_status().await, "failed", "{code}");
        assert_eq!(self.final_messages().await, 1, "{code}");
    }

    /// The training is cancelled, its owner was told once, and the avatar may be tried again.
    pub async fn assert_cancelled_once(&self, when: &str) {
        assert_eq!(self.status().await, "cancelled", "{when}");
        assert_eq!(self.avatar_status().await, "cancelled", "{when}");
        assert_eq!(self.final_messages().await, 1, "{when}");
    }

    /// How many final messages there are: how the training ended, and that a model came late.
    pub async fn final_messages(&self) -> i64 {
        self.count("select count(*) from notifications where kind = 'final'")
            .await
    }

    /// How many messages about an end were written.
    pub async fn endings_told(&self) -> i64 {
        self.count("select count(*) from notifications where dedupe_key like 'final:%'")
            .await
    }

    pub async fn failure(&self) -> Option<String> {
        self.text("select failure_code from trainings").await
    }

    pub async fn avatar_status(&self) -> String {
        self.text("select status::text from avatars").await.unwrap()
    }

    pub async fn status(&self) -> String {
        self.text("select status::text from trainings").await.unwrap()
    }

    pub async fn request_id(&self) -> String {
        self.text("select request_id from trainings")
            .await
            .expect("a request id")
    }

    /// How many trainings FAL accepted and would bill.
    pub fn submits(&self) -> usize {
        self.fal
            .ledger()
            .iter()
            .filter(|entry| matches!(entry.event, Event::Submitted { .. }))
            .count()
    }

    /// FAL's ids of the requests that it accepted.
    pub fn accepted(&self) -> Vec<String> {
        let ids = self
            .fal
            .ledger()
            .into_iter()
            .filter_map(|entry| match entry.event {
                Event::Submitted { request_id, .. } => Some(request_id.to_string()),
                _ => None,
            });
        ids.collect()
    }

    /// FAL's status codes to cancels.
    pub fn cancels(&self) -> Vec<u16> {
        let answers = self
            .fal
            .ledger()
            .into_iter()
            .filter_map(|entry| match entry.event {
                Event::Cancelled { http_status, .. } => Some(http_status),
                _ => None,
            });
        answers.collect()
    }

    /// Waits until FAL's run has ended.
    pub async fn fal_is_done(&self) {
        let ended = |entries: &[aisha::simulators::fal::ledger::Entry]| {
            entries
                .iter()
                .any(|entry| matches!(entry.event, Event::RunEnded { .. }))
                .then_some(())
        };
        self.fal
            .wait_for("the run's end", ended)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }

    /// Runs `poll_status` once, whether it is due or not.
    pub async fn poll(&self) {
        self.run::<PollStatus>().await;
    }

    /// Stores and applies FAL's delivery of a success.
    pub async fn deliver_ok(&self, request_id: String) {
        self.store_ok(request_id).await;
        self.run::<ApplyFalDelivery>().await;
    }

    /// Stores FAL's delivery of a success, with FAL's own result as its payload.
    pub async fn store_ok(&self, request_id: String) {
        let http = reqwest::Client::builder().build().unwrap();
        let url = self
            .text("select response_url from trainings")
            .await
            .expect("a response URL");
        let answer = http
            .get(url)
            .header("authorization", "Key test-key:test-secret")
            .send()
            .await
            .unwrap();
        let payload: serde_json::Value = answer.json().await.unwrap();
        let body = serde_json::json!({"request_id": request_id, "gateway_request_id": "g", "status": "OK", "payload": payload});
        self.store_delivery(&request_id, &body, Some("style"), None).await;
    }

    /// Stores and applies a verified delivery, as the web role does. Returns its disposition.
    pub async fn deliver(
        &self,
        request_id: &str,
        body: &serde_json::Value,
        training_type: Option<&str>,
        token: Option<&str>,
    ) -> Option<String> {
        let id = self.store_delivery(request_id, body, training_type, token).await;
        self.run::<ApplyFalDelivery>().await;
        sqlx::query_scalar("select disposition from fal_deliveries where id = $1")
            .bind(id)
            .fetch_one(self.pool())
            .await
            .unwrap()
    }

    pub async fn store_delivery(
        &self,
        request_id: &str,
        body: &serde_json::Value,
        training_type: Option<&str>,
        token: Option<&str>,
    ) -> i64 {
        let body = body.to_string().into_bytes();
        let mut tx = self.pool().begin().await.unwrap();
        let id: i64 = sqlx::query_scalar(
            "insert into fal_deliveries (request_id, body_sha256, body, training_type, token, fal_user_id, signed_at)
             values ($1, $2, $3, $4, $5, 'github|simulated', now()) returning id",
        )
        .bind(request_id)
        .bind(hex::encode(Sha256::digest(&body)))
        .bind(body)
        .bind(training_type)
        .bind(token)
        .fetch_one(&mut *tx)
        .await
        .unwrap();
        enqueue(&mut tx, &ApplyFalDelivery::new(id, training_type.is_some()))
            .await
            .unwrap();
        tx.commit().await.unwrap();
        id
    }

    pub async fn store_model(&self) -> Ran {
        self.jobs.run_one::<StoreModel>().await.expect("a model to store")
    }
}

/// A photo that differs from all others by its comment.
pub fn photo(number: u8) -> Vec<u8> {
    let mut bytes = PHOTO[..2].to_vec();
    bytes.extend([0xff, 0xfe, 0, 3, number]);
    bytes.extend(&PHOTO[2..]);
    bytes
}

/// As [`World::store_photo`], of any avatar.
pub async fn store_photo(core: &Core, avatar: Uuid, bytes: &[u8]) -> Uuid {
    let id = Uuid::now_v7();
    let key: String = sqlx::query_scalar(
        "insert into avatar_photos (id, avatar_id, file_id, file_unique_id, status, storage_key, content_type, bytes, sha256, settled_at)
         select $1, id, $1::text, $1::text, 'stored', user_id || '/' || id || '/' || $1 || '.jpg', 'image/jpeg', $3, $4, now()
           from avatars where id = $2
         returning storage_key",
    )
    .bind(id)
    .bind(avatar)
    .bind(i64::try_from(bytes.len()).unwrap())
    .bind(hex::encode(Sha256::digest(bytes)))
    .fetch_one(core.pool())
    .await
    .unwrap();
    core.s3.put(&key, bytes);
    id
}

async fn rows(pool: &PgPool, telegram_id: i64) -> (Uuid, Uuid) {
    let user: Uuid = sqlx::query_scalar(
        "insert into users (telegram_id, username, language) values ($1, 'lisa', 'en') returning id",
    )
    .bind(telegram_id)
    .fetch_one(pool)
    .await
    .unwrap();
    let avatar: Uuid = sqlx::query_scalar(
        "insert into avatars (user_id, name, gender, avatar_type, training_type, status, trigger_phrase, training_started_at)
         values ($1, 'Lisa', 'female', 'character', 'style', 'training', 'zorvane', now()) returning id",
    )
    .bind(user)
    .fetch_one(pool)
    .await
    .unwrap();
    let training: Uuid = sqlx::query_scalar(
        "insert into trainings (avatar_id, user_id, training_type, trainer, preset, trigger_phrase, status)
         values ($1, $2, 'style', 'flux-lora-fast-training', 'fast', 'zorvane', 'requested') returning id",
    )
    .bind(avatar)
    .bind(user)
    .fetch_one(pool)
    .await
    .unwrap();
    (avatar, training)
}
