//! The core without processes: jobs run one by one in the test's own task (`jobs::testing`), over a real Postgres,
//! a real S3 server and the simulators.

use std::{path::Path, sync::Arc};

use aisha::ops::simulators::declared_trainer;
use aisha::simulators::telegram::{NewUser, SimUser};
use jobs::domain::{AvatarId, Gender, TrainingType};
use jobs::enqueue::enqueue;
use jobs::job::Job;
use jobs::objects::ObjectStore;
use jobs::producer::{Producer, Rules, Sender, Turn};
use jobs::queue::JobId;
use jobs::runtime::Services;
use jobs::testing::{Ran, TestWorker, assert_enqueued, enqueued};
use jobs::texts::Locale;
use serde_json::json;
use sqlx::PgPool;

use super::leftovers::Leftovers;
use super::settings::{services, worker_settings_in};
use super::{Db, Fal, S3, Telegram, worker_settings};

/// The core of one test, and the servers that it uses. [`World`](crate::saga::world::World) adds one training.
pub struct Core {
    pub db: Db,
    pub s3: S3,
    pub fal: Fal,
    pub telegram: Telegram,
    /// What the jobs get; change it with [`Core::change_services`].
    pub services: Services,
    /// A worker that runs a job only when the test says so.
    pub jobs: TestWorker,
    pub producer: Producer,
    pub rules: Arc<Rules>,
    leftovers: Leftovers,
}

impl Core {
    /// A core with the settings of `config/default.toml`.
    pub async fn new() -> Self {
        Self::on(Db::new().await, S3::new().await, &[]).await
    }

    /// A core on a database and a store that the test has prepared, with these variables over the settings.
    pub async fn on(db: Db, s3: S3, variables: &[(&'static str, &str)]) -> Self {
        Self::at(Fal::new().await, None, db, s3, variables).await
    }

    /// A core with the files of an operator's directory (`--config`); FAL has what they declare.
    pub async fn configured(directory: &Path, variables: &[(&'static str, &str)]) -> Self {
        let trainers = worker_settings_in(Some(directory), []).trainers;
        let declared = trainers.iter().map(declared_trainer).collect();
        let fal = Fal::with(|fal| fal.trainers = declared).await;
        Self::at(fal, Some(directory), Db::new().await, S3::new().await, variables).await
    }

    async fn at(
        fal: Fal,
        directory: Option<&Path>,
        db: Db,
        s3: S3,
        variables: &[(&'static str, &str)],
    ) -> Self {
        let telegram = Telegram::new().await;
        let variables = variables.iter().map(|(name, value)| (*name, (*value).to_owned()));
        // Only `tests/pictures/samples.rs` looks at first pictures.
        let no_samples = [("AISHA__TRAINING__SAMPLES", "0".to_owned())];
        let simulated = fal.env().into_iter().chain(telegram.env());
        let variables = simulated.chain(no_samples).chain(variables);
        let services = services(directory, &db, &s3, variables);
        let rules = Rules::new(
            services.settings.photos.clone(),
            (*services.trainers).clone(),
            Arc::clone(&services.pictures),
        );
        let producer = Producer::new(db.pool.clone());
        Self {
            jobs: jobs_of(&services),
            db,
            s3,
            fal,
            telegram,
            services,
            producer,
            rules,
            leftovers: Leftovers::default(),
        }
    }

    /// Changes the services of all jobs that run from now on.
    pub fn change_services(&mut self, change: impl FnOnce(&mut Services)) {
        change(&mut self.services);
        self.jobs = jobs_of(&self.services);
    }

    pub fn pool(&self) -> &PgPool {
        &self.db.pool
    }

    /// A new person at the simulator who has already written to the bot: otherwise the bot may not write to them.
    pub fn person(&self) -> SimUser {
        let new = NewUser {
            first_name: Some("Ann".to_owned()),
            ..NewUser::default()
        };
        let person = self.telegram.control().create_user(new);
        person.send_text("hello").expect("a message");
        person
    }

    /// An update of this person that the test handles itself.
    pub async fn turn_of(&self, person: &SimUser) -> Turn {
        self.turn_of_id(person.id()).await
    }

    /// As [`Core::turn_of`], by Telegram's id.
    pub async fn turn_of_id(&self, id: i64) -> Turn {
        let next: i64 = sqlx::query_scalar("select coalesce(max(update_id), 0) + 1 from telegram_updates")
            .fetch_one(self.pool())
            .await
            .expect("the next update");
        let update = json!({"update_id": next, "message": {"chat": {"id": id}}});
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
            telegram_id: id,
            username: None,
            first_name: "Ann".to_owned(),
            locale: Some(Locale::En),
        };
        turn.sender(&sender).await.expect("the sender");
        turn
    }

    /// A draft of this person at the photo step, whose first message is not sent yet.
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

    /// Jobs of this kind may be live when the test ends.
    pub fn leaves<J: Job>(&self) {
        self.leftovers.allow::<J>();
    }

    pub async fn enqueue<J: Job>(&self, job: &J) {
        let mut tx = self.pool().begin().await.expect("begin");
        enqueue(&mut tx, job).await.expect("enqueue");
        tx.commit().await.expect("commit");
    }

    /// The only live job of a kind.
    pub async fn job<J: Job>(&self) -> JobId {
        let mut db = self.pool().acquire().await.expect("a connection");
        assert_enqueued::<J>(&mut db, |_| true).await
    }

    /// Runs the only live job of a kind now.
    pub async fn run<J: Job>(&self) -> Ran {
        let job = self.job::<J>().await;
        self.jobs.run(job).await
    }

    pub async fn is_live<J: Job>(&self) -> bool {
        let mut db = self.pool().acquire().await.expect("a connection");
        !enqueued::<J>(&mut db).await.is_empty()
    }

    /// Changes rows directly, as if time had passed or jobs had disappeared.
    pub async fn change(&self, statement: &'static str) {
        sqlx::query(statement)
            .execute(self.pool())
            .await
            .expect(statement);
    }

    pub async fn text(&self, query: &'static str) -> Option<String> {
        self.look(query).await
    }

    pub async fn count(&self, query: &'static str) -> i64 {
        self.look(query).await
    }

    /// The newest job of a kind.
    pub async fn newest(&self, kind: &str) -> JobId {
        let id = sqlx::query_scalar("select max(id) from jobs where kind = $1")
            .bind(kind)
            .fetch_one(self.pool())
            .await;
        JobId(id.unwrap_or_else(|error| panic!("no job of kind {kind}: {error}")))
    }

    /// Reads one value from the database.
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

impl Drop for Core {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let left = self.leftovers.unexplained(&self.db);
        assert!(
            left.is_empty(),
            "the test ends and leaves jobs:\n    {}\nfix: run them (jobs.drain), assert that they are there, or say so: leaves::<Kind>()",
            left.join("\n    ")
        );
    }
}

fn jobs_of(services: &Services) -> TestWorker {
    TestWorker::new(&services.database, jobs::runtime::registry(services))
}

/// A bucket that no request reaches.
pub fn bucket_out_of_reach() -> ObjectStore {
    ObjectStore::new(&worker_settings([]).objects).expect("a bucket")
}
