//! Looks at an order that FAL has or may have, until its end is known; works without any webhook.
//!
//! | the order is         | a look                                                                     |
//! |----------------------|---------------------------------------------------------------------------|
//! | submitting (AMBIGUOUS) | looks for the attempt in FAL's request list and adopts it; never posts. Once its time is up, decides (K13) |
//! | submitted            | reads status and logs; once COMPLETED, judges by the result's HTTP status. A status that denies the request, or that we do not understand, is asked again a few times; then the result is asked for anyway |
//! | ended by us, watched | goes on with either, more slowly: a model that comes anyway is kept           |
//! | anything else        | is done: another job was faster, or the next submit enqueues a poll again |
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
use queue::database;
use tracing::{error, info, warn};

use crate::{
    account,
    chaos::{Point, reach},
    clients::fal::{Call, Error, ListQuery, RequestMark, RequestStatus, ResultOutcome},
    context::Context,
    domain::{AtFal, AttemptEvidence, FalRequest, NextJob, OrderId, OrderStatus, TrainingSource},
    job::{Done, JobError},
    saga::{self, Effect, Taken},
    store::{
        attempts::{self, Attempt},
        orders::{self, Observation, Order},
    },
};

/// How many answers in a row must deny or doubt the request before they are believed: as many as for a model's file.
/// With the pauses between them that takes a quarter of an hour at the usual pace.
const LOOKS: i16 = 6;
/// Longest pause between two of them, unless the usual pace is slower still.
const LONGEST_ODD_PAUSE: Duration = Duration::from_mins(10);
/// FAL's last status word, for success and failure alike.
const COMPLETED: &str = "COMPLETED";
/// How many times less often a request is polled after we gave its order up: its user does not wait any more.
const WATCH_SLOWER: u32 = 4;
/// Pause between looks at a request that FAL has lost and whose order has ended;
/// they go on until its archive is gone.
const WATCH_LOST: Duration = Duration::from_hours(24);

/// Looks once. A snooze says when to look again.
pub(crate) async fn poll(cx: &Context, id: OrderId) -> Result<Done, JobError> {
    let mut db = cx.read().await?;
    let Some(order) = orders::find(&mut db, id).await? else {
        return Ok(Done::Skipped("the order is gone"));
    };
    let open = attempts::find_open(&mut db, id).await?;
    let now = database::now(&mut db).await?;
    drop(db);
    let saga = order.saga();
    if saga.carried_by() != Some(NextJob::Poll) {
        return Ok(Done::Skipped("the order is not at FAL"));
    }
    if saga.is_watch_over(&order.times(), now, cx.settings.patience_for(saga)) {
        let mut tx = cx.begin().await?;
        let effect = saga::watch_over(&mut tx, id).await?;
        tx.commit().await?;
        return Ok(match effect {
            Effect::Happened => Done::Applied,
            Effect::TooLate => Done::Skipped("the training's model came at the last moment"),
        });
    }
    match (saga.at_fal, open) {
        (AtFal::Perhaps, Some(attempt)) => adopt_from_list(cx, &order, &attempt, now).await,
        (AtFal::Yes, _) => look(cx, &order).await,
        _ => Ok(Done::Skipped("the order has no attempt that could be looked for")),
    }
}

/// What only this order's request has in its input, so that FAL's list can tell it from others.
fn mark(order: &Order) -> Option<RequestMark<'_>> {
    match order {
        Order::Training(training) => training.archive_url.as_deref().map(RequestMark::Text),
        Order::Generation(generation) => Some(RequestMark::Seeded {
            prompt: &generation.prompt,
            seed: generation.seed.unsigned_abs(),
        }),
    }
}

/// The pause between polls; longer if the order has ended.
fn pace(order: &Order, every: Duration) -> Duration {
    if order.status().is_final() {
        every * WATCH_SLOWER
    } else {
        every
    }
}

