//! From files, environment and command line to one flat list of keys, each with the place it came from.
//!
//! Nothing is interpreted here but names: a key that `config/default.toml` does not have is unknown, and a secret
//! may only come from the environment. Values stay text until [`super::reader`] gives them a type.

use std::{collections::BTreeMap, fmt, fs, path::Path};

use url::Url;

use super::{Given, Override, Problem, near_misses, risks};

const DEFAULT: &str = include_str!("../../config/default.toml");
const TRAINERS: &str = include_str!("../../config/trainers.toml");
const ENVIRONMENTS: [(&str, &str); 3] = [
    ("production", include_str!("../../config/production.toml")),
    ("development", include_str!("../../config/development.toml")),
    ("test", include_str!("../../config/test.toml")),
];

/// Keys that only the environment may set, and that are never printed.
pub(super) const SECRETS: [&str; 6] = [
    "database.url",
    "s3.access_key",
    "s3.secret_key",
    "fal.key",
    "telegram.bot_token",
    "telegram.webhook_secret",
];

/// The names that operators use, beside `AISHA__SECTION__KEY`. Where two set one key they must agree.
pub(super) const PLAIN_NAMES: [(&str, &str); 19] = [
    ("DATABASE_URL", "database.url"),
    ("S3_ENDPOINT", "s3.endpoint"),
    ("S3_REGION", "s3.region"),
    ("S3_ACCESS_KEY", "s3.access_key"),
    ("S3_SECRET_KEY", "s3.secret_key"),
    ("S3_BUCKET_AVATARS", "s3.bucket_avatars"),
    ("AVATAR_TEST_MODE", "fal.test_mode"),
    ("FAL_KEY", "fal.key"),
    ("FAL_API_KEY", "fal.key"),
    ("FAL_QUEUE_URL", "fal.queue_url"),
    ("FAL_REST_URL", "fal.rest_url"),
    ("FAL_CDN_URL", "fal.cdn_url"),
    ("FAL_API_URL", "fal.api_url"),
    ("FAL_JWKS_URL", "fal.jwks_url"),
    ("FAL_WEBHOOK_URL", "fal.webhook_url"),
    ("FAL_WEBHOOK_USER_ID", "fal.webhook_user_id"),
    ("TELEGRAM_BOT_TOKEN", "telegram.bot_token"),
    ("TELEGRAM_API_URL", "telegram.api_url"),
    ("TELEGRAM_WEBHOOK_SECRET", "telegram.webhook_secret"),
];

/// FAL's hosts, and where the simulator has each of them.
const FAL_HOSTS: [(&str, &str); 5] = [
    ("fal.queue_url", "/queue"),
    ("fal.rest_url", "/rest"),
    ("fal.cdn_url", "/cdn"),
    ("fal.api_url", "/api"),
    ("fal.jwks_url", "/rest/.well-known/jwks.json"),
];

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The compiled-in `config/default.toml`.
    Default,
    /// Not the default, since `fal.test_mode` is on: a place at the simulator.
    TestMode,
    /// Another file.
    File(String),
    /// A variable of this name.
    Environment(String),
    /// An option of this name.
    CommandLine(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the default"),
            Self::TestMode => f.write_str("test mode: at fal.simulator_url"),
            Self::File(name) | Self::Environment(name) => write!(f, "from {name}"),
            Self::CommandLine(option) => write!(f, "from {option}"),
        }
    }
}

/// A value as text.
#[derive(Debug, Clone)]
pub(super) struct Value {
    pub text: String,
    pub origin: Origin,
    pub kind: Kind,
}

/// How the reference writes a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
    Truth,
}

/// All keys after merging, and what was wrong with names on the way.
#[derive(Debug)]
pub struct Layers {
    pub(super) values: BTreeMap<String, Value>,
    /// Names in the environment that look like ours and are none, each with what was meant.
    pub warnings: Vec<String>,
    /// What is dangerous in production, a sentence each.
    pub risks: Vec<String>,
    pub(super) environment_name: String,
    pub(super) trainers: Value,
    pub(super) problems: Vec<Problem>,
}

