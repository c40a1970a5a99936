//! Walks a user through their avatars, and lets them choose the main one and rename.

use super::{AvatarLine, ProducerError, Turn};
use crate::{
    domain::{AvatarId, AvatarStatus, OpenQuestion},
    store::{avatars, gallery, quotas, views},
};

/// One page of the gallery.
#[derive(Debug, Clone)]
pub struct GalleryCard {
    /// The avatar on the page.
    pub avatar: AvatarLine,
    /// Its place among the user's avatars, from 1.
    pub place: u32,
    /// How many avatars the user has.
    pub total: u32,
    /// The avatar of the page before; before the first comes the last.
    pub before: AvatarId,
    /// The avatar of the next page; after the last comes the first.
    pub after: AvatarId,
}

impl Turn {
    /// The page of this avatar, or the first page. `None`: the user has no such avatar, or none at all.
    pub async fn gallery(&mut self, avatar: Option<AvatarId>) -> Result<Option<GalleryCard>, ProducerError> {
        let user = self.user()?;
        let Some(position) = gallery::position(&mut self.tx, user, avatar).await? else {
            return Ok(None);
        };
        let avatars = views::avatars_of(&mut self.tx, user, Some(position.id)).await?;
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Ok(avatars.first().map(|avatar| GalleryCard {
            avatar: AvatarLine::from(avatar),
            place: count(position.place),
            total: count(position.total),
            before: position.before,
            after: position.after,
        }))
    }

    /// Makes a trained avatar the main one. `None`: the user has no such trained avatar. Otherwise its name.
    pub async fn make_main(&mut self, avatar: AvatarId) -> Result<Option<String>, ProducerError> {
        let user = self.user()?;
        quotas::lock(&mut self.tx, user).await?;
        Ok(gallery::make_main(&mut self.tx, user, avatar).await?)
    }

    /// Takes the user's next text as the avatar's new name. `None`: the user has no such avatar. Otherwise its name.
    pub async fn ask_new_name(&mut self, avatar: AvatarId) -> Result<Option<String>, ProducerError> {
        let Some(name) = self.name_of(avatar).await? else {
            return Ok(None);
        };
        self.ask(OpenQuestion::NewName(avatar)).await?;
        Ok(Some(name))
    }

    /// Gives an avatar another name. `false`: the user has no such avatar.
    pub async fn rename(&mut self, avatar: AvatarId, name: &str) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(gallery::rename(&mut self.tx, user, avatar, name).await?)
    }

    /// The name of an avatar that is no draft. `None`: the user has no such avatar.
    pub async fn name_of(&mut self, avatar: AvatarId) -> Result<Option<String>, ProducerError> {
        let user = self.user()?;
        let owned = avatars::owned(&mut self.tx, user, avatar).await?;
        Ok(owned
            .filter(|owned| owned.status != AvatarStatus::Draft)
            .and_then(|owned| owned.name))
    }
}
