//! The user presses "Start": the only place where a training begins and the user's limits are checked.

use std::time::Duration;

use sqlx::PgConnection;
use tracing::info;

use super::{ProducerError, Turn};
use crate::{
    domain::{
        AvatarId, AvatarStatus, Quotas, TrainingId, TrainingType, UserId, portrait_trigger, style_trigger,
    },
    enqueue::enqueue_for,
    estimates,
    notifications::{self, Place, Subject},
    payloads::BuildArchive,
    store::{
        avatars, photos,
        quotas::{self, Use},
        trainings::{self, Request},
    },
};

/// The result of pressing "Start".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Started {
    /// The training exists, its first job is enqueued, and its progress message is about to be sent.
    Yes(TrainingId),
    /// Too few photos are in our bucket.
    NotEnoughPhotos {
        /// How many photos are in our bucket.
        stored: usize,
        /// How many photos are being fetched.
        pending: usize,
    },
    /// The bucket has more photos than allowed: the limit was lowered.
    TooManyPhotos,
    /// The user has as many live trainings as allowed.
    TooManyLive {
        /// How many of the user's trainings are live.
        live: u32,
    },
    /// The user has started as many trainings as a day allows.
    TooManyToday {
        /// Most trainings that a day allows.
        most: u32,
        /// How long until the next one may start.
        wait: Duration,
    },
    /// A training was started before: by a second tap, or another message's button.
    AlreadyTraining {
        /// The avatar's name.
        name: String,
    },
    /// The avatar is already trained.
    AlreadyTrained {
        /// The avatar's name.
        name: String,
    },
    /// The avatar is not the user's, is gone, or has open questions.
    Stale,
}

impl Turn {
    /// Starts the training of a draft: avatar, training, first job and progress message in one transaction. Of two
    /// taps one starts it. The progress message replaces the one whose button was pressed.
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
        if let Some(refusal) = over_quota(&mut self.tx, user, &self.rules.quotas).await? {
            return Ok(refusal);
        }
        let trigger = match draft.training_type {
            TrainingType::Portrait => portrait_trigger(avatar),
            TrainingType::Style => self.rules.chance.draw(style_trigger),
        };
        if !avatars::begin_training(&mut self.tx, user, avatar, &trigger).await? {
            return Ok(Started::Stale);
        }
        let trainer = self.rules.trainers.default_for(draft.training_type);
        let preset = self.rules.trainers.preset_or_default(draft.preset.as_deref());
        let estimates = estimates::of_presets(&mut self.tx, trainer).await?;
        let expected = estimates.iter().find(|(of, _)| *of == preset);
        let expected = expected.map_or(trainer.expected, |(_, duration)| *duration);
        let training = trainings::insert(
            &mut self.tx,
            &Request {
                user_id: user,
                avatar_id: avatar,
                training_type: draft.training_type,
                trainer: &trainer.name,
                preset: preset.as_str(),
                trigger_phrase: &trigger,
                expected_seconds: i32::try_from(expected.as_secs().max(1)).unwrap_or(i32::MAX),
            },
        )
        .await?;
        quotas::note(&mut self.tx, user, Use::Training).await?;
        enqueue_for(&mut self.tx, user, &BuildArchive::new(training)).await?;
        let subject = Subject {
            training,
            user,
            avatar,
            name: draft.name.as_deref().unwrap_or_default(),
            training_type: draft.training_type,
            photos: counts.taken(),
        };
        notifications::training_requested(&mut self.tx, subject, place).await?;
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

/// The limit that a further training of this user would exceed. It locks the user, so that no other turn of
/// theirs counts until this one has ended.
async fn over_quota(
    tx: &mut PgConnection,
    user: UserId,
    quotas: &Quotas,
) -> Result<Option<Started>, sqlx::Error> {
    quotas::lock(tx, user).await?;
    let live = u32::try_from(quotas::live_trainings(tx, user).await?).unwrap_or(u32::MAX);
    if quotas.live_trainings > 0 && live >= quotas.live_trainings {
        refused("live_trainings");
        return Ok(Some(Started::TooManyLive { live }));
    }
    let most = quotas.trainings_a_day;
    let wait = quotas::wait(tx, user, Use::Training, most).await?;
    if wait.is_some() {
        refused("trainings_a_day");
    }
    Ok(wait.map(|wait| Started::TooManyToday { most, wait }))
}

/// For operators: the refused user is told, but may be an attacker.
pub(super) fn refused(limit: &'static str) {
    metrics::counter!("aisha_quota_refusals_total", "limit" => limit).increment(1);
}
