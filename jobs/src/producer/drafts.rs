//! The wizard's intents: the draft's answers, its photos, and a failed avatar that becomes a draft again.

use std::time::Duration;

use super::{ProducerError, Turn, request_training::refused};
use crate::{
    domain::{AvatarId, AvatarStatus, Gender, TrainingType, WizardStep},
    enqueue::enqueue_for,
    notifications::{self, Place},
    payloads::StorePhoto,
    store::{
        avatars, notifications as outbox, photos,
        quotas::{self, Use},
    },
};

/// The wizard's state: what is `None` is asked next.
/// Only a turn makes one, for the draft's owner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Draft {
    /// Buttons name it.
    pub id: AvatarId,
    /// First answer.
    pub training_type: TrainingType,
    /// Second answer.
    pub gender: Option<Gender>,
    /// Third answer.
    pub name: Option<String>,
}

/// What became of a photo that the user sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PhotoTaken {
    /// Noted, and a job will fetch it.
    Yes,
    /// The avatar has it already.
    Known,
    /// The avatar has refused it before, for this reason.
    Refused {
        /// The code of the reason.
        reason: String,
        /// What the reason's text names.
        detail: Option<String>,
    },
    /// The avatar has as many as it may.
    Full,
    /// The user has sent as many as a day allows, those included that were refused or thrown away.
    TooManyToday {
        /// So many.
        most: u32,
        /// Until the next is taken.
        wait: Duration,
    },
}

/// What became of "Try again".
#[derive(Debug, Clone)]
pub enum RetryOutcome {
    /// It is a draft again, at the photo step.
    Reopened,
    /// Another draft is in the way.
    OtherDraft(Draft),
    /// It is at work.
    AlreadyTraining {
        /// The avatar's name.
        name: String,
    },
    /// The avatar is already trained.
    AlreadyTrained {
        /// The avatar's name.
        name: String,
    },
    /// It is open already.
    AlreadyOpen,
    /// Not the user's, or gone.
    Stale,
}

impl Turn {
    /// The user's draft.
    pub async fn draft(&mut self) -> Result<Option<Draft>, ProducerError> {
        let user = self.user()?;
        Ok(avatars::draft_of(&mut self.tx, user).await?.map(Draft::from))
    }

    /// Starts a draft; if there is one already it stays as it is. Answers the draft. [`Turn::draft_wait`] says whether the user
    /// may.
    pub async fn new_draft(&mut self, kind: TrainingType) -> Result<Option<Draft>, ProducerError> {
        let user = self.user()?;
        if avatars::create_draft(&mut self.tx, user, kind).await? {
            quotas::note(&mut self.tx, user, Use::Draft).await?;
        }
        self.draft().await
    }

    /// How long until the user may begin another draft, and how many a day allows. `None`: now, or there is one to go on with.
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

    /// Answers the first question again. `false`: there is no such draft (so below).
    pub async fn choose_type(&mut self, avatar: AvatarId, kind: TrainingType) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::set_type(&mut self.tx, user, avatar, kind).await?)
    }

    /// Answers the second question.
    pub async fn choose_gender(&mut self, avatar: AvatarId, gender: Gender) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::set_gender(&mut self.tx, user, avatar, Some(gender)).await?)
    }

    /// Answers the third question, by the user's message of this number.
    pub async fn name(
        &mut self,
        avatar: AvatarId,
        name: &str,
        message: Option<i64>,
    ) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::set_name(&mut self.tx, user, avatar, Some(name), message).await?)
    }

    /// Whether the draft has its name from the user's message of this number.
    pub async fn is_named_by(&mut self, avatar: AvatarId, message: i64) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::is_named_by(&mut self.tx, user, avatar, message).await?)
    }

    /// The draft's name was corrected: the photo step says the new one, where it stands.
    pub async fn show_new_name(&mut self, draft: &Draft) -> Result<(), ProducerError> {
        notifications::photos_changed(&mut self.tx, draft.id, &self.rules.photos).await?;
        Ok(())
    }

    /// Takes an answer back. The type has no "open" in the database: it is asked again and keeps its answer until
    /// there is another.
    pub async fn take_back(&mut self, avatar: AvatarId, step: WizardStep) -> Result<bool, ProducerError> {
        let user = self.user()?;
        let taken_back = match step {
            WizardStep::Type => avatars::draft_of(&mut self.tx, user)
                .await?
                .is_some_and(|draft| draft.id == avatar),
            WizardStep::Gender => avatars::set_gender(&mut self.tx, user, avatar, None).await?,
            WizardStep::Name => avatars::set_name(&mut self.tx, user, avatar, None, None).await?,
        };
        if taken_back {
            // The photo counter must not come back over the question that takes its place.
            outbox::supersede(&mut self.tx, outbox::Kind::Photos, outbox::About::Avatar(avatar)).await?;
        }
        Ok(taken_back)
    }

    /// Throws the draft away. `None`: there is no such draft; else its name, if it had one.
    pub async fn discard(&mut self, avatar: AvatarId) -> Result<Option<Option<String>>, ProducerError> {
        let user = self.user()?;
        Ok(avatars::discard(&mut self.tx, user, avatar).await?)
    }

    /// Takes a photo for the draft. One that Telegram failed to hand out before may come again.
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
        let Some(photo) = photos::insert(&mut self.tx, draft.id, file_id, unique_id).await? else {
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
        notifications::photos_changed(&mut self.tx, draft.id, &self.rules.photos).await?;
        Ok(PhotoTaken::Yes)
    }

    /// Whether the draft has had this photo, whatever became of it.
    pub async fn has_photo(&mut self, draft: &Draft, unique_id: &str) -> Result<bool, ProducerError> {
        Ok(photos::is_known(&mut self.tx, draft.id, unique_id).await?)
    }

    /// Shows the photo step, which counts from now on.
    pub async fn show_photos(&mut self, draft: &Draft, place: Place) -> Result<(), ProducerError> {
        notifications::show_photos(&mut self.tx, draft.id, &self.rules.photos, place).await?;
        Ok(())
    }

    /// Reopens a failed or cancelled avatar as the draft, photos and answers as they were.
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
