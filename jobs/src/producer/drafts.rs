//! The wizard's changes: answers and photos of the draft, and a failed avatar that becomes a draft again.

use std::time::Duration;

use super::{ProducerError, Turn, request_training::refused};
use crate::{
    deletion,
    domain::{AvatarId, AvatarStatus, Gender, Preset, TrainingType, WizardStep},
    enqueue::enqueue_for,
    estimates,
    notifications::{self, Place},
    payloads::StorePhoto,
    store::{
        avatars, photos,
        quotas::{self, Use},
    },
};

/// The state of the wizard: the first field that is `None` is asked next. Only a
/// turn can make one, for the draft's owner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Draft {
    /// The avatar's id, which the buttons carry.
    pub id: AvatarId,
    /// The first answer; a draft always has it.
    pub training_type: TrainingType,
    /// The second answer. `None`: not given yet.
    pub gender: Option<Gender>,
    /// The third answer. `None`: not given yet.
    pub name: Option<String>,
}

/// The result of sending a photo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhotoTaken {
    /// It was added, and a job will fetch it.
    Yes,
    /// The avatar has this photo already.
    Known,
    /// The avatar refused this photo before.
    Refused {
        /// The code of the reason, for its text.
        reason: String,
        /// The value in the reason's text, if it has one.
        detail: Option<String>,
    },
    /// The avatar has as many photos as it may.
    Full,
    /// The user has sent as many photos as a day allows, including refused and deleted ones.
    TooManyToday {
        /// Most photos that a day allows.
        most: u32,
        /// How long until the next photo is accepted.
        wait: Duration,
    },
}

/// The result of "Try again".
#[derive(Debug, Clone)]
pub enum RetryOutcome {
    /// The avatar is a draft again, at the photo step.
    Reopened,
    /// The user has another draft, which must be finished first.
    OtherDraft(Draft),
    /// A training of the avatar is live.
    AlreadyTraining {
        /// The avatar's name.
        name: String,
    },
    /// The avatar is already trained.
    AlreadyTrained {
        /// The avatar's name.
        name: String,
    },
    /// The avatar is the draft already.
    AlreadyOpen,
    /// The avatar is not the user's, or is gone.
    Stale,
}

impl Turn {
    /// The user's draft. `None`: there is none.
    pub async fn draft(&mut self) -> Result<Option<Draft>, ProducerError> {
        let user = self.user()?;
        Ok(avatars::draft_of(&mut self.tx, user).await?.map(Draft::from))
    }

    /// Begins a draft; an existing draft stays as it is. Returns the draft. Ask [`Turn::draft_wait`]
    /// first whether the user may begin one.
    pub async fn new_draft(&mut self, kind: TrainingType) -> Result<Option<Draft>, ProducerError> {
        let user = self.user()?;
        if avatars::create_draft(&mut self.tx, user, kind).await? {
            quotas::note(&mut self.tx, user, Use::Draft).await?;
        }
        self.draft().await
    }

    /// Time until the user may begin another draft, and how many a day allows. `None`: they
    /// may now, or there is a draft already.
    pub async fn draft_wait(&mut self) -> Result<Option<(u32, Duration)>, ProducerError> {
        if self.draft().await?.is_some() {
            return Ok(None);
        }
        let user = self.user()?;
        let most = self.rules.quotas.drafts_a_day;
        quotas::lock(&mut self.tx, user).await?;
        let wait = quotas::wait(&mut self.tx, user, Use::Draft, most).await?;
        if wait.is_some() {
            refused("drafts_a_day");
        }
        Ok(wait.map(|wait| (most, wait)))
    }

