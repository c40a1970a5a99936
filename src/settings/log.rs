//! `[log]`

use tracing_subscriber::EnvFilter;

use super::section::section;

section! {
    /// How the process logs.
    pub struct LogSettings(from) {
        /// How a line looks.
        format: LogFormat = from.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        /// `EnvFilter` directives; parsed here only to refuse bad ones, the subscriber parses them again.
        filter: String = from.parse::<EnvFilter>("log.filter", "info,sqlx=warn").map(|filter| filter.to_string()),
        /// The first lines of the log: what may stay as it is and should not.
        warnings: Vec<String> = Some(from.warnings()),
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}
