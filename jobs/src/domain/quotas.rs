//! Limits on what a user can cost: the operator pays for trainings, and anybody can find a bot.

use std::collections::BTreeSet;

/// Limits for each user, and the lists of who may use the bot. `[quotas]` in `config/default.toml` says what each
/// means to an operator. 0: no limit. A day is the last 24 hours.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Most trainings of a user that are live at once.
    pub live_trainings: u32,
    /// Most trainings that a user may start in a day.
    pub trainings_a_day: u32,
    /// Most drafts that a user may begin in a day.
    pub drafts_a_day: u32,
    /// Most photos that are accepted from a user in a day.
    pub photos_a_day: u32,
    /// Most pictures that a user may ask for in a day; first pictures of an avatar do not count.
    pub pictures_a_day: u32,
    /// Telegram ids. If the list is not empty, only these may use the bot.
    pub allowed: BTreeSet<i64>,
    /// Telegram ids that may not use the bot.
    pub blocked: BTreeSet<i64>,
}

/// Whether a Telegram user may use the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// The user may use the bot.
    Open,
    /// The bot is private, and the user is not on the list.
    Private,
    /// An operator has blocked the user (`blocked`).
    Blocked,
    /// The user has everything about them deleted, and that is not done.
    Leaving,
}

impl Quotas {
    /// Decides for one Telegram id. An id on both lists is blocked.
    pub fn access(&self, telegram_id: i64) -> Access {
        if self.blocked.contains(&telegram_id) {
            Access::Blocked
        } else if self.allowed.is_empty() || self.allowed.contains(&telegram_id) {
            Access::Open
        } else {
            Access::Private
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_the_allowed_is_the_only_door_and_the_blocked_have_none() {
        let quotas = |allowed: &[i64], blocked: &[i64]| Quotas {
            allowed: allowed.iter().copied().collect(),
            blocked: blocked.iter().copied().collect(),
            ..Quotas::default()
        };
        assert_eq!(quotas(&[], &[]).access(1), Access::Open);
        assert_eq!(quotas(&[1], &[]).access(1), Access::Open);
        assert_eq!(quotas(&[2], &[]).access(1), Access::Private);
        assert_eq!(quotas(&[], &[1]).access(1), Access::Blocked);
        assert_eq!(quotas(&[1], &[1]).access(1), Access::Blocked);
    }
}
