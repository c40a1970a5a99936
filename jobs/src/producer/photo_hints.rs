//! The owner's answers to hints on the photos of a draft: remove one, or keep all.

use tracing::info;

use super::{ProducerError, Turn};
use crate::{
    domain::{AvatarId, PhotoId},
    notifications,
    store::appearances,
};

/// The result of "remove this photo".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PhotoRemoved {
    /// It is removed, and another may take its room.
    Yes {
        /// Its number from 1, in the order in which the user sent the photos.
        number: u32,
    },
    /// It was removed before: by a second tap, or another message's button.
    Before,
    /// The user has no draft with this photo: it is being trained, was thrown away, or is somebody else's.
    Stale,
}

impl Turn {
    /// Removes a photo from the user's draft, also while it is being fetched or inspected. Sent again, it is a new one.
    pub async fn remove_photo(&mut self, photo: PhotoId) -> Result<PhotoRemoved, ProducerError> {
        // Taking the draft locks it, before any of its photos.
        let Some(draft) = self.draft().await? else {
            return Ok(PhotoRemoved::Stale);
        };
        let Some(number) = appearances::remove(&mut self.tx, draft.id, photo).await? else {
            let before = appearances::was_removed(&mut self.tx, draft.id, photo).await?;
            return Ok(if before {
                PhotoRemoved::Before
            } else {
                PhotoRemoved::Stale
            });
        };
        notifications::photos_changed(&mut self.tx, draft.id, self.rules.photo_step()).await?;
        info!(photo.id = %photo, avatar.id = %draft.id, "Photo {photo} was removed by its owner");
        Ok(PhotoRemoved::Yes {
            number: u32::try_from(number).unwrap_or(u32::MAX),
        })
    }

    /// Keeps the photos of the user's draft that have been inspected so far, so that their hints vanish. `false`: it
    /// is not the user's draft.
    pub async fn keep_photos(&mut self, avatar: AvatarId) -> Result<bool, ProducerError> {
        if self.draft().await?.is_none_or(|draft| draft.id != avatar) {
            return Ok(false);
        }
        if appearances::keep_all(&mut self.tx, avatar).await? > 0 {
            notifications::photos_changed(&mut self.tx, avatar, self.rules.photo_step()).await?;
        }
        Ok(true)
    }
}
