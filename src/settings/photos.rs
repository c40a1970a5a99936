//! `[photos]`: what is taken from users.

use jobs::archive::PhotoLimits;

use super::{reader::Reader, section::all};

/// What the wizard asks for and the archive takes: bot and worker.
pub(super) fn limits(from: &mut Reader<'_>) -> Option<PhotoLimits> {
    let min = from.number("photos.min", 1..=100);
    let max = from.number("photos.max", 1..=100);
    from.at_most(("photos.min", min), ("photos.max", max), "");
    all!(PhotoLimits {
        photos: min.zip(max).map(|(min, max)| min..=max),
        // Telegram's bots cannot download more than 20 MB.
        bytes: from.number("photos.max_bytes", 1_000..=20_971_520),
        side: from.number("photos.max_side", 64..=65_535),
        pixels: from.number("photos.max_pixels", 4_096..=200_000_000),
    })
}
