//! How long each step of a training may take.
//!
//! Nothing here reads a clock: the caller gives `now` and the times of the row. `reconcile_trainings` enforces the
//! deadlines; `poll_status` makes the decision about a submit whose outcome is unknown, since that needs the request list.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Saga;
use crate::domain::{LateModel, OrderStatus};

/// The times in a training's row from which its deadlines count.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// When the current step first began; a repeat does not change it. While a lost archive is built again: when it was lost.
    pub status_since: DateTime<Utc>,
    /// When its first archive was ready. `None`: there was none yet.
    pub archived_at: Option<DateTime<Utc>>,
    /// When a poll first saw `IN_PROGRESS`. `None`: none has.
    pub started_at: Option<DateTime<Utc>>,
    /// When the end was asked for and FAL had to be told first. `None`: it was not.
    pub end_asked_at: Option<DateTime<Utc>>,
    /// When the copy of the archive that FAL reads is deleted. `None`: no archive was ready yet.
    pub archive_expires_at: Option<DateTime<Utc>>,
    /// Whether it waited for our account at FAL before its first archive was ready.
    pub is_held_by_account: bool,
}

/// How long each step may take. The comments of `[saga]` and `[fal]` in `config/default.toml` explain each value.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Storing and packing the photos.
    pub prepare: Duration,
    /// Waiting to be submitted while FAL is busy, the account is locked, or the archive is built again.
    pub submit: Duration,
    /// How long the outcome of a submit may stay unknown before it is decided (K13).
    pub decide: Duration,
    /// Waiting in FAL's queue before operators are alarmed. Ends nothing.
    pub queue_alarm: Duration,
    /// Running at FAL; afterwards FAL is asked to stop.
    pub run: Duration,
    /// From the request for the end until the training ends whatever FAL says.
    pub cancel: Duration,
    /// Copying and verifying the model that FAL made.
    pub store: Duration,
    /// How long FAL can read an archive after its upload.
    pub archive_lifecycle: Duration,
}

impl Patience {
    /// When a request may no longer wait in FAL's queue. FAL sets no limit (fal.md 1.9), but the archive expires; the limit is
    /// a seventh of its lifecycle before that: one day of seven.
    fn queue_end(&self, times: &Times) -> DateTime<Utc> {
        let lifecycle = span(self.archive_lifecycle);
        let end = times
            .archive_expires_at
            .unwrap_or_else(|| later(times.status_since, lifecycle));
        end - lifecycle / 7
    }
}

impl Saga {
    /// When the training is overdue. `None`: its status is final.
    pub fn deadline(&self, times: &Times, patience: &Patience) -> Option<DateTime<Utc>> {
        use OrderStatus as S;
        let since = |start, patience| later(start, span(patience));
        let end_asked = times.end_asked_at.filter(|_| self.end_asked.is_some());
        match (self.status, end_asked, times.started_at) {
            (S::Preparing, ..) => Some(match times.archived_at {
                // Built again: the time to be submitted is counted from the first archive.
                Some(first) => since(first, patience.submit),
                // A locked account is not the training's fault, whether the upload or the submit meets it.
                None if times.is_held_by_account => since(times.status_since, patience.submit),
                None => since(times.status_since, patience.prepare),
            }),
            (S::Prepared, ..) => Some(since(times.status_since, patience.submit)),
            (S::Submitting, ..) => Some(
                patience
                    .queue_end(times)
                    .max(since(times.status_since, patience.decide)),
            ),
            (S::Submitted, Some(asked_at), _) => Some(since(asked_at, patience.cancel)),
            (S::Submitted, None, Some(started_at)) => Some(since(started_at, patience.run)),
            (S::Submitted, None, None) => Some(patience.queue_end(times)),
            (S::Made, ..) => Some(since(times.status_since, patience.store)),
            (S::Completed | S::Failed | S::Cancelled, ..) => None,
        }
    }

    /// Whether the outcome of a submit has been unknown for so long that it is decided now (K13). `attempted_at`: when its
    /// attempt was committed.
    pub fn is_undecided(&self, attempted_at: DateTime<Utc>, now: DateTime<Utc>, patience: &Patience) -> bool {
        self.status == OrderStatus::Submitting && later(attempted_at, span(patience.decide)) <= now
    }

    /// Whether its archive expires too soon to be submitted: the limit of FAL's queue has passed, so FAL would be asked to
    /// stop at once.
    pub fn is_archive_too_old(&self, times: &Times, now: DateTime<Utc>, patience: &Patience) -> bool {
        self.status == OrderStatus::Prepared && patience.queue_end(times) <= now
    }

    /// Whether it has waited in FAL's queue for so long that operators are alarmed.
    pub fn is_long_in_queue(&self, times: &Times, now: DateTime<Utc>, patience: &Patience) -> bool {
        self.status == OrderStatus::Submitted
            && times.started_at.is_none()
            && later(times.status_since, span(patience.queue_alarm)) <= now
    }

    /// Whether a request that we gave up can no longer bring a model: its archive expired, and the longest run has passed
    /// since then.
    pub fn is_watch_over(&self, times: &Times, now: DateTime<Utc>, patience: &Patience) -> bool {
        let end = times.archive_expires_at.unwrap_or(times.status_since);
        self.late == Some(LateModel::Watched) && later(end, span(patience.run)) <= now
    }
}

fn span(duration: Duration) -> TimeDelta {
    TimeDelta::from_std(duration).unwrap_or(TimeDelta::MAX)
}

fn later(start: DateTime<Utc>, span: TimeDelta) -> DateTime<Utc> {
    start.checked_add_signed(span).unwrap_or(DateTime::<Utc>::MAX_UTC)
}
