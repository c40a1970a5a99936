//! What is refused at a door: counted, and said in the log once a second at most for each door and verdict.
//!
//! Anybody can be refused ten thousand times a second, and a line for each was 7 MB of log a second
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

/// What comes in at one route, as a line calls it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Door {
    /// Several of them.
    pub plural: &'static str,
    /// Who sends them, and again after a 503.
    pub sender: &'static str,
}

/// One for each door and verdict.
type Summaries = BTreeMap<(Door, &'static str), Arc<Summary>>;

/// Keeps count. Clones share one.
#[derive(Debug, Clone, Default)]
pub struct Refusals {
    summaries: Arc<Mutex<Summaries>>,
}

impl Refusals {
    /// Refuses one; `verdict` is all that the caller learns.
    pub fn refuse(
        &self,
        door: Door,
        status: StatusCode,
        verdict: &'static str,
        why: &impl Display,
    ) -> Response {
        let mut summaries = self.summaries.lock().unwrap_or_else(PoisonError::into_inner);
        let summary = Arc::clone(summaries.entry((door, verdict)).or_default());
        drop(summaries);
        let Door { plural, sender } = door;
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
