//! A FAL simulator for one test, in this process, over HTTP.

use std::ops::Deref;
use std::time::Duration;

use aisha::simulators::fal::faults::{Effect, Fault, Operation};
use aisha::simulators::fal::{FalSimulator, FalSimulatorConfig, Running};

use serde_json::Value;

use super::settings::fal_at;

/// A simulator whose requests take a moment and whose retries come a hundred times sooner. Stops with the test.
pub struct Fal(Running);

impl Fal {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts the simulator with a changed configuration.
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

    /// Gives this answer to the next call of this kind.
    pub fn answers(&self, call: Operation, status: u16, body: Value) {
        self.script(answer(call, status, body)).expect("a fault");
    }

    /// As [`Fal::answers`], but for every call from now on.
    pub fn always_answers(&self, call: Operation, status: u16, body: Value) {
        let fault = Fault {
            times: 0,
            ..answer(call, status, body)
        };
        self.script(fault).expect("a fault");
    }

    /// The variables that point one of our processes to this simulator. The test adds the webhook URL itself.
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
