//! The words of a training that the database stores. A status names the last finished step; `saga.rs` decides which
//! status may follow which.

use super::avatar::named;

named!(
    /// The last finished step of a training.
    TrainingStatus, "training status", "training_status", {
        /// The user pressed "Start"; the photos are being stored and packed.
        Requested = "requested",
        /// The archive lies where FAL can fetch it.
        Archived = "archived",
        /// An attempt is committed; FAL may or may not have it.
        Submitting = "submitting",
        /// FAL has it, its request id is known.
        Submitted = "submitted",
        /// FAL says OK, the result is stored; the model is being copied and verified.
        Trained = "trained",
        /// The avatar has a verified model.
        Completed = "completed",
        /// Ended for a reason in `failure_code`, which the user was told.
        Failed = "failed",
        /// The user or an operator called it off.
        Cancelled = "cancelled",
    }
);

named!(
    /// The origin of the fact that ended a training or stored its result.
    TrainingSource, "training source", "training_source", {
        /// FAL's signed delivery.
        Webhook = "webhook",
        /// A status call of `poll_status`.
        Poll = "poll",
        /// A job that gave up, or found the deadline passed.
        Job = "job",
        /// The user pressed "Stop", and FAL had no request.
        User = "user",
        /// `aisha avatars cancel`, and FAL had no request.
        Operator = "operator",
    }
);

named!(
    /// Why a training is to end before FAL has finished its request.
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
    /// What became of a model that FAL may still make after we ended its training. NULL: none is expected.
    LateModel, "late model", "training_late_model", {
        /// `poll_status` keeps asking FAL for it.
        Watched = "watched",
        /// FAL's output is here; `store_model` copies it.
        Kept = "kept",
        /// It was copied, or FAL made none, or it was no usable model.
        Settled = "settled",
    }
);

named!(
    /// What became of one POST. An unknown outcome is no variant: the row's outcome is NULL, AMBIGUOUS (K12).
    AttemptOutcome, "attempt outcome", "attempt_outcome", {
        /// It certainly never reached FAL, and may be tried again.
        NotSent = "not_sent",
        /// FAL answered that it did not take it.
        Refused = "refused",
        /// FAL created a request for it.
        Accepted = "accepted",
        /// It stayed unknown, and another was posted at the risk of paying twice (`fal.resubmit_unknown`).
        Abandoned = "abandoned",
    }
);

named!(
    /// How we learnt that FAL accepted an attempt.
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
    /// Why a training or pictures failed; a text for the user exists for each (`training-failed-<code>` and
    /// `album-failed-<code>` in the locales).
    FailureCode, "failure code", "failure_code", {
        /// Fewer usable photos than the minimum are left.
        TooFewPhotos = "too_few_photos",
        /// FAL could not have read any of the archives that we built: its storage, or our store, hides our files.
        ArchiveUnreachable = "archive_unreachable",
        /// FAL refused the input (422) or could not read the archive.
        RejectedByProvider = "rejected_by_provider",
        /// FAL failed on its side, more than once.
        ProviderFailed = "provider_failed",
        /// The outcome of the submit was not learnt in time (K13).
        SubmitOutcomeUnknown = "submit_outcome_unknown",
        /// FAL says OK but there is no usable model.
        ModelInvalid = "model_invalid",
        /// Of pictures: neither FAL nor our bucket has the avatar's model any more.
        ModelGone = "model_gone",
        /// A step took longer than its deadline.
        TimedOut = "timed_out",
        /// A job of ours failed for good.
        Internal = "internal",
    }
);

/// A request that FAL has, and where to ask about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FalRequest {
    /// FAL's queue id (never the gateway's).
    pub request_id: String,
    /// Answers a GET with queued, running or completed.
    pub status_url: String,
    /// Answers a GET with the model's output, or its error.
    pub response_url: String,
    /// A PUT to it cancels the request.
    pub cancel_url: String,
}

impl FalRequest {
    /// The request as a row has it: all four columns are set together. `None`: FAL has none, as far as we know.
    pub fn known(
        request_id: Option<&String>,
        status_url: Option<&String>,
        response_url: Option<&String>,
        cancel_url: Option<&String>,
    ) -> Option<Self> {
        Some(Self {
            request_id: request_id?.clone(),
            status_url: status_url?.clone(),
            response_url: response_url?.clone(),
            cancel_url: cancel_url?.clone(),
        })
    }
}

impl TrainingStatus {
    /// Whether no other status follows: completed, failed or cancelled.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}