    /// Answers the first question again. `false`: there is no such draft; the same holds for the methods below.
    pub async fn choose_type(&mut self, avatar: AvatarId, kind: TrainingType) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::set_type(&mut self.tx, user, avatar, kind).await?)
    }

    /// Chooses between speed and quality.
    pub async fn choose_preset(&mut self, avatar: AvatarId, preset: Preset) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::set_preset(&mut self.tx, user, avatar, preset.as_str()).await?)
    }

    /// How long trainings of this type take, in minutes: with the fastest preset and with the slowest.
    pub async fn training_minutes(&mut self, kind: TrainingType) -> Result<(u32, u32), ProducerError> {
        let trainer = self.rules.trainers.default_for(kind);
        let estimates = estimates::of_presets(&mut self.tx, trainer).await?;
        let minutes = || {
            estimates
                .iter()
                .map(|(_, duration)| estimates::minutes(*duration))
        };
        Ok((minutes().min().unwrap_or(1), minutes().max().unwrap_or(1)))
    }

    /// Answers the second question.
    pub async fn choose_gender(&mut self, avatar: AvatarId, gender: Gender) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::set_gender(&mut self.tx, user, avatar, Some(gender)).await?)
    }

    /// Answers the third question, with the user's message of this number.
    pub async fn name(
        &mut self,
        avatar: AvatarId,
        name: &str,
        message: Option<i64>,
    ) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::set_name(&mut self.tx, user, avatar, Some(name), message).await?)
    }

    /// Whether the draft got its name from the user's message of this number.
    pub async fn is_named_by(&mut self, avatar: AvatarId, message: i64) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::is_named_by(&mut self.tx, user, avatar, message).await?)
    }

    /// Shows a corrected name in the message of the photo step.
    pub async fn show_new_name(&mut self, draft: &Draft) -> Result<(), ProducerError> {
        notifications::photos_changed(&mut self.tx, draft.id, self.rules.photo_step()).await?;
        Ok(())
    }

    /// Takes an answer back. The database has no empty training type: that question is asked again, and the old
    /// answer stays until there is a new one. The question is asked in `place`.
    pub async fn take_back(
        &mut self,
        avatar: AvatarId,
        step: WizardStep,
        place: Place,
    ) -> Result<bool, ProducerError> {
        let user = self.user()?;
        let taken_back = match step {
            WizardStep::Type => avatars::draft_of(&mut self.tx, user)
                .await?
                .is_some_and(|draft| draft.id == avatar),
            WizardStep::Gender => avatars::set_gender(&mut self.tx, user, avatar, None).await?,
            WizardStep::Name => avatars::set_name(&mut self.tx, user, avatar, None, None).await?,
        };
        if taken_back {
            // Otherwise the photo counter could replace the question that has taken its place.
            notifications::retire_card(&mut self.tx, user, avatar, place).await?;
        }
        Ok(taken_back)
    }

    /// Throws the draft away, with its card in the chat. `None`: there is no such draft. Otherwise its name, if it had one. The
    /// answer is shown in `place`.
    pub async fn discard(
        &mut self,
        avatar: AvatarId,
        place: Place,
    ) -> Result<Option<Option<String>>, ProducerError> {
        if self.draft().await?.is_none_or(|draft| draft.id != avatar) {
            return Ok(None);
        }
        let user = self.user()?;
        let deleted = deletion::delete_avatar(&mut self.tx, user, avatar, place).await?;
        Ok(deleted.map(|deleted| deleted.name))
    }

    /// How many photos of a draft are stored or on their way.
    pub async fn draft_photos(&mut self, draft: AvatarId) -> Result<u32, ProducerError> {
        Ok(photos::counts(&mut self.tx, draft).await?.taken())
    }

    /// Adds a photo to the draft. A photo that Telegram failed to hand out before may come again.
    pub async fn add_photo(
        &mut self,
        draft: &Draft,
        file_id: &str,
        unique_id: &str,
    ) -> Result<PhotoTaken, ProducerError> {
        if photos::counts(&mut self.tx, draft.id).await?.taken() as usize >= *self.rules.photos.photos.end() {
            return Ok(PhotoTaken::Full);
        }
        let user = self.user()?;
        let most = self.rules.quotas.photos_a_day;
        quotas::lock(&mut self.tx, user).await?;
        let wait = quotas::wait(&mut self.tx, user, Use::Photo, most).await?;
        if let Some(wait) = wait
            && !photos::is_known(&mut self.tx, draft.id, unique_id).await?
        {
            refused("photos_a_day");
            return Ok(PhotoTaken::TooManyToday { most, wait });
        }
        let message = self.message.as_ref();
        let sent = photos::NewPhoto {
            file_id,
            file_unique_id: unique_id,
            message_id: message.map(|message| message.id),
            album: message.and_then(|message| message.album.as_deref()),
        };
        let Some(photo) = photos::insert(&mut self.tx, draft.id, &sent).await? else {
            let refused = photos::refusal(&mut self.tx, draft.id, unique_id).await?;
            return Ok(
                refused.map_or(PhotoTaken::Known, |(reason, detail)| PhotoTaken::Refused {
                    reason,
                    detail,
                }),
            );
        };
        quotas::note(&mut self.tx, user, Use::Photo).await?;
        enqueue_for(&mut self.tx, user, &StorePhoto::new(photo)).await?;
        notifications::photos_changed(&mut self.tx, draft.id, self.rules.photo_step()).await?;
        Ok(PhotoTaken::Yes)
    }

    /// Whether this photo was ever sent for the draft, whatever its outcome.
    pub async fn has_photo(&mut self, draft: &Draft, unique_id: &str) -> Result<bool, ProducerError> {
        Ok(photos::is_known(&mut self.tx, draft.id, unique_id).await?)
    }

    /// Shows the photo step, whose message counts the photos from now on.
    pub async fn show_photos(&mut self, draft: &Draft, place: Place) -> Result<(), ProducerError> {
        notifications::show_photos(&mut self.tx, draft.id, self.rules.photo_step(), place).await?;
        Ok(())
    }

    /// Makes a failed or cancelled avatar the draft again, with its photos and answers.
    pub async fn retry(&mut self, avatar: AvatarId) -> Result<RetryOutcome, ProducerError> {
        let user = self.user()?;
        let Some(owned) = avatars::owned(&mut self.tx, user, avatar).await? else {
            return Ok(RetryOutcome::Stale);
        };
        let name = owned.name.unwrap_or_default();
        match owned.status {
            AvatarStatus::Draft => return Ok(RetryOutcome::AlreadyOpen),
            AvatarStatus::Training => return Ok(RetryOutcome::AlreadyTraining { name }),
            AvatarStatus::Completed => return Ok(RetryOutcome::AlreadyTrained { name }),
            AvatarStatus::Failed | AvatarStatus::Cancelled => {}
        }
        if let Some(other) = self.draft().await? {
            return Ok(RetryOutcome::OtherDraft(other));
        }
        let reopened = avatars::reopen(&mut self.tx, user, avatar).await?;
        Ok(if reopened {
            RetryOutcome::Reopened
        } else {
            RetryOutcome::Stale
        })
    }
}

impl From<avatars::DraftRow> for Draft {
    fn from(draft: avatars::DraftRow) -> Self {
        Self {
            id: draft.id,
            training_type: draft.training_type,
            gender: draft.gender,
            name: draft.name,
        }
    }
}
