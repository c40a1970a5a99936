//! The kinds of job that a worker can run, and its periodic entries.

use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
};

use futures::{FutureExt, future::BoxFuture};
use serde_json::value::RawValue;
use sqlx::PgConnection;

use crate::{
    Claim, Context, DeadHook, KnownKind, KnownKinds, MakeDeadError, Periodic, Run,
    database::Database,
    job::{DeadReason, Done, JobError, Policy, Queue},
};

/// One kind of job: its name and policy, and the code that runs it.
pub struct Kind {
    pub(crate) name: &'static str,
    pub(crate) version: i16,
    pub(crate) queue: Queue,
    pub(crate) policy: Policy,
    pub(crate) behaviour: Box<dyn Behaviour>,
    pub(crate) meters: KindMeters,
}

/// The metrics of a kind, looked up at its first run, when the recorder is installed.
#[derive(Default)]
pub(crate) struct KindMeters(OnceLock<(metrics::Counter, metrics::Histogram)>);

impl KindMeters {
    /// The counter of runs that ended as done, and the histogram of run times.
    pub(crate) fn of(&self, kind: &'static str, queue: Queue) -> &(metrics::Counter, metrics::Histogram) {
        let queue = queue.as_str();
        self.0.get_or_init(|| {
            let done =
                metrics::counter!("aisha_jobs_total", "queue" => queue, "kind" => kind, "outcome" => "done");
            let seconds = metrics::histogram!("aisha_job_run_seconds", "queue" => queue, "kind" => kind);
            (done, seconds)
        })
    }
}

/// The payload does not decode as its kind and version require.
#[derive(Debug, thiserror::Error)]
#[error("the payload does not decode: {0}")]
pub(crate) struct Undecodable(#[from] serde_json::Error);

/// A run whose payload is decoded and which has not begun.
pub(crate) type Handler = BoxFuture<'static, Result<Done, JobError>>;

/// The code of a kind, with its payload's type erased.
pub(crate) trait Behaviour: Send + Sync {
    /// Decodes the payload; the run begins when the handler is polled.
    fn run(&self, payload: &RawValue, claim: Claim) -> Result<Handler, Undecodable>;

    /// Decodes the payload, then settles what depended on the job.
    fn on_dead<'a>(
        &self,
        payload: &RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> Result<BoxFuture<'a, Result<(), JobError>>, Undecodable>;
}

/// A payload's type and the services of its runs.
struct Typed<J, S> {
    services: Arc<S>,
    database: Database,
    payload: PhantomData<fn() -> J>,
}

impl Kind {
    /// The kind of `J`, whose runs get these services and this database.
    pub fn of<J: Run<S>, S: Send + Sync + 'static>(services: &Arc<S>, database: &Database) -> Self {
        Self {
            name: J::NAME,
            version: J::VERSION,
            queue: J::QUEUE,
            policy: J::POLICY,
            behaviour: Box::new(Typed::<J, S> {
                services: Arc::clone(services),
                database: database.clone(),
                payload: PhantomData,
            }),
            meters: KindMeters::default(),
        }
    }
}

impl<J: Run<S>, S: Send + Sync + 'static> Behaviour for Typed<J, S> {
    fn run(&self, payload: &RawValue, claim: Claim) -> Result<Handler, Undecodable> {
        let job: J = serde_json::from_str(payload.get())?;
        let cx = Context::new(Arc::clone(&self.services), self.database.clone(), claim);
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

/// The kinds that a worker runs, and its periodic entries.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: Vec<Arc<Kind>>,
    periodic: Vec<Periodic>,
}

impl Registry {
    /// Adds a periodic entry. Names must be unique.
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

    /// The queue of each kind, with repetitions.
    pub(crate) fn queues(&self) -> impl Iterator<Item = Queue> {
        self.kinds.iter().map(|kind| kind.queue)
    }

    /// The kinds in the form that statements need.
    pub(crate) fn known(&self) -> KnownKinds {
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

impl DeadHook for Registry {
    fn on_dead<'a>(
        &'a self,
        kind: &'a str,
        payload: &'a RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> BoxFuture<'a, Result<(), MakeDeadError>> {
        let settled = match self.find(kind) {
            None => Err(MakeDeadError::Nobody(format!("kind {kind} is unknown here"))),
            Some(kind) => kind
                .behaviour
                .on_dead(payload, tx, why)
                .map_err(|undecodable| MakeDeadError::Nobody(undecodable.to_string())),
        };
        async move { settled?.await.map_err(MakeDeadError::OnDead) }.boxed()
    }
}
