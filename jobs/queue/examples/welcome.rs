//! The example of the crate's README, whole: one kind of job, enqueued in a transaction, run by a worker.
//!
//! `cargo run -p queue --example welcome -- postgres://…`, on a database that has the queue's tables.

use std::{sync::Arc, time::Duration};

use queue::{
    Context, Kind, Registry, Run, Worker, WorkerOptions,
    database::{Database, DatabaseOptions},
    enqueue::enqueue,
    job::{DeadReason, DedupeKey, Done, Job, JobError, Policy, Queue},
};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_util::sync::CancellationToken;

const MAIL: Queue = Queue::named("mail");

/// Payloads hold ids only: a run reads everything else itself.
#[derive(Serialize, Deserialize)]
struct WelcomeCustomer {
    customer: i64,
}

impl Job for WelcomeCustomer {
    const NAME: &'static str = "welcome_customer";
    const QUEUE: Queue = MAIL;
    const POLICY: Policy = Policy::attempts(5).backoff(Duration::from_secs(2), Duration::from_mins(1));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.customer))
    }
}

/// The services that every run gets.
struct Mailer {
    sent: UnboundedSender<i64>,
}

impl Run<Mailer> for WelcomeCustomer {
    async fn run(&self, cx: &Context<Mailer>) -> Result<Done, JobError> {
        // Outside Postgres: if the process dies between this and the ack, it happens again.
        cx.sent.send(self.customer).map_err(JobError::retry)?;
        Ok(Done::Applied)
    }

    async fn on_dead(&self, _: &mut PgConnection, _: &DeadReason) -> Result<(), JobError> {
        Ok(())
    }
}

/// Enqueues one job, and lets a worker run it.
pub async fn welcome(database: &Database) -> Result<i64, Box<dyn std::error::Error>> {
    let mut tx = database.begin().await?;
    enqueue(&mut tx, &WelcomeCustomer { customer: 42 }).await?;
    tx.commit().await?;

    let (sent, mut outbox) = unbounded_channel();
    let mailer = Arc::new(Mailer { sent });
    let kinds = [Kind::of::<WelcomeCustomer, _>(&mailer, database)];
    let options = WorkerOptions {
        slots: vec![(MAIL, 4)],
        ..WorkerOptions::default()
    };
    let worker = Worker::with_registry(database, Registry::from_iter(kinds), options)?;
    let (soft, hard) = (CancellationToken::new(), CancellationToken::new());
    let running = tokio::spawn(worker.run(soft.clone(), hard));
    let welcomed = outbox.recv().await.ok_or("the worker ended before the job")?;
    soft.cancel();
    running.await??;
    Ok(welcomed)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args()
        .nth(1)
        .ok_or("the URL of a database is missing")?;
    let options = DatabaseOptions {
        url: url.into(),
        max_connections: 4,
        acquire_timeout: Duration::from_secs(5),
        application_name: "welcome".to_owned(),
        pooled: false,
    };
    let database = Database::connect(&options).await?;
    tracing::info!("Customer {} is welcomed", welcome(&database).await?);
    Ok(())
}
