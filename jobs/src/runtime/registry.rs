//! Every kind of job that a worker can run.

use std::{marker::PhantomData, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use serde_json::value::RawValue;
use sqlx::PgConnection;

use crate::{
    apply_fal_delivery::ApplyFalDelivery,
    build_archive::BuildArchive,
    context::Context,
    job::{DeadReason, Done, Job, JobError, Policy, Queue, Run},
    notify_user::NotifyUser,
    poll_status::PollStatus,
    queue::{BurialError, Known, KnownKind, Undertaker},
    store_model::StoreModel,
    store_photo::StorePhoto,
    submit_training::SubmitTraining,
};

/// Kinds by name.
#[derive(Clone, Default)]
pub struct Registry {
    kinds: Vec<Arc<Kind>>,
}

/// One kind: what the engine has to know of it, and how to run it.
pub(crate) struct Kind {
    pub name: &'static str,
    pub version: i16,
    pub queue: Queue,
    pub policy: Policy,
    pub behaviour: Box<dyn Behaviour>,
}

/// The payload does not decode as its kind and version promise.
#[derive(Debug, thiserror::Error)]
#[error("the payload does not decode: {0}")]
pub(crate) struct Undecodable(#[from] serde_json::Error);

/// A kind's code, behind its payload's type.
pub(crate) trait Behaviour: Send + Sync {
    /// Decodes and runs.
    fn run<'a>(
        &'a self,
        payload: &RawValue,
        cx: &'a Context,
    ) -> Result<BoxFuture<'a, Result<Done, JobError>>, Undecodable>;

    /// Decodes and settles what depended on the job.
    fn on_dead<'a>(
        &'a self,
        payload: &RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> Result<BoxFuture<'a, Result<(), JobError>>, Undecodable>;
}

struct Typed<J>(PhantomData<fn() -> J>);

impl<J: Run> Behaviour for Typed<J> {
    fn run<'a>(
        &'a self,
        payload: &RawValue,
        cx: &'a Context,
    ) -> Result<BoxFuture<'a, Result<Done, JobError>>, Undecodable> {
        let job: J = serde_json::from_str(payload.get())?;
        Ok(async move { job.run(cx).await }.boxed())
    }

    fn on_dead<'a>(
        &'a self,
        payload: &RawValue,
        tx: &'a mut PgConnection,
        why: &'a DeadReason,
    ) -> Result<BoxFuture<'a, Result<(), JobError>>, Undecodable> {
        let job: J = serde_json::from_str(payload.get())?;
        Ok(async move { job.on_dead(tx, why).await }.boxed())
    }
}

impl Registry {
    /// All of ours. A job is not run before it stands here.
    pub fn all() -> Self {
        Self::default()
            .with::<StorePhoto>()
            .with::<BuildArchive>()
            .with::<SubmitTraining>()
            .with::<PollStatus>()
            .with::<ApplyFalDelivery>()
            .with::<StoreModel>()
            .with::<NotifyUser>()
    }

    /// Adds a kind.
    #[must_use]
    pub(crate) fn with<J: Run>(self) -> Self {
        self.with_kind(Kind {
            name: J::NAME,
            version: J::VERSION,
            queue: J::QUEUE,
            policy: J::POLICY,
            behaviour: Box::new(Typed::<J>(PhantomData)),
        })
    }

    #[must_use]
    pub(crate) fn with_kind(mut self, kind: Kind) -> Self {
        assert!(
            self.find(kind.name).is_none(),
            "two kinds are called {}",
            kind.name
        );
        self.kinds.push(Arc::new(kind));
        self
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Kind>> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    /// The names of all kinds, in pipeline order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.kinds.iter().map(|kind| kind.name)
    }

    /// What statements have to know of the kinds; of those of one queue if it is given.
    pub(crate) fn known(&self, queue: Option<Queue>) -> Known {
        self.kinds
            .iter()
            .filter(|kind| queue.is_none_or(|queue| kind.queue == queue))
            .map(|kind| KnownKind {
                name: kind.name,
                version: kind.version,
                max_attempts: kind.policy.max_attempts,
            })
            .collect()
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
    use std::{fs, path::Path};

    use super::*;

    /// A module of this crate that implements `Run` and is not registered would be enqueued and never run.
    #[test]
    fn every_job_is_registered_under_the_name_of_its_file() {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let gate = fs::read_to_string(src.join("lib.rs")).expect("lib.rs is there");
        let modules = gate.lines().filter_map(|line| {
            line.trim_start_matches("pub ")
                .strip_prefix("mod ")?
                .strip_suffix(';')
        });
        let jobs: Vec<&str> = modules
            .filter(|module| {
                let file = fs::read_to_string(src.join(format!("{module}.rs"))).expect("a module has a file");
                file.contains("\nimpl Run for ")
            })
            .collect();
        let mut registered: Vec<&str> = Registry::all().names().collect();
        registered.sort_unstable();
        let mut expected = jobs;
        expected.sort_unstable();
        assert_eq!(registered, expected);
    }
}
