//! The dialogue that asks for pictures, and what can be done with an album afterwards.

use std::time::Duration;

use rand::Rng as _;
use tracing::info;

use super::{ProducerError, Turn, request_training::refused};
use crate::{
    domain::{
        AlbumId, Aspect, AvatarId, DrawnAvatar, EndReason, OpenQuestion, PictureId, SEEDS, TrainingType,
    },
    notifications::Place,
    saga,
    store::{
        album_drafts::{self, AlbumDraftRow},
        albums,
        generations::NewGeneration,
        quotas::{self, Use},
    },
};

/// Most albums of a user that are made at once: FAL makes few pictures of an account at a time.
const MOST_LIVE: i64 = 2;

/// An album that its user is choosing: the first `None` is asked next. Only a turn can make one, for its owner.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct AlbumDraft {
    /// Its id, which the buttons carry.
    pub id: AlbumId,
    /// The avatar whose pictures are wanted.
    pub avatar: AvatarId,
    /// The avatar's name.
    pub name: String,
    /// What the avatar was trained as, which decides the styles that fit.
    pub training_type: TrainingType,
    /// A style of the table. `None`: not chosen, or gone from the table since.
    pub style: Option<String>,
    /// The user's words, empty if they want none. `None`: not asked yet.
    pub words: Option<String>,
    /// The chosen shape. `None`: the style's own.
    pub aspect: Option<Aspect>,
    /// How many pictures are wanted.
    pub count: u8,
}

/// The result of asking for the pictures of an album.
#[derive(Debug, Clone)]
pub enum Ordered {
    /// They are asked for, and the album's progress message is about to be sent.
    Yes,
    /// An answer is missing, or its style is gone: it is asked next.
    Incomplete(AlbumDraft),
    /// It was asked for before: by a second tap, or another message's button.
    AlreadyMaking,
    /// The user has as many albums in the making as allowed.
    TooManyLive {
        /// How many are being made.
        live: u32,
    },
    /// The user has asked for as many pictures as a day allows.
    TooManyToday {
        /// Most pictures that a day allows.
        most: u32,
        /// How many may still be asked for now.
        left: u32,
        /// How long until one more may be asked for.
        wait: Duration,
    },
    /// The album is not the user's, is gone, or its avatar has no model any more.
    Stale,
}

/// What FAL is asked for, when every answer is there.
struct Chosen {
    avatar: AvatarId,
    trainer: String,
    style: String,
    prompt: String,
    negative: Option<String>,
    aspect: Aspect,
}

impl Turn {
    /// Begins to ask for pictures of a trained avatar, instead of any other draft. `None`: the user has no such trained
    /// avatar.
    pub async fn begin_album(&mut self, avatar: AvatarId) -> Result<Option<AlbumDraft>, ProducerError> {
        let user = self.user()?;
        let wanted = i16::from(self.rules.pictures.most_pictures);
        match album_drafts::begin(&mut self.tx, user, avatar, wanted).await? {
            Some(album) => self.album_draft(album).await,
            None => Ok(None),
        }
    }

    /// Begins a draft with the choices of this album. `None`: the user has no such album, or its avatar has no model.
    pub async fn copy_album(&mut self, album: AlbumId) -> Result<Option<AlbumDraft>, ProducerError> {
        let user = self.user()?;
        match album_drafts::copy(&mut self.tx, user, album).await? {
            Some(album) => self.album_draft(album).await,
            None => Ok(None),
        }
    }

    /// Begins a draft with the choices that led to this picture. `None`: as for [`Turn::copy_album`].
    pub async fn copy_picture(&mut self, picture: PictureId) -> Result<Option<AlbumDraft>, ProducerError> {
        let user = self.user()?;
        match album_drafts::copy_of_picture(&mut self.tx, user, picture).await? {
            Some(album) => self.album_draft(album).await,
            None => Ok(None),
        }
    }

    /// The draft with this id. `None`: the user has no such draft, or its avatar has no model any more.
    pub async fn album_draft(&mut self, album: AlbumId) -> Result<Option<AlbumDraft>, ProducerError> {
        let user = self.user()?;
        let row = album_drafts::find(&mut self.tx, user, album).await?;
        Ok(row.map(|row| self.draft_in(&row)))
    }

