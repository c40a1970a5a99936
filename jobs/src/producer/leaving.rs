//! The user has everything about them deleted.

use tracing::info;

use super::{Place, ProducerError, Turn};
use crate::{
    deletion,
    enqueue::enqueue,
    payloads::EraseUser,
    store::erasures::{self, Belongings},
};

/// What a user would lose, for the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Everything {
    /// Avatars, drafts included.
    pub avatars: u32,
    /// Photos in our bucket, and on their way there.
    pub photos: u32,
    /// Pictures that were made.
    pub pictures: u32,
    /// Live trainings that FAL has or may have: they are paid for.
    pub paid: u32,
}

impl Turn {
    /// What the user would lose.
    pub async fn everything(&mut self) -> Result<Everything, ProducerError> {
        let user = self.user()?;
        let Belongings {
            avatars,
            photos,
            pictures,
            paid,
        } = erasures::belongings(&mut self.tx, user).await?;
        let count = |n: i64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Everything {
            avatars: count(avatars),
            photos: count(photos),
            pictures: count(pictures),
            paid: count(paid),
        })
    }

    /// Has everything about the user deleted. From here on nothing is accepted from them, until a job has erased it and told
    /// them so. The second of two taps changes nothing.
    pub async fn leave(&mut self) -> Result<(), ProducerError> {
        let user = self.user()?;
        let Some(erasure) = erasures::begin(&mut self.tx, user).await? else {
            return Ok(());
        };
        for avatar in erasures::avatars(&mut self.tx, user).await? {
            deletion::delete_avatar(&mut self.tx, user, avatar, Place::New).await?;
        }
        enqueue(&mut self.tx, &EraseUser::new(erasure)).await?;
        info!("A user has everything about them deleted: erasure {erasure}");
        Ok(())
    }
}
