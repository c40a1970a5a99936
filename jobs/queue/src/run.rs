//! One run of one job: decodes the payload, runs it with a timeout and a panic guard, and decides what its end means.

use std::{borrow::Cow, panic::AssertUnwindSafe, time::Duration, time::Instant};

use futures::FutureExt;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tracing::{Instrument, debug, error, info, info_span, warn};

use crate::{
    Claim, ClaimOutcome, Claimed, Ending, Interruption, Registry, jittered,
    job::{DeadReason, Done, JobError},
    registry::Kind,
    storable,
    trace::{self, TraceContext},
};

/// What the engine has to do after a run.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// Ack the job: it is done.
    Done,
    /// Nothing: the run's own transaction has ended the job.
    Committed,
    /// Write another ending of the job at once.
    Settle(Ending),
    /// Nothing: the claim is lost.
    Nothing,
}

impl Verdict {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Done | Self::Committed => "done",
            Self::Settle(Ending::Snoozed { .. }) => "snoozed",
            Self::Settle(Ending::Failed { how, .. } | Ending::Dead { how, .. }) => how.as_str(),
            Self::Settle(Ending::Released) => "released",
            Self::Settle(Ending::Cancelled) => "cancelled",
            Self::Settle(Ending::Lost | Ending::LostAhead) | Self::Nothing => "lost",
        }
    }
}

enum RunEnd {
    Returned(Result<Done, JobError>),
    Panicked(String),
    TimedOut,
    Interrupted(Interruption),
}

/// Runs a claimed job. Never fails, never panics, and ends soon after its claim is interrupted,
/// unless the handler blocks its thread.
pub(crate) async fn run(registry: &Registry, claimed: &Claimed) -> Verdict {
    let claim = &claimed.claim;
    let Some(kind) = registry.find(claimed.kind) else {
        // Workers claim no unknown kinds (K4); only a tool that claims by id gets here.
        return Verdict::Settle(Ending::Released);
    };
    // A child of the trace that enqueued the job. A job without a trace begins one.
    let context = claimed
        .trace
        .map_or_else(TraceContext::new, |cause| cause.child());
    let span = info_span!("job", job.id = %claim.job(), job.kind = kind.name, job.attempt = claim.attempt(), trace.id = %context.id());
    let started = Instant::now();
    let work = trace::scope(context, decide(kind, claim, &claimed.payload));
    let verdict = work.instrument(span).await;
    let (done, seconds) = kind.meters.of(kind.name, kind.queue);
    match verdict.as_str() {
        "done" => done.increment(1),
        outcome => {
            metrics::counter!("aisha_jobs_total", "queue" => kind.queue.as_str(), "kind" => kind.name, "outcome" => outcome)
                .increment(1);
        }
    }
    seconds.record(started.elapsed());
    verdict
}

async fn decide(kind: &Kind, claim: &Claim, payload: &RawValue) -> Verdict {
    if claim.attempt() > claim.max_attempts() {
        // A deploy lowered `max_attempts`, or an `on_dead` failed before.
        let message = format!("{} attempts are used up", claim.max_attempts());
        return dead("attempts_exhausted", message, ClaimOutcome::Lost, true);
    }
    if !claim.holds_lease() {
        // The job waited in the buffer while this process was stopped.
        claim.interrupt(Interruption::Lost);
    }
    if let Some(why) = claim.interruption() {
        return concluded(kind, claim, RunEnd::Interrupted(why));
    }
    let end = match kind.behaviour.run(payload, claim.clone()) {
        Ok(handler) => guard(handler, claim, kind.policy.timeout).await,
        Err(undecodable) => {
            let message = undecodable.to_string();
            error!("Job {} of kind {} is dead: {message}", claim.job(), kind.name);
            return dead("undecodable", message, ClaimOutcome::Undecodable, false);
        }
    };
    concluded(kind, claim, end)
}

