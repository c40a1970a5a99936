//! FAL of a test's own, in this process, at the wire.

use std::ops::Deref;
use std::time::Duration;

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use aisha::simulators::fal::{FalSimulator, FalSimulatorConfig, Running};

use serde_json::Value;

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

    /// The next call of this kind gets this answer instead of its own.
    pub fn answers(&self, call: Operation, status: u16, body: Value) {
        self.script(answer(call, status, body)).expect("a fault");
    }

    /// As [`Fal::answers`], for each call from now on.
    pub fn always_answers(&self, call: Operation, status: u16, body: Value) {
        let fault = Fault {
            times: 0,
            ..answer(call, status, body)
        };
        self.script(fault).expect("a fault");
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

fn answer(call: Operation, status: u16, body: Value) -> Fault {
    let effect = Effect::Answer {
        status,
        headers: Default::default(),
        body,
    };
    Fault::new(call, effect)
}
