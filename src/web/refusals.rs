//! Counts refused requests, and logs them at most once a second for each door and verdict.
//!
//! Anybody can cause ten thousand refusals a second, and with a line for each the log grew by 7 MB a second
//! (proven by `a_flood_of_forgeries_is_counted_in_the_metrics_and_summed_up_in_the_log`).

use std::{
    collections::BTreeMap,
    fmt::Display,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use tracing::{error, warn};

use super::summary::Summary;

/// A route, in the words of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WebhookSource {
    /// What arrives there, in the plural.
    pub plural: &'static str,
    /// Who sends it, and sends it again after a 503.
    pub sender: &'static str,
}

/// One summary for each door and verdict.
type Summaries = BTreeMap<(WebhookSource, &'static str), Arc<Summary>>;

/// Counts refusals. Clones share one state.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    summaries: Arc<Mutex<Summaries>>,
}

impl Refusals {
    /// Refuses a request. The caller is told only the status and `verdict`; `why` goes to the log.
    pub fn refuse(
        &self,
        source: WebhookSource,
        status: StatusCode,
        verdict: &'static str,
        why: &impl Display,
    ) -> Response {
        let mut summaries = self.summaries.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = Arc::clone(summaries.entry((source, verdict)).or_default());
        drop(summaries);
        let WebhookSource { plural, sender } = source;
        summary.add(
            || why.to_string(),
            move |example, times| {
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    error!(
                        times,
                        verdict,
                        "{plural} were not accepted ({times}), {sender} will send them again: {example}"
                    );
                } else {
                    warn!(times, verdict, "{plural} were refused ({times}): {example}");
                }
            },
        );
        (status, format!("{verdict}\n")).into_response()
    }
}
