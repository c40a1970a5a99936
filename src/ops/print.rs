//! Shared by the operators' commands: a connection, JSON and times on stdout, and a log line about every
//! change.

use ::jobs::{
    queue::{JobFilter, Operator},
    reader::Reader,
};
use anyhow::Context;
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use tracing::info;

use crate::{
    connect,
    exit::Failure,
    settings::{Given, LogFormat, OperatorSettings, show_duration},
    telemetry,
};

/// Starts logging and connects as `verb`. The log is for a terminal, so it is text unless --log-format says
/// otherwise.
pub(super) async fn operator(given: &Given, verb: &str) -> Result<Operator, Failure> {
    Ok(operator_and_reader(given, verb).await?.0)
}

/// Like [`operator`], with a reader of the trainings that jobs are for.
pub(super) async fn operator_and_reader(given: &Given, verb: &str) -> Result<(Operator, Reader), Failure> {
    let mut settings = given.load::<OperatorSettings>()?;
    if given.overrides.iter().all(|option| option.key != "log.format") {
        settings.log.format = LogFormat::Text;
    }
    // The roles and `aisha config check` print these warnings.
    settings.log.warnings.clear();
    telemetry::start_logging(&settings.log)?;
    let database = connect::readable_database(&settings.database, verb).await?;
    Ok((Operator::new(&database), Reader::new(&database)))
}

/// Prints a JSON document on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).context("the answer cannot be written as JSON")?;
    println!("{text}");
    Ok(())
}

/// Tells a person that nothing was found, and what was looked for. It goes to stderr, so that a script finds
/// stdout empty.
#[expect(clippy::print_stderr, reason = "it is no result")]
pub(super) fn nothing(words: &str) {
    eprintln!("{words}");
}

/// The filters in words, to be put after "no jobs".
pub(super) fn looked_for(filter: &JobFilter) -> String {
    let parts = [
        filter.state.map(|state| format!("in state {state}")),
        filter.queue.as_ref().map(|queue| format!("in queue {queue}")),
        filter.kind.as_ref().map(|kind| format!("of kind {kind:?}")),
        filter
            .reason
            .as_ref()
            .map(|reason| format!("with reason {reason:?}")),
        filter
            .older_than
            .map(|age| format!("older than {}", show_duration(age))),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    if parts.is_empty() {
        String::new()
    } else {
        format!(" {}", parts.join(", "))
    }
}

/// A time in the form that all commands print.
pub(super) fn moment(moment: DateTime<Utc>) -> String {
    moment.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The data for the log line about a change: who makes it, and why.
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

    /// Logs the change after it was made. A dry run is not logged.
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
