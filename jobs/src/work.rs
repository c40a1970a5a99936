//! The list of all kinds of job, and the work of each: one file per kind, named as [`Job::NAME`]. Its payload is in
//! `payloads.rs`. No other module names these files: the work of a kind is found by the type of its payload.
//!
//! [`registry`] alone makes jobs run. Only `src/worker.rs`, the demo and the tests may call it, through `runtime`.

// On the way of a training; jobs/README.md draws it.
mod apply_fal_delivery;
mod build_archive;
mod cancel_training;
mod inspect_photo;
mod notify_user;
mod poll_status;
mod store_model;
mod store_photo;
mod submit_training;

// On the way of pictures.
mod cancel_generation;
mod generate_images;
mod store_pictures;

// What erases.
mod delete_avatar;
mod delete_picture;
mod erase_user;

// What a user asks for besides.
mod export_data;

// What administrators write to everybody.
mod broadcast;

// The periodic jobs.
mod prune;
mod reconcile_generations;
mod reconcile_trainings;
mod sweep_orphans;

use std::{sync::Arc, time::Duration};

use queue::{CatchUp, Kind, Periodic, Registry, Run, Schedule, database::Database};

use crate::{
    context::{Services, TrainingSettings},
    job::Job,
    payloads,
};

/// All kinds, in pipeline order, then the periodic ones, each with its interval. A job of an unlisted kind would be enqueued
/// and never run; a test checks the list.
const JOBS: &[RegisteredJob] = &[
    RegisteredJob::of::<payloads::StorePhoto>(),
    RegisteredJob::of::<payloads::InspectPhoto>(),
    RegisteredJob::of::<payloads::BuildArchive>(),
    RegisteredJob::of::<payloads::SubmitTraining>(),
    RegisteredJob::of::<payloads::PollStatus>(),
    RegisteredJob::of::<payloads::ApplyFalDelivery>(),
    RegisteredJob::of::<payloads::CancelTraining>(),
    RegisteredJob::of::<payloads::StoreModel>(),
    RegisteredJob::of::<payloads::GenerateImages>(),
    RegisteredJob::of::<payloads::CancelGeneration>(),
    RegisteredJob::of::<payloads::StorePictures>(),
    RegisteredJob::of::<payloads::NotifyUser>(),
    RegisteredJob::of::<payloads::DeleteAvatar>(),
    RegisteredJob::of::<payloads::DeletePicture>(),
    RegisteredJob::of::<payloads::EraseUser>(),
    RegisteredJob::of::<payloads::ExportData>(),
    RegisteredJob::of::<payloads::Broadcast>(),
    RegisteredJob::by_the_clock::<payloads::Prune>(|_| Duration::from_mins(10)),
    RegisteredJob::by_the_clock::<payloads::ReconcileTrainings>(|saga| saga.reconcile_every),
    RegisteredJob::by_the_clock::<payloads::ReconcileGenerations>(|saga| saga.reconcile_every),
    RegisteredJob::by_the_clock::<payloads::SweepOrphans>(|saga| saga.sweep_every),
];

/// What this binary's workers do with a job (K4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Understanding {
    /// They run it when its turn comes.
    Runs,
    /// They leave it alone: they know the kind, but a newer binary wrote the payload.
    NewerVersion,
    /// They leave it alone: they do not know the kind.
    UnknownKind,
}

impl Understanding {
    /// For a job of `kind` whose payload has `version`.
    pub fn of(kind: &str, version: i16) -> Self {
        match JOBS.iter().find(|entry| entry.name == kind) {
            None => Self::UnknownKind,
            Some(entry) if version > entry.version => Self::NewerVersion,
            Some(_) => Self::Runs,
        }
    }
}

/// Every kind of job that this binary knows.
pub fn kinds() -> impl Iterator<Item = &'static str> {
    JOBS.iter().map(|entry| entry.name)
}

/// The kinds that are enqueued by the clock.
pub fn kinds_by_the_clock() -> impl Iterator<Item = &'static str> {
    JOBS.iter()
        .filter(|entry| entry.clock.is_some())
        .map(|entry| entry.name)
}

/// The number of attempts for jobs of this kind. `None`: this binary does not know the kind.
pub fn attempts_of(kind: &str) -> Option<u16> {
    let entry = JOBS.iter().find(|entry| entry.name == kind)?;
    Some(entry.attempts)
}

struct RegisteredJob {
    name: &'static str,
    version: i16,
    attempts: u16,
    bind: fn(&Arc<Services>, &Database) -> Kind,
    /// `None`: the bot, the web role, an operator or another job enqueues it.
    clock: Option<ByTheClock>,
}

struct ByTheClock {
    every: fn(&TrainingSettings) -> Duration,
    entry: fn(Duration) -> Periodic,
}

impl RegisteredJob {
    const fn of<J: Run<Services>>() -> Self {
        Self {
            name: J::NAME,
            version: J::VERSION,
            attempts: J::POLICY.max_attempts,
            bind: Kind::of::<J, Services>,
            clock: None,
        }
    }

    /// A periodic kind. The first worker at a tick enqueues the job, whichever queues that worker takes
    /// (`jobs/queue/src/periodic.rs`).
    const fn by_the_clock<J: Run<Services> + Default>(every: fn(&TrainingSettings) -> Duration) -> Self {
        Self {
            clock: Some(ByTheClock {
                every,
                entry: periodic::<J>,
            }),
            ..Self::of::<J>()
        }
    }
}

/// Each of these jobs looks at everything, so after missed ticks one run is enough.
fn periodic<J: Job + Default>(every: Duration) -> Periodic {
    Periodic::new(J::NAME, Schedule::Every(every), CatchUp::Once, |_| J::default())
}

/// All kinds, and the periodic entries.
pub fn registry(services: &Services) -> Registry {
    let given = Arc::new(services.clone());
    let kinds = JOBS.iter().map(|entry| (entry.bind)(&given, &services.database));
    let clocks = JOBS.iter().filter_map(|entry| entry.clock.as_ref());
    let periodic = clocks.map(|clock| (clock.entry)((clock.every)(&services.settings)));
    periodic.fold(kinds.collect(), Registry::with_periodic)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn no_two_jobs_have_one_name() {
        let names: BTreeSet<_> = kinds().collect();
        assert_eq!(names.len(), JOBS.len());
    }

    #[test]
    fn every_job_is_registered_under_the_name_of_its_work_file() {
        let work = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/work");
        let files = fs::read_dir(work).expect("the folder is there");
        let paths = files.map(|entry| entry.expect("an entry can be read").path());
        let works: BTreeSet<String> = paths
            .filter(|path| path.is_file())
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .collect();
        let registered: BTreeSet<String> = kinds().map(str::to_owned).collect();
        let unregistered: Vec<_> = works.difference(&registered).collect();
        assert!(
            unregistered.is_empty(),
            "{unregistered:?} are run by nobody: add their payloads to JOBS in jobs/src/work.rs"
        );
        assert_eq!(registered, works, "each kind has its work in a file of its name");
    }
}
