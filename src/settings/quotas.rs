//! `[quotas]`: how much one user may cost.

use std::collections::BTreeSet;

use jobs::domain::Quotas;

use super::{reader::SettingsReader, section::all};

/// The quotas of the bot, which refuses what exceeds them.
pub(super) fn read(from: &mut SettingsReader<'_>) -> Option<Quotas> {
    all!(Quotas {
        live_trainings: limit(from, "quotas.live_trainings"),
        trainings_a_day: limit(from, "quotas.trainings_a_day"),
        drafts_a_day: limit(from, "quotas.drafts_a_day"),
        photos_a_day: limit(from, "quotas.photos_a_day"),
        pictures_a_day: limit(from, "quotas.pictures_a_day"),
        allowed: telegram_ids(from, "quotas.allowed"),
        blocked: telegram_ids(from, "quotas.blocked"),
    })
}

/// A limit, where 0 means no limit.
pub(super) fn limit(from: &mut SettingsReader<'_>, key: &str) -> Option<u32> {
    from.number(key, 0..=1_000_000)
}

/// A list of Telegram's user ids.
pub(super) fn telegram_ids(from: &mut SettingsReader<'_>, key: &str) -> Option<BTreeSet<i64>> {
    let text = from
        .optional::<String>(key, "123456789,987654321")?
        .unwrap_or_default();
    let mut ids = BTreeSet::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.parse() {
            Ok(id) if id > 0 => {
                ids.insert(id);
            }
            _ => {
                from.reject(
                    key,
                    &format!("{word:?} is not a Telegram user id"),
                    "Give the user ids as numbers, separated by commas, e.g. 123456789,987654321; @names can change owners.",
                );
                return None;
            }
        }
    }
    Some(ids)
}