fn concluded(kind: &Kind, claim: &Claim, end: RunEnd) -> Verdict {
    match bounded(end) {
        RunEnd::Returned(Ok(Done::Applied)) => Verdict::Done,
        RunEnd::Returned(Ok(Done::Committed)) => Verdict::Committed,
        RunEnd::Returned(Ok(Done::Skipped(why))) => {
            info!("Job {} had nothing to do: {why}", claim.job());
            Verdict::Done
        }
        RunEnd::Returned(Err(JobError::Lost)) => {
            // Not interrupted yet: the run itself was the first to find out, at its fence.
            if claim.interrupt(Interruption::Lost) {
                metrics::counter!("aisha_lease_lost_total", "why" => "fenced").increment(1);
                warn!(
                    "Another worker has job {}: the transaction of our run of it is rolled back",
                    claim.job()
                );
            }
            Verdict::Nothing
        }
        RunEnd::Interrupted(Interruption::Lost) => Verdict::Nothing,
        // The interruption itself may have caused this error, so it says nothing about the job.
        RunEnd::Returned(Err(_)) if claim.interruption() == Some(Interruption::Released) => {
            Verdict::Settle(Ending::Released)
        }
        RunEnd::Interrupted(Interruption::Released) => Verdict::Settle(Ending::Released),
        RunEnd::Interrupted(Interruption::Cancelled) => Verdict::Settle(Ending::Cancelled),
        RunEnd::Returned(Err(JobError::Snooze { after, why })) => snooze(kind, claim, after, why),
        RunEnd::Returned(Err(JobError::Retry { why, not_before })) => {
            failed(kind, claim, ClaimOutcome::Failed, why, not_before)
        }
        RunEnd::Returned(Err(JobError::GiveUp(reason))) => {
            error!(
                "Job {} of kind {} gave up: {}",
                claim.job(),
                kind.name,
                reason.message
            );
            Verdict::Settle(Ending::Dead {
                reason,
                how: ClaimOutcome::GaveUp,
                uncharged: false,
            })
        }
        RunEnd::Panicked(why) => failed(
            kind,
            claim,
            ClaimOutcome::Panicked,
            format!("panicked: {why}"),
            None,
        ),
        RunEnd::TimedOut | RunEnd::Interrupted(Interruption::TimedOut) => {
            let why = format!("took longer than {:?}", kind.policy.timeout);
            failed(kind, claim, ClaimOutcome::TimedOut, why, None)
        }
    }
}

/// Cuts texts of other systems to the length that is logged and stored.
fn bounded(mut end: RunEnd) -> RunEnd {
    let text = match &mut end {
        RunEnd::Returned(Err(JobError::Snooze { why, .. } | JobError::Retry { why, .. }))
        | RunEnd::Panicked(why) => why,
        RunEnd::Returned(Err(JobError::GiveUp(reason))) => &mut reason.message,
        RunEnd::Returned(_) | RunEnd::TimedOut | RunEnd::Interrupted(_) => return end,
    };
    if let Cow::Owned(fit) = storable::error_text(text) {
        *text = fit;
    }
    end
}

/// Waits for the handler, its timeout, or the end of its claim. If the handler has a result, that result counts.
async fn guard(
    handler: impl Future<Output = Result<Done, JobError>>,
    claim: &Claim,
    limit: Duration,
) -> RunEnd {
    let handler = timeout(limit, AssertUnwindSafe(handler).catch_unwind());
    tokio::select! {
        biased;
        end = handler => match end {
            Ok(Ok(result)) => RunEnd::Returned(result),
            Ok(Err(panic)) => RunEnd::Panicked(panic_message(panic.as_ref())),
            Err(_) => {
                claim.interrupt(Interruption::TimedOut);
                RunEnd::TimedOut
            }
        },
        () = claim.cancelled() => RunEnd::Interrupted(claim.interruption().unwrap_or(Interruption::Lost)),
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

fn snooze(kind: &Kind, claim: &Claim, after: Duration, why: String) -> Verdict {
    let cap = kind.policy.snooze_cap;
    if claim.age().saturating_add(after) > cap {
        let message = format!("snoozed for longer than {cap:?}; last because: {why}");
        error!("Job {} of kind {} is dead: {message}", claim.job(), kind.name);
        return dead("snoozed_too_long", message, ClaimOutcome::GaveUp, false);
    }
    debug!("Job {} snoozes for {after:?}: {why}", claim.job());
    Verdict::Settle(Ending::Snoozed { after, why })
}

fn failed(
    kind: &Kind,
    claim: &Claim,
    how: ClaimOutcome,
    why: String,
    not_before: Option<Duration>,
) -> Verdict {
    let (attempt, max) = (claim.attempt(), claim.max_attempts());
    if attempt >= max {
        error!(
            "Job {} of kind {} is dead after {max} attempts: {why}",
            claim.job(),
            kind.name
        );
        return dead("attempts_exhausted", why, how, false);
    }
    let after = jittered(storable::delay(kind.policy.delay_after(attempt)));
    let after = storable::delay(after.max(not_before.unwrap_or_default()));
    warn!(
        "Attempt {attempt} of {max} of job {} failed, again in {after:?}: {why}",
        claim.job()
    );
    Verdict::Settle(Ending::Failed { after, how, why })
}

fn dead(code: &'static str, message: String, how: ClaimOutcome, uncharged: bool) -> Verdict {
    Verdict::Settle(Ending::Dead {
        reason: DeadReason {
            code: code.into(),
            message,
        },
        how,
        uncharged,
    })
}
