//! One struct a section of `config/default.toml`, which says what each key means; here stand bounds and
//! contradictions. A section reads all its keys before it gives up on one.

use std::time::Duration;

use jobs::{
    Retention,
    archive::Limits,
    domain::{TrainerError, Trainers, TrainingDefaults},
    queue::Keep,
};
use secrecy::SecretString;
use url::Url;

use super::{
    layers::Origin,
    reader::{Reader, show_duration},
};

pub(super) const MILLISECOND: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const MINUTE: Duration = Duration::from_mins(1);
pub(super) const HOUR: Duration = Duration::from_hours(1);
pub(super) const DAY: Duration = Duration::from_hours(24);
/// Longer than anything is kept.
const YEARS: Duration = Duration::from_hours(24 * 3650);

/// `[log]`
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How a line looks.
    pub format: LogFormat,
    /// `EnvFilter` directives.
    pub filter: String,
    /// The first lines of the log: what may stay as it is and should not.
    pub warnings: Vec<String>,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

impl LogSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let format = from.choice(
            "log.format",
            &[("text", LogFormat::Text), ("json", LogFormat::Json)],
        );
        // Parsed here only to refuse a bad one; the subscriber parses it again.
        let filter = from.parse::<tracing_subscriber::EnvFilter>("log.filter", "info,sqlx=warn");
        Some(Self {
            format: format?,
            filter: filter?.to_string(),
            warnings: from.warnings(),
        })
    }
}

/// `[database]`
#[derive(Debug, Clone)]
pub struct DatabaseSettings {
    /// A Postgres URL, with its password.
    pub url: SecretString,
    /// Connections a process.
    pub max_connections: u32,
    /// For a free or a new connection.
    pub acquire_timeout: Duration,
    /// The URL leads to a pooler in transaction mode.
    pub pooled: bool,
}

impl DatabaseSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let url = from.secret(
            "database.url",
            "postgres://aisha:PASSWORD@db.example.org/aisha",
            |url| {
                let known = url.starts_with("postgres://") || url.starts_with("postgresql://");
                if known && Url::parse(url).is_ok() {
                    Ok(())
                } else {
                    Err("it is no postgres:// URL")
                }
            },
        );
        let max_connections = from.number("database.max_connections", 2..=1000);
        let acquire_timeout = from.duration("database.acquire_timeout", 100 * MILLISECOND..=MINUTE);
        let pooled = from.choice("database.pooler", &[("none", false), ("transaction", true)]);
        Some(Self {
            url: url?,
            max_connections: max_connections?,
            acquire_timeout: acquire_timeout?,
            pooled: pooled?,
        })
    }
}

impl DatabaseSettings {
    /// For what keeps something in a session: it needs the server itself.
    pub(super) fn read_direct(from: &mut Reader<'_>) -> Option<Self> {
        let settings = Self::read(from)?;
        if settings.pooled {
            from.refuse(
                "database.pooler",
                "is transaction, and this keeps locks or listens in a session of its own.",
                "Set AISHA__DATABASE__POOLER=none and a DATABASE_URL that leads to the server itself; worker and web may use the pooler.",
            );
        }
        Some(settings)
    }
}

/// `[s3]`
#[derive(Debug, Clone)]
pub struct S3Settings {
    /// Where we reach the store.
    pub endpoint: Url,
    /// As the store calls it.
    pub region: String,
    /// Half of the credentials.
    pub access_key: SecretString,
    /// The other half.
    pub secret_key: SecretString,
    /// Holds photos and models.
    pub bucket_avatars: String,
    /// Where the internet reaches the store.
    pub public_endpoint: Url,
}

impl S3Settings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let endpoint = from.url("s3.endpoint", "https://minio.example.org:9000");
        let region = from.text("s3.region", "us-east-1");
        let access_key = from.secret(
            "s3.access_key",
            "the access key of a MinIO or S3 user",
            |_| Ok(()),
        );
        let secret_key = from.secret("s3.secret_key", "that user's secret key", |_| Ok(()));
        let bucket_avatars = from.text("s3.bucket_avatars", "avatars");
        let public_endpoint = from.optional_url("s3.public_endpoint", "https://files.example.org");
        let endpoint = endpoint?;
        Some(Self {
            public_endpoint: public_endpoint?.unwrap_or_else(|| endpoint.clone()),
            endpoint,
            region: region?,
            access_key: access_key?,
            secret_key: secret_key?,
            bucket_avatars: bucket_avatars?,
        })
    }
}

