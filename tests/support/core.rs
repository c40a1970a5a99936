//! The core without processes: jobs run one by one in the test's own task (`jobs::testing`), over a real Postgres,
//! a real S3 server and the simulators.

use std::sync::Arc;
use std::time::Duration;

use aisha::simulators::telegram::{NewUser, SimUser};
use jobs::archive::{Limits, Workbench};
use jobs::domain::{AvatarId, Gender, Patience, Trainers, TrainingDefaults, TrainingType};
use jobs::fal::{FalClient, FalSettings, FalTimeouts, FileHosts, Multipart};
use jobs::objects::{ObjectStore, ObjectStoreSettings, ObjectStoreTimeouts};
use jobs::producer::{Producer, Rules, Sender, Turn};
use jobs::queue::JobId;
use jobs::runtime::{ArchiveDelivery, Chance, Clock, SagaSettings, Services};
use jobs::telegram::TelegramClient;
use jobs::testing::TestWorker;
use jobs::texts::{Locale, Texts};
use secrecy::SecretString;
use serde_json::json;
use sqlx::PgPool;
use url::Url;

use super::{BUCKET, Db, S3, Telegram};

/// Where nobody listens: for tests whose jobs do not get as far as FAL.
const NOWHERE: &str = "http://127.0.0.1:9";

/// The core of one test, and what is around it.
pub struct Core {
    pub db: Db,
    pub telegram: Telegram,
    pub s3: S3,
    /// To be changed before [`Core::worker`] is called.
    pub services: Services,
    pub producer: Producer,
    pub rules: Arc<Rules>,
}

impl Core {
    /// With FAL out of reach.
    pub async fn new() -> Self {
        let (db, telegram, s3) = (Db::new().await, Telegram::new().await, S3::new().await);
        let services = services(&db, &telegram, &s3);
        let rules = Rules::new(services.saga.photos.clone(), (*services.trainers).clone());
        let producer = Producer::new(db.pool.clone());
        Self {
            db,
            telegram,
            s3,
            services,
            producer,
            rules,
        }
    }

    /// Runs jobs when the test says so.
    pub fn worker(&self) -> TestWorker {
        TestWorker::new(&self.services)
    }

    pub fn pool(&self) -> &PgPool {
        &self.db.pool
    }

    /// Somebody new, at the simulator, who has written to the bot: else it may not write to them.
    pub fn person(&self) -> SimUser {
        let new = NewUser {
            first_name: Some("Ann".to_owned()),
            ..NewUser::default()
        };
        let person = self.telegram.control().create_user(new);
        person.send_text("hello").expect("a message");
        person
    }

    /// An update of this person's that the test handles itself.
    pub async fn turn_of(&self, person: &SimUser) -> Turn {
        let next: i64 = sqlx::query_scalar("select coalesce(max(update_id), 0) + 1 from telegram_updates")
            .fetch_one(self.pool())
            .await
            .expect("the next update");
        let update = json!({"update_id": next, "message": {"chat": {"id": person.id()}}});
        assert!(
            self.producer.accept_telegram_update(update).await.expect("store"),
            "the update is new"
        );
        let mut turn = self
            .producer
            .next_turn(&self.rules, None)
            .await
            .expect("take")
            .expect("a turn");
        let sender = Sender {
            telegram_id: person.id(),
            username: None,
            first_name: "Ann".to_owned(),
            locale: Some(Locale::En),
        };
        turn.sender(&sender).await.expect("the sender");
        turn
    }

    /// A draft of this person's at the photo step, with its first message not sent yet.
    pub async fn draft_of(&self, person: &SimUser) -> AvatarId {
        let mut turn = self.turn_of(person).await;
        let draft = turn
            .new_draft(TrainingType::Portrait)
            .await
            .expect("a draft")
            .expect("a draft")
            .id;
        assert!(
            turn.choose_gender(draft, Gender::Female)
                .await
                .expect("the gender")
        );
        assert!(turn.name(draft, "Lisa", None).await.expect("the name"));
        turn.finish().await.expect("commit");
        draft
    }

    /// The newest job of a kind.
    pub async fn newest(&self, kind: &str) -> JobId {
        let id = sqlx::query_scalar("select max(id) from jobs where kind = $1")
            .bind(kind)
            .fetch_one(self.pool())
            .await;
        JobId(id.unwrap_or_else(|error| panic!("no job of kind {kind}: {error}")))
    }