/// Searches FAL's request list for an attempt without an answer. If it is not there, that proves nothing (fal.md
/// 6.3), so the search goes on until it or a delivery with its token turns up, or the decision deadline is reached.
async fn adopt_from_list(
    cx: &Context,
    order: &Order,
    attempt: &Attempt,
    now: DateTime<Utc>,
) -> Result<Done, JobError> {
    let query = ListQuery {
        endpoint: &attempt.endpoint,
        since: attempt.created_at,
        token: &attempt.token,
        mark: mark(order),
    };
    let found = account::heard(cx, cx.fal.find_request(&query).await).await??;
    let mut tx = cx.begin().await?;
    account::answered(&mut tx, Call::List).await?;
    tx.commit().await?;
    let Some(request) = found else {
        let saga = order.saga();
        if saga.is_undecided(attempt.created_at, now, cx.settings.patience_for(saga)) {
            return decide(cx, attempt).await;
        }
        return Err(JobError::snooze(
            pace(order, cx.settings.list_every),
            "the attempt is not in FAL's request list yet",
        ));
    };
    let mut tx = cx.begin().await?;
    let adopted = saga::submit_accepted(
        &mut tx,
        order.id(),
        attempt.id,
        &request,
        AttemptEvidence::RequestList,
        cx.settings.first_poll,
    )
    .await?;
    tx.commit().await?;
    if adopted.happened() {
        info!(order.id = %order.id().uuid(), fal.request_id = %request.request_id, "Adopted the lost request of {}", order.id());
    }
    Ok(Done::Applied)
}

/// The list answers without a match, and the time for a proof is over: the attempt is decided (K13).
async fn decide(cx: &Context, attempt: &Attempt) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    let poll_in = cx.settings.list_every * WATCH_SLOWER;
    let id = attempt.order;
    let may_resubmit = match id {
        OrderId::Training(_) => cx.settings.resubmit_unknown,
        // Cents, for somebody who waits.
        OrderId::Generation(_) => !cx.settings.generation.resubmit_after.is_zero(),
    };
    let status = saga::submit_undecided(&mut tx, attempt, may_resubmit, poll_in).await?;
    tx.commit().await?;
    if let Some(status) = status {
        let decision = if status == OrderStatus::Prepared {
            "resubmitted"
        } else {
            "given_up"
        };
        metrics::counter!("aisha_submit_undecided_total", "decision" => decision).increment(1);
        error!(order.id = %id.uuid(), attempt.id = %attempt.id,
            "Nobody could find out in time whether FAL took {id}: {decision}. Look for the token {} in FAL's dashboard",
            attempt.token);
    }
    Ok(Done::Applied)
}

/// The request of a submitted order; the table's CHECK guarantees it.
fn at_fal(order: &Order) -> Result<FalRequest, JobError> {
    order
        .request()
        .ok_or_else(|| JobError::retry("a submitted order has no request"))
}

