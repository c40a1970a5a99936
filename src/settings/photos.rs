//! `[photos]`: the photos that are accepted from users.

use jobs::archive::PhotoLimits;

use super::{reader::SettingsReader, section::all};

/// Limits for photos, which the bot's wizard and the worker's archive share.
pub(super) fn limits(from: &mut SettingsReader<'_>) -> Option<PhotoLimits> {
    let min = from.number("photos.min", 1..=100);
    let max = from.number("photos.max", 1..=100);
    from.at_most(("photos.min", min), ("photos.max", max), "");
    all!(PhotoLimits {
        photos: min.zip(max).map(|(min, max)| min..=max),
        // Bots cannot download more than 20 MB from Telegram.
        bytes: from.number("photos.max_bytes", 1_000..=20_971_520),
        side: from.number("photos.max_side", 64..=65_535),
        pixels: from.number("photos.max_pixels", 4_096..=200_000_000),
    })
}
