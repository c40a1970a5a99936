//! `aisha fal-simulator`, `aisha telegram-simulator`: the outside world, each on a port of its own.

use std::time::Duration;

use anyhow::Context;

use crate::{
    exit::Failure,
    lifecycle::Stop,
    settings::{Given, SimulatorSettings},
    simulators::{fal, telegram},
    telemetry,
};

/// What they hold is in memory: there is nothing to finish.
const GRACE: Duration = Duration::ZERO;

/// Simulates FAL until a signal.
pub async fn fal(args: fal::Args, given: Given) -> Result<(), Failure> {
    let stop = start(&given)?;
    Ok(fal::run(args, stop.soft().cancelled())
        .await
        .context("the FAL simulator cannot run")?)
}

/// Simulates Telegram until a signal.
pub async fn telegram(args: telegram::Args, given: Given) -> Result<(), Failure> {
    let stop = start(&given)?;
    Ok(telegram::run(args, stop.soft().cancelled())
        .await
        .context("the Telegram simulator cannot run")?)
}

fn start(given: &Given) -> Result<Stop, Failure> {
    telemetry::start_logging(&given.load::<SimulatorSettings>()?.log)?;
    Ok(Stop::at_signals(GRACE).context("signals cannot be listened to")?)
}
