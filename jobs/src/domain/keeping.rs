//! How long users' things are kept.

use std::time::Duration;

/// Ages at which users' things are deleted. Zero: never, unless their user deletes them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaAges {
    /// For photos, counted from the end of the avatar's last training.
    pub photos: Duration,
    /// For pictures that are no favourites, counted from when they were made.
    pub pictures: Duration,
    /// For drafts, counted from the last answer or photo.
    pub drafts: Duration,
}

/// What users are told about their data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privacy {
    /// Ages at which photos, pictures and drafts are deleted.
    pub media: MediaAges,
    /// How long their messages are kept once they were handled.
    pub updates: Duration,
    /// How long FAL keeps the archive of photos that was uploaded there.
    pub archives: Duration,
}

impl Default for Privacy {
    /// As in `config/default.toml`.
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        let media = MediaAges {
            photos: 30 * DAY,
            pictures: Duration::ZERO,
            drafts: 30 * DAY,
        };
        Self {
            media,
            updates: 7 * DAY,
            archives: 7 * DAY,
        }
    }
}
