//! The saga as values: where an order at FAL is, what may happen to it, and what follows. A training and a generation are
//! orders; the few places where they differ name [`Product`].
//!
//! [`Saga::after`] is the whole rule. It takes one [`Fact`] and returns the [`Transition`] that it causes, or `None` if the
//! fact comes too late or contradicts an earlier one; such a fact is recorded and changes nothing. `jobs/src/saga.rs` reads
//! the row under its lock, calls it, and writes the transition with its jobs and messages in one transaction.
//!
//! ```text
//! preparing ⇄ prepared ⇄ submitting ─▶ submitted ─▶ made ─▶ completed
//!     └──────────┴───────────┴────────────┴──────────┴─────▶ failed | cancelled  (─▶ a model that comes late is kept)
//! ```
//!
//! # Must stay true
//! * nothing follows a final status, the first one stands          — `a_final_status_is_never_left`
//! * one ending, told once                                         — `a_training_ends_once_and_its_owner_is_told_once`
//! * a live order has a job that carries it on and a deadline    — `nothing_is_ever_stuck`
//! * no attempt is committed while FAL has or may have a request   — `no_attempt_begins_while_another_may_be_at_fal`
//! * a model that was paid for is kept, whatever we decided before  — `a_model_that_comes_late_is_kept_once`

use super::{EndReason, FailureCode, LateModel, OrderStatus, Product, Stage};

mod deadlines;

pub use deadlines::{Patience, Times};

/// The state of one order, from which [`Saga::after`] decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Saga {
    /// What it makes.
    pub product: Product,
    /// The last finished step.
    pub status: OrderStatus,
    /// Why it failed. `None` unless it did.
    pub failure: Option<FailureCode>,
    /// Whether FAL has a request for it.
    pub at_fal: AtFal,
    /// Set when the end was asked for and FAL has to be told first. `None`: nobody asked, or it ended at once.
    pub end_asked: Option<EndReason>,
    /// Set when a model may still come, or came, after we ended the training. `None`: none is expected.
    pub late: Option<LateModel>,
}

/// Whether FAL has a request for a training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtFal {
    /// It was never posted, or FAL certainly did not take it.
    No,
    /// An attempt without a known outcome is open: AMBIGUOUS (K12).
    Perhaps,
    /// FAL accepted it; its request id is known.
    Yes,
}

impl AtFal {
    /// From a row that may have FAL's request id, and an attempt without a known outcome.
    pub const fn seen(has_request: bool, has_open_attempt: bool) -> Self {
        match (has_request, has_open_attempt) {
            (true, _) => Self::Yes,
            (false, true) => Self::Perhaps,
            (false, false) => Self::No,
        }
    }
}

/// Something that happened to an order: reported by a job, FAL, its user or an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    /// What FAL needs is where FAL can fetch it.
    Prepared,
    /// FAL can no longer fetch the archive.
    ArchiveLost,
    /// An attempt row is committed; the POST comes next.
    AttemptCommitted,
    /// FAL has the attempt: its answer, a signed delivery or the request list says so.
    Accepted,
    /// The attempt certainly created no request.
    NotTaken,
    /// The decision deadline has passed; FAL's request list answers, and has no match (K13).
    Undecided {
        /// The operator accepts the risk of paying twice, and no attempt of this training has taken it yet (fal.md 6.3).
        resubmit: bool,
    },
    /// FAL's result names what was ordered, by poll or by webhook.
    Succeeded,
    /// FAL's request ended without output.
    FailedAtFal(FailureCode),
    /// FAL took the request out of its queue.
    StoppedAtFal,
    /// FAL will try to stop it; it may complete all the same.
    StopSignalled,
    /// FAL has denied the request, or not answered for it, so often that we believe it lost. FAL did not say that it failed,
    /// so its model may still come.
    LostAtFal,
    /// What FAL made was copied, or named if it stays at FAL, and passed its checks.
    Stored,
    /// A job has spent its attempts, or failed in a way that no retry mends.
    GaveUp(FailureCode),
    /// The user or an operator wants it to end.
    EndAsked(EndReason),
    /// The deadline of its status has passed.
    Overdue,
    /// A request that we gave up can no longer bring a model: its archive has expired.
    WatchOver,
}

