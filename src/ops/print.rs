//! What the verbs about jobs share: a connection, JSON and moments on stdout, and a line in the log about who did what.

use ::jobs::queue::Operator;
use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tracing::info;

use crate::{
    connect,
    exit::Failure,
    settings::{Given, OperatorSettings},
    telemetry,
};

/// Starts logging, and connects as `verb`.
pub(super) async fn operator(given: &Given, verb: &str) -> Result<Operator, Failure> {
    let settings = given.load::<OperatorSettings>()?;
    telemetry::start_logging(&settings.log)?;
    let database = connect::database(&settings.database, verb).await?;
    Ok(Operator::new(database.pool().clone()))
}

/// One JSON document on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).context("the answer cannot be written as JSON")?;
    println!("{text}");
    Ok(())
}

/// As people read it.
pub(super) fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Who changes what, and why.
pub(super) struct Audit {
    verb: &'static str,
    who: String,
    because: Option<String>,
    pub(super) dry_run: bool,
}

impl Audit {
    pub(super) fn new(given: &Given, verb: &'static str, dry_run: bool, because: Option<String>) -> Self {
        let name = |variable| given.environment.get(variable).filter(|name| !name.is_empty());
        Self {
            verb,
            who: name("SUDO_USER")
                .or_else(|| name("USER"))
                .map_or_else(|| "unknown".to_owned(), Clone::clone),
            because,
            dry_run,
        }
    }

    /// The line, after the deed. A dry run leaves none.
    pub(super) fn log(&self, jobs: usize, which: &str) {
        if self.dry_run {
            return;
        }
        let (verb, who) = (self.verb, &self.who);
        let because = self.because.as_deref().unwrap_or("no reason given");
        info!(
            audit.verb = verb,
            audit.who = who,
            audit.because = because,
            audit.jobs = jobs,
            audit.which = which,
            "Audit: {who} did `{verb}` to {jobs} jobs: {because}"
        );
    }
}
