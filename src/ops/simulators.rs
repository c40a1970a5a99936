//! `aisha fal-simulator` and `aisha telegram-simulator`: one simulated service each, on a port of its own.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::Context;
use jobs::domain::{Generator, Trainer, generator::ModelInput, trainer::OutputSpec};

use crate::{
    exit::Failure,
    lifecycle::Stop,
    settings::{Given, SimulatorSettings},
    simulators::{
        fal::{self, DeclaredGenerator, DeclaredTrainer, FalSimulatorError},
        telegram::{self, StartError},
    },
    telemetry,
};

/// Their journals are written at each change, so there is nothing to finish.
const GRACE: Duration = Duration::ZERO;

/// Simulates FAL until a signal stops it.
pub async fn fal(args: fal::FalSimulatorArgs, given: Given) -> Result<(), Failure> {
    let settings = given.load::<SimulatorSettings>()?;
    let stop = start(&settings)?;
    let trainers = settings.trainers.iter().map(declared_trainer).collect();
    let ran = fal::run(args, trainers, stop.soft().cancelled()).await;
    ran.map_err(|error| match error {
        FalSimulatorError::Listen { address, source } => taken(address, &source),
        error => Failure::Other(error.into()),
    })
}

/// Simulates Telegram until a signal stops it.
pub async fn telegram(args: telegram::TelegramSimulatorArgs, given: Given) -> Result<(), Failure> {
    let stop = start(&given.load::<SimulatorSettings>()?)?;
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

fn start(settings: &SimulatorSettings) -> Result<Stop, Failure> {
    telemetry::start_logging(&settings.log)?;
    Ok(Stop::at_signals(GRACE).context("cannot listen for signals")?)
}

/// The trainer as the simulator serves it if it does not know it from FAL's schemas.
pub fn declared_trainer(trainer: &Trainer) -> DeclaredTrainer {
    let own = &trainer.inputs.own;
    let filled = [
        Some(&own.trigger),
        own.archive_format.as_ref(),
        own.comment.as_ref(),
    ];
    let declared = trainer.inputs.schema.keys().filter(|input| **input != own.steps);
    DeclaredTrainer {
        endpoint: trainer.endpoint.clone(),
        archive: own.archive.clone(),
        steps: own.steps.clone(),
        inputs: filled.into_iter().flatten().chain(declared).cloned().collect(),
        weights: match &trainer.output {
            OutputSpec::Lora { file, .. } => file.first().map(|pointer| pointer.trim_matches('/').to_owned()),
            OutputSpec::Finetune { .. } => None,
        },
        generator: declared_generator(trainer.generator()),
    }
}

fn declared_generator(generator: &Generator) -> DeclaredGenerator {
    let names = &generator.inputs.names;
    let (loras, finetune) = match &names.model {
        ModelInput::Loras { list, .. } => (Some(list.clone()), None),
        ModelInput::Finetune {
            id, strength_input, ..
        } => (None, Some((id.clone(), strength_input.clone()))),
    };
    DeclaredGenerator {
        endpoint: generator.endpoint.clone(),
        prompt: names.prompt.clone(),
        loras,
        finetune,
        count: names.count.clone(),
        size: names.size.clone(),
        seed: names.seed.clone(),
        inputs: names
            .negative
            .iter()
            .chain(generator.inputs.schema.keys())
            .cloned()
            .collect(),
    }
}