/// One look at a request that FAL has.
async fn look(cx: &Context, order: &Order) -> Result<Done, JobError> {
    let request = at_fal(order)?;
    let status = match account::heard(cx, cx.fal.status(&request).await).await? {
        Ok(status) => status,
        Err(
            odd @ (Error::Missing { .. }
            | Error::Refused { .. }
            | Error::Garbled { .. }
            | Error::Encoded { .. }
            | Error::TooLarge { .. }),
        ) => return odd_look(cx, order, &odd.to_string()).await,
        Err(error) => return Err(error.into()),
    };
    let seen = match status {
        RequestStatus::Completed if webhook_had_its_chance(cx, order) => return judge(cx, order).await,
        RequestStatus::Completed => {
            note(
                cx,
                order,
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
            return odd_look(cx, order, &format!("FAL's status is the unknown word {word:?}")).await;
        }
    };
    note(cx, order, &seen).await?;
    Err(JobError::snooze(
        pace(order, cx.settings.poll_every),
        seen.fal_status,
    ))
}

/// If a poll sees COMPLETED a moment before the webhook arrives, it would count the training as one whose webhook was
/// lost, and that count tells operators that webhooks are broken (D1). So the first sight of COMPLETED is only
/// recorded, and the next one acts on it.
fn webhook_had_its_chance(cx: &Context, order: &Order) -> bool {
    cx.settings.webhook.is_none()
        || cx.settings.webhook_grace.is_zero()
        || order.fal_status() == Some(COMPLETED)
}

async fn note(cx: &Context, order: &Order, seen: &Observation<'_>) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    account::answered(&mut tx, Call::Status).await?;
    saga::observed(&mut tx, order, seen).await?;
    Ok(tx.commit().await?)
}

/// FAL denies the request, or answers something about it that cannot be understood: for a moment, or for ever. If
/// that goes on, the result is fetched anyway, and decides. FAL has reported failed requests as running for
/// ever (<https://github.com/fal-ai/fal/issues/1143>).
async fn odd_look(cx: &Context, order: &Order, what: &str) -> Result<Done, JobError> {
    match next_look(cx, order, what).await? {
        Some(pause) => Err(JobError::snooze(pause, what)),
        None => judge(cx, order).await,
    }
}

/// The result call reports either the request's end or a moment's trouble of FAL's: it is believed after several such
/// answers. FAL did not say that the request failed, so a later result is kept.
async fn doubted(cx: &Context, order: &Order, what: &str) -> Result<Done, JobError> {
    if let Some(pause) = next_look(cx, order, what).await? {
        return Err(JobError::snooze(pause, what));
    }
    if order.status().is_final() {
        // The user was told of the end. As long as the model can come, FAL may find the request again.
        return Err(JobError::snooze(WATCH_LOST, what));
    }
    let mut tx = cx.begin().await?;
    let poll_in = cx.settings.poll_every * WATCH_SLOWER;
    let taken = saga::lost_at_fal(&mut tx, order.id(), what, poll_in).await?;
    tx.commit().await?;
    if taken == Taken::Applied {
        error!(order.id = %order.id().uuid(), "The {} ended: FAL lost its request, as it said {LOOKS} times: {what}", order.id());
    }
    Ok(Done::Applied)
}

/// Counts an answer that denies the request or says nothing about it. Returns when to look again. `None`: there were
/// enough such answers to believe them.
pub(crate) async fn next_look(cx: &Context, order: &Order, what: &str) -> Result<Option<Duration>, JobError> {
    let mut tx = cx.begin().await?;
    let seen = orders::odd_answer(&mut tx, order.id()).await?;
    tx.commit().await?;
    warn!(order.id = %order.id().uuid(), "Look {seen} at {} tells nothing: {what}", order.id());
    Ok((seen < LOOKS).then(|| odd_pause(cx, order, seen)))
}

/// The pause doubles after each odd answer.
fn odd_pause(cx: &Context, order: &Order, seen: i16) -> Duration {
    let usual = pace(order, cx.settings.poll_every);
    let doublings = u32::from(seen.clamp(0, LOOKS).unsigned_abs());
    (usual * 2_u32.pow(doublings)).min(LONGEST_ODD_PAUSE.max(usual))
}

/// FAL calls a failed request COMPLETED too; the status code of the result tells them apart (fal.md 1.5).
pub(crate) async fn judge(cx: &Context, order: &Order) -> Result<Done, JobError> {
    let outcome = match account::heard(cx, cx.fal.result(&at_fal(order)?).await).await? {
        Ok(ResultOutcome::Gone) => return doubted(cx, order, "FAL does not have the result").await,
        Err(Error::Doubtful(failure)) => return doubted(cx, order, &failure.to_string()).await,
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
            saga::succeeded(&mut tx, order.id(), output, TrainingSource::Poll).await?
        }
        ResultOutcome::Failed(failure) => {
            saga::failed_at_fal(
                &mut tx,
                order.id(),
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
    if taken != Taken::Late && !order.has_result() && cx.settings.webhook.is_some() {
        metrics::counter!("aisha_reconcile_found_total", "what" => "webhook_lost").increment(1);
        info!(order.id = %order.id().uuid(), "Polling learnt the end of {} before any webhook", order.id());
    }
    Ok(Done::Applied)
}
