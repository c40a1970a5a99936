//! `[retention]`: how long users' things are kept, for the worker, which deletes them, and for the bot, which says so.

use std::time::Duration;

use jobs::domain::{MediaAges, Privacy};

use super::{
    reader::SettingsReader,
    section::all,
    units::{DAY, MINUTE},
};

const YEARS: Duration = Duration::from_hours(24 * 365 * 10);

/// Ages of photos, pictures and drafts.
pub(super) fn media(from: &mut SettingsReader<'_>) -> Option<MediaAges> {
    all!(MediaAges {
        photos: from.duration("retention.photos", Duration::ZERO..=YEARS),
        pictures: from.duration("retention.pictures", Duration::ZERO..=YEARS),
        drafts: from.duration("retention.drafts", Duration::ZERO..=YEARS),
    })
}

/// What the bot tells users about their data.
pub(super) fn privacy(from: &mut SettingsReader<'_>) -> Option<Privacy> {
    all!(Privacy {
        media: media(from),
        updates: from.duration("inbox.keep.updates", 2 * DAY..=YEARS),
        archives: from.duration("fal.archive_lifecycle", MINUTE..=7 * DAY),
    })
}
