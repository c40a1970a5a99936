//! How long each step of a training may take, and what is too long.
//!
//! No clock in here: `now` and the times of the row are given. `reconcile_trainings` enforces the deadlines,
//! `poll_status` the decision about a submit whose outcome is unknown, since that needs the request list.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::Saga;
use crate::domain::{LateModel, TrainingStatus};

/// When the steps of one training began.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Since when it is at this step, however often that was repeated; of an archive that has to be built again, since it was lost.
    pub status_since: DateTime<Utc>,
    /// When its first archive was ready. `None`: it never had one.
    pub archived_at: Option<DateTime<Utc>>,
    /// When FAL was first seen at work on it.
    pub started_at: Option<DateTime<Utc>>,
    /// When the end was asked for.
    pub end_asked_at: Option<DateTime<Utc>>,
    /// When the copy of the archive that FAL reads is deleted.
    pub archive_expires_at: Option<DateTime<Utc>>,
    /// It met FAL's refusal of our account before it was archived.
    pub is_held_by_account: bool,
}

/// How long each step may take; `[saga]` and `[fal]` in `config/default.toml` say what each means to an operator.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Storing and packing the photos.
    pub prepare: Duration,
    /// Waiting to be submitted: FAL is busy, the account is locked, or the archive has to be built again.
    pub submit: Duration,
    /// A submit whose outcome is unknown (K13).
    pub decide: Duration,
    /// In FAL's queue, until operators are alarmed.
    pub queue_alarm: Duration,
    /// Running at FAL.
    pub run: Duration,
    /// Between our wish that FAL stops and its end.
    pub cancel: Duration,
    /// Copying and verifying the model.
    pub store: Duration,
    /// How long FAL can read an archive.
    pub archive_lifecycle: Duration,
}

impl Patience {
    /// FAL's queue has no end of its own (fal.md 1.9), the archive has: one day before it of seven, and in that
    /// proportion of shorter ones.
    fn queue_end(&self, times: &Times) -> DateTime<Utc> {
        let lifecycle = span(self.archive_lifecycle);
        let end = times
            .archive_expires_at
            .unwrap_or_else(|| later(times.status_since, lifecycle));
        end - lifecycle / 7
    }
}

impl Saga {
    /// When a training is overdue. `None`: it is final.
    pub fn deadline(&self, times: &Times, patience: &Patience) -> Option<DateTime<Utc>> {
        use TrainingStatus as S;
        let since = |start, patience| later(start, span(patience));
        let end_asked = times.end_asked_at.filter(|_| self.end_asked.is_some());
        match (self.status, end_asked, times.started_at) {
            (S::Requested, ..) => Some(match times.archived_at {
                // Built again: the time to be submitted began with the first archive and goes on.
                Some(first) => since(first, patience.submit),
                // A locked account is nobody's fault, wherever the training meets it.
                None if times.is_held_by_account => since(times.status_since, patience.submit),
                None => since(times.status_since, patience.prepare),
            }),
            (S::Archived, ..) => Some(since(times.status_since, patience.submit)),
            (S::Submitting, ..) => Some(
                patience
                    .queue_end(times)
                    .max(since(times.status_since, patience.decide)),
            ),
            (S::Submitted, Some(asked_at), _) => Some(since(asked_at, patience.cancel)),
            (S::Submitted, None, Some(started_at)) => Some(since(started_at, patience.run)),
            (S::Submitted, None, None) => Some(patience.queue_end(times)),
            (S::Trained, ..) => Some(since(times.status_since, patience.store)),
            (S::Completed | S::Failed | S::Cancelled, ..) => None,
        }
    }

    /// Whether a submit whose outcome is unknown has had its time (K13). `attempted_at`: when its attempt was committed.
    pub fn is_undecided(&self, attempted_at: DateTime<Utc>, now: DateTime<Utc>, patience: &Patience) -> bool {
        self.status == TrainingStatus::Submitting && later(attempted_at, span(patience.decide)) <= now
    }

    /// Whether its archive has waited for so long that FAL, submitted to now, would be asked to stop at once: what is left of
    /// the archive's life is less than FAL's queue may take.
    pub fn is_archive_too_old(&self, times: &Times, now: DateTime<Utc>, patience: &Patience) -> bool {
        self.status == TrainingStatus::Archived && patience.queue_end(times) <= now
    }

    /// Whether it has waited in FAL's queue for so long that somebody should look.
    pub fn is_long_in_queue(&self, times: &Times, now: DateTime<Utc>, patience: &Patience) -> bool {
        self.status == TrainingStatus::Submitted
            && times.started_at.is_none()
            && later(times.status_since, span(patience.queue_alarm)) <= now
    }

    /// Whether a request that we gave up can no longer bring a model: its archive is gone, and a run's longest time with it.
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
