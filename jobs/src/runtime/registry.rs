//! Every kind of job that a worker can run.

use std::sync::Arc;

use queue::{Kind, Registry, Run};
use sqlx::PgPool;

use crate::{
    context::Services,
    payloads::{
        ApplyFalDelivery, BuildArchive, CancelTraining, NotifyUser, PollStatus, Prune, ReconcileTrainings,
        StoreModel, StorePhoto, SubmitTraining, SweepOrphans,
    },
};

/// All kinds, in pipeline order, then the periodic ones. A job of an unlisted kind would be enqueued
/// and never run; a test checks the list.
const JOBS: &[RegisteredJob] = &[
    RegisteredJob::of::<StorePhoto>(),
    RegisteredJob::of::<BuildArchive>(),
    RegisteredJob::of::<SubmitTraining>(),
    RegisteredJob::of::<PollStatus>(),
    RegisteredJob::of::<ApplyFalDelivery>(),
    RegisteredJob::of::<CancelTraining>(),
    RegisteredJob::of::<StoreModel>(),
    RegisteredJob::of::<NotifyUser>(),
    RegisteredJob::of::<Prune>(),
    RegisteredJob::of::<ReconcileTrainings>(),
    RegisteredJob::of::<SweepOrphans>(),
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

/// The number of attempts for jobs of this kind. `None`: this binary does not know the kind.
pub fn attempts_of(kind: &str) -> Option<u16> {
    let entry = JOBS.iter().find(|entry| entry.name == kind)?;
    Some(entry.attempts)
}

struct RegisteredJob {
    name: &'static str,
    version: i16,
    attempts: u16,
    bind: fn(&Arc<Services>, &PgPool) -> Kind,
}

impl RegisteredJob {
    const fn of<J: Run<Services>>() -> Self {
        Self {
            name: J::NAME,
            version: J::VERSION,
            attempts: J::POLICY.max_attempts,
            bind: Kind::of::<J, Services>,
        }
    }
}

/// All kinds, and the periodic entries.
pub fn registry(services: &Services) -> Registry {
    let given = Arc::new(services.clone());
    let kinds = JOBS.iter().map(|entry| (entry.bind)(&given, &services.pool));
    super::periodic::all(services)
        .into_iter()
        .fold(kinds.collect(), Registry::with_periodic)
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
        assert_eq!(registered, works);
    }
}
