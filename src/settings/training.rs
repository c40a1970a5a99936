//! `[saga]`, and the keys of other sections that the jobs of trainings and photos use.

use std::time::Duration;

use jobs::{
    domain::Patience,
    worker::{ArchiveDelivery, GenerationSettings, TrainingSettings},
};

use super::{
    fal, photos,
    quotas::limit,
    reader::SettingsReader,
    section::all,
    units::{DAY, HOUR, MILLISECOND, MINUTE, SECOND},
};

/// Settings of trainings, which the worker needs.
pub(super) fn read(from: &mut SettingsReader<'_>) -> Option<TrainingSettings> {
    let delivery = [
        ("fal_storage", ArchiveDelivery::FalStorage),
        ("presigned", ArchiveDelivery::Presigned),
    ];
    all!(TrainingSettings {
        photos: photos::limits(from),
        archive_delivery: from.choice("fal.archive_delivery", &delivery),
        webhook: fal::webhook(from),
        first_poll: from.duration("fal.poll_first_after", 100 * MILLISECOND..=HOUR),
        poll_every: from.duration("fal.poll_interval", 100 * MILLISECOND..=10 * MINUTE),
        webhook_grace: from.duration("fal.webhook_grace", Duration::ZERO..=HOUR),
        list_every: from.duration("fal.list_interval", 100 * MILLISECOND..=HOUR),
        probe_every: from.duration("fal.probe_interval", 100 * MILLISECOND..=HOUR),
        resubmit_unknown: from.truth("fal.resubmit_unknown"),
        submits_a_day: limit(from, "quotas.account_trainings_a_day"),
        patience: patience(from),
        generation: generation(from),
        reconcile_every: from.duration("saga.reconcile_interval", SECOND..=HOUR),
        sweep_every: from.duration("saga.sweep_interval", MINUTE..=30 * DAY),
        // A younger object may belong to a job that is about to record it.
        orphan_age: from.duration("saga.orphan_age", HOUR..=365 * DAY),
    })
}

/// `[generation]`, and how many first pictures a new avatar gets.
fn generation(from: &mut SettingsReader<'_>) -> Option<GenerationSettings> {
    let resubmit_after = from.duration("generation.resubmit_after", Duration::ZERO..=DAY);
    let deadline = from.duration("generation.deadline", MINUTE..=DAY);
    let samples = from.number("training.samples", 0..=4);
    Some(GenerationSettings::new(resubmit_after?, samples?, deadline?))
}

fn patience(from: &mut SettingsReader<'_>) -> Option<Patience> {
    let deadline = SECOND..=30 * DAY;
    all!(Patience {
        prepare: from.duration("saga.prepare_deadline", deadline.clone()),
        submit: from.duration("saga.submit_deadline", deadline.clone()),
        decide: from.duration("fal.submit_decision_after", SECOND..=7 * DAY),
        queue_alarm: from.duration("saga.queue_alarm", deadline.clone()),
        run: from.duration("saga.run_deadline", deadline.clone()),
        cancel: from.duration("saga.cancel_deadline", deadline.clone()),
        store: from.duration("saga.store_deadline", deadline),
        // A presigned URL can last seven days at most.
        archive_lifecycle: from.duration("fal.archive_lifecycle", MINUTE..=7 * DAY),
    })
}
