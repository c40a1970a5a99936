//! `aisha worker`: claims jobs and runs them until it is told to stop. Any number of workers may run at once.
//!
//! This file builds the services that jobs use, decides *how many* jobs of each queue run here, and refuses
//! to start where every job would fail: with pending migrations, a missing bucket, or an unknown trainer.
//! `jobs/src/work/<name>.rs` says what a job does; `jobs/queue/` has claiming, retries and rescue.
//!
//! # If we die
//! Its leases run out, and another worker takes over its jobs (after `queue.lease` + `queue.sweep`).

use std::sync::Arc;

use anyhow::Context;
use clap::Parser;
use jobs::{
    archive::{self, Workbench},
    database::Database,
    domain::Trainers,
    fal::FalClient,
    job::Queue,
    objects::{ObjectStore, ObjectStoreSettings},
    queues,
    runtime::{Chance, Clock, Services, worker},
    telegram::TelegramClient,
    texts::Texts,
};
use tracing::{info, warn};

use crate::{
    connect,
    exit::Failure,
    lifecycle::Stop,
    open_files,
    settings::{Given, TelegramSettings, WorkerSettings},
    telemetry,
    web::health::Health,
};

/// Run jobs: store photos, build archives, submit trainings, poll, store models, notify.
///
/// Start more workers to scale. SIGTERM drains a worker: it claims nothing new, running jobs may finish
/// within queue.grace, and the rest is handed back without a charged attempt.
#[derive(Debug, Parser)]
#[command(after_long_help = "\
Needs DATABASE_URL, S3_ENDPOINT, S3_ACCESS_KEY, S3_SECRET_KEY, TELEGRAM_BOT_TOKEN, and FAL_KEY unless
AVATAR_TEST_MODE=true.

Examples:
  aisha worker
  aisha worker --queues media,fal --slots media=2,fal=8
  aisha worker --health-listen 127.0.0.1:9001 --log-format json")]
pub struct WorkerArgs {
    #[arg(long, value_name = "NAMES", help = queues_help())]
    queues: Option<String>,
    /// How many jobs run at once, for some or all queues. Default: worker.slots.
    #[arg(long, value_name = "QUEUE=N,…", value_delimiter = ',', value_parser = slots)]
    slots: Vec<(Queue, String)>,
    /// Serve /livez, /readyz and /metrics here. Default: the setting health.listen (off).
    #[arg(long, value_name = "ADDR")]
    health_listen: Option<String>,
}

/// `media=2`; whether the number makes sense is for the settings to say.
fn slots(text: &str) -> Result<(Queue, String), String> {
    let (queue, count) = text.split_once('=').ok_or("write QUEUE=N, such as media=2")?;
    let queue = queues::named(queue).map_err(|unknown| unknown.to_string())?;
    Ok((queue, count.to_owned()))
}

fn queues_help() -> String {
    let queues = queues::one_of();
    format!("Queues to take jobs from, with commas: {queues}. Default: worker.queues, which is all of them")
}

/// Runs the role to its end.
pub async fn main(args: WorkerArgs, given: Given) -> Result<(), Failure> {
    let given = given.with("worker.queues", "--queues", args.queues).with(
        "health.listen",
        "--health-listen",
        args.health_listen,
    );
    let given = args.slots.into_iter().fold(given, |given, (queue, count)| {
        given.with(format!("worker.slots.{queue}"), "--slots", Some(count))
    });
    let settings = given.load::<WorkerSettings>()?;
    telemetry::start_logging(&settings.log)?;
    let metrics = telemetry::start_metrics("worker")?;
    open_files::raise();
    let stop = Stop::at_signals(settings.options.grace).context("cannot listen for signals")?;

    let database = connect::database(&settings.database, "worker").await?;
    let objects = open_bucket(&settings.objects).await?;
    warn_of_retired(&settings.trainers);
    let (options, health_listen) = (settings.options.clone(), settings.health_listen);
    let services = services(settings, &database, objects.clone())?;
    if let Some(listen) = health_listen {
        let health = Health::new(database, stop.clone(), metrics)
            .and("bucket", move || bucket_problem(objects.clone()))
            .and("temporary directory", disk_problem);
        health.serve_on(listen).await?;
    }
    for (queue, slots) in &options.slots {
        info!(queue = %queue, slots, "Up to {slots} jobs of queue {queue} run here at once");
    }
    let worker = worker(&services, options).context("the worker cannot be started")?;
    worker
        .run(stop.soft().clone(), stop.hard().clone())
        .await
        .context("the worker broke down")?;
    Ok(())
}

/// Opens the object store and checks that the bucket exists: with a wrong name every photo would be lost one
/// by one (the incumbent read an empty bucket for weeks, M5).
async fn open_bucket(settings: &ObjectStoreSettings) -> Result<ObjectStore, Failure> {
    let objects = ObjectStore::new(settings).context("the object store cannot be used")?;
    match objects.bucket_exists().await {
        Ok(true) => Ok(objects),
        Ok(false) => Err(Failure::unavailable(format_args!(
            "the bucket {:?} does not exist at {}. Create it, or correct S3_BUCKET_AVATARS",
            settings.bucket, settings.endpoint
        ))),
        Err(error) => Err(Failure::unavailable(format_args!(
            "the object store at {} cannot be used: {error}. Check S3_ENDPOINT, S3_ACCESS_KEY and S3_SECRET_KEY",
            settings.endpoint
        ))),
    }
}

async fn disk_problem() -> Result<(), String> {
    let probed = archive::probe_disk().await;
    probed.map_err(|error| format!("it cannot be written: {}; TMPDIR says where it is", error.kind()))
}

async fn bucket_problem(objects: ObjectStore) -> Result<(), String> {
    match objects.bucket_exists().await {
        Ok(true) => Ok(()),
        Ok(false) => Err("it does not exist".to_owned()),
        Err(_) => Err("the object store does not answer as it should".to_owned()),
    }
}

fn warn_of_retired(trainers: &Trainers) {
    for retired in trainers.iter().filter(|trainer| trainer.retired) {
        let (name, endpoint) = (&retired.name, &retired.endpoint);
        if trainers.default_for(retired.training_type).name == *name {
            warn!("The default trainer {name} is retired at FAL: {endpoint} may refuse new trainings");
        }
    }
}

/// Builds what every run of a job gets. It is public for tests, whose jobs should use the same settings as a
/// worker's.
pub fn services(
    settings: WorkerSettings,
    database: &Database,
    objects: ObjectStore,
) -> Result<Services, Failure> {
    // Every field is named, so that a field that is not used does not compile.
    let WorkerSettings {
        log: _,
        database: _,
        objects: _,
        fal,
        training,
        telegram:
            TelegramSettings {
                bot_token,
                api_url,
                timeout,
            },
        trainers,
        pictures,
        decode_memory_bytes,
        retention,
        options: _,
        health_listen: _,
    } = settings;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Services {
        database: database.clone(),
        clock: Clock::system(),
        chance: Chance::system(),
        fal: FalClient::new(fal).context("FAL's client cannot be built")?,
        objects,
        telegram: TelegramClient::new(&bot_token, &api_url, timeout)
            .context("Telegram's client cannot be built")?,
        texts: Texts::load().context("the texts cannot be loaded")?,
        trainers: Arc::new(trainers),
        pictures: Arc::new(pictures),
        workbench: Workbench::new(decode_memory_bytes, cores)
            .context("the threads that decode photos cannot be started")?,
        settings: Arc::new(training),
        retention,
    })
}