impl Layers {
    /// Merges the five layers; problems are collected, not returned, so that typed checks can add theirs.
    pub fn merge(given: &Given) -> Self {
        let environment_name = given.environment.get("AISHA_ENV").filter(|name| !name.is_empty());
        let environment_name = environment_name.map_or("production", String::as_str).to_owned();
        let trainers = Value {
            text: TRAINERS.to_owned(),
            origin: Origin::File("config/trainers.toml".to_owned()),
            kind: Kind::Text,
        };
        let mut layers = Self {
            values: BTreeMap::new(),
            warnings: Vec::new(),
            risks: Vec::new(),
            environment_name,
            trainers,
            problems: Vec::new(),
        };

        layers.add_file(DEFAULT, &Origin::Default);
        layers.add_environment_file();
        if let Some(dir) = &given.config_dir {
            layers.add_directory(dir);
        }
        layers.add_plain_names(&given.environment);
        layers.add_prefixed_names(&given.environment);
        for Override { key, option, value } in &given.overrides {
            layers.set(key, value.clone(), Origin::CommandLine(option));
        }
        layers.apply_test_mode();
        layers.warnings = near_misses::find(&layers, &given.environment);
        layers.risks = risks::find(&layers);
        layers
    }

    /// In test mode the defaults of FAL's hosts are the simulator's. Done here, so that whoever reads or shows them sees
    /// what counts.
    fn apply_test_mode(&mut self) {
        let is_on = self
            .get("fal.test_mode")
            .is_some_and(|value| ["true", "1"].contains(&value.text.as_str()));
        let simulator = self
            .get("fal.simulator_url")
            .map(|value| value.text.parse::<Url>());
        let Some(Ok(simulator)) = simulator.filter(|_| is_on) else {
            return;
        };
        for (key, place) in FAL_HOSTS {
            if let Some(value) = self.values.get_mut(key)
                && value.origin == Origin::Default
                && let Ok(url) = simulator.join(place)
            {
                value.text = url.into();
                value.origin = Origin::TestMode;
            }
        }
    }

