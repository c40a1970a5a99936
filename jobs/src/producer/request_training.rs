//! The user presses "Start": the one place where a training begins.

use tracing::info;

use super::{ProducerError, Turn};
use crate::{
    build_archive::BuildArchive,
    domain::{AvatarId, AvatarStatus, TrainingId, TrainingType, portrait_trigger, style_trigger},
    enqueue::enqueue_for,
    notifications::{self, Place},
    store::{
        avatars, photos,
        training_requests::{self, Request},
    },
};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The training exists, its first job is enqueued, its progress message is on its way.
    Yes(TrainingId),
    /// Too few photos are in our bucket; so many are, and so many are on their way.
    NotEnoughPhotos {
        /// In our bucket.
        stored: usize,
        /// On their way.
        pending: usize,
    },
    /// More are in our bucket than allowed, since the limit was lowered.
    TooManyPhotos,
    /// Somebody pressed before: a second tap, or another message's button.
    AlreadyTraining {
        /// The avatar's name.
        name: String,
    },
    /// It has its model.
    AlreadyTrained {
        /// The avatar's name.
        name: String,
    },
    /// Not the user's, gone, or a draft with questions open.
    Stale,
}

impl Turn {
    /// Starts the training of a draft: avatar, training, first job and progress message together. Of two taps one
    /// starts it. The progress message takes the place of the one whose button was pressed.
    pub async fn request_training(
        &mut self,
        avatar: AvatarId,
        place: Place,
    ) -> Result<Started, ProducerError> {
        let user = self.user()?;
        let draft = match avatars::lock_draft(&mut self.tx, avatar).await? {
            Some(draft) if draft.user_id == user => draft,
            _ => return self.no_draft(avatar).await,
        };
        let counts = photos::counts(&mut self.tx, avatar).await?;
        let (stored, pending) = (counts.stored as usize, counts.pending as usize);
        let allowed = &self.rules.photos.photos;
        if stored < *allowed.start() {
            return Ok(Started::NotEnoughPhotos { stored, pending });
        }
        if stored > *allowed.end() {
            return Ok(Started::TooManyPhotos);
        }
        let trigger = match draft.training_type {
            TrainingType::Portrait => portrait_trigger(avatar),
            TrainingType::Style => self.rules.chance.draw(style_trigger),
        };
        if !avatars::begin_training(&mut self.tx, user, avatar, &trigger).await? {
            return Ok(Started::Stale);
        }
        let training = training_requests::insert(
            &mut self.tx,
            &Request {
                user_id: user,
                avatar_id: avatar,
                training_type: draft.training_type,
                trainer: self.rules.trainers.default_for(draft.training_type).name(),
                preset: self.rules.trainers.default_preset().as_str(),
                trigger_phrase: &trigger,
            },
        )
        .await?;
        enqueue_for(&mut self.tx, user, &BuildArchive::new(training)).await?;
        notifications::training_requested(&mut self.tx, training, place).await?;
        info!(training.id = %training, avatar.id = %avatar, user.id = %user, training.r#type = %draft.training_type,
            "Training {training} of avatar {avatar} was requested");
        Ok(Started::Yes(training))
    }

    async fn no_draft(&mut self, avatar: AvatarId) -> Result<Started, ProducerError> {
        let user = self.user()?;
        let Some(owned) = avatars::owned(&mut self.tx, user, avatar).await? else {
            return Ok(Started::Stale);
        };
        let name = owned.name.unwrap_or_default();
        Ok(match owned.status {
            AvatarStatus::Training => Started::AlreadyTraining { name },
            AvatarStatus::Completed => Started::AlreadyTrained { name },
            AvatarStatus::Draft | AvatarStatus::Failed | AvatarStatus::Cancelled => Started::Stale,
        })
    }
}
