//! What the verbs about jobs share: a connection, JSON and moments on stdout, and a line in the log about who did what.

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

/// Starts logging, and connects as `verb`. The log is read in a terminal, so it is text unless --log-format says otherwise.
pub(super) async fn operator(given: &Given, verb: &str) -> Result<Operator, Failure> {
    Ok(operator_and_reader(given, verb).await?.0)
}

/// The same, and what reads the trainings that jobs are for.
pub(super) async fn operator_and_reader(given: &Given, verb: &str) -> Result<(Operator, Reader), Failure> {
    let mut settings = given.load::<OperatorSettings>()?;
    if given.overrides.iter().all(|option| option.key != "log.format") {
        settings.log.format = LogFormat::Text;
    }
    // For the roles, and for `aisha config check`.
    settings.log.warnings.clear();
    telemetry::start_logging(&settings.log)?;
    let database = connect::readable_database(&settings.database, verb).await?;
    let pool = database.pool();
    Ok((Operator::new(pool.clone()), Reader::new(pool.clone())))
}

/// One JSON document on one line.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).context("the answer cannot be written as JSON")?;
    println!("{text}");
    Ok(())
}

/// Tells a person that nothing was found, and what was looked for; a script finds stdout empty.
#[expect(clippy::print_stderr, reason = "it is no result")]
pub(super) fn nothing(words: &str) {
    eprintln!("{words}");
}

/// What was looked for, to go after "no jobs".
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

/// As people read it, in every verb.
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
