//! Read models for operators' verbs and the bot. Nothing is changed here.

mod deliveries;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use queue::{
    JobId,
    database::{self, Database},
};
use serde::Serialize;
use uuid::Uuid;

use crate::{
    domain::{AvatarId, AvatarStatus, SupportCode, TrainingId, TrainingStatus, TrainingType},
    store::{fal_account, views},
};

pub use deliveries::{DeliveryDetail, DeliveryFilter, DeliveryView};

/// Reads for code in `src/`. Clones share one pool.
#[derive(Debug, Clone)]
pub struct Reader {
    database: Database,
}

/// The progress of a training, in the words of the incumbent's client (K18), which other programs know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrainingView {
    /// The state in the incumbent's words.
    pub status: ViewStatus,
    /// In percent, 0 to 100.
    pub progress: u8,
    /// The state in one English sentence.
    pub message: String,
    /// When the training was requested; for an avatar without a training, when the avatar was made.
    pub created_at: DateTime<Utc>,
    /// When it completed. `None`: it has not, or it failed.
    pub completed_at: Option<DateTime<Utc>>,
}

/// The incumbent's four words for a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ViewStatus {
    /// From the user's "Start" to the verified model.
    InProgress,
    /// It has a verified model: the avatar can be used.
    Completed,
    /// It failed or was cancelled; the message says which.
    Error,
    /// There was no training yet.
    Unknown,
}

/// One avatar of a user, without its training.
#[derive(Debug, Clone, Serialize)]
pub struct AvatarView {
    /// The avatar's id.
    pub id: AvatarId,
    /// The name. `None`: the wizard has not asked for it yet.
    pub name: Option<String>,
    /// The user's first choice: portrait or style.
    pub training_type: TrainingType,
    /// The avatar's status, in our own words.
    pub status: AvatarStatus,
    /// Whether generation uses it by default.
    pub is_main: bool,
    /// Number of photos that were not refused.
    pub photos: i64,
    /// When the avatar was made.
    pub created_at: DateTime<Utc>,
}

/// The refusal of our account by FAL. While it lasts, every upload and submission is parked.
#[derive(Debug, Clone, Serialize)]
pub struct FalParked {
    /// When the first call was refused, by the database's clock.
    pub since: DateTime<Utc>,
    /// The call that was refused last: submit, upload, status, result or cancel.
    pub call: String,
    /// FAL's reason, at the last refusal.
    pub reason: String,
    /// When the next upload or submit probes the account.
    pub next_probe_at: DateTime<Utc>,
    /// How many probes were made since then.
    pub probes: i32,
    /// Number of trainings with an archive and without a request.
    pub waiting: i64,
}

/// What a support code names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Supported {
    /// A training, an avatar, or an album of pictures.
    Row {
        /// `training`, `avatar` or `album`.
        table: String,
        /// Its id.
        id: Uuid,
    },
    /// An update of Telegram's that could not be handled.
    Update {
        /// Telegram's number.
        update_id: i64,
        /// The chat from which it came. `None`: it has none.
        chat_id: Option<i64>,
        /// How often its handling failed.
        attempts: i16,
        /// Why it was given up. `None`: it was handled.
        error: Option<String>,
    },
}

/// A training that has ended while a job for it is left.
#[derive(Debug, Clone, Serialize)]
pub struct EndedTraining {
    /// The training's id.
    pub training_id: TrainingId,
    /// Its status: `completed`, `failed` or `cancelled`.
    pub status: TrainingStatus,
}

impl Reader {
    /// Reads this database.
    pub fn new(database: impl Into<Database>) -> Self {
        Self {
            database: database.into(),
        }
    }

    /// The progress of an avatar's newest training; accepts a training's own id too. `None`: there is neither.
    pub async fn training_status(&self, id: Uuid) -> Result<Option<TrainingView>, sqlx::Error> {
        let mut db = self.database.read().await?;
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

    /// The rows that have this support code. Almost always one; 40 bits may be shared by two.
    pub async fn by_support_code(&self, code: SupportCode) -> Result<Vec<Supported>, sqlx::Error> {
        let mut db = self.database.read().await?;
        let (first, last) = code.ids();
        let rows = views::with_ids(&mut db, first, last).await?;
        let mut found: Vec<_> = rows
            .into_iter()
            .map(|row| Supported::Row {
                table: row.kind,
                id: row.id,
            })
            .collect();
        let update = views::update(&mut db, code.update_id()).await?;
        found.extend(update.map(|update| Supported::Update {
            update_id: update.update_id,
            chat_id: update.chat_id,
            attempts: update.attempts,
            error: update.error,
        }));
        Ok(found)
    }

    /// The jobs among these whose training has ended: they will find nothing to do.
    pub async fn ended_trainings(&self, jobs: &[JobId]) -> Result<BTreeMap<i64, EndedTraining>, sqlx::Error> {
        let ids: Vec<i64> = jobs.iter().map(|job| job.0).collect();
        let mut db = self.database.read().await?;
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

    /// The refusal of our account by FAL. `None`: as far as we know, FAL accepts submissions.
    pub async fn fal_parked(&self) -> Result<Option<FalParked>, sqlx::Error> {
        let mut db = self.database.read().await?;
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

    /// How long ago FAL last accepted a submission. `None`: it has accepted none of which a row is left.
    pub async fn last_accepted_submit(&self) -> Result<Option<TimeDelta>, sqlx::Error> {
        let mut db = self.database.read().await?;
        let Some(at) = views::last_accepted_submit(&mut db).await? else {
            return Ok(None);
        };
        Ok(Some(database::now(&mut db).await? - at))
    }

    /// The avatars of the user with this Telegram id, those in training first. `None`: there is no such user.
    pub async fn avatars_of(&self, telegram_id: i64) -> Result<Option<Vec<AvatarView>>, sqlx::Error> {
        let mut db = self.database.read().await?;
        let Some(user) = views::user_by_telegram_id(&mut db, telegram_id).await? else {
            return Ok(None);
        };
        let avatars = views::avatars_of(&mut db, user, None).await?;
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
