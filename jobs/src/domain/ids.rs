//! One type for each kind of id, so that an avatar's id is never passed for a user's
//! (the incumbent's int ≠ str bug, M18).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id looks like 0192f0c1-7e5a-7cc3-8f6e-1f1d5a0b9c11")]
pub struct NoId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = NoId;

            fn from_str(text: &str) -> Result<Self, NoId> {
                text.parse().map(Self).map_err(|_| NoId)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl From<Uuid> for $name {
            fn from(id: Uuid) -> Self {
                Self(id)
            }
        }
    };
}

id!(
    /// The id of a user: `users.id`.
    UserId
);
id!(
    /// The id of an avatar: `avatars.id`.
    AvatarId
);
id!(
    /// The id of a photo: `avatar_photos.id`.
    PhotoId
);
id!(
    /// The id of a training: `trainings.id`.
    TrainingId
);
id!(
    /// The id of a message in the outbox: `notifications.id`.
    NotificationId
);
id!(
    /// The id of an album, the pictures that are asked for and delivered together: `albums.id`.
    AlbumId
);
id!(
    /// The id of one request for pictures at FAL: `generations.id`.
    GenerationId
);
id!(
    /// The id of a picture: `pictures.id`.
    PictureId
);

impl PictureId {
    /// Where our bucket has the picture.
    pub(crate) fn storage_key(self, owner: UserId, avatar: AvatarId) -> String {
        format!("{owner}/{avatar}/{self}.jpg")
    }
}