/// `[training]` and `trainers.toml`.
#[derive(Debug, Clone)]
pub struct TrainingSettings {
    /// The trainers there are, and which a new training takes.
    pub trainers: Trainers,
}

impl TrainingSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let portrait_trainer = from.text("training.portrait_trainer", "flux-lora-portrait-trainer");
        let style_trainer = from.text("training.style_trainer", "flux-lora-fast-training");
        let preset = from.text("training.preset", "balanced");
        let defaults = TrainingDefaults {
            portrait_trainer: portrait_trainer?,
            style_trainer: style_trainer?,
            preset: preset?,
        };
        let (table, origin) = from.trainers();
        match Trainers::from_toml(table, &defaults) {
            Ok(trainers) => Some(Self { trainers }),
            Err(errors) => {
                for error in &errors {
                    refuse_trainer(from, error, origin);
                }
                None
            }
        }
    }
}

/// A mistake is either in the table or in the key that chooses from it.
fn refuse_trainer(from: &mut Reader<'_>, error: &TrainerError, table: &Origin) {
    if error.entry == "[training]" {
        let fix = "config/trainers.toml lists the trainers and their presets.";
        from.reject(&format!("training.{}", error.key), &error.problem, fix);
    } else {
        let key = format!("trainers.toml, {}, {}", error.entry, error.key);
        let what = format!("is wrong ({table}): {}.", error.problem);
        from.refuse(
            &key,
            what,
            "The head of config/trainers.toml says what each key means.",
        );
    }
}

/// `[saga]`
#[derive(Debug, Clone)]
pub struct SagaSettings {
    /// Storing and packing photos.
    pub prepare_deadline: Duration,
    /// Waiting to be submitted.
    pub submit_deadline: Duration,
    /// In FAL's queue, until operators are alarmed.
    pub queue_alarm: Duration,
    /// Running at FAL.
    pub run_deadline: Duration,
    /// Between our wish and FAL's end.
    pub cancel_deadline: Duration,
    /// Copying the model.
    pub store_deadline: Duration,
    /// Between two looks at all trainings.
    pub reconcile_interval: Duration,
    /// Between two sweeps of the bucket.
    pub sweep_interval: Duration,
    /// Of an object that no row names, before it is removed.
    pub orphan_age: Duration,
}

impl SagaSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let mut deadline = |key: &str| from.duration(key, SECOND..=30 * DAY);
        let prepare_deadline = deadline("saga.prepare_deadline");
        let submit_deadline = deadline("saga.submit_deadline");
        let queue_alarm = deadline("saga.queue_alarm");
        let run_deadline = deadline("saga.run_deadline");
        let cancel_deadline = deadline("saga.cancel_deadline");
        let store_deadline = deadline("saga.store_deadline");
        let reconcile_interval = from.duration("saga.reconcile_interval", SECOND..=HOUR);
        let sweep_interval = from.duration("saga.sweep_interval", MINUTE..=30 * DAY);
        // Younger ones may belong to a job that is about to name them.
        let orphan_age = from.duration("saga.orphan_age", HOUR..=365 * DAY);
        Some(Self {
            prepare_deadline: prepare_deadline?,
            submit_deadline: submit_deadline?,
            queue_alarm: queue_alarm?,
            run_deadline: run_deadline?,
            cancel_deadline: cancel_deadline?,
            store_deadline: store_deadline?,
            reconcile_interval: reconcile_interval?,
            sweep_interval: sweep_interval?,
            orphan_age: orphan_age?,
        })
    }
}

