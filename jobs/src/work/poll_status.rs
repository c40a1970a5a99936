//! Asks FAL about a training until its end is known; works without any webhook.
//!
//! Enqueued in the transaction that commits a submit attempt, and again in the one that records its request id. It
//! snoozes between looks, so waiting costs no attempt and no slot.
//!
//! | the training is      | it                                                                        |
//! |----------------------|---------------------------------------------------------------------------|
//! | submitting (AMBIGUOUS) | looks for the attempt in FAL's request list and adopts it; never posts. Once its time is up, decides (K13) |
//! | submitted            | reads status and logs; once COMPLETED, judges by the result's HTTP status. A status that denies the request, or that we do not understand, is asked again a few times; then the result is asked for anyway |
//! | ended by us, watched | goes on with either, more slowly: a model that comes anyway is kept           |
//! | anything else        | is done: another job was faster, or the next submit enqueues this one again |
//!
//! # Must stay true
//! * COMPLETED does not mean success; the HTTP status of the result decides — `a_completed_request_with_an_error_result_fails_the_training`
//! * the poll that first sees COMPLETED leaves the webhook some time — `a_poll_that_sees_completed_gives_the_webhook_a_moment`
//! * one odd answer ends nothing, but odd answers are not tolerated for ever — `an_answer_that_denies_a_request_is_believed_after_a_few_looks`
//! * webhook and poll may race: one effect                  — `webhook_and_poll_together_have_one_effect`
//! * no decision while FAL's list does not answer           — `a_submit_is_not_decided_while_the_list_is_away`
//! * without any webhook the training completes             — `a_training_whose_webhooks_are_all_lost_completes_by_polling`
//!
//! # If we die
//! At any point: nothing is held in memory; the next run reads the row and asks again.
//!
//! Read next: `saga.rs`, `clients/fal.rs`.

use std::time::Duration;

use chrono::{DateTime, Utc};
use queue::{Run, database};
use sqlx::PgConnection;
use tracing::{error, info, warn};

use crate::{
    account,
    chaos::{Point, reach},
    clients::fal::{Call, Error, ListQuery, RequestStatus, ResultOutcome},
    context::{Context, Services},
    domain::{AtFal, AttemptEvidence, FalRequest, NextJob, TrainingSource, TrainingStatus},
    enqueue::enqueue_in,
    job::{DeadReason, Done, JobError},
    payloads::PollStatus,
    saga::{self, Effect, Taken},
    store::{
        attempts::{self, Attempt},
        trainings::{self, Observation, Training},
    },
};

/// How long after its last failed look a dead poll starts over: a training at FAL is never left without a poll.
const START_OVER_AFTER: Duration = Duration::from_mins(5);
/// How many answers in a row must deny or doubt the request before they are believed: as many as for a model's file.
/// With the pauses between them that takes a quarter of an hour at the usual pace.
const LOOKS: i16 = 6;
/// Longest pause between two of them, unless the usual pace is slower still.
const LONGEST_ODD_PAUSE: Duration = Duration::from_mins(10);
/// FAL's last status word, for success and failure alike.
const COMPLETED: &str = "COMPLETED";
/// How many times less often a request is polled after we gave its training up: its user does not wait any more.
const WATCH_SLOWER: u32 = 4;
/// Pause between looks at a request that FAL has lost and whose training has ended;
/// they go on until its archive is gone.
const WATCH_LOST: Duration = Duration::from_hours(24);

impl Run<Services> for PollStatus {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(training) = trainings::find(&mut db, self.training_id).await? else {
            return Ok(Done::Skipped("the training is gone"));
        };
        let open = attempts::find_open(&mut db, self.training_id).await?;
        let now = database::now(&mut db).await?;
        drop(db);
        let saga = training.saga();
        if saga.carried_by() != Some(NextJob::Poll) {
            return Ok(Done::Skipped("the training is not at FAL"));
        }
        if saga.is_watch_over(&training.times(), now, &cx.settings.patience) {
            let mut tx = cx.begin().await?;
            let effect = saga::watch_over(&mut tx, training.id).await?;
            tx.commit().await?;
            return Ok(match effect {
                Effect::Happened => Done::Applied,
                Effect::TooLate => Done::Skipped("the training's model came at the last moment"),
            });
        }
        match (saga.at_fal, open) {
            (AtFal::Perhaps, Some(attempt)) => adopt_from_list(cx, &training, &attempt, now).await,
            (AtFal::Yes, _) => look(cx, &training).await,
            _ => Ok(Done::Skipped(
                "the training has no attempt that could be looked for",
            )),
        }
    }

    /// A training that FAL has or may have is never left without a poll: the successor starts with all its attempts.
    async fn on_dead(&self, tx: &mut PgConnection, _: &DeadReason) -> Result<(), JobError> {
        let training = trainings::find(tx, self.training_id).await?;
        if training.is_some_and(|training| training.saga().carried_by() == Some(NextJob::Poll)) {
            enqueue_in(tx, self, START_OVER_AFTER).await?;
        }
        Ok(())
    }
}