    fn draft_in(&self, row: &AlbumDraftRow) -> AlbumDraft {
        let is_offered = |style: &&String| {
            let style = self.rules.pictures.styles.get(style);
            style.is_some_and(|style| style.fits(row.training_type))
        };
        AlbumDraft {
            id: row.id,
            avatar: row.avatar_id,
            name: row.avatar_name.clone(),
            training_type: row.training_type,
            style: row.style.as_ref().filter(is_offered).cloned(),
            words: row.words.clone(),
            aspect: row.aspect.as_deref().and_then(|aspect| aspect.parse().ok()),
            count: u8::try_from(row.wanted)
                .unwrap_or(1)
                .min(self.rules.pictures.most_pictures),
        }
    }

    /// Chooses a style. `false`: there is no such draft; the same holds for the methods below.
    pub async fn choose_style(&mut self, album: AlbumId, style: &str) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(album_drafts::set_style(&mut self.tx, user, album, style).await?)
    }

    /// Takes the user's next text as the words of this draft.
    pub async fn ask_words(&mut self, album: AlbumId) -> Result<(), ProducerError> {
        self.ask(OpenQuestion::Words(album)).await
    }

    /// The user's own words, which the caller has checked; empty for none.
    pub async fn choose_words(&mut self, album: AlbumId, words: &str) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(album_drafts::set_words(&mut self.tx, user, album, Some(words)).await?)
    }

    /// Chooses the shape of the pictures.
    pub async fn choose_aspect(&mut self, album: AlbumId, aspect: Aspect) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(album_drafts::set_aspect(&mut self.tx, user, album, aspect.as_str()).await?)
    }

    /// Chooses how many pictures are made.
    pub async fn choose_count(&mut self, album: AlbumId, count: u8) -> Result<bool, ProducerError> {
        let user = self.user()?;
        let count = count.clamp(1, self.rules.pictures.most_pictures);
        Ok(album_drafts::set_wanted(&mut self.tx, user, album, i16::from(count)).await?)
    }

    /// Leaves the dialogue: this draft, or without an id the one that there is.
    pub async fn leave_album(&mut self, album: Option<AlbumId>) -> Result<bool, ProducerError> {
        let user = self.user()?;
        Ok(album_drafts::discard(&mut self.tx, user, album).await?)
    }

    /// Asks for the pictures of a draft: album, request, first job, quota and progress message in one transaction. Of two
    /// taps one asks. The progress message takes `place`.
    pub async fn order_album(&mut self, album: AlbumId, place: Place) -> Result<Ordered, ProducerError> {
        let user = self.user()?;
        // First the user, so that no other turn of theirs counts until this one has ended.
        quotas::lock(&mut self.tx, user).await?;
        let Some(row) = album_drafts::find(&mut self.tx, user, album).await? else {
            let is_asked = album_drafts::is_asked(&mut self.tx, user, album).await?;
            return Ok(match is_asked {
                Some(true) => Ordered::AlreadyMaking,
                Some(false) | None => Ordered::Stale,
            });
        };
        let draft = self.draft_in(&row);
        let Some(chosen) = self.chosen(&draft, &row) else {
            return Ok(Ordered::Incomplete(draft));
        };
        if let Some(refusal) = self.over_pictures(draft.count).await? {
            return Ok(refusal);
        }
        if !album_drafts::ask(&mut self.tx, user, album, chosen.aspect.as_str()).await? {
            return Ok(Ordered::Stale);
        }
        self.make(album, draft.count, &chosen, place).await
    }

    /// Asks for an album with the same choices once more. A second tap finds the first one's album in the making. A draft that
    /// the user has open stays, unless an answer is missing: then they choose again.
    pub async fn order_again(&mut self, album: AlbumId, place: Place) -> Result<Ordered, ProducerError> {
        let user = self.user()?;
        quotas::lock(&mut self.tx, user).await?;
        let Some(row) = album_drafts::find_asked(&mut self.tx, user, album).await? else {
            return Ok(Ordered::Stale);
        };
        if album_drafts::has_twin(&mut self.tx, user, album).await? {
            return Ok(Ordered::AlreadyMaking);
        }
        let draft = self.draft_in(&row);
        let Some(chosen) = self.chosen(&draft, &row) else {
            let copy = self.copy_album(album).await?;
            return Ok(copy.map_or(Ordered::Stale, Ordered::Incomplete));
        };
        if let Some(refusal) = self.over_pictures(draft.count).await? {
            return Ok(refusal);
        }
        match album_drafts::repeat(&mut self.tx, user, album, chosen.aspect.as_str()).await? {
            Some(copy) => self.make(copy, draft.count, &chosen, place).await,
            None => Ok(Ordered::Stale),
        }
    }

    /// What FAL is asked for. `None`: an answer is missing, or the style is gone.
    fn chosen(&self, draft: &AlbumDraft, row: &AlbumDraftRow) -> Option<Chosen> {
        let style = self.rules.pictures.styles.get(draft.style.as_ref()?)?;
        let subject = DrawnAvatar {
            training_type: row.training_type,
            trigger: row.trigger_phrase.as_ref()?,
            gender: row.gender?,
        };
        let default = || self.rules.trainers.default_for(row.training_type).name.clone();
        Some(Chosen {
            avatar: row.avatar_id,
            trainer: row.trainer.clone().unwrap_or_else(default),
            style: style.name.clone(),
            prompt: style.prompt(subject, draft.words.as_ref()?),
            negative: style.negative.clone(),
            aspect: draft.aspect.unwrap_or(style.aspect),
        })
    }

    /// Orders the pictures of an album that this transaction made `making`, and counts them.
    async fn make(
        &mut self,
        album: AlbumId,
        count: u8,
        chosen: &Chosen,
        place: Place,
    ) -> Result<Ordered, ProducerError> {
        let user = self.user()?;
        let Some(asked) = albums::find(&mut self.tx, album).await? else {
            return Ok(Ordered::Stale);
        };
        let avatar = chosen.avatar;
        let generation = NewGeneration {
            album,
            avatar,
            user,
            number: 1,
            trainer: &chosen.trainer,
            style: &chosen.style,
            prompt: &chosen.prompt,
            negative: chosen.negative.as_deref(),
            aspect: chosen.aspect.as_str(),
            wanted: i16::from(count),
            seed: self.rules.chance.draw(|rng| rng.random_range(SEEDS)),
        };
        quotas::note_pictures(&mut self.tx, user, album, i64::from(count)).await?;
        saga::order_album(&mut self.tx, &asked, &generation, place).await?;
        info!(album.id = %album, avatar.id = %avatar, user.id = %user,
            "Album {album} of avatar {avatar} was asked for");
        Ok(Ordered::Yes)
    }

    /// Calls an album off. `false`: it has ended, its pictures are made and on their way, it is not the user's, or is gone.
    pub async fn stop_album(&mut self, album: AlbumId) -> Result<bool, ProducerError> {
        let user = self.user()?;
        if !album_drafts::is_making(&mut self.tx, user, album).await? {
            return Ok(false);
        }
        Ok(saga::stop_album(&mut self.tx, album, EndReason::User).await? > 0)
    }

    /// The limit that so many more pictures of this user would exceed.
    async fn over_pictures(&mut self, count: u8) -> Result<Option<Ordered>, ProducerError> {
        let user = self.user()?;
        let live = album_drafts::making(&mut self.tx, user).await?;
        if live >= MOST_LIVE {
            refused("live_albums");
            let live = u32::try_from(live).unwrap_or(u32::MAX);
            return Ok(Some(Ordered::TooManyLive { live }));
        }
        let most = self.rules.quotas.pictures_a_day;
        let left = quotas::pictures_left(&mut self.tx, user, most).await?;
        let Some(left) = left.filter(|left| *left < u32::from(count)) else {
            return Ok(None);
        };
        refused("pictures_a_day");
        let wait = quotas::wait(&mut self.tx, user, Use::Picture, most).await?;
        Ok(Some(Ordered::TooManyToday {
            most,
            left,
            wait: wait.unwrap_or_default(),
        }))
    }
}
