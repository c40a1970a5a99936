//! "Show me …": read models for the operator's verbs and the bot. Nothing is changed here.

mod deliveries;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use queue::{JobId, database};
use serde::Serialize;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    domain::{AvatarId, AvatarStatus, TrainingId, TrainingStatus, TrainingType},
    store::{fal_account, views},
};

pub use deliveries::{DeliveryDetail, DeliveryFilter, DeliveryView};

/// Reads for the shells. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Reader {
    pool: PgPool,
}

/// How a training is going, in the words of the incumbent's client (K18), which other programs know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrainingView {
    /// Where it is.
    pub status: ViewStatus,
    /// 0-100.
    pub progress: u8,
    /// One sentence in English.
    pub message: String,
    /// When it was asked for; of an avatar without a training, when that was made.
    pub created_at: DateTime<Utc>,
    /// When it ended well. `None` before that, and if it did not.
    pub completed_at: Option<DateTime<Utc>>,
}

/// The incumbent's four words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewStatus {
    /// From the user's "Start" to the verified model.
    InProgress,
    /// The avatar can be used.
    Completed,
    /// It failed, or was cancelled; the message says which.
    Error,
    /// There was no training yet.
    Unknown,
}

/// One avatar of a user.
#[derive(Debug, Clone, Serialize)]
pub struct AvatarView {
    /// Its id.
    pub id: AvatarId,
    /// `None` while the wizard has not asked.
    pub name: Option<String>,
    /// What was chosen first.
    pub training_type: TrainingType,
    /// Where it is.
    pub status: AvatarStatus,
    /// Whether generation uses it by default.
    pub is_main: bool,
    /// Photos that were not refused.
    pub photos: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// FAL refuses our key or account, and every upload and submission is parked.
#[derive(Debug, Clone, Serialize)]
pub struct FalParked {
    /// First refusal.
    pub since: DateTime<Utc>,
    /// Which call was refused last: submit, upload, status, result or cancel.
    pub call: String,
    /// What FAL said last.
    pub reason: String,
    /// When an upload or a submit tries again.
    pub next_probe_at: DateTime<Utc>,
    /// How many have tried.
    pub probes: i32,
    /// Trainings that wait for it.
    pub waiting: i64,
}

/// A training that has ended, of a job that would do something for it.
#[derive(Debug, Clone, Serialize)]
pub struct EndedTraining {
    /// Its id.
    pub training_id: TrainingId,
    /// `completed`, `failed` or `cancelled`.
    pub status: TrainingStatus,
}

impl Reader {
    /// Over an open pool.
    pub const fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// How the newest training of an avatar is going; also takes a training's own id. `None`: there is neither.
    pub async fn training_status(&self, id: Uuid) -> Result<Option<TrainingView>, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        if let Some(training) = views::training(&mut db, id).await? {
            return Ok(Some(TrainingView::from(training)));
        }
        Ok(views::avatar_created_at(&mut db, id)
            .await?
            .map(|created_at| TrainingView {
                status: ViewStatus::Unknown,
                progress: 0,
                message: "No training has been started".to_owned(),
                created_at,
                completed_at: None,
            }))
    }

    /// Of these jobs, those that will find nothing to do when they run: their training has ended.
    pub async fn ended_trainings(&self, jobs: &[JobId]) -> Result<BTreeMap<i64, EndedTraining>, sqlx::Error> {
        let ids: Vec<i64> = jobs.iter().map(|job| job.0).collect();
        let mut db = self.pool.acquire().await?;
        let ended = views::ended_trainings(&mut db, &ids).await?;
        let of_job = ended.into_iter().map(|one| {
            let training = EndedTraining {
                training_id: one.training,
                status: one.status,
            };
            (one.job, training)
        });
        Ok(of_job.collect())
    }

    /// Whether FAL takes submissions. `None`: as far as we know it does.
    pub async fn fal_parked(&self) -> Result<Option<FalParked>, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let Some(parked) = fal_account::parked(&mut db).await? else {
            return Ok(None);
        };
        Ok(Some(FalParked {
            since: parked.since,
            call: parked.call,
            reason: parked.reason,
            next_probe_at: parked.probe_at,
            probes: parked.probes,
            waiting: views::waiting_for_fal(&mut db).await?,
        }))
    }

    /// How long ago FAL last took a submission from us. `None`: it has taken none that is still in our books.
    pub async fn last_accepted_submit(&self) -> Result<Option<TimeDelta>, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let Some(at) = views::last_accepted_submit(&mut db).await? else {
            return Ok(None);
        };
        Ok(Some(database::now(&mut db).await? - at))
    }

    /// The avatars of the user with this Telegram id, what is at work first. `None`: nobody of that id.
    pub async fn avatars_of(&self, telegram_id: i64) -> Result<Option<Vec<AvatarView>>, sqlx::Error> {
        let mut db = self.pool.acquire().await?;
        let Some(user) = views::user_by_telegram_id(&mut db, telegram_id).await? else {
            return Ok(None);
        };
        let avatars = views::avatars_of(&mut db, user).await?;
        Ok(Some(avatars.into_iter().map(AvatarView::from).collect()))
    }
}

impl From<views::Avatar> for AvatarView {
    fn from(avatar: views::Avatar) -> Self {
        let views::Avatar {
            id,
            name,
            training_type,
            status,
            is_main,
            photos,
            created_at,
            ..
        } = avatar;
        Self {
            id,
            name,
            training_type,
            status,
            is_main,
            photos,
            created_at,
        }
    }
}

impl From<views::TrainingOverview> for TrainingView {
    fn from(training: views::TrainingOverview) -> Self {
        let message = message(&training);
        let status = match training.status {
            TrainingStatus::Completed => ViewStatus::Completed,
            _ if training.late_completed_at.is_some() => ViewStatus::Completed,
            TrainingStatus::Failed | TrainingStatus::Cancelled => ViewStatus::Error,
            _ => ViewStatus::InProgress,
        };
        let completed_at = training
            .late_completed_at
            .or(training.finished_at)
            .filter(|_| status == ViewStatus::Completed);
        let progress = u8::try_from(training.progress).unwrap_or(0);
        Self {
            status,
            progress,
            message,
            created_at: training.created_at,
            completed_at,
        }
    }
}

fn message(training: &views::TrainingOverview) -> String {
    match training.status {
        _ if training.late_completed_at.is_some() => {
            "The avatar is ready; its model came after the training had ended here".into()
        }
        TrainingStatus::Submitting | TrainingStatus::Submitted if training.is_to_end => {
            "FAL is being asked to stop".into()
        }
        TrainingStatus::Requested => "Photos are being packed".into(),
        TrainingStatus::Archived => "The archive is ready, the submit is next".into(),
        TrainingStatus::Submitting => "Submitted to FAL, its answer is awaited".into(),
        TrainingStatus::Submitted => match (&training.progress_message, training.queue_position) {
            (Some(message), _) => message.clone(),
            (None, Some(position)) => format!("In FAL's queue at position {position}"),
            (None, None) => "FAL has the request".into(),
        },
        TrainingStatus::Trained => "Trained; the model is being copied and verified".into(),
        TrainingStatus::Completed => "The avatar is ready".into(),
        TrainingStatus::Cancelled => "Cancelled".into(),
        TrainingStatus::Failed => {
            let code = training.failure_code.as_deref().unwrap_or("internal");
            match &training.failure_detail {
                Some(detail) => format!("Failed: {code} ({detail})"),
                None => format!("Failed: {code}"),
            }
        }
    }
}