/// The pause between polls; longer if the training has ended.
fn pace(training: &Training, every: Duration) -> Duration {
    if training.status.is_final() {
        every * WATCH_SLOWER
    } else {
        every
    }
}

/// Searches FAL's request list for an attempt without an answer. If it is not there, that proves nothing (fal.md
/// 6.3), so the search goes on until it or a delivery with its token turns up, or the decision deadline is reached.
async fn adopt_from_list(
    cx: &Context,
    training: &Training,
    attempt: &Attempt,
    now: DateTime<Utc>,
) -> Result<Done, JobError> {
    let query = ListQuery {
        endpoint: &attempt.endpoint,
        since: attempt.created_at,
        token: &attempt.token,
        archive_url: training.archive_url.as_deref(),
    };
    let found = account::heard(cx, cx.fal.find_request(&query).await).await??;
    let mut tx = cx.begin().await?;
    account::answered(&mut tx, Call::List).await?;
    tx.commit().await?;
    let Some(request) = found else {
        if training
            .saga()
            .is_undecided(attempt.created_at, now, &cx.settings.patience)
        {
            return decide(cx, attempt).await;
        }
        return Err(JobError::snooze(
            pace(training, cx.settings.list_every),
            "the attempt is not in FAL's request list yet",
        ));
    };
    let mut tx = cx.begin().await?;
    let adopted = saga::submit_accepted(
        &mut tx,
        training.id,
        attempt.id,
        &request,
        AttemptEvidence::RequestList,
        cx.settings.first_poll,
    )
    .await?;
    tx.commit().await?;
    if adopted.happened() {
        info!(training.id = %training.id, fal.request_id = %request.request_id, "Adopted the lost request of training {}", training.id);
    }
    Ok(Done::Applied)
}

/// The list answers without a match, and the time for a proof is over: the attempt is decided (K13).
async fn decide(cx: &Context, attempt: &Attempt) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    let poll_in = cx.settings.list_every * WATCH_SLOWER;
    let status = saga::submit_undecided(&mut tx, attempt, cx.settings.resubmit_unknown, poll_in).await?;
    tx.commit().await?;
    let id = attempt.training_id;
    if let Some(status) = status {
        let decision = if status == TrainingStatus::Archived {
            "resubmitted"
        } else {
            "given_up"
        };
        metrics::counter!("aisha_submit_undecided_total", "decision" => decision).increment(1);
        error!(training.id = %id, attempt.id = %attempt.id,
            "Nobody could find out whether FAL took training {id} within {:?}: {decision}. Look for the token {} in FAL's dashboard",
            cx.settings.patience.decide, attempt.token);
    }
    Ok(Done::Applied)
}

/// The request of a submitted training; the table's CHECK guarantees it.
fn at_fal(training: &Training) -> Result<FalRequest, JobError> {
    training
        .request()
        .ok_or_else(|| JobError::retry("a submitted training has no request"))
}

/// One look at a request that FAL has.
async fn look(cx: &Context, training: &Training) -> Result<Done, JobError> {
    let request = at_fal(training)?;
    let status = match account::heard(cx, cx.fal.status(&request).await).await? {
        Ok(status) => status,
        Err(
            odd @ (Error::Missing { .. }
            | Error::Refused { .. }
            | Error::Garbled { .. }
            | Error::Encoded { .. }
            | Error::TooLarge { .. }),
        ) => return odd_look(cx, training, &odd.to_string()).await,
        Err(error) => return Err(error.into()),
    };
    let seen = match status {
        RequestStatus::Completed if webhook_had_its_chance(cx, training) => return judge(cx, training).await,
        RequestStatus::Completed => {
            note(
                cx,
                training,
                &Observation {
                    fal_status: COMPLETED,
                    queue_position: None,
                    progress: None,
                    message: None,
                },
            )
            .await?;
            return Err(JobError::snooze(
                cx.settings.webhook_grace,
                "COMPLETED; its webhook is given a moment",
            ));
        }
        RequestStatus::Queued { position } => Observation {
            fal_status: "IN_QUEUE",
            queue_position: position,
            progress: None,
            message: None,
        },
        RequestStatus::Running {
            progress,
            ref message,
        } => Observation {
            fal_status: "IN_PROGRESS",
            queue_position: None,
            progress,
            message: message.as_deref(),
        },
        RequestStatus::Unknown(word) => {
            return odd_look(
                cx,
                training,
                &format!("FAL's status is the unknown word {word:?}"),
            )
            .await;
        }
    };
    note(cx, training, &seen).await?;
    Err(JobError::snooze(
        pace(training, cx.settings.poll_every),
        seen.fal_status,
    ))
}

