//! One update being handled: the user's intents, all in the transaction that marks the update handled.
//!
//! The shell decides what an update means and calls these; it never sees SQL. Nothing here talks to Telegram:
//! answers are outbox rows, so that they are as durable as what they speak of. Dropping a turn undoes it.

use std::sync::Arc;

use serde_json::Value;
use sqlx::{Postgres, Transaction};

use super::{ProducerError, Rules};
use crate::{
    domain::{
        AvatarId, AvatarStatus, FailureCode, Gender, Step, TrainingId, TrainingStatus, TrainingType, UserId,
    },
    enqueue::enqueue,
    notifications::{self, Place, Stage},
    store::{avatars, notifications as outbox, photos, training_requests, updates, users, views},
    store_photo::StorePhoto,
    texts::{Locale, Message, Phrase},
};

/// An update and the transaction of its effects.
pub struct Turn {
    pub(super) tx: Transaction<'static, Postgres>,
    pub(super) rules: Arc<Rules>,
    update_id: i64,
    body: Value,
    user: Option<UserId>,
    replies: u32,
}

/// Who sent an update.
#[derive(Debug, Clone)]
pub struct Sender {
    /// Telegram's user id, which is the private chat's id as well.
    pub telegram_id: i64,
    /// Without `@`.
    pub username: Option<String>,
    /// As they call themselves.
    pub first_name: String,
    /// `None` when the client did not say.
    pub locale: Option<Locale>,
}

/// The wizard's state: what is `None` is asked next.
#[derive(Debug, Clone)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhotoTaken {
    /// Noted, and a job will fetch it.
    Yes,
    /// The avatar has it already.
    Known,
    /// The avatar has as many as it may.
    Full,
}

