//! Which role needs what. A role that does not list a section does not need its secrets.

use std::{net::SocketAddr, time::Duration};

use jobs::{
    Retention,
    archive::PhotoLimits,
    domain::{Quotas, Trainers},
    fal::{FalSettings, VerifierSettings},
    objects::ObjectStoreSettings,
    worker::{SagaSettings, WorkerOptions},
};
use secrecy::SecretString;

use super::{
    database::DatabaseSettings,
    fal,
    log::LogSettings,
    photos, queue, quotas,
    reader::Reader,
    s3, saga,
    section::section,
    telegram::{TelegramSettings, TelegramUpdates},
    trainers,
    units::{HOUR, MILLISECOND, MINUTE},
};

/// Settings of one role.
pub trait Role: Sized {
    /// As on the command line.
    const NAME: &'static str;

    /// `None`: the reader holds the problems.
    #[doc(hidden)]
    fn read(from: &mut Reader<'_>) -> Option<Self>;
}

macro_rules! roles {
    ($($Role:ident: $name:literal,)*) => {
        $(impl Role for $Role {
            const NAME: &'static str = $name;

            fn read(from: &mut Reader<'_>) -> Option<Self> {
                Self::read(from)
            }
        })*

        /// Every role's name and reader.
        pub(super) const ROLES: &[(&str, fn(&mut Reader<'_>))] = &[$(($name, |from| drop($Role::read(from)))),*];
    };
}

roles! {
    BotSettings: "bot",
    WebSettings: "web",
    WorkerSettings: "worker",
    MigrateSettings: "migrate",
    OpsSettings: "avatars",
    OperatorSettings: "operator",
    SimulatorSettings: "simulator",
}

section! {
    /// `aisha bot`
    pub struct BotSettings(from) {
        /// How this role logs.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_direct(from),
        /// Its token.
        telegram: TelegramSettings = TelegramSettings::read(from),
        /// Who takes updates in.
        updates: TelegramUpdates = TelegramUpdates::read(from),
        /// What a new training is made with.
        trainers: Trainers = trainers::read(from),
        /// What the wizard asks for.
        photos: PhotoLimits = photos::limits(from),
        /// What a user may cost, and who is let in.
        quotas: Quotas = quotas::read(from),
        /// Where health is served. `None`: nowhere.
        health_listen: Option<SocketAddr> = health_listen(from),
        /// From the stop signal to the end.
        grace: Duration = queue::grace(from),
    }
}

section! {
    /// `aisha web`
    pub struct WebSettings(from) {
        /// How this role logs.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read(from),
        /// How a delivery of FAL's is told from a forged one.
        fal: VerifierSettings = fal::verifier(from),
        /// How an update of Telegram's is told from a forged one. `None`: the bot polls, and the route does not exist.
        telegram_secret: Option<SecretString> = TelegramUpdates::read_secret(from),
        /// Where it listens.
        listen: SocketAddr = from.parse("web.listen", "0.0.0.0:8000"),
        /// Connections at a time, as far as the limit of open files allows.
        max_connections: usize = from.number("web.max_connections", 16..=100_000),
        /// From a connection's beginning to the end of its first request's head.
        head_timeout: Duration = from.duration("web.head_timeout", 100 * MILLISECOND..=MINUTE),
        /// From an answer to the end of the next request's head.
        idle_timeout: Duration = from.duration("web.idle_timeout", 100 * MILLISECOND..=HOUR),
        /// Larger bodies are refused. Bytes.
        max_body_bytes: usize = from.number("web.max_body_bytes", 1_024..=104_857_600),
        /// All bodies at a time together. Bytes.
        body_memory_bytes: usize = from.number("web.body_memory_bytes", 1_024..=1_073_741_824),
        /// Slower requests are cut off.
        request_timeout: Duration = from.duration("web.request_timeout", 100 * MILLISECOND..=MINUTE),
        /// How long it still accepts after the stop signal.
        linger: Duration = from.duration("web.linger", Duration::ZERO..=MINUTE),
        /// From the stop signal to the end.
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
    /// `aisha worker`
    pub struct WorkerSettings(from) {
        /// How this role logs.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_for_worker(from),
        /// Photos and models.
        objects: ObjectStoreSettings = s3::read(from),
        /// Where the trainers are.
        fal: FalSettings = fal::client(from),
        /// How long the saga's steps may take, and what they may do.
        saga: SagaSettings = saga::read(from),
        /// For messages and photos.
        telegram: TelegramSettings = TelegramSettings::read(from),
        /// Which trainers new trainings use; checked here too, since it is the worker that posts to them.
        trainers: Trainers = trainers::read(from),
        /// What decoding photos may use at a time. Bytes.
        decode_memory_bytes: usize = from.number("photos.decode_memory_bytes", 16_777_216..=17_179_869_184),
        /// How long what has ended is kept.
        retention: Retention = queue::retention(from),
        /// Which jobs run here, and how they are claimed.
        options: WorkerOptions = queue::worker(from),
        /// Where health is served. `None`: nowhere.
        health_listen: Option<SocketAddr> = health_listen(from),
    }
}

section! {
    /// `aisha migrate`
    pub struct MigrateSettings(from) {
        /// How this role logs.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_direct(from),
    }
}

section! {
    /// Verbs that only look at the database.
    pub struct OpsSettings(from) {
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_direct(from),
    }
}

section! {
    /// Verbs that change the queue, and say so in the log.
    pub struct OperatorSettings(from) {
        /// How this role logs.
        log: LogSettings = LogSettings::read(from),
        /// The database that all roles share.
        database: DatabaseSettings = DatabaseSettings::read_direct(from),
    }
}

section! {
    /// `aisha fal-simulator`, `aisha telegram-simulator`
    pub struct SimulatorSettings(from) {
        /// How this role logs.
        log: LogSettings = LogSettings::read(from),
    }
}

#[expect(
    clippy::option_option,
    reason = "the outer one means refused, as in every reader"
)]
fn health_listen(from: &mut Reader<'_>) -> Option<Option<SocketAddr>> {
    from.optional("health.listen", "127.0.0.1:9000")
}
