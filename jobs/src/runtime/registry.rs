//! Every kind of job that a worker can run.

use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::value::RawValue;
use sqlx::PgConnection;

use crate::{
    context::{Context, Services},
    job::{DeadReason, Done, JobError, Policy, Queue, Run},
    payloads::ApplyFalDelivery,
    payloads::BuildArchive,
    payloads::CancelTraining,
    payloads::NotifyUser,
    payloads::PollStatus,
    payloads::Prune,
    payloads::ReconcileTrainings,
    payloads::StoreModel,
    payloads::StorePhoto,
    payloads::SubmitTraining,
    payloads::SweepOrphans,
    queue::{BurialError, Claim, Known, KnownKind, Periodic, Undertaker},
};

/// All of ours, in pipeline order, then what runs by the clock. A job that does not stand here is enqueued and never run; a test sees to it.
const JOBS: &[Entry] = &[
    Entry::of::<StorePhoto>(),
    Entry::of::<BuildArchive>(),
    Entry::of::<SubmitTraining>(),
    Entry::of::<PollStatus>(),
    Entry::of::<ApplyFalDelivery>(),
    Entry::of::<CancelTraining>(),
    Entry::of::<StoreModel>(),
    Entry::of::<NotifyUser>(),
    Entry::of::<Prune>(),
    Entry::of::<ReconcileTrainings>(),
    Entry::of::<SweepOrphans>(),
];

/// What this binary can make of a job in the queue (K4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Understanding {
    /// Its workers run it.
    Runs,
    /// Its workers leave it alone: they know the kind, and a newer binary wrote the payload.
    NewerVersion,
    /// Its workers leave it alone: they do not know the kind.
    UnknownKind,
}

impl Understanding {
    /// Of a job of `kind` whose payload has `version`.
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

/// How many attempts a job of this kind has; `None` for a kind that this binary does not know.
pub fn attempts_of(kind: &str) -> Option<u16> {
    let entry = JOBS.iter().find(|entry| entry.name == kind)?;
    Some(entry.attempts)
}

struct Entry {
    name: &'static str,
    version: i16,
    attempts: u16,
    bind: fn(&Services) -> Kind,
}

impl Entry {
    const fn of<J: Run>() -> Self {
        Self {
            name: J::NAME,
            version: J::VERSION,
            attempts: J::POLICY.max_attempts,
            bind: Kind::of::<J>,
        }
    }
}

/// One kind: what the engine has to know of it, and how to run it.
pub(crate) struct Kind {
    pub name: &'static str,
    pub version: i16,
    pub queue: Queue,
    pub policy: Policy,
    pub behaviour: Box<dyn Behaviour>,
    pub meters: Meters,
}

/// What every run of a kind is counted by: looked up once, at the first run, when the recorder is there.
#[derive(Default)]
pub(crate) struct Meters(OnceLock<(metrics::Counter, metrics::Histogram)>);

impl Meters {
    /// The counter of runs that end as done, and the histogram of run times.
    pub(super) fn of(&self, kind: &'static str, queue: Queue) -> &(metrics::Counter, metrics::Histogram) {
        let queue = queue.as_str();
        self.0.get_or_init(|| {
            let done =
                metrics::counter!("aisha_jobs_total", "queue" => queue, "kind" => kind, "outcome" => "done");
            let seconds = metrics::histogram!("aisha_job_run_seconds", "queue" => queue, "kind" => kind);
            (done, seconds)
        })
    }
}

/// The payload does not decode as its kind and version promise.
#[derive(Debug, thiserror::Error)]
#[error("the payload does not decode: {0}")]
pub(crate) struct Undecodable(#[from] serde_json::Error);

/// A run that was decoded and has not begun.
pub(crate) type Handler = BoxFuture<'static, Result<Done, JobError>>;

/// A kind's code, behind its payload's type.
pub(crate) trait Behaviour: Send + Sync {
    /// Decodes.
    fn run(&self, payload: &RawValue, claim: Claim) -> Result<Handler, Undecodable>;

    /// Decodes, and settles what depended on the job.
    fn on_dead<'a>(
        &self,
        payload: &RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> Result<BoxFuture<'a, Result<(), JobError>>, Undecodable>;
}

/// A type of ours and what its runs are given.
struct Typed<J> {
    services: Arc<Services>,
    payload: PhantomData<fn() -> J>,
}

impl Kind {
    fn of<J: Run>(services: &Services) -> Self {
        Self {
            name: J::NAME,
            version: J::VERSION,
            queue: J::QUEUE,
            policy: J::POLICY,
            behaviour: Box::new(Typed::<J> {
                services: Arc::new(services.clone()),
                payload: PhantomData,
            }),
            meters: Meters::default(),
        }
    }
}

impl<J: Run> Behaviour for Typed<J> {
    fn run(&self, payload: &RawValue, claim: Claim) -> Result<Handler, Undecodable> {
        let job: J = serde_json::from_str(payload.get())?;
        let cx = Context::new(Arc::clone(&self.services), claim);
        Ok(async move { job.run(&cx).await }.boxed())
    }

    fn on_dead<'a>(
        &self,
        payload: &RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> Result<BoxFuture<'a, Result<(), JobError>>, Undecodable> {
        let job: J = serde_json::from_str(payload.get())?;
        Ok(async move { job.on_dead(tx, why).await }.boxed())
    }
}

/// The kinds that a worker runs, by name, and what it enqueues by the clock.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: Vec<Arc<Kind>>,
    periodic: Vec<Periodic>,
}

impl Registry {
    /// All of ours.
    pub fn all(services: &Services) -> Self {
        let kinds = JOBS.iter().map(|entry| (entry.bind)(services));
        super::periodic::all(services)
            .into_iter()
            .fold(kinds.collect(), Self::with_periodic)
    }

    /// The names of all of ours, in pipeline order.
    pub fn names() -> impl Iterator<Item = &'static str> {
        JOBS.iter().map(|entry| entry.name)
    }

    /// Adds an entry that the worker enqueues by the clock.
    #[must_use]
    pub fn with_periodic(mut self, entry: Periodic) -> Self {
        self.periodic.push(entry);
        self
    }

    pub(crate) fn periodic(&self) -> &[Periodic] {
        &self.periodic
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Kind>> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// What statements have to know of the kinds.
    pub(crate) fn known(&self) -> Known {
        self.kinds
            .iter()
            .map(|kind| KnownKind {
                name: kind.name,
                version: kind.version,
                max_attempts: kind.policy.max_attempts,
            })
            .collect()
    }
}

impl FromIterator<Kind> for Registry {
    fn from_iter<T: IntoIterator<Item = Kind>>(kinds: T) -> Self {
        Self {
            kinds: kinds.into_iter().map(Arc::new).collect(),
            periodic: Vec::new(),
        }
    }
}

impl Undertaker for Registry {
    fn on_dead<'a>(
        &'a self,
        kind: &'a str,
        payload: &'a RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> BoxFuture<'a, Result<(), BurialError>> {
        let burial = match self.find(kind) {
            None => Err(BurialError::Nobody(format!("kind {kind} is unknown here"))),
            Some(kind) => kind
                .behaviour
                .on_dead(payload, tx, why)
                .map_err(|undecodable| BurialError::Nobody(undecodable.to_string())),
        };
        async move { burial?.await.map_err(BurialError::OnDead) }.boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn no_two_jobs_have_one_name() {
        let names: BTreeSet<_> = Registry::names().collect();
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
        let registered: BTreeSet<String> = Registry::names().map(str::to_owned).collect();
        assert_eq!(registered, works);
    }
}
