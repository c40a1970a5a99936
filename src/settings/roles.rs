//! Which role needs what. A role that does not list a section does not need its secrets.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use jobs::{Retention, domain::Quotas, job::Queue};
use secrecy::SecretString;

use super::{
    fal::{FalSettings, WebhookVerification},
    quotas,
    rates::RateSettings,
    reader::Reader,
    sections::{
        DatabaseSettings, HOUR, LogSettings, MILLISECOND, MINUTE, PhotoSettings, QueueSettings, S3Settings,
        SagaSettings, TrainingSettings, grace, retention,
    },
    telegram::{TelegramSettings, TelegramUpdates},
};

/// Settings of one role.
pub trait Role: Sized {
    /// As on the command line.
    const NAME: &'static str;

    /// `None`: the reader holds the problems.
    #[doc(hidden)]
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

/// `aisha bot`
#[derive(Debug, Clone)]
pub struct BotSettings {
    /// Log lines.
    pub log: LogSettings,
    /// The one database.
    pub database: DatabaseSettings,
    /// Its token.
    pub telegram: TelegramSettings,
    /// Who takes updates in.
    pub updates: TelegramUpdates,
    /// What a new training is made with.
    pub training: TrainingSettings,
    /// What the wizard asks for.
    pub photos: PhotoSettings,
    /// What a user may cost, and who is let in.
    pub quotas: Quotas,
    /// Where health is served.
    pub health_listen: Option<SocketAddr>,
    /// From the stop signal to the end.
    pub grace: Duration,
}

impl Role for BotSettings {
    const NAME: &'static str = "bot";

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let log = LogSettings::read(from);
        let database = DatabaseSettings::read_direct(from);
        let telegram = TelegramSettings::read(from);
        let updates = TelegramUpdates::read(from);
        let training = TrainingSettings::read(from);
        let photos = PhotoSettings::read(from);
        let quotas = quotas::read(from);
        let health_listen = from.optional("health.listen", "127.0.0.1:9000");
        let grace = grace(from);
        Some(Self {
            log: log?,
            database: database?,
            telegram: telegram?,
            updates: updates?,
            training: training?,
            photos: photos?,
            quotas: quotas?,
            health_listen: health_listen?,
            grace: grace?,
        })
    }
}

/// `aisha web`
#[derive(Debug, Clone)]
pub struct WebSettings {
    /// Log lines.
    pub log: LogSettings,
    /// The one database.
    pub database: DatabaseSettings,
    /// How a delivery of FAL's is told from a forged one.
    pub fal: WebhookVerification,
    /// How an update of Telegram's is told from a forged one. `None`: the bot polls, and the route does not exist.
    pub telegram_secret: Option<SecretString>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Connections at a time, as far as the limit of open files allows.
    pub max_connections: usize,
    /// From a connection's beginning to the end of its first request's head.
    pub head_timeout: Duration,
    /// From an answer to the end of the next request's head.
    pub idle_timeout: Duration,
    /// Larger bodies are refused.
    pub max_body_bytes: usize,
    /// All bodies at a time together.
    pub body_memory_bytes: usize,
    /// Slower requests are cut off.
    pub request_timeout: Duration,
    /// How long it still accepts after the stop signal.
    pub linger: Duration,
    /// From the stop signal to the end.
    pub grace: Duration,
}

impl Role for WebSettings {
    const NAME: &'static str = "web";

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let log = LogSettings::read(from);
        let database = DatabaseSettings::read(from);
        let fal = WebhookVerification::read(from);
        let telegram_secret = TelegramUpdates::read_secret(from);
        let listen = from.parse("web.listen", "0.0.0.0:8000");
        let max_connections = from.number("web.max_connections", 16..=100_000);
        let head_timeout = from.duration("web.head_timeout", 100 * MILLISECOND..=MINUTE);
        let idle_timeout = from.duration("web.idle_timeout", 100 * MILLISECOND..=HOUR);
        let bodies = read_bodies(from);
        let request_timeout = from.duration("web.request_timeout", 100 * MILLISECOND..=MINUTE);
        let linger = from.duration("web.linger", Duration::ZERO..=MINUTE);
        let grace = grace(from);
        let (max_body_bytes, body_memory_bytes) = bodies?;
        Some(Self {
            log: log?,
            database: database?,
            fal: fal?,
            telegram_secret: telegram_secret?,
            listen: listen?,
            max_connections: max_connections?,
            head_timeout: head_timeout?,
            idle_timeout: idle_timeout?,
            max_body_bytes,
            body_memory_bytes,
            request_timeout: request_timeout?,
            linger: linger?,
            grace: grace?,
        })
    }
}

/// `web.max_body_bytes` and `web.body_memory_bytes`.
fn read_bodies(from: &mut Reader<'_>) -> Option<(usize, usize)> {
    let each = from.number("web.max_body_bytes", 1_024..=104_857_600);
    let all = from.number("web.body_memory_bytes", 1_024..=1_073_741_824);
    let (each, all) = (each?, all?);
    if each > all {
        from.refuse(
            "web.max_body_bytes",
            format!("is {each}, more than web.body_memory_bytes ({all}): such a body could never be read."),
            "Lower the one or raise the other.",
        );
    }
    Some((each, all))
}

