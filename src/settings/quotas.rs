//! `[quotas]`: what a stranger may cost.

use std::collections::BTreeSet;

use jobs::domain::Quotas;

use super::reader::Reader;

/// Of the bot, who refuses.
pub(super) fn read(from: &mut Reader<'_>) -> Option<Quotas> {
    let live_trainings = from.number("quotas.live_trainings", 0..=1_000_000);
    let trainings_a_day = from.number("quotas.trainings_a_day", 0..=1_000_000);
    let drafts_a_day = from.number("quotas.drafts_a_day", 0..=1_000_000);
    let photos_a_day = from.number("quotas.photos_a_day", 0..=1_000_000);
    let allowed = telegram_ids(from, "quotas.allowed");
    let blocked = telegram_ids(from, "quotas.blocked");
    Some(Quotas {
        live_trainings: live_trainings?,
        trainings_a_day: trainings_a_day?,
        drafts_a_day: drafts_a_day?,
        photos_a_day: photos_a_day?,
        allowed: allowed?,
        blocked: blocked?,
    })
}

/// Of the workers, who submit for all users together. 0: no limit.
pub(super) fn read_submits(from: &mut Reader<'_>) -> Option<u32> {
    from.number("quotas.account_trainings_a_day", 0..=1_000_000)
}

fn telegram_ids(from: &mut Reader<'_>, key: &str) -> Option<BTreeSet<i64>> {
    let text = from.optional_text(key).unwrap_or_default();
    let mut ids = BTreeSet::new();
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        match word.parse() {
            Ok(id) if id > 0 => {
                ids.insert(id);
            }
            _ => {
                from.reject(
                    key,
                    &format!("{word:?} is no Telegram user id"),
                    "Give the numbers of people, separated by commas, e.g. 123456789,987654321; @names change hands.",
                );
                return None;
            }
        }
    }
    Some(ids)
}
