//! The user deletes an avatar.

use super::{Place, ProducerError, Turn};
use crate::{
    deletion,
    domain::{AvatarId, AvatarStatus},
    store::{avatars, deletions, photos, views},
};

/// What would be lost with an avatar, for the question whether to delete it.
#[derive(Debug, Clone)]
pub struct WillBeLost {
    /// Its name. `None`: it has none yet.
    pub name: Option<String>,
    /// Photos in our bucket, and on their way there.
    pub photos: u32,
    /// Pictures that were made with it.
    pub pictures: u32,
    /// Whether it is trained.
    pub has_model: bool,
    /// Whether a training of it is live.
    pub is_training: bool,
    /// Whether FAL has that training or may have it: then it is paid for.
    pub is_paid: bool,
}

/// The result of a deletion.
#[derive(Debug, Clone)]
pub enum Deleted {
    /// The user does not see it any more, and a job erases it.
    Yes {
        /// Its name. `None`: it had none yet.
        name: Option<String>,
        /// The name of the avatar that is the main one now. `None`: that did not change, or no other is ready.
        new_main: Option<String>,
    },
    /// It is not the user's, or is gone.
    Stale,
}

impl Turn {
    /// What would be lost with this avatar. `None`: it is not the user's, or is gone.
    pub async fn would_be_lost(&mut self, avatar: AvatarId) -> Result<Option<WillBeLost>, ProducerError> {
        let user = self.user()?;
        let Some(owned) = avatars::owned(&mut self.tx, user, avatar).await? else {
            return Ok(None);
        };
        let training = views::is_at_fal(&mut self.tx, avatar).await?;
        Ok(Some(WillBeLost {
            name: owned.name,
            photos: photos::counts(&mut self.tx, avatar).await?.taken(),
            pictures: u32::try_from(deletions::pictures(&mut self.tx, avatar).await?).unwrap_or(u32::MAX),
            has_model: owned.status == AvatarStatus::Completed,
            is_training: owned.status == AvatarStatus::Training,
            is_paid: training,
        }))
    }

    /// Deletes an avatar of the user, whatever its status: it is gone from their view at once, its training is called
    /// off, and a job erases it. The second of two taps finds nothing.
    pub async fn delete_avatar(&mut self, avatar: AvatarId) -> Result<Deleted, ProducerError> {
        let user = self.user()?;
        let deleted = deletion::delete_avatar(&mut self.tx, user, avatar, Place::New).await?;
        Ok(deleted.map_or(Deleted::Stale, |deleted| Deleted::Yes {
            name: deleted.name,
            new_main: deleted.new_main,
        }))
    }
}
