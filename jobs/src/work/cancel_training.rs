//! Tells FAL to stop a training, because its user or an operator wishes it, or because its time is up.
//!
//! Enqueued in the transaction that records the wish, or, if FAL's request was not known then, in
//! the one that learns it (`saga.rs`). FAL's answer decides, not the wish: a running request costs
//! money, and its result belongs to the user.
//!
//! | FAL says                       | then                                                                    |
//! |--------------------------------|-------------------------------------------------------------------------|
//! | 200, taken out of the queue    | the training is cancelled                                               |
//! | 404, there is no such request  | FAL is told again, each time later; after enough denials we ask for the result, which decides |
//! | 202, told to stop              | `poll_status` learns the end: stopped, or finished anyway. After `saga.cancel_deadline` without either it is cancelled, and watched |
//! | 400, it has ended already      | `poll_status` fetches the result, which decides                         |
//!
//! # Must stay true
//! * a result that comes in spite of the cancel is kept and told   — `a_training_that_finishes_in_spite_of_the_cancel_is_completed`
//! * a wish that came too early is acted on later          — `a_cancel_of_an_ambiguous_submit_is_resolved_once_the_request_is_known`
//! * one 404 ends nothing, and none is asked about for ever — `a_cancel_that_fal_denies_is_believed_after_a_few_looks`
//! * FAL being away loses no wish                          — `a_last_attempt_that_fails_leaves_nothing_undone`
//!
//! # If we die
//! After the PUT and before the commit: the next run tells FAL once more, which changes nothing there.
//!
//! Read next: `saga/ending.rs`, `domain/saga.rs`.

use queue::Run;
use sqlx::PgConnection;
use tracing::{error, info};

use super::poll_status;
use crate::{
    account,
    clients::fal::{Call, CancelOutcome},
    context::{Context, Services},
    domain::{LateModel, TrainingStatus},
    enqueue::enqueue,
    job::{DeadReason, Done, JobError},
    payloads::{CancelTraining, PollStatus},
    saga::{self, Effect},
    store::trainings::{self, Training},
};

impl Run<Services> for CancelTraining {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(training) = trainings::find(&mut db, self.training_id).await? else {
            return Ok(Done::Skipped("the training is gone"));
        };
        drop(db);
        if !is_to_stop(&training) {
            return Ok(Done::Skipped("nothing of the training is to be stopped at FAL"));
        }
        let request = training
            .request()
            .ok_or_else(|| JobError::retry("a training at FAL has no request"))?;
        let outcome = account::heard(cx, cx.fal.cancel(&request).await).await??;
        info!(training.id = %training.id, fal.request_id = %request.request_id, "FAL was told to stop training {}: {outcome:?}", training.id);
        metrics::counter!("aisha_fal_cancels_total", "outcome" => word(outcome)).increment(1);
        let mut tx = cx.begin().await?;
        account::answered(&mut tx, Call::Cancel).await?;
        let effect = match outcome {
            CancelOutcome::Gone => {
                tx.commit().await?;
                return denied(cx, &training).await;
            }
            CancelOutcome::Dequeued => {
                saga::stopped_at_fal(&mut tx, training.id, "FAL took it out of its queue").await?
            }
            CancelOutcome::Requested => {
                saga::stop_signalled(&mut tx, training.id, cx.settings.poll_every).await?
            }
            // FAL has its end already, so the poll fetches it.
            CancelOutcome::TooLate => {
                enqueue(&mut tx, &PollStatus::new(training.id)).await?;
                Effect::Happened
            }
        };
        tx.commit().await?;
        Ok(match effect {
            Effect::Happened => Done::Applied,
            Effect::TooLate => Done::Skipped("the training's end was learnt while FAL was told to stop it"),
        })
    }

    /// The wish and the poll go on; when `saga.cancel_deadline` is over, the training ends without FAL's answer.
    async fn on_dead(&self, _: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        error!(training.id = %self.training_id, "FAL could not be told to stop training {}: {}", self.training_id, why.message);
        Ok(())
    }
}

/// For a while FAL may deny a request that it has only just accepted, and would still run it at our cost:
/// so FAL is told again. These denials count together with those that a poll meets, and a status that
/// knows the request restarts the count.
async fn denied(cx: &Context, training: &Training) -> Result<Done, JobError> {
    const WHAT: &str = "FAL does not have what it is told to stop";
    if let Some(pause) = poll_status::next_look(cx, training, WHAT).await? {
        return Err(JobError::snooze(pause, WHAT));
    }
    if training.status.is_final() {
        return Ok(Done::Skipped(
            "FAL has denied the request often enough; it is watched",
        ));
    }
    poll_status::judge(cx, training).await
}

/// Its end was requested; or it had ended by such a request, and its request at FAL became known afterwards.
fn is_to_stop(training: &Training) -> bool {
    match training.status {
        TrainingStatus::Submitted => training.end_asked.is_some(),
        TrainingStatus::Cancelled => training.late_model == Some(LateModel::Watched),
        _ => false,
    }
}

const fn word(outcome: CancelOutcome) -> &'static str {
    match outcome {
        CancelOutcome::Dequeued => "dequeued",
        CancelOutcome::Requested => "requested",
        CancelOutcome::TooLate => "too_late",
        CancelOutcome::Gone => "gone",
    }
}