/// If a poll sees COMPLETED a moment before the webhook arrives, it would count the training as one whose webhook was
/// lost, and that count tells operators that webhooks are broken (D1). So the first sight of COMPLETED is only
/// recorded, and the next one acts on it.
fn webhook_had_its_chance(cx: &Context, training: &Training) -> bool {
    cx.settings.webhook.is_none()
        || cx.settings.webhook_grace.is_zero()
        || training.fal_status.as_deref() == Some(COMPLETED)
}

async fn note(cx: &Context, training: &Training, seen: &Observation<'_>) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    account::answered(&mut tx, Call::Status).await?;
    saga::observed(&mut tx, training, seen).await?;
    Ok(tx.commit().await?)
}

/// FAL denies the request, or answers something about it that cannot be understood: for a moment, or for ever. If
/// that goes on, the result is fetched anyway, and decides. FAL has reported failed requests as running for
/// ever (<https://github.com/fal-ai/fal/issues/1143>).
async fn odd_look(cx: &Context, training: &Training, what: &str) -> Result<Done, JobError> {
    match next_look(cx, training, what).await? {
        Some(pause) => Err(JobError::snooze(pause, what)),
        None => judge(cx, training).await,
    }
}

/// The result call reports either the request's end or a moment's trouble of FAL's: it is believed after several such
/// answers. FAL did not say that the request failed, so a later result is kept.
async fn doubted(cx: &Context, training: &Training, what: &str) -> Result<Done, JobError> {
    if let Some(pause) = next_look(cx, training, what).await? {
        return Err(JobError::snooze(pause, what));
    }
    if training.status.is_final() {
        // The user was told of the end. As long as the model can come, FAL may find the request again.
        return Err(JobError::snooze(WATCH_LOST, what));
    }
    let mut tx = cx.begin().await?;
    let poll_in = cx.settings.poll_every * WATCH_SLOWER;
    let taken = saga::lost_at_fal(&mut tx, training.id, what, poll_in).await?;
    tx.commit().await?;
    if taken == Taken::Applied {
        error!(training.id = %training.id, "Training {} ended: FAL lost its request, as it said {LOOKS} times: {what}", training.id);
    }
    Ok(Done::Applied)
}

/// Counts an answer that denies the request or says nothing about it. Returns when to look again. `None`: there were
/// enough such answers to believe them.
pub(crate) async fn next_look(
    cx: &Context,
    training: &Training,
    what: &str,
) -> Result<Option<Duration>, JobError> {
    let mut tx = cx.begin().await?;
    let seen = trainings::odd_answer(&mut tx, training.id).await?;
    tx.commit().await?;
    warn!(training.id = %training.id, "Look {seen} at training {} tells nothing: {what}", training.id);
    Ok((seen < LOOKS).then(|| odd_pause(cx, training, seen)))
}

/// The pause doubles after each odd answer.
fn odd_pause(cx: &Context, training: &Training, seen: i16) -> Duration {
    let usual = pace(training, cx.settings.poll_every);
    let doublings = u32::from(seen.clamp(0, LOOKS).unsigned_abs());
    (usual * 2_u32.pow(doublings)).min(LONGEST_ODD_PAUSE.max(usual))
}

/// FAL calls a failed request COMPLETED too; the status code of the result tells them apart (fal.md 1.5).
pub(crate) async fn judge(cx: &Context, training: &Training) -> Result<Done, JobError> {
    let outcome = match account::heard(cx, cx.fal.result(&at_fal(training)?).await).await? {
        Ok(ResultOutcome::Gone) => return doubted(cx, training, "FAL does not have the result").await,
        Err(Error::Doubtful(failure)) => return doubted(cx, training, &failure.to_string()).await,
        outcome => outcome?,
    };
    reach(Point::PollAnswered);
    let mut tx = cx.begin().await?;
    let taken = match &outcome {
        ResultOutcome::NotReady | ResultOutcome::Gone => {
            return Err(JobError::snooze(
                cx.settings.poll_every,
                "the result is not ready yet",
            ));
        }
        ResultOutcome::Succeeded(output) => {
            saga::succeeded(&mut tx, training.id, output, TrainingSource::Poll).await?
        }
        ResultOutcome::Failed(failure) => {
            saga::failed_at_fal(
                &mut tx,
                training.id,
                failure.code(),
                &failure.to_string(),
                TrainingSource::Poll,
            )
            .await?
        }
    };
    // Both calls were answered on the way here.
    account::answered(&mut tx, Call::Status).await?;
    account::answered(&mut tx, Call::Result).await?;
    tx.commit().await?;
    // A training that ended while its model was being copied had its result, and its webhook.
    if taken != Taken::Late && training.result.is_none() && cx.settings.webhook.is_some() {
        metrics::counter!("aisha_reconcile_found_total", "what" => "webhook_lost").increment(1);
        info!(training.id = %training.id, "Polling learnt the end of training {} before any webhook", training.id);
    }
    Ok(Done::Applied)
}