    /// The value of a key that is not empty.
    pub(super) fn get(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.text.is_empty())
    }

    fn add_environment_file(&mut self) {
        let name = self.environment_name.clone();
        match ENVIRONMENTS.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => self.add_file(text, &Origin::File(format!("config/{name}.toml"))),
            None => self.problems.push(Problem::new(
                "AISHA_ENV",
                format!("is {name:?}, which is no environment."),
                "Use development, test or production.",
            )),
        }
    }

    /// `--config DIR`: each of its files is optional, but a directory with none of them is a slip.
    fn add_directory(&mut self, dir: &Path) {
        let mut found = false;
        let names = [
            "default.toml".to_owned(),
            format!("{}.toml", self.environment_name),
            "trainers.toml".to_owned(),
        ];
        for name in &names {
            let path = dir.join(name);
            let origin = Origin::File(path.display().to_string());
            match fs::read_to_string(&path) {
                Ok(text) if name == "trainers.toml" => {
                    let kind = Kind::Text;
                    self.trainers = Value { text, origin, kind };
                }
                Ok(text) => self.add_file(&text, &origin),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => self.problems.push(Problem::new(
                    path.display().to_string(),
                    format!("cannot be read: {error}."),
                    "Make it a readable file, or leave it out.",
                )),
            }
            found = true;
        }
        if !found {
            self.problems.push(Problem::new(
                "--config",
                format!("{} holds none of {}.", dir.display(), names.join(", ")),
                "Name a directory with at least one of them.",
            ));
        }
    }

    fn add_file(&mut self, text: &str, origin: &Origin) {
        let table = match text.parse::<toml::Table>() {
            Ok(table) => table,
            Err(error) => {
                let place = format!("cannot be read as TOML ({origin}): {}.", error.message());
                self.problems
                    .push(Problem::new("The file", place, "Correct the file."));
                return;
            }
        };
        let mut flat = Vec::new();
        flatten("", table, &mut flat);
        for (key, value) in flat {
            self.add_file_value(key, value, origin);
        }
    }

    fn add_file_value(&mut self, key: String, value: toml::Value, origin: &Origin) {
        if is_secret(&key) {
            let fix = format!(
                "Take it out of the file and set {} in the environment.",
                names_of(&key)
            );
            self.problems.push(Problem::new(
                key,
                format!("is a secret and stands in a file ({origin})."),
                fix,
            ));
            return;
        }
        let kind = match value {
            toml::Value::Integer(_) => Kind::Number,
            toml::Value::Boolean(_) => Kind::Truth,
            _ => Kind::Text,
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            other => {
                let what = format!("is a {} ({origin}).", other.type_str());
                self.problems
                    .push(Problem::new(key, what, "Write a text, a number, true or false."));
                return;
            }
        };
        if *origin == Origin::Default {
            self.values.insert(
                key,
                Value {
                    text,
                    origin: Origin::Default,
                    kind,
                },
            );
        } else {
            self.set(&key, text, origin.clone());
        }
    }

    fn add_plain_names(&mut self, environment: &BTreeMap<String, String>) {
        for (name, key) in PLAIN_NAMES {
            let Some(text) = environment.get(name).filter(|text| !text.is_empty()) else {
                continue;
            };
            if let Some(Value {
                text: earlier,
                origin: Origin::Environment(other),
                ..
            }) = self.values.get(key)
                && earlier != text
            {
                let what = format!("is set twice, differently: by {other} and by {name}.");
                self.problems
                    .push(Problem::new(key, what, format!("Unset {other} or {name}.")));
                continue;
            }
            self.set(key, text.clone(), Origin::Environment(name.to_owned()));
        }
    }

    fn add_prefixed_names(&mut self, environment: &BTreeMap<String, String>) {
        for (name, text) in environment.iter().filter(|(_, text)| !text.is_empty()) {
            if let Some(path) = name.strip_prefix("AISHA__") {
                let key = path.to_lowercase().replace("__", ".");
                self.set(&key, text.clone(), Origin::Environment(name.clone()));
            }
        }
    }

    /// The gate of every layer above the first: only keys that exist.
    fn set(&mut self, key: &str, text: String, origin: Origin) {
        let text = if is_secret(key) {
            text
        } else {
            self.without_password(key, text, &origin)
        };
        let known = self.values.get(key).map(|value| value.kind);
        if let Some(kind) = known.or_else(|| is_secret(key).then_some(Kind::Text)) {
            self.values.insert(key.to_owned(), Value { text, origin, kind });
            return;
        }
        let fix = match self.nearest(key) {
            Some(known) => format!("Did you mean {known}?"),
            None => "config/default.toml lists every key.".to_owned(),
        };
        self.problems
            .push(Problem::new(key, format!("is no setting ({origin})."), fix));
    }

    /// A URL of a setting that is no secret is printed, so it must hold none.
    fn without_password(&mut self, key: &str, text: String, origin: &Origin) -> String {
        let Some(mut url) = text.parse::<Url>().ok().filter(holds_a_user) else {
            return text;
        };
        self.problems.push(Problem::new(
            key,
            format!("holds a user name or a password ({origin})."),
            "Take out what stands before the @: no client here would send it.",
        ));
        // Neither fails for a URL that had them.
        let _ = url.set_username("***");
        let _ = url.set_password(None);
        url.into()
    }

    /// All that there are, secret ones too.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let others = self.values.keys().map(String::as_str);
        others.filter(|key| !is_secret(key)).chain(SECRETS)
    }

    pub(super) fn nearest(&self, key: &str) -> Option<&str> {
        let scored = self.keys().map(|known| (strsim::jaro_winkler(known, key), known));
        let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other))?;
        (best.0 > 0.85).then_some(best.1)
    }
}

fn holds_a_user(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

pub(super) fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// The variables that set a key, for messages.
pub(super) fn names_of(key: &str) -> String {
    let plain = PLAIN_NAMES
        .iter()
        .filter(|(_, of)| *of == key)
        .map(|(name, _)| *name)
        .collect::<Vec<_>>();
    if plain.is_empty() {
        format!("AISHA__{}", key.to_uppercase().replace('.', "__"))
    } else {
        plain.join(" or ")
    }
}

fn flatten(prefix: &str, table: toml::Table, into: &mut Vec<(String, toml::Value)>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, into),
            value => into.push((key, value)),
        }
    }
}
