//! The settings of each role. A role that does not list a section does not need its secrets.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use jobs::{
    Retention,
    archive::PhotoLimits,
    domain::{Generator, PictureRules, Privacy, Quotas, Trainers},
    fal::{FalSettings, VerifierSettings},
    objects::ObjectStoreSettings,
    worker::{TrainingSettings, WorkerOptions},
};
use secrecy::SecretString;

use super::{
    database::DatabaseSettings,
    fal, generators,
    log::LogSettings,
    photos, queue, quotas,
    reader::SettingsReader,
    retention, s3,
    section::section,
    styles,
    telegram::{TelegramSettings, TelegramUpdates},
    trainers, training,
    units::{HOUR, MILLISECOND, MINUTE},
};

/// A role, with its settings.
pub trait Role: Sized {
    /// The name on the command line.
    const NAME: &'static str;

    /// `None`: there are problems, which the reader holds.
    #[doc(hidden)]
    fn read(from: &mut SettingsReader<'_>) -> Option<Self>;
}

macro_rules! roles {
    ($($Role:ident: $name:literal,)*) => {
        $(impl Role for $Role {
            const NAME: &'static str = $name;

            fn read(from: &mut SettingsReader<'_>) -> Option<Self> {
                Self::read(from)
            }
        })*

        /// The name and the reader of every role.
        pub(super) const ROLES: &[(&str, fn(&mut SettingsReader<'_>))] = &[$(($name, |from| drop($Role::read(from)))),*];
    };
}

roles! {
    BotSettings: "bot",
    WebSettings: "web",
    WorkerSettings: "worker",
    MigrateSettings: "migrate",
    OpsSettings: "avatars",
    OperatorSettings: "operator",
    TrainerListSettings: "operator",
    CatalogueSettings: "operator",
    SimulatorSettings: "simulator",
}

section! {
    /// Settings of `aisha bot`.
    pub struct BotSettings(from) {
        /// `[log]`: form, filter and what is warned of at the start.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_direct(from),
        /// The bot's token and Telegram's address.
        telegram: TelegramSettings = TelegramSettings::read(from),
        /// How updates come in: by polling or by webhook.
        updates: TelegramUpdates = TelegramUpdates::read(from),
        /// The trainers, from which a new training takes its own.
        trainers: Trainers = trainers::read(from),
        /// The styles, and what users may ask for.
        pictures: PictureRules = styles::rules(from),
        /// Limits for photos, which the wizard states and checks.
        photos: PhotoLimits = photos::limits(from),
        /// How much a user may cost, and who is admitted.
        quotas: Quotas = quotas::read(from),
        /// Telegram ids of the administrators.
        admins: BTreeSet<i64> = quotas::telegram_ids(from, "bot.admins"),
        /// What it tells users about their data.
        privacy: Privacy = retention::privacy(from),
        /// Address of /livez, /readyz and /metrics. `None`: they are not served.
        health_listen: Option<SocketAddr> = health_listen(from),
        /// Time from the stop signal to the hard stop.
        grace: Duration = queue::grace(from),
    }
}

section! {
    /// Settings of `aisha web`.
    pub struct WebSettings(from) {
        /// `[log]`: form, filter and what is warned of at the start.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read(from),
        /// How FAL's deliveries are verified.
        fal: VerifierSettings = fal::verifier(from),
        /// The secret in Telegram's updates. `None`: the bot polls, and the route does not exist.
        telegram_secret: Option<SecretString> = TelegramUpdates::read_secret(from),
        /// The address to listen on.
        listen: SocketAddr = from.parse("web.listen", "0.0.0.0:8000"),
        /// The most connections at a time; the limit of open files may allow fewer.
        max_connections: usize = from.number("web.max_connections", 16..=100_000),
        /// Time from the start of a connection to the end of its first request's head.
        head_timeout: Duration = from.duration("web.head_timeout", 100 * MILLISECOND..=MINUTE),
        /// Time from an answer to the end of the next request's head.
        idle_timeout: Duration = from.duration("web.idle_timeout", 100 * MILLISECOND..=HOUR),
        /// The largest body, in bytes; larger ones are refused.
        max_body_bytes: usize = from.number("web.max_body_bytes", 1_024..=104_857_600),
        /// The most memory for all bodies at a time, in bytes.
        body_memory_bytes: usize = from.number("web.body_memory_bytes", 1_024..=1_073_741_824),
        /// Requests that take longer are answered 503.
        request_timeout: Duration = from.duration("web.request_timeout", 100 * MILLISECOND..=MINUTE),
        /// How long it accepts connections after the stop signal.
        linger: Duration = from.duration("web.linger", Duration::ZERO..=MINUTE),
        /// Time from the stop signal to the hard stop.
        grace: Duration = queue::grace(from),
    }
    check {
        from.at_most(
            ("web.max_body_bytes", max_body_bytes),
            ("web.body_memory_bytes", body_memory_bytes),
            ": such a body could never be read",
        );
    }
}

section! {
    /// Settings of `aisha worker`.
    pub struct WorkerSettings(from) {
        /// `[log]`: form, filter and what is warned of at the start.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_for_worker(from),
        /// The store of photos and models.
        objects: ObjectStoreSettings = s3::read(from),
        /// FAL's addresses and our key.
        fal: FalSettings = fal::client(from),
        /// Deadlines and intervals of trainings, and the choices of their steps.
        training: TrainingSettings = training::read(from),
        /// The bot's token, for messages and photos.
        telegram: TelegramSettings = TelegramSettings::read(from),
        /// The trainers. They are checked here too, since the worker submits to them.
        trainers: Trainers = trainers::read(from),
        /// The styles, and what users may ask for.
        pictures: PictureRules = styles::rules(from),
        /// The most memory for decoding photos at a time, in bytes.
        decode_memory_bytes: usize = from.number("photos.decode_memory_bytes", 16_777_216..=17_179_869_184),
        /// How long rows are kept after they have ended.
        retention: Retention = queue::retention(from),
        /// The queues and slots of this worker, and how it claims jobs.
        options: WorkerOptions = queue::worker(from),
        /// Address of /livez, /readyz and /metrics. `None`: they are not served.
        health_listen: Option<SocketAddr> = health_listen(from),
    }
}

section! {
    /// Settings of `aisha migrate`.
    pub struct MigrateSettings(from) {
        /// `[log]`: form, filter and what is warned of at the start.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_direct(from),
    }
}

section! {
    /// Settings of commands that use the database and do not log.
    pub struct OpsSettings(from) {
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_direct(from),
    }
}

section! {
    /// Settings of commands that change the queue and log that.
    pub struct OperatorSettings(from) {
        /// `[log]`: form, filter and what is warned of at the start.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_direct(from),
    }
}

section! {
    /// Settings of `aisha fal trainers`.
    pub struct TrainerListSettings(from) {
        /// The trainers, and which of them new trainings use.
        trainers: Trainers = trainers::read(from),
        /// All generators, also those that no trainer names.
        generators: Vec<Arc<Generator>> = generators::all(from),
    }
}

section! {
    /// Settings of `aisha fal trainers --online`.
    pub struct CatalogueSettings(from) {
        /// FAL's addresses and our key.
        fal: FalSettings = fal::client(from),
    }
}

section! {
    /// Settings of `aisha fal-simulator` and `aisha telegram-simulator`.
    pub struct SimulatorSettings(from) {
        /// `[log]`: form, filter and what is warned of at the start.
        log: LogSettings = LogSettings::read(from),
        /// The trainers that the FAL simulator serves in addition to those it knows.
        trainers: Trainers = trainers::read(from),
    }
}

#[expect(
    clippy::option_option,
    reason = "the outer one means refused, as in every reader"
)]
fn health_listen(from: &mut SettingsReader<'_>) -> Option<Option<SocketAddr>> {
    from.optional("health.listen", "127.0.0.1:9000")
}