/// What a fact causes: the new state, the jobs that carry the training on, and the owner's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The state that is written to the row.
    pub to: Saga,
    /// The jobs that are enqueued in the same transaction.
    pub jobs: &'static [NextJob],
    /// The owner's message. `None`: nothing new for the owner.
    pub tell: Option<Tell>,
}

/// A job of the saga, by its kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NextJob {
    /// `build_archive`; pictures need none.
    Build,
    /// `submit_training` or `generate_images`
    Submit,
    /// `poll_status`
    Poll,
    /// `cancel_training` or `cancel_generation`
    Cancel,
    /// `store_model` or `store_pictures`
    Store,
}

/// The message to the owner that a transition causes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tell {
    /// The progress message shows another stage.
    Progress(Stage),
    /// The final message: the avatar has its model.
    Completed,
    /// The final message: the training failed, for this reason.
    Failed(FailureCode),
    /// The final message: the training was called off by its user or an operator.
    Cancelled,
    /// A second final message: a model came after the end.
    CameLate,
}

impl Saga {
    /// The state of a training that was just requested.
    pub const REQUESTED: Self = Self {
        product: Product::Model,
        status: OrderStatus::Preparing,
        failure: None,
        at_fal: AtFal::No,
        end_asked: None,
        late: None,
    };

    /// The state of pictures that were just asked for: nothing has to be prepared.
    pub const ASKED_FOR: Self = Self {
        product: Product::Pictures,
        status: OrderStatus::Prepared,
        ..Self::REQUESTED
    };

    /// What `fact` causes. `None`: nothing; it is only recorded.
    pub fn after(self, fact: Fact) -> Option<Transition> {
        use OrderStatus as S;
        match (self.status, fact) {
            (S::Preparing, Fact::Prepared) => self.on(
                S::Prepared,
                AtFal::No,
                &[NextJob::Submit],
                Some(Tell::Progress(Stage::Archived)),
            ),
            (S::Prepared, Fact::ArchiveLost) if self.product == Product::Model => {
                self.on(S::Preparing, AtFal::No, &[NextJob::Build], None)
            }
            (S::Prepared, Fact::AttemptCommitted) => {
                self.on(S::Submitting, AtFal::Perhaps, &[NextJob::Poll], None)
            }
            (S::Prepared | S::Submitting, Fact::Accepted) => {
                let jobs = self
                    .end_asked
                    .map_or(&[NextJob::Poll][..], |_| &[NextJob::Poll, NextJob::Cancel]);
                let tell = self.end_asked.map_or(Tell::Progress(Stage::Submitted), |_| {
                    Tell::Progress(Stage::Stopping)
                });
                self.on(S::Submitted, AtFal::Yes, jobs, Some(tell))
            }
            (S::Submitting, Fact::NotTaken) => match self.end_asked {
                Some(reason) => Self {
                    at_fal: AtFal::No,
                    ..self
                }
                .ended_by(reason),
                // The running `submit_training` is retried anyway, and this enqueue is deduplicated against it. It matters only if
                // the claim of that job was lost.
                None => self.on(S::Prepared, AtFal::No, &[NextJob::Submit], None),
            },
            (S::Submitting, Fact::Undecided { resubmit }) => match self.end_asked {
                Some(reason) => self.ended_by(reason),
                None if resubmit => self.on(S::Prepared, AtFal::No, &[NextJob::Submit], None),
                None => self.failed(FailureCode::SubmitOutcomeUnknown),
            },
            (S::Submitted, Fact::Succeeded) => self.on(
                S::Made,
                AtFal::Yes,
                &[NextJob::Store],
                Some(Tell::Progress(Stage::Trained)),
            ),
            (S::Submitted, Fact::FailedAtFal(code)) => Self::unwatched(match self.end_asked {
                Some(reason) => self.ended_by(reason),
                None => self.failed(code),
            }),
            (S::Submitted, Fact::StoppedAtFal) => Self::unwatched(self.ended_by(self.end_asked?)),
            (S::Submitted, Fact::LostAtFal) => self.lost(),
            (S::Submitted, Fact::StopSignalled) => match self.end_asked? {
                EndReason::Deadline => self.ended_by(EndReason::Deadline),
                EndReason::User | EndReason::Operator => {
                    self.on(S::Submitted, AtFal::Yes, &[NextJob::Poll], None)
                }
            },
            (S::Made, Fact::Stored) => self.on(S::Completed, AtFal::Yes, &[], Some(Tell::Completed)),
            // Attempts that ran out never fail what FAL has or may have (K12).
            (S::Preparing | S::Prepared | S::Made, Fact::GaveUp(code)) => self.failed(code),
            (S::Preparing | S::Prepared | S::Submitting | S::Submitted, Fact::EndAsked(reason)) => {
                self.end_asked(reason)
            }
            (_, Fact::Overdue) => self.overdue(),
            (S::Failed | S::Cancelled, _) => self.afterwards(fact),
            _ => None,
        }
    }

