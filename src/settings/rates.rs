//! How fast we may ask the outside: `telegram.rate` and its like, kept by the queue over all workers.

use jobs::{
    job::Queue,
    queue::{Rate, Rates},
};

use super::reader::Reader;

/// `telegram.rate`, `telegram.chat_rate`, `fal.submit_rate`, each with its burst.
#[derive(Debug, Clone, Copy)]
pub struct RateSettings {
    /// Messages of the bot's token.
    pub telegram: Rate,
    /// Messages to one chat.
    pub telegram_chat: Rate,
    /// Submits of the account at FAL.
    pub fal_submit: Rate,
}

impl RateSettings {
    pub(super) fn read(from: &mut Reader<'_>) -> Option<Self> {
        let telegram = rate(from, "telegram.rate", "telegram.burst");
        let telegram_chat = rate(from, "telegram.chat_rate", "telegram.chat_burst");
        let fal_submit = rate(from, "fal.submit_rate", "fal.submit_burst");
        let (telegram, telegram_chat) = (telegram?, telegram_chat?);
        if telegram_chat.per_second > telegram.per_second {
            from.refuse(
                "telegram.chat_rate",
                "is higher than telegram.rate: one chat cannot have more than all.",
                "Lower the one or raise the other.",
            );
        }
        Some(Self {
            telegram,
            telegram_chat,
            fal_submit: fal_submit?,
        })
    }

    /// As the worker takes them: a queue's jobs together, and those of one user.
    pub fn of_queues(&self) -> Vec<(Queue, Rates)> {
        let notify = Rates {
            queue: Some(self.telegram),
            key: Some(self.telegram_chat),
        };
        let fal = Rates {
            queue: Some(self.fal_submit),
            key: None,
        };
        vec![(Queue::Notify, notify), (Queue::Fal, fal)]
    }
}

fn rate(from: &mut Reader<'_>, rate: &str, burst: &str) -> Option<Rate> {
    let per_second = from.per_second(rate);
    let burst = from.number(burst, 1..=1_000);
    Some(Rate {
        per_second: per_second?,
        burst: burst?,
    })
}
