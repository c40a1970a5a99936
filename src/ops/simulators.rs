//! `aisha fal-simulator` and `aisha telegram-simulator`: one simulated service each, on a port of its own.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::Context;

use crate::{
    exit::Failure,
    lifecycle::Stop,
    settings::{Given, SimulatorSettings},
    simulators::{
        fal::{self, FalSimulatorError},
        telegram::{self, StartError},
    },
    telemetry,
};

/// Their journals are written at each change, so there is nothing to finish.
const GRACE: Duration = Duration::ZERO;

/// Simulates FAL until a signal stops it.
pub async fn fal(args: fal::Args, given: Given) -> Result<(), Failure> {
    let stop = start(&given)?;
    let ran = fal::run(args, stop.soft().cancelled()).await;
    ran.map_err(|error| match error {
        FalSimulatorError::Listen { address, source } => taken(address, &source),
        error => Failure::Other(error.into()),
    })
}

/// Simulates Telegram until a signal stops it.
pub async fn telegram(args: telegram::Args, given: Given) -> Result<(), Failure> {
    let stop = start(&given)?;
    let ran = telegram::run(args, stop.soft().cancelled()).await;
    ran.map_err(|error| match error {
        StartError::Listen(address, source) => taken(address, &source),
        error => Failure::Other(error.into()),
    })
}

fn taken(address: SocketAddr, why: &io::Error) -> Failure {
    Failure::unavailable(format_args!(
        "cannot listen on {address} ({why}): name another address with --listen"
    ))
}

fn start(given: &Given) -> Result<Stop, Failure> {
    telemetry::start_logging(&given.load::<SimulatorSettings>()?.log)?;
    Ok(Stop::at_signals(GRACE).context("cannot listen for signals")?)
}
