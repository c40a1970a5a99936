//! The settings of a worker as an operator's worker reads them: `config/default.toml`, then variables. So no test
//! needs a copy of the defaults.

use std::path::Path;

use aisha::settings::{Given, WorkerSettings};
use aisha::worker;
use jobs::fal::FalSettings;
use jobs::objects::ObjectStore;
use jobs::runtime::{Chance, Services};

use super::{Db, S3};

/// A URL where nothing listens, for tests whose jobs never call FAL.
pub const NOWHERE: &str = "http://127.0.0.1:9";

/// The defaults with these variables. A required address that no variable names is [`NOWHERE`].
pub fn worker_settings(variables: impl IntoIterator<Item = (&'static str, String)>) -> WorkerSettings {
    worker_settings_in(None, variables)
}

/// As [`worker_settings`], with the files of an operator's directory (`--config`).
pub fn worker_settings_in(
    directory: Option<&Path>,
    variables: impl IntoIterator<Item = (&'static str, String)>,
) -> WorkerSettings {
    let needed = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:9/nothing"),
        ("S3_ENDPOINT", NOWHERE),
        ("S3_ACCESS_KEY", "nobody"),
        ("S3_SECRET_KEY", "nothing"),
        ("TELEGRAM_BOT_TOKEN", "1:nobody"),
    ];
    let needed = needed.map(|(name, value)| (name, value.to_owned()));
    let variables = needed.into_iter().chain(fal_at(NOWHERE)).chain(variables);
    let given = Given {
        config_dir: directory.map(Path::to_owned),
        environment: variables.map(|(name, value)| (name.to_owned(), value)).collect(),
        ..Given::default()
    };
    given.load().unwrap_or_else(|problems| panic!("{problems}"))
}

/// FAL's services under one base URL, as the simulator serves them.
pub fn fal_at(base: &str) -> [(&'static str, String); 6] {
    [
        ("FAL_KEY", "test-key:test-secret".to_owned()),
        ("FAL_QUEUE_URL", format!("{base}/queue")),
        ("FAL_REST_URL", format!("{base}/rest")),
        ("FAL_CDN_URL", format!("{base}/cdn")),
        ("FAL_API_URL", format!("{base}/api")),
        ("FAL_JWKS_URL", format!("{base}/rest/.well-known/jwks.json")),
    ]
}

/// The settings of a client for FAL at `base`.
pub fn fal_settings(base: &str) -> FalSettings {
    worker_settings(fal_at(base)).fal
}

/// The services of a worker's jobs on this database and store; the operator's directory and the variables decide the
/// rest. Random numbers are the same in each run.
pub fn services(
    directory: Option<&Path>,
    db: &Db,
    s3: &S3,
    variables: impl IntoIterator<Item = (&'static str, String)>,
) -> Services {
    let settings = worker_settings_in(directory, s3.env().into_iter().chain(variables));
    let objects = ObjectStore::new(&settings.objects).expect("a bucket");
    let services = worker::services(settings, &db.pool.clone().into(), objects).expect("services");
    Services {
        chance: Chance::from_seed(1),
        ..services
    }
}