    /// One value of the database.
    pub async fn look<T>(&self, query: &'static str) -> T
    where
        T: Send + Unpin,
        (T,): for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow>,
    {
        sqlx::query_as::<_, (T,)>(query)
            .fetch_one(self.pool())
            .await
            .expect(query)
            .0
    }
}

fn services(db: &Db, telegram: &Telegram, s3: &S3) -> Services {
    let defaults = TrainingDefaults {
        portrait_trainer: "flux-lora-portrait-trainer".to_owned(),
        style_trainer: "flux-lora-fast-training".to_owned(),
        preset: "balanced".to_owned(),
    };
    let trainers =
        Trainers::from_toml(include_str!("../../config/trainers.toml"), &defaults).expect("the trainers");
    let [(_, token), (_, api_url)] = telegram.env();
    let api_url: Url = api_url.parse().expect("a URL");
    let telegram = TelegramClient::new(&SecretString::from(token), &api_url, Duration::from_secs(20));
    Services {
        pool: db.pool.clone(),
        clock: Clock::system(),
        chance: Chance::from_seed(1),
        fal: fal_client(),
        objects: bucket(s3),
        telegram: telegram.expect("a client"),
        texts: Texts::load().expect("the texts"),
        trainers: Arc::new(trainers),
        workbench: Workbench::new(256 << 20, 2).unwrap(),
        saga: Arc::new(saga()),
        retention: jobs::Retention::default(),
    }
}

fn fal_client() -> FalClient {
    let nowhere = || NOWHERE.parse().expect("a URL");
    FalClient::new(FalSettings {
        queue_url: nowhere(),
        rest_url: nowhere(),
        cdn_url: nowhere(),
        file_hosts: FileHosts::default(),
        api_url: nowhere(),
        key: SecretString::from("test-key:test-secret"),
        timeouts: FalTimeouts::default(),
        multipart: Multipart::default(),
    })
    .expect("a client")
}

/// The bucket of this server.
fn bucket(s3: &S3) -> ObjectStore {
    let endpoint: Url = s3.server.endpoint.parse().expect("a URL");
    ObjectStore::new(&ObjectStoreSettings {
        public_endpoint: endpoint.clone(),
        endpoint,
        region: s3.server.region.clone(),
        access_key: SecretString::from(s3.server.access_key.clone()),
        secret_key: s3.server.secret_key.clone(),
        bucket: BUCKET.to_owned(),
        timeouts: ObjectStoreTimeouts::default(),
    })
    .expect("a bucket")
}

/// A bucket that cannot be reached.
pub fn bucket_out_of_reach() -> ObjectStore {
    let nowhere: Url = NOWHERE.parse().expect("a URL");
    ObjectStore::new(&ObjectStoreSettings {
        public_endpoint: nowhere.clone(),
        endpoint: nowhere,
        region: "us-east-1".to_owned(),
        access_key: SecretString::from("nobody"),
        secret_key: SecretString::from("nothing"),
        bucket: BUCKET.to_owned(),
        timeouts: ObjectStoreTimeouts::default(),
    })
    .expect("a bucket")
}

fn saga() -> SagaSettings {
    SagaSettings {
        photos: Limits::default(),
        archive_delivery: ArchiveDelivery::FalStorage,
        archive_lifecycle: Duration::from_hours(24),
        webhook: None,
        first_poll: Duration::from_secs(1),
        poll_every: Duration::from_secs(1),
        webhook_grace: Duration::ZERO,
        list_every: Duration::from_secs(1),
        probe_every: Duration::from_secs(1),
        resubmit_unknown: false,
        submits_a_day: 0,
        patience: Patience {
            prepare: Duration::from_hours(6),
            submit: Duration::from_hours(168),
            decide: Duration::from_hours(1),
            queue_alarm: Duration::from_hours(1),
            run: Duration::from_hours(12),
            cancel: Duration::from_mins(10),
            store: Duration::from_hours(12),
            archive_lifecycle: Duration::from_hours(24),
        },
        reconcile_every: Duration::from_mins(1),
        sweep_every: Duration::from_hours(6),
        orphan_age: Duration::from_hours(1),
    }
}
