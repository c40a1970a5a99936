//! What a kind says of itself, and the three stock tests that are made of it.

use std::fmt;
use std::ops::Deref;

use jobs::job::Job;
use jobs::queue::JobState;
use jobs::testing::{Fate, enqueued};

use crate::support::Core;

/// More awaits than any job here has; a job with more fails its test.
const MOST_AWAITS: usize = 400;
/// Up to this one, each await is visited.
const FIRST_AWAITS: usize = 8;

/// How often the work was begun before it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lived {
    /// Two jobs with one payload ran to their end.
    Twice,
    /// One job died at this await, was rescued, and ran again.
    AfterDeathAt(usize),
}

impl fmt::Display for Lived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Twice => f.write_str("run twice"),
            Self::AfterDeathAt(k) => write!(f, "died at await {k}"),
        }
    }
}

/// How a kind of job is arranged and broken, and what must hold at the end.
pub trait Contract: Job {
    /// The database, the services, and what the test remembers of them.
    type Stage: Deref<Target = Core>;

    /// From [`FIRST_AWAITS`] on, every so many awaits are visited: more than 1 for a job whose later awaits are the same
    /// statements again and again, and whose stage is expensive.
    const STRIDE: usize = 1;

    /// One job of the kind waits, its run would end well, and no other job of the kind is live.
    async fn arrange() -> Self::Stage;

    /// Runs all that is left, until nothing is.
    async fn finish(stage: &Self::Stage) {
        stage.jobs.drain_through_time().await;
    }

    /// The work is done, with one effect.
    async fn assert_done(stage: &Self::Stage, lived: Lived);

    /// From now on each run of the kind fails.
    async fn break_it(stage: &Self::Stage);

    /// The job is dead. Ends what [`Contract::break_it`] began, where the work is to go on.
    async fn mend_it(_stage: &Self::Stage) {}

    /// The job was given up, and [`Contract::finish`] has run.
    async fn assert_given_up(stage: &Self::Stage);
}

pub async fn run_twice<J: Contract>() {
    let stage = J::arrange().await;
    let mut db = stage.pool().acquire().await.unwrap();
    let (job, payload) = enqueued::<J>(&mut db).await.remove(0);
    drop(db);
    assert_eq!(stage.jobs.run(job).await.state, JobState::Done, "{}", J::NAME);
    stage.enqueue(&payload).await;
    assert_eq!(
        stage.run::<J>().await.state,
        JobState::Done,
        "{} once more",
        J::NAME
    );
    J::finish(&stage).await;
    J::assert_done(&stage, Lived::Twice).await;
}

pub async fn die_at_each_await<J: Contract>() {
    let later = (FIRST_AWAITS..MOST_AWAITS).step_by(J::STRIDE);
    for k in (0..FIRST_AWAITS).chain(later) {
        let stage = J::arrange().await;
        let job = stage.job::<J>().await;
        let fate = stage.jobs.die_at_await(job, k).await;
        stage.jobs.rescue().await;
        J::finish(&stage).await;
        J::assert_done(&stage, Lived::AfterDeathAt(k)).await;
        if matches!(fate, Fate::Ended(_)) {
            assert!(k > 1, "{} has awaits to die at", J::NAME);
            return;
        }
    }
    panic!("{} has more than {MOST_AWAITS} awaits", J::NAME);
}

pub async fn fail_the_last_attempt<J: Contract>() {
    let stage = J::arrange().await;
    J::break_it(&stage).await;
    let job = stage.job::<J>().await;
    let ran = stage.jobs.run_last_attempt(job).await;
    assert_eq!(ran.state, JobState::Dead, "{}", J::NAME);
    J::mend_it(&stage).await;
    J::finish(&stage).await;
    J::assert_given_up(&stage).await;
}