    /// The job that must be live for the training to advance. `None`: nothing is left to do.
    pub const fn carried_by(&self) -> Option<NextJob> {
        use OrderStatus as S;
        match (self.status, self.late) {
            (S::Preparing, _) => Some(NextJob::Build),
            (S::Prepared, _) => Some(NextJob::Submit),
            (S::Submitting | S::Submitted, _) | (S::Failed | S::Cancelled, Some(LateModel::Watched)) => {
                Some(NextJob::Poll)
            }
            (S::Made, _) | (S::Failed | S::Cancelled, Some(LateModel::Kept)) => Some(NextJob::Store),
            (S::Completed, _) | (S::Failed | S::Cancelled, Some(LateModel::Settled) | None) => None,
        }
    }

    /// Whether a model may still come after the end, and is then kept: the user, an operator, a deadline or an unknown submit
    /// ended the training, or FAL lost its request. Not if FAL said that the request ended. Pictures are not waited for: they
    /// cost cents, and their user has asked for others by then.
    pub const fn may_come_late(&self) -> bool {
        self.late.is_some()
            || matches!(
                (self.product, self.status, self.failure),
                (Product::Model, OrderStatus::Cancelled, _)
                    | (
                        Product::Model,
                        _,
                        Some(FailureCode::SubmitOutcomeUnknown | FailureCode::TimedOut)
                    )
            )
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "a whole arm of `after`, which answers an Option"
    )]
    fn on(
        self,
        status: OrderStatus,
        at_fal: AtFal,
        jobs: &'static [NextJob],
        tell: Option<Tell>,
    ) -> Option<Transition> {
        Some(Transition {
            to: Self {
                status,
                at_fal,
                ..self
            },
            jobs,
            tell,
        })
    }

    fn failed(self, code: FailureCode) -> Option<Transition> {
        self.end(OrderStatus::Failed, Some(code), Tell::Failed(code))
    }

    fn ended_by(self, reason: EndReason) -> Option<Transition> {
        match reason {
            EndReason::User | EndReason::Operator => self.end(OrderStatus::Cancelled, None, Tell::Cancelled),
            EndReason::Deadline => self.failed(FailureCode::TimedOut),
        }
    }

    /// Ends the training. A model that FAL may still make is watched for; one that it has made already is kept.
    #[expect(
        clippy::unnecessary_wraps,
        reason = "a whole arm of `after`, which answers an Option"
    )]
    fn end(self, status: OrderStatus, failure: Option<FailureCode>, tell: Tell) -> Option<Transition> {
        let ended = Self {
            status,
            failure,
            ..self
        };
        let (late, jobs): (_, &[NextJob]) = match (ended.may_come_late(), self.status, self.at_fal) {
            (false, ..) | (true, _, AtFal::No) => (None, &[]),
            (true, OrderStatus::Made, _) => (Some(LateModel::Kept), &[NextJob::Store]),
            (true, ..) => (Some(LateModel::Watched), &[NextJob::Poll]),
        };
        Some(Transition {
            to: Self { late, ..ended },
            jobs,
            tell: Some(tell),
        })
    }

    /// FAL lost the request.
    fn lost(self) -> Option<Transition> {
        match (self.end_asked, self.product) {
            (Some(reason), _) => self.ended_by(reason),
            (None, Product::Pictures) => self.failed(FailureCode::ProviderFailed),
            (None, Product::Model) => self
                .failed(FailureCode::ProviderFailed)
                .map(|transition| Transition {
                    to: Self {
                        late: Some(LateModel::Watched),
                        ..transition.to
                    },
                    jobs: &[NextJob::Poll],
                    ..transition
                }),
        }
    }

    /// FAL itself said that no model will come: nothing is watched for.
    fn unwatched(transition: Option<Transition>) -> Option<Transition> {
        transition.map(|transition| Transition {
            to: Self {
                late: None,
                ..transition.to
            },
            jobs: &[],
            ..transition
        })
    }

    fn end_asked(self, reason: EndReason) -> Option<Transition> {
        use OrderStatus as S;
        let asked = Self {
            end_asked: Some(reason),
            ..self
        };
        match (self.status, self.end_asked) {
            (S::Preparing | S::Prepared, _) => self.ended_by(reason),
            (S::Submitted, None) => asked.on(
                S::Submitted,
                AtFal::Yes,
                &[NextJob::Cancel],
                Some(Tell::Progress(Stage::Stopping)),
            ),
            // FAL is told as soon as there is a request to stop. Without one, the decision deadline ends the training.
            (S::Submitting, None) => asked.on(
                S::Submitting,
                AtFal::Perhaps,
                &[],
                Some(Tell::Progress(Stage::Stopping)),
            ),
            _ => None,
        }
    }

    fn overdue(self) -> Option<Transition> {
        use OrderStatus as S;
        match (self.status, self.end_asked) {
            (S::Submitting | S::Submitted, Some(reason)) => self.ended_by(reason),
            (S::Submitting, None) => self.failed(FailureCode::SubmitOutcomeUnknown),
            // FAL is told before the owner is, so that it does not go on at our cost.
            (S::Submitted, None) => Self {
                end_asked: Some(EndReason::Deadline),
                ..self
            }
            .on(S::Submitted, AtFal::Yes, &[NextJob::Cancel], None),
            (S::Preparing | S::Prepared | S::Made, _) => self.failed(FailureCode::TimedOut),
            (S::Completed | S::Failed | S::Cancelled, _) => None,
        }
    }

    /// What a fact causes for a training that has failed or was cancelled.
    fn afterwards(self, fact: Fact) -> Option<Transition> {
        if !self.may_come_late() {
            return None;
        }
        let late = |late, jobs, tell| {
            Some(Transition {
                to: Self { late, ..self },
                jobs,
                tell,
            })
        };
        match (fact, self.late) {
            (Fact::Accepted, Some(LateModel::Watched) | None) if self.at_fal != AtFal::Yes => {
                let jobs: &[NextJob] = match self.status {
                    OrderStatus::Cancelled => &[NextJob::Poll, NextJob::Cancel],
                    _ => &[NextJob::Poll],
                };
                let to = Self {
                    at_fal: AtFal::Yes,
                    late: Some(LateModel::Watched),
                    ..self
                };
                Some(Transition { to, jobs, tell: None })
            }
            (Fact::Succeeded, Some(LateModel::Watched) | None) if self.at_fal == AtFal::Yes => {
                late(Some(LateModel::Kept), &[NextJob::Store], None)
            }
            (Fact::Stored, Some(LateModel::Kept)) => {
                late(Some(LateModel::Settled), &[], Some(Tell::CameLate))
            }
            (Fact::GaveUp(_), Some(LateModel::Kept))
            | (Fact::FailedAtFal(_) | Fact::StoppedAtFal, Some(LateModel::Watched)) => {
                late(Some(LateModel::Settled), &[], None)
            }
            (Fact::WatchOver, Some(LateModel::Watched)) => late(None, &[], None),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
