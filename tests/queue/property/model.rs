//! The expected states of jobs, computed without a database.

use std::collections::{BTreeMap, HashSet};

use jobs::{
    job::DedupeScope,
    queue::{ClaimId, JobId, JobState},
};

/// Attempts of each probe.
pub const MAX_ATTEMPTS: u16 = 3;

/// How a run ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Done,
    Fail,
    GiveUp,
    Snooze,
    Release,
    SeeCancelled,
}

/// The queue's answer to an enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fresh {
    New(JobId),
    Refused,
}

/// The expected state of one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub key: Option<(String, DedupeScope)>,
    pub state: JobState,
    pub attempt: i32,
    pub cancel_requested: bool,
    /// The claim whose outcome counts. `None` unless it runs.
    pub claim: Option<ClaimId>,
    /// The newer job of its key that replaced it.
    pub successor: Option<JobId>,
}

#[derive(Debug, Default)]
pub struct Model {
    jobs: BTreeMap<JobId, Job>,
    claims: HashSet<ClaimId>,
}

impl Job {
    const fn waits(&self) -> bool {
        matches!(self.state, JobState::Ready | JobState::Scheduled)
    }

    fn coalesces(&self) -> bool {
        matches!(self.key, Some((_, DedupeScope::UntilStarted)))
    }

    fn finish(&mut self, state: JobState) {
        (self.state, self.claim, self.cancel_requested) = (state, None, false);
    }
}

impl Model {
    pub fn jobs(&self) -> Vec<(JobId, Job)> {
        self.jobs.iter().map(|(id, job)| (*id, job.clone())).collect()
    }

    pub fn ids(&self) -> Vec<JobId> {
        self.jobs.keys().copied().collect()
    }

    pub fn key(&self, id: JobId) -> Option<(String, DedupeScope)> {
        self.jobs.get(&id).and_then(|job| job.key.clone())
    }

    /// Jobs that wait and whose coalescing key has no running job.
    pub fn claimable(&self) -> Vec<JobId> {
        let runs = |key| {
            self.jobs
                .values()
                .any(|other| other.state == JobState::Running && other.key == key)
        };
        let free = |job: &Job| job.waits() && !(job.coalesces() && runs(job.key.clone()));
        let claimable = self.jobs.iter().filter(|(_, job)| free(job));
        claimable.map(|(id, _)| *id).collect()
    }

    pub fn enqueue(&mut self, key: Option<(String, DedupeScope)>, fresh: Fresh) {
        let taken = key.as_ref().is_some_and(|(_, scope)| {
            self.jobs.values().any(|job| {
                let in_the_way = match scope {
                    DedupeScope::UntilDone => !job.state.is_final(),
                    DedupeScope::UntilStarted => job.waits(),
                };
                job.key == key && in_the_way
            })
        });
        match fresh {
            Fresh::Refused => assert!(taken, "only a key that is taken is refused"),
            Fresh::New(id) => {
                assert!(!taken, "a key that is taken is refused");
                let job = Job {
                    key,
                    state: JobState::Ready,
                    attempt: 0,
                    cancel_requested: false,
                    claim: None,
                    successor: None,
                };
                assert!(self.jobs.insert(id, job).is_none(), "ids are never reused");
            }
        }
    }

    /// `false`: this claim id was used before.
    pub fn claim(&mut self, id: JobId, claim: ClaimId) -> bool {
        let job = self.job(id);
        (job.state, job.claim) = (JobState::Running, Some(claim));
        job.attempt += 1;
        self.claims.insert(claim)
    }

    pub fn end(&mut self, id: JobId, claim: ClaimId, end: End) {
        let job = self.job(id);
        if job.claim != Some(claim) {
            return; // Lost: whatever it says changes nothing.
        }
        let last = job.attempt >= i32::from(MAX_ATTEMPTS);
        match end {
            End::Done => job.finish(JobState::Done),
            End::GiveUp => job.finish(JobState::Dead),
            End::Fail if last => job.finish(JobState::Dead),
            End::Fail => self.put_back(id, JobState::Scheduled, true),
            End::Snooze => {
                job.attempt -= 1;
                self.put_back(id, JobState::Scheduled, false);
            }
            End::Release => {
                job.attempt -= 1;
                self.put_back(id, JobState::Ready, false);
            }
            End::SeeCancelled => job.finish(JobState::Cancelled),
        }
    }

    /// Back to waiting, unless its cancellation was requested or a newer job of its key takes over.
    fn put_back(&mut self, id: JobId, state: JobState, failed: bool) {
        let job = self.job(id);
        if job.cancel_requested {
            return job.finish(JobState::Cancelled);
        }
        let (key, charged, coalesces) = (job.key.clone(), job.attempt, job.coalesces());
        let successor = self
            .jobs
            .iter_mut()
            .find(|(_, other)| coalesces && other.waits() && other.key == key);
        let Some((successor, next)) = successor.map(|(id, job)| (*id, job)) else {
            return self.job(id).finish(state);
        };
        next.attempt = next.attempt.max(charged);
        if failed {
            next.state = JobState::Scheduled;
        }
        let job = self.job(id);
        job.finish(JobState::Done);
        job.successor = Some(successor);
    }

    pub fn rescue(&mut self) {
        for id in self.ids() {
            let job = self.job(id);
            if job.state != JobState::Running {
                continue;
            }
            if job.attempt >= i32::from(MAX_ATTEMPTS) && !job.cancel_requested {
                job.finish(JobState::Dead);
            } else {
                self.put_back(id, JobState::Ready, false);
            }
        }
    }

    /// The state in which it was cancelled: waiting (at once) or running (a request). `None`: it was not live.
    pub fn cancel(&mut self, id: JobId) -> Option<JobState> {
        let job = self.job(id);
        if job.waits() {
            job.finish(JobState::Cancelled);
            return Some(JobState::Cancelled);
        }
        job.cancel_requested = job.state == JobState::Running;
        job.cancel_requested.then_some(JobState::Running)
    }

    pub fn is_to_be_cancelled(&self, id: JobId) -> bool {
        self.jobs.get(&id).is_some_and(|job| job.cancel_requested)
    }

    pub fn keeps_the_invariants(&self) {
        for (id, job) in &self.jobs {
            assert!(
                job.attempt <= i32::from(MAX_ATTEMPTS),
                "job {id} has too many attempts"
            );
            assert!(job.attempt >= 0, "job {id} was given back too much");
            let twins = self.jobs.iter().filter(|(other, twin)| {
                *other != id && job.key.is_some() && twin.key == job.key && !twin.state.is_final()
            });
            for (other, twin) in twins {
                let both_live = !job.state.is_final();
                let one_waits_one_runs = job.coalesces() && job.waits() != twin.waits();
                assert!(
                    !both_live || one_waits_one_runs,
                    "jobs {id} and {other} share a live key"
                );
            }
        }
    }

    fn job(&mut self, id: JobId) -> &mut Job {
        self.jobs.get_mut(&id).expect("the model has every job")
    }
}
