//! `[log]`

use tracing_subscriber::EnvFilter;

use super::section::section;

section! {
    /// How a process logs.
    pub struct LogSettings(from) {
        /// The form of a line: text for people, JSON for collectors.
        format: LogFormat = from.choice("log.format", &[("text", LogFormat::Text), ("json", LogFormat::Json)]),
        /// `EnvFilter` directives. They are parsed here only to refuse bad ones; the subscriber parses them again.
        filter: String = from.parse::<EnvFilter>("log.filter", "info,sqlx=warn").map(|filter| filter.to_string()),
        /// Warnings about settings, which become the first lines of the log.
        warnings: Vec<String> = Some(from.warnings()),
    }
}

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text, for people.
    Text,
    /// One JSON object per line.
    Json,
}
