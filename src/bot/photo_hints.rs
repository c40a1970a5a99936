//! The buttons below hints on photos: remove one, or keep all. The card itself changes, so a tap is answered with a
//! few words over the chat.

use jobs::{
    domain::{AvatarId, PhotoId},
    producer::{PhotoRemoved, ProducerError, Turn},
    texts::Phrase,
};

use super::wizard;

/// Removes a photo from the draft.
pub(super) async fn remove(turn: &mut Turn, photo: PhotoId) -> Result<Option<Phrase>, ProducerError> {
    match turn.remove_photo(photo).await? {
        PhotoRemoved::Yes { number } => Ok(Some(Phrase::PhotoRemoved { number })),
        PhotoRemoved::Before => Ok(Some(Phrase::PhotoRemovedBefore {})),
        PhotoRemoved::Stale => wizard::stale(turn).await,
    }
}

/// Keeps all photos as they are: their hints vanish.
pub(super) async fn keep_all(turn: &mut Turn, avatar: AvatarId) -> Result<Option<Phrase>, ProducerError> {
    if turn.keep_photos(avatar).await? {
        Ok(Some(Phrase::PhotosKept {}))
    } else {
        wizard::stale(turn).await
    }
}
