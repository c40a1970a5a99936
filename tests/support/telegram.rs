//! A Telegram simulator for one test, in this process, over HTTP; the test plays the people.

use std::ops::Deref;

use aisha::simulators::telegram::{Running, TelegramSimulator, TelegramSimulatorConfig};

/// The only token that a [`Telegram`] accepts.
pub const BOT_TOKEN: &str = "4242:token-of-a-test";

/// A simulator whose retries come a hundred times sooner. Stops with the test.
pub struct Telegram(Running);

impl Telegram {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts the simulator with a changed configuration.
    pub async fn with(change: impl FnOnce(&mut TelegramSimulatorConfig)) -> Self {
        let token = Some(BOT_TOKEN.to_owned());
        let mut config = TelegramSimulatorConfig {
            token,
            time_scale: 0.01,
            ..TelegramSimulatorConfig::default()
        };
        change(&mut config);
        Self(
            TelegramSimulator::start(config)
                .await
                .unwrap_or_else(|error| panic!("{error}")),
        )
    }

    /// The variables that point one of our processes to this simulator.
    pub fn env(&self) -> [(&'static str, String); 2] {
        [
            ("TELEGRAM_BOT_TOKEN", BOT_TOKEN.to_owned()),
            ("TELEGRAM_API_URL", self.url()),
        ]
    }
}

impl Deref for Telegram {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}