/// What became of "Try again".
#[derive(Debug, Clone)]
pub enum Retried {
    /// It is a draft again, at the photo step.
    Reopened,
    /// Another draft is in the way.
    OtherDraft(Draft),
    /// It is at work.
    AlreadyTraining {
        /// The avatar's name.
        name: String,
    },
    /// It has its model.
    AlreadyTrained {
        /// The avatar's name.
        name: String,
    },
    /// It is open already.
    AlreadyOpen,
    /// Not the user's, or gone.
    Stale,
}

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
    pub(super) fn new(
        tx: Transaction<'static, Postgres>,
        update: updates::Stored,
        rules: Arc<Rules>,
    ) -> Self {
        Self {
            tx,
            rules,
            update_id: update.update_id,
            body: update.body,
            user: None,
            replies: 0,
        }
    }

    /// Telegram's id of the update.
    pub const fn update_id(&self) -> i64 {
        self.update_id
    }

    /// The update as it came.
    pub const fn body(&self) -> &Value {
        &self.body
    }

    /// What the wizard goes by.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Notes who is speaking. Everything below acts for them.
    pub async fn sender(&mut self, sender: &Sender) -> Result<(), ProducerError> {
        let seen = users::Seen {
            telegram_id: sender.telegram_id,
            username: sender.username.as_deref(),
            first_name: &sender.first_name,
            locale: sender.locale,
        };
        self.user = Some(users::seen(&mut self.tx, &seen).await?);
        Ok(())
    }

    /// The user blocked the bot or deleted the chat: nothing more is sent until they come back.
    pub async fn sender_left(&mut self, telegram_id: i64) -> Result<(), ProducerError> {
        if let Some(user) = users::left(&mut self.tx, telegram_id).await? {
            outbox::close_all(&mut self.tx, user).await?;
        }
        Ok(())
    }

    pub(super) fn user(&self) -> Result<UserId, ProducerError> {
        self.user.ok_or(ProducerError::NoSender)
    }

    /// The user's draft.
    pub async fn draft(&mut self) -> Result<Option<Draft>, ProducerError> {
        let user = self.user()?;
        Ok(avatars::draft_of(&mut self.tx, user).await?.map(Draft::from))
    }

    /// Starts a draft; if there is one already it stays as it is. Answers the draft.
    pub async fn new_draft(&mut self, kind: TrainingType) -> Result<Option<Draft>, ProducerError> {
        let user = self.user()?;
        avatars::create_draft(&mut self.tx, user, kind).await?;
        self.draft().await
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

    /// Answers the third question.
    pub async fn name(&mut self, avatar: AvatarId, name: &str) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(avatars::set_name(&mut self.tx, user, avatar, Some(name)).await?)
    }

    /// Takes an answer back. The type has no "open" in the database: it is asked again and keeps its answer until
    /// there is another.
    pub async fn take_back(&mut self, avatar: AvatarId, step: Step) -> Result<bool, ProducerError> {
        let user = self.user()?;
        // The photo counter must not come back over the question that takes its place.
        outbox::supersede(&mut self.tx, outbox::Kind::Photos, outbox::About::Avatar(avatar)).await?;
        Ok(match step {
            Step::Type => avatars::lock_draft(&mut self.tx, avatar)
                .await?
                .is_some_and(|draft| draft.user_id == user),
            Step::Gender => avatars::set_gender(&mut self.tx, user, avatar, None).await?,
            Step::Name => avatars::set_name(&mut self.tx, user, avatar, None).await?,
        })
    }

    /// Throws the draft away. `None`: there is no such draft; else its name, if it had one.
    #[expect(
        clippy::option_option,
        reason = "gone, and gone without a name, are told apart"
    )]
    pub async fn discard(&mut self, avatar: AvatarId) -> Result<Option<Option<String>>, ProducerError> {
        let user = self.user()?;
        Ok(avatars::discard(&mut self.tx, user, avatar).await?)
    }

    /// Takes a photo for the draft.
    pub async fn add_photo(
        &mut self,
        avatar: AvatarId,
        file_id: &str,
        unique_id: &str,
    ) -> Result<PhotoTaken, ProducerError> {
        if photos::is_known(&mut self.tx, avatar, unique_id).await? {
            return Ok(PhotoTaken::Known);
        }
        let taken = photos::counts(&mut self.tx, avatar).await?.taken();
        if taken as usize >= *self.rules.photos.photos.end() {
            return Ok(PhotoTaken::Full);
        }
        let Some(photo) = photos::insert(&mut self.tx, avatar, file_id, unique_id).await? else {
            return Ok(PhotoTaken::Known);
        };
        enqueue(&mut self.tx, &StorePhoto::new(photo)).await?;
        notifications::photos_changed(&mut self.tx, avatar, &self.rules.photos).await?;
        Ok(PhotoTaken::Yes)
    }

    /// Shows the photo step, which counts from now on.
    pub async fn show_photos(&mut self, avatar: AvatarId, place: Place) -> Result<(), ProducerError> {
        notifications::show_photos(&mut self.tx, avatar, &self.rules.photos, place).await?;
        Ok(())
    }

    /// Reopens a failed or cancelled avatar as the draft, photos and answers as they were.
    pub async fn retry(&mut self, avatar: AvatarId) -> Result<Retried, ProducerError> {
        let user = self.user()?;
        let Some(owned) = avatars::owned(&mut self.tx, user, avatar).await? else {
            return Ok(Retried::Stale);
        };
        let name = owned.name.unwrap_or_default();
        match owned.status {
            AvatarStatus::Draft => return Ok(Retried::AlreadyOpen),
            AvatarStatus::Training => return Ok(Retried::AlreadyTraining { name }),
            AvatarStatus::Completed => return Ok(Retried::AlreadyTrained { name }),
            AvatarStatus::Failed | AvatarStatus::Cancelled => {}
        }
        if let Some(other) = self.draft().await? {
            return Ok(Retried::OtherDraft(other));
        }
        let reopened = avatars::reopen(&mut self.tx, user, avatar).await?;
        Ok(if reopened {
            Retried::Reopened
        } else {
            Retried::Stale
        })
    }

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

    /// Answers the user. Several answers of one update come in the order of these calls.
    pub async fn reply(&mut self, message: &Message, place: Place) -> Result<(), ProducerError> {
        let key = match self.replies {
            0 => format!("update:{}", self.update_id),
            more => format!("update:{}:{more}", self.update_id),
        };
        self.replies += 1;
        self.reply_as(&key, message, place).await
    }

    /// Answers several updates of one sort together: only the first with this `subject` is answered.
    pub async fn reply_once(&mut self, subject: &str, message: &Message) -> Result<(), ProducerError> {
        let key = format!("{subject}:{}", self.user()?);
        self.reply_as(&key, message, Place::New).await
    }

    async fn reply_as(&mut self, key: &str, message: &Message, place: Place) -> Result<(), ProducerError> {
        let user = self.user()?;
        notifications::reply(&mut self.tx, user, key, message, place).await?;
        Ok(())
    }

    /// Commits everything, and that the update is handled.
    pub async fn finish(mut self) -> Result<(), ProducerError> {
        updates::handled(&mut self.tx, self.update_id, None).await?;
        self.tx.commit().await?;
        Ok(())
    }

    /// Commits that the update cannot be read and is left at that.
    pub async fn finish_unreadable(mut self, why: &str) -> Result<(), ProducerError> {
        updates::handled(&mut self.tx, self.update_id, Some(why)).await?;
        self.tx.commit().await?;
        Ok(())
    }
}

/// The statuses from which `training_requests::cancel_unsent` cancels.
const fn is_unsent(status: TrainingStatus) -> bool {
    matches!(status, TrainingStatus::Requested | TrainingStatus::Archived)
}

impl From<avatars::Draft> for Draft {
    fn from(draft: avatars::Draft) -> Self {
        Self {
            id: draft.id,
            training_type: draft.training_type,
            gender: draft.gender,
            name: draft.name,
        }
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
