//! Shows users their avatars, and calls trainings off.

use super::{ProducerError, Turn};
use crate::{
    domain::{
        AvatarId, AvatarStatus, EndReason, FailureCode, PictureId, Stage, TrainingId, TrainingStatus,
        TrainingType,
    },
    saga::{self, Asked},
    store::{notifications as outbox, orders, trainings, views},
    texts::Phrase,
};

/// The result of "Stop the training".
#[derive(Debug, Clone)]
pub enum Stopped {
    /// FAL had no request of it, and it is cancelled.
    Yes {
        /// The avatar's name.
        name: String,
        /// Telegram's id of the progress message. `None`: there is none.
        progress: Option<i64>,
    },
    /// FAL is being asked to stop; the user is told later how it ended.
    Asked {
        /// The avatar's name.
        name: String,
    },
    /// It is trained, and its model is being stored.
    TooLate {
        /// The avatar's name.
        name: String,
    },
    /// It has ended, is not the user's, or is gone.
    Stale,
}

/// A training of the user that has not ended.
#[derive(Debug, Clone)]
pub struct LiveTraining {
    /// The training's id, which the buttons carry.
    pub id: TrainingId,
    /// The avatar's name.
    pub name: String,
    /// Whether it is not trained yet, and nobody has requested its end.
    pub can_be_stopped: bool,
    /// Whether FAL is being asked to stop.
    pub is_stopping: bool,
}

/// One avatar in the answer to /status.
#[derive(Debug, Clone)]
pub struct AvatarLine {
    /// The avatar's id, which the buttons carry.
    pub id: AvatarId,
    /// Its name; empty if it has none yet.
    pub name: String,
    /// The phrase that describes its state.
    pub phrase: Phrase,
    /// The avatar's status.
    pub status: AvatarStatus,
    /// What it was or will be trained as.
    pub training_type: TrainingType,
    /// Whether pictures are made with it unless the user chooses another.
    pub is_main: bool,
    /// The picture that the gallery shows of it. `None`: there is none.
    pub cover: Option<PictureId>,
    /// Its live training, unless that can no longer be stopped. `None`: there is none.
    pub stoppable: Option<TrainingId>,
}

impl Turn {
    /// The user's trainings that have not ended, in the order of [`Turn::avatars`].
    pub async fn live_trainings(&mut self) -> Result<Vec<LiveTraining>, ProducerError> {
        let user = self.user()?;
        let live = trainings::live_of(&mut self.tx, user).await?;
        Ok(live
            .into_iter()
            .map(|training| LiveTraining {
                id: training.id,
                is_stopping: training.is_to_end && training.status != TrainingStatus::Trained,
                can_be_stopped: training.status != TrainingStatus::Trained && !training.is_to_end,
                name: training.name,
            })
            .collect())
    }

    /// Calls a training off: at once if FAL has no request of it, otherwise FAL is asked to stop.
    pub async fn stop(&mut self, training: TrainingId) -> Result<Stopped, ProducerError> {
        let user = self.user()?;
        let Some(seen) = trainings::owned(&mut self.tx, user, training).await? else {
            return Ok(Stopped::Stale);
        };
        let name = seen.name;
        let progress = outbox::message_of(&mut self.tx, outbox::MessageKind::Progress, training).await?;
        let Some(order) = orders::lock(&mut self.tx, training.into()).await? else {
            return Ok(Stopped::Stale);
        };
        Ok(
            match saga::asked_to_end(&mut self.tx, order, EndReason::User, None).await? {
                Asked::Ended => Stopped::Yes { name, progress },
                Asked::Stopping | Asked::Already => Stopped::Asked { name },
                Asked::TooLate => Stopped::TooLate { name },
                Asked::Over => Stopped::Stale,
            },
        )
    }

    /// The user's avatars, those in training first.
    pub async fn avatars(&mut self) -> Result<Vec<AvatarLine>, ProducerError> {
        let user = self.user()?;
        let avatars = views::avatars_of(&mut self.tx, user, None).await?;
        Ok(avatars.iter().map(AvatarLine::from).collect())
    }
}

impl From<&views::Avatar> for AvatarLine {
    fn from(avatar: &views::Avatar) -> Self {
        let name = avatar.name.clone().unwrap_or_default();
        let phrase = match avatar.status {
            AvatarStatus::Draft => Phrase::StatusDraft {
                avatar: Phrase::avatar(avatar.name.as_deref()),
                photos: u32::try_from(avatar.photos).unwrap_or(0),
            },
            AvatarStatus::Training => Phrase::StatusTraining {
                name,
                stage: Box::new(Phrase::stage(stage_of(avatar))),
            },
            AvatarStatus::Completed => Phrase::StatusCompleted { name },
            AvatarStatus::Cancelled => Phrase::StatusCancelled { name },
            AvatarStatus::Failed => {
                let code = avatar
                    .failure_code
                    .clone()
                    .unwrap_or_else(|| FailureCode::Internal.to_string());
                Phrase::StatusFailed {
                    name,
                    reason: Box::new(Phrase::FailureReason { code }),
                }
            }
        };
        Self {
            id: avatar.id,
            name: avatar.name.clone().unwrap_or_default(),
            phrase,
            status: avatar.status,
            training_type: avatar.training_type,
            is_main: avatar.is_main,
            cover: avatar.cover,
            stoppable: avatar.training_id.filter(|_| {
                avatar.status == AvatarStatus::Training
                    && !avatar.is_to_end
                    && avatar.training_status != Some(TrainingStatus::Trained)
            }),
        }
    }
}

fn stage_of(avatar: &views::Avatar) -> Stage {
    match (avatar.training_status, avatar.queue_position) {
        (Some(TrainingStatus::Submitting | TrainingStatus::Submitted), _) if avatar.is_to_end => {
            Stage::Stopping
        }
        (None | Some(TrainingStatus::Requested), _) => Stage::Requested,
        (Some(TrainingStatus::Archived | TrainingStatus::Submitting), _) => Stage::Archived,
        (Some(TrainingStatus::Submitted), Some(position)) if avatar.progress == 0 => {
            Stage::Queued { position }
        }
        (Some(TrainingStatus::Submitted), _) if avatar.is_running => Stage::Running {
            percent: u8::try_from(avatar.progress).unwrap_or(0),
        },
        (Some(TrainingStatus::Submitted), _) => Stage::Submitted,
        (Some(_), _) => Stage::Trained,
    }
}
