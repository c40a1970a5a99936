//! Walks a user through the pictures of the past.

use super::{ProducerError, Turn};
use crate::{
    domain::{PictureId, Shelf},
    enqueue::enqueue_for,
    payloads::DeletePicture,
    store::shelf,
};

/// One picture of a user, with its place on the shelf.
#[derive(Debug, Clone)]
pub struct PictureCard {
    /// Its id, which the buttons carry.
    pub id: PictureId,
    /// Its place, from 1.
    pub place: u32,
    /// How many pictures are on the shelf.
    pub total: u32,
    /// The picture before it; before the first comes the last.
    pub before: PictureId,
    /// The picture after it; after the last comes the first.
    pub after: PictureId,
    /// Whether the user marked it.
    pub is_favourite: bool,
    /// The name of its avatar.
    pub avatar: String,
    /// The name of its style, which may be gone from the table.
    pub style: String,
    /// The user's words; empty if there were none.
    pub words: String,
}

impl Turn {
    /// This picture of the user, or the first one. `None`: it is not on the shelf, or nothing is.
    pub async fn picture(
        &mut self,
        of: Shelf,
        picture: Option<PictureId>,
    ) -> Result<Option<PictureCard>, ProducerError> {
        let user = self.user()?;
        let row = shelf::picture(&mut self.tx, user, of, picture).await?;
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(row.map(|row| PictureCard {
            id: row.id,
            place: count(row.place),
            total: count(row.total),
            before: row.before,
            after: row.after,
            is_favourite: row.is_favourite,
            avatar: row.avatar_name.unwrap_or_default(),
            style: row.style,
            words: row.words.unwrap_or_default(),
        }))
    }

    /// Marks a picture as a favourite, or takes the mark back. `false`: the user has no such picture.
    pub async fn star(&mut self, picture: PictureId, is_favourite: bool) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(shelf::set_favourite(&mut self.tx, user, picture, is_favourite).await?)
    }

    /// Deletes a picture: its row now, its object by a job. `false`: the user has no such picture.
    pub async fn delete_picture(&mut self, picture: PictureId) -> Result<bool, ProducerError> {
        let user = self.user()?;
        let Some(avatar) = shelf::delete(&mut self.tx, user, picture).await? else {
            return Ok(false);
        };
        enqueue_for(&mut self.tx, user, &DeletePicture::new(user, avatar, picture)).await?;
        Ok(true)
    }
}
