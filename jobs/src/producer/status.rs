//! What a user sees of their avatars, and calling a training off.

use super::{ProducerError, Turn};
use crate::{
    domain::{AvatarStatus, FailureCode, TrainingId, TrainingStatus},
    notifications::{self, Stage},
    store::{notifications as outbox, training_requests, views},
    texts::Phrase,
};

/// What became of "Stop the training".
#[derive(Debug, Clone)]
pub enum Stopped {
    /// Nothing of it was at FAL. `progress` is the Telegram message that shows so, if there is one.
    Yes {
        /// The avatar's name.
        name: String,
        /// Message id of the progress message.
        progress: Option<i64>,
    },
    /// FAL has it or may have it.
    TooLate {
        /// The avatar's name.
        name: String,
    },
    /// It is over, not the user's, or gone.
    Stale,
}

/// A training that is not over.
#[derive(Debug, Clone)]
pub struct LiveTraining {
    /// Buttons name it.
    pub id: TrainingId,
    /// The avatar's name.
    pub name: String,
    /// Nothing of it is at FAL yet.
    pub can_be_stopped: bool,
}

/// One avatar in the answer to /status.
#[derive(Debug, Clone)]
pub struct AvatarLine {
    /// What to say about it.
    pub phrase: Phrase,
    /// Where it is.
    pub status: AvatarStatus,
}

impl Turn {
    /// The user's trainings that are not over.
    pub async fn live_trainings(&mut self) -> Result<Vec<LiveTraining>, ProducerError> {
        let user = self.user()?;
        let live = training_requests::live_of(&mut self.tx, user).await?;
        Ok(live
            .into_iter()
            .map(|training| LiveTraining {
                id: training.id,
                can_be_stopped: is_unsent(training.status),
                name: training.name,
            })
            .collect())
    }

    /// Calls a training off while nothing of it is at FAL.
    pub async fn stop(&mut self, training: TrainingId) -> Result<Stopped, ProducerError> {
        let user = self.user()?;
        let Some(seen) = training_requests::owned(&mut self.tx, user, training).await? else {
            return Ok(Stopped::Stale);
        };
        let name = seen.name;
        if !training_requests::cancel_unsent(&mut self.tx, user, training).await? {
            return Ok(if seen.status.is_final() {
                Stopped::Stale
            } else {
                Stopped::TooLate { name }
            });
        }
        let progress = outbox::message_of(&mut self.tx, outbox::Kind::Progress, training).await?;
        notifications::cancelled(&mut self.tx, training).await?;
        Ok(Stopped::Yes { name, progress })
    }

    /// The user's avatars, what is at work first.
    pub async fn avatars(&mut self) -> Result<Vec<AvatarLine>, ProducerError> {
        let user = self.user()?;
        let avatars = views::avatars_of(&mut self.tx, user).await?;
        Ok(avatars.iter().map(AvatarLine::from).collect())
    }
}

/// The statuses from which `training_requests::cancel_unsent` cancels.
const fn is_unsent(status: TrainingStatus) -> bool {
    matches!(status, TrainingStatus::Requested | TrainingStatus::Archived)
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
                stage: Box::new(stage_of(avatar).phrase()),
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
            phrase,
            status: avatar.status,
        }
    }
}

fn stage_of(avatar: &views::Avatar) -> Stage {
    match (avatar.training_status, avatar.queue_position) {
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
