//! The training saga's words. A status names the step that is finished; what may follow what, and why, is `saga.rs`.

use super::avatar::named;

named!(
    /// Where a training is.
    TrainingStatus, "training status", "training_status", {
        /// The user asked; photos are stored and packed.
        Requested = "requested",
        /// The archive lies where FAL can fetch it.
        Archived = "archived",
        /// An attempt is committed; FAL may or may not have it.
        Submitting = "submitting",
        /// FAL has it, its request id is known.
        Submitted = "submitted",
        /// FAL says OK, the result is stored; the model is being copied and verified.
        Trained = "trained",
        /// Its avatar has a verified model.
        Completed = "completed",
        /// Ended for a reason that the user was told.
        Failed = "failed",
        /// The user ended it.
        Cancelled = "cancelled",
    }
);

named!(
    /// Who brought a terminal fact.
    TrainingSource, "training source", "training_source", {
        /// FAL's signed delivery.
        Webhook = "webhook",
        /// Our status call.
        Poll = "poll",
        /// A job of ours that gave up.
        Job = "job",
        /// The user.
        User = "user",
        /// An operator.
        Operator = "operator",
    }
);

named!(
    /// Who wants a training to end before FAL is done with it.
    EndReason, "reason to end", "training_end_reason", {
        /// The user pressed "Stop".
        User = "user",
        /// `aisha avatars cancel`.
        Operator = "operator",
        /// It took longer than allowed (K14).
        Deadline = "deadline",
    }
);

named!(
    /// What is expected of a request that FAL may still finish after we ended its training.
    LateModel, "late model", "training_late_model", {
        /// `poll_status` goes on looking.
        Watched = "watched",
        /// FAL's output is here; `store_model` copies it.
        Kept = "kept",
        /// It was copied, or turned out to be none.
        Settled = "settled",
    }
);

named!(
    /// What became of one POST. Unknown is no variant: a row without outcome is AMBIGUOUS (K12).
    AttemptOutcome, "attempt outcome", "attempt_outcome", {
        /// Surely never reached FAL; may be tried again.
        NotSent = "not_sent",
        /// FAL answered that it did not take it.
        Refused = "refused",
        /// FAL has it.
        Accepted = "accepted",
        /// Nobody knows, and another was posted at the risk of paying twice (`fal.resubmit_unknown`).
        Abandoned = "abandoned",
    }
);

named!(
    /// What told us that FAL accepted an attempt.
    AttemptEvidence, "attempt evidence", "attempt_evidence", {
        /// The POST's own answer.
        Answer = "answer",
        /// A signed delivery with the attempt's token.
        Webhook = "webhook",
        /// FAL's request list.
        RequestList = "request_list",
    }
);

named!(
    /// Why a training failed; a text for the user exists for each (`training-failed-<code>` in the locales).
    FailureCode, "failure code", "failure_code", {
        /// Fewer usable photos than the minimum are left.
        TooFewPhotos = "too_few_photos",
        /// FAL could not have read the archive, however often it was built: its storage, or our store, hides our files.
        ArchiveUnreachable = "archive_unreachable",
        /// FAL refused the input (422) or could not read the archive.
        RejectedByProvider = "rejected_by_provider",
        /// FAL failed on its side, more than once.
        ProviderFailed = "provider_failed",
        /// The submit's fate could not be learnt in time (K13).
        SubmitOutcomeUnknown = "submit_outcome_unknown",
        /// FAL says OK but there is no usable model.
        ModelInvalid = "model_invalid",
        /// It took longer than allowed.
        TimedOut = "timed_out",
        /// Our own fault.
        Internal = "internal",
    }
);

/// A request that FAL has, and where to ask about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FalRequest {
    /// FAL's queue id (never the gateway's).
    pub request_id: String,
    /// GET: queued, running, completed.
    pub status_url: String,
    /// GET: what the model answered.
    pub response_url: String,
    /// PUT: cancel.
    pub cancel_url: String,
}

impl TrainingStatus {
    /// Nothing follows.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The order of the saga. `Submitting → Archived` is a POST that surely did not create a request; `Archived →
    /// Requested` is an archive that was gone before its turn came; `Archived → Submitted` is a proof that such a POST
    /// did create one. A delivery that overtakes the submit's answer is two steps: adopted (`Submitted`), then `Trained`.
    pub const fn may_become(self, next: Self) -> bool {
        use TrainingStatus::{
            Archived, Cancelled, Completed, Failed, Requested, Submitted, Submitting, Trained,
        };
        match (self, next) {
            (from, Failed | Cancelled) => !from.is_final(),
            (Requested, Archived)
            | (Archived, Submitting | Submitted | Requested)
            | (Submitting, Archived | Submitted)
            | (Submitted, Trained)
            | (Trained, Completed) => true,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_follows_a_final_status() {
        for from in TrainingStatus::ALL.iter().filter(|status| status.is_final()) {
            for next in TrainingStatus::ALL {
                assert!(!from.may_become(*next), "{from} → {next}");
            }
        }
    }

    #[test]
    fn every_live_status_can_fail_and_be_cancelled() {
        for from in TrainingStatus::ALL.iter().filter(|status| !status.is_final()) {
            assert!(from.may_become(TrainingStatus::Failed), "{from}");
            assert!(from.may_become(TrainingStatus::Cancelled), "{from}");
        }
    }
}