/// `[photos]`
#[derive(Debug, Clone, Copy)]
pub struct PhotoSettings {
    /// Fewest a training.
    pub min: usize,
    /// Most a training.
    pub max: usize,
    /// Of one photo.
    pub max_bytes: usize,
    /// Pixels of one photo's longer side.
    pub max_side: u32,
    /// Width times height of one photo.
    pub max_pixels: u64,
    /// What decoding may use at a time.
    pub decode_memory_bytes: usize,
}

impl PhotoSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let min = from.number("photos.min", 1..=100);
        let max = from.number("photos.max", 1..=100);
        // Telegram's bots cannot download more than 20 MB.
        let max_bytes = from.number("photos.max_bytes", 1_000..=20_971_520);
        let max_side = from.number("photos.max_side", 64..=65_535);
        let max_pixels = from.number("photos.max_pixels", 4_096..=200_000_000);
        let decode_memory_bytes = from.number("photos.decode_memory_bytes", 16_777_216..=17_179_869_184);
        let (min, max) = (min?, max?);
        if min > max {
            from.refuse(
                "photos.min",
                format!("is {min}, more than photos.max ({max})."),
                "Lower the one or raise the other.",
            );
        }
        Some(Self {
            min,
            max,
            max_bytes: max_bytes?,
            max_side: max_side?,
            max_pixels: max_pixels?,
            decode_memory_bytes: decode_memory_bytes?,
        })
    }

    /// As the jobs and the wizard know them.
    pub const fn limits(&self) -> Limits {
        Limits {
            photos: self.min..=self.max,
            bytes: self.max_bytes,
            side: self.max_side,
            pixels: self.max_pixels,
        }
    }
}

/// `[queue]`
#[derive(Debug, Clone, Copy)]
pub struct QueueSettings {
    /// Silence after which a job is rescued.
    pub lease: Duration,
    /// Between signs of life.
    pub beat: Duration,
    /// Between looks for expired leases.
    pub sweep: Duration,
    /// For running jobs at a stop.
    pub grace: Duration,
    /// Between looks without a wake-up.
    pub poll: Duration,
    /// Whether there are wake-ups (LISTEN and NOTIFY) at all.
    pub wake: bool,
}

impl QueueSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let lease = from.duration("queue.lease", SECOND..=10 * MINUTE);
        let beat = from.duration("queue.beat", 100 * MILLISECOND..=5 * MINUTE);
        let sweep = from.duration("queue.sweep", 100 * MILLISECOND..=5 * MINUTE);
        let grace = grace(from);
        let poll = from.duration("queue.poll", 50 * MILLISECOND..=MINUTE);
        let wake = from.truth("queue.wake");
        let (lease, beat) = (lease?, beat?);
        if beat * 3 > lease {
            let what = format!(
                "is {}, more than a third of queue.lease ({}): one late beat would lose jobs.",
                show_duration(beat),
                show_duration(lease)
            );
            from.refuse(
                "queue.beat",
                what,
                format!("Use {} or less, or a longer lease.", show_duration(lease / 3)),
            );
        }
        Some(Self {
            lease,
            beat,
            sweep: sweep?,
            grace: grace?,
            poll: poll?,
            wake: wake?,
        })
    }
}

/// `[queue.keep]` and `[inbox.keep]`
pub(super) fn retention(from: &mut Reader<'_>) -> Option<Retention> {
    let done = from.duration("queue.keep.done", MINUTE..=YEARS);
    let cancelled = from.duration("queue.keep.cancelled", MINUTE..=YEARS);
    let dead = from.duration("queue.keep.dead", HOUR..=YEARS);
    // Telegram repeats an update for a day, FAL a delivery for hours: until then the row keeps a second one harmless.
    let updates = from.duration("inbox.keep.updates", 2 * DAY..=YEARS);
    let deliveries = from.duration("inbox.keep.deliveries", 2 * DAY..=YEARS);
    Some(Retention {
        jobs: Keep {
            done: done?,
            cancelled: cancelled?,
            dead: dead?,
        },
        updates: updates?,
        deliveries: deliveries?,
    })
}

/// `queue.grace`, which every role that stops gracefully needs.
pub(super) fn grace(from: &mut Reader<'_>) -> Option<Duration> {
    from.duration("queue.grace", Duration::ZERO..=HOUR)
}
