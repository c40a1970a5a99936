//! What a stranger may cost us. Trainings are paid for by whoever runs the bot, and anybody can find a bot.

use std::collections::BTreeSet;

/// Limits of one user, and who is let in at all. `[quotas]` in `config/default.toml` says what each means to an operator.
/// 0: no limit. A day is the 24 hours before now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Trainings that may be live at once.
    pub live_trainings: u32,
    /// Trainings that may be started a day.
    pub trainings_a_day: u32,
    /// Drafts that may be begun a day.
    pub drafts_a_day: u32,
    /// Photos that are taken a day.
    pub photos_a_day: u32,
    /// Telegram ids; if there is one, nobody else is let in.
    pub allowed: BTreeSet<i64>,
    /// Telegram ids that are not let in.
    pub blocked: BTreeSet<i64>,
}

/// Whether a Telegram user may use the bot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// They may.
    Open,
    /// The bot is for those on the list.
    Private,
    /// An operator has shut them out.
    Blocked,
}

impl Quotas {
    /// For a Telegram id. Who is on both lists is shut out.
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
