//! FAL of a test's own, in this process, at the wire.

use std::ops::Deref;
use std::time::Duration;

use aisha::simulators::fal::{FalSimulator, FalSimulatorConfig, Running};

use super::settings::fal_at;

/// A simulator whose requests take a moment and whose retries come a hundred times sooner. Ends with the test.
pub struct Fal(Running);

impl Fal {
    /// Starts it.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts it, behaving a little differently.
    pub async fn with(change: impl FnOnce(&mut FalSimulatorConfig)) -> Self {
        let mut config = FalSimulatorConfig {
            request_duration: Duration::from_millis(100),
            time_scale: 0.01,
            ..FalSimulatorConfig::default()
        };
        change(&mut config);
        Self(
            FalSimulator::start(config)
                .await
                .unwrap_or_else(|error| panic!("{error}")),
        )
    }

    /// The variables that lead a process of ours to this simulator. Where webhooks go is the test's to add.
    pub fn env(&self) -> [(&'static str, String); 6] {
        fal_at(&self.url())
    }
}

impl Deref for Fal {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.0
    }
}