/// `aisha worker`
#[derive(Debug, Clone)]
pub struct WorkerSettings {
    /// Log lines.
    pub log: LogSettings,
    /// The one database.
    pub database: DatabaseSettings,
    /// Photos and models.
    pub s3: S3Settings,
    /// The trainer.
    pub fal: FalSettings,
    /// How long its steps may take.
    pub saga: SagaSettings,
    /// For messages and photos.
    pub telegram: TelegramSettings,
    /// Which trainers new trainings use; checked here too, since it is the worker that posts to them.
    pub training: TrainingSettings,
    /// What a photo may be.
    pub photos: PhotoSettings,
    /// Trainings that the account may submit a day. 0: no limit.
    pub submits_a_day: u32,
    /// Leases.
    pub queue: QueueSettings,
    /// How long what has ended is kept.
    pub retention: Retention,
    /// How fast it may ask Telegram and FAL, together with all others.
    pub rates: RateSettings,
    /// Jobs that run here at once, for each queue that is taken from.
    pub slots: BTreeMap<Queue, usize>,
    /// Claims beyond the slots, for each queue that there is; 0: strict.
    pub prefetch: BTreeMap<Queue, usize>,
    /// Where health is served.
    pub health_listen: Option<SocketAddr>,
}

impl Role for WorkerSettings {
    const NAME: &'static str = "worker";

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let log = LogSettings::read(from);
        let database = DatabaseSettings::read(from);
        let s3 = S3Settings::read(from);
        let fal = FalSettings::read(from);
        let saga = SagaSettings::read(from);
        let telegram = TelegramSettings::read(from);
        let training = TrainingSettings::read(from);
        let photos = PhotoSettings::read(from);
        let submits_a_day = quotas::read_submits(from);
        let queue = QueueSettings::read(from);
        let retention = retention(from);
        let rates = RateSettings::read(from);
        let slots = read_slots(from);
        let prefetch = read_prefetch(from);
        let health_listen = from.optional("health.listen", "127.0.0.1:9001");
        let database = database.filter(|database| has_enough_connections(from, database));
        Some(Self {
            log: log?,
            database: database?,
            s3: s3?,
            fal: fal?,
            saga: saga?,
            telegram: telegram?,
            training: training?,
            photos: photos?,
            submits_a_day: submits_a_day?,
            queue: queue?,
            retention: retention?,
            rates: rates?,
            slots: slots?,
            prefetch: prefetch?,
            health_listen: health_listen?,
        })
    }
}

/// Claims, outcomes, heartbeats and one job at a time; with fewer they wait for one another until leases run out.
fn has_enough_connections(from: &mut Reader<'_>, database: &DatabaseSettings) -> bool {
    const FEWEST: u32 = 4;
    let enough = database.max_connections >= FEWEST;
    if !enough {
        from.reject(
            "database.max_connections",
            "a worker needs more: claims, outcomes, heartbeats and its jobs each take one at times",
            &format!("Use {FEWEST} or more for a worker; the others may have 2."),
        );
    }
    enough
}

/// `worker.queues` with the slots of each.
fn read_slots(from: &mut Reader<'_>) -> Option<BTreeMap<Queue, usize>> {
    let names = from.text("worker.queues", "media,fal")?;
    let mut slots = BTreeMap::new();
    let mut all_known = true;
    for name in names.split(',').map(str::trim) {
        match name.parse::<Queue>() {
            Ok(queue) => {
                let count = from.number(&format!("worker.slots.{queue}"), 1..=1000);
                all_known &= count.map(|count| slots.insert(queue, count)).is_some();
            }
            Err(unknown) => {
                from.refuse(
                    "worker.queues",
                    format!("is {names:?}: {unknown}."),
                    "For example: media,fal",
                );
                all_known = false;
            }
        }
    }
    all_known.then_some(slots)
}

/// `[queue.prefetch]`, also of queues that are not taken from here: a mistake is told before they are.
fn read_prefetch(from: &mut Reader<'_>) -> Option<BTreeMap<Queue, usize>> {
    let read = Queue::ALL.map(|queue| {
        let jobs = from.number(&format!("queue.prefetch.{queue}"), 0..=Queue::MOST_PREFETCHED);
        jobs.map(|jobs| (queue, jobs))
    });
    read.into_iter().collect()
}

/// `aisha migrate`
#[derive(Debug, Clone)]
pub struct MigrateSettings {
    /// Log lines.
    pub log: LogSettings,
    /// The one database.
    pub database: DatabaseSettings,
}

impl Role for MigrateSettings {
    const NAME: &'static str = "migrate";

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let log = LogSettings::read(from);
        let database = DatabaseSettings::read_direct(from);
        Some(Self {
            log: log?,
            database: database?,
        })
    }
}

/// Verbs that only look at the database.
#[derive(Debug, Clone)]
pub struct OpsSettings {
    /// The one database.
    pub database: DatabaseSettings,
}

impl Role for OpsSettings {
    const NAME: &'static str = "avatars";

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        DatabaseSettings::read_direct(from).map(|database| Self { database })
    }
}

/// Verbs that change the queue, and say so in the log.
#[derive(Debug, Clone)]
pub struct OperatorSettings {
    /// Log lines.
    pub log: LogSettings,
    /// The one database.
    pub database: DatabaseSettings,
}

impl Role for OperatorSettings {
    const NAME: &'static str = "operator";

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let log = LogSettings::read(from);
        let database = DatabaseSettings::read_direct(from);
        Some(Self {
            log: log?,
            database: database?,
        })
    }
}

/// `aisha fal-simulator`, `aisha telegram-simulator`
#[derive(Debug, Clone)]
pub struct SimulatorSettings {
    /// Log lines.
    pub log: LogSettings,
}

impl Role for SimulatorSettings {
    const NAME: &'static str = "simulator";

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        LogSettings::read(from).map(|log| Self { log })
    }
}
