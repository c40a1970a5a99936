//! One POST for an order: the attempt's row before it, its outcome after it.
//!
//! # Must stay true
//! * at most one POST of a training whose fate is unknown or accepted, ever — `a_submit_whose_answer_is_lost_is_adopted_and_never_repeated`
//! * a worker that slept past its lease does not send          — `a_withheld_submit_puts_no_byte_on_the_wire`
//! * a refused account parks all submits and fails none         — `a_locked_account_parks_every_submit_until_a_probe_succeeds`
//!
//! # If we die …
//! | …                                  | the next run finds            | and                                     |
//! |------------------------------------|-------------------------------|-----------------------------------------|
//! | before the attempt is committed    | the order prepared            | posts                                   |
//! | after that, before or in the POST  | `submitting`, an open attempt | leaves it to `poll_status`; never posts |
//! | after the answer is recorded       | `submitted`                   | does nothing                            |
//!
//! FAL has no idempotency key (docs/adr/0003-one-paid-submit.md). Read next: `saga.rs`, `clients/fal.rs`.

use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Postgres, Transaction};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    account,
    chaos::{Point, reach},
    clients::fal::{Call, SubmitOutcome},
    context::Context,
    domain::{AttemptEvidence, AttemptOutcome, FailureCode, FalRequest, OrderId},
    job::{DeadReason, Done, JobError},
    saga,
    store::{
        attempts::{self, NewAttempt},
        orders,
    },
};

/// A proof overrides our classification of an error.
const PROVEN: &str = "a delivery proved meanwhile that FAL has it";
/// Dead reason of a submit that FAL refused because of its content.
const REFUSED: &str = "fal_refused";

/// One POST, ready to be committed and sent.
pub(crate) struct Posting {
    pub order: OrderId,
    /// 128 random bits as 32 hex digits: what a lost request is found again by.
    pub token: String,
    pub endpoint: String,
    pub body: Value,
    /// Where FAL delivers. `None`: it does not, and polling alone learns the end.
    pub webhook_url: Option<String>,
}

impl Posting {
    /// Commits the attempt, posts once, and records the outcome. `book` may still refuse, in the attempt's transaction.
    pub(crate) async fn send(
        self,
        cx: &Context,
        book: impl AsyncFnOnce(&Context, &mut PgConnection) -> Result<(), JobError>,
    ) -> Result<Done, JobError> {
        reach(Point::SubmitBeforeAttempt);
        let Some(attempt) = self.commit(cx, book).await? else {
            return Ok(Done::Skipped("somebody else took the order meanwhile"));
        };
        // From here to the answer FAL may have the request: no code below may post again, and the order fails only
        // if FAL said that it did not accept it.
        let claim = cx.claim().clone();
        let outcome = cx
            .fal
            .submit(
                &self.endpoint,
                &self.body,
                self.webhook_url.as_deref(),
                move || {
                    reach(Point::SubmitBeforeFirstByte);
                    claim.holds_lease()
                },
            )
            .await;
        reach(Point::SubmitAnswered);
        self.settle(cx, attempt, outcome).await
    }

    /// Commits the attempt under our claim's fence: a run whose claim is lost must not open one.
    async fn commit(
        &self,
        cx: &Context,
        book: impl AsyncFnOnce(&Context, &mut PgConnection) -> Result<(), JobError>,
    ) -> Result<Option<Uuid>, JobError> {
        let mut tx = cx.begin().await?;
        cx.fence(&mut tx).await?;
        book(cx, &mut tx).await?;
        let input_sha256 = hex::encode(Sha256::digest(self.body.to_string()));
        let attempt = NewAttempt {
            token: &self.token,
            endpoint: &self.endpoint,
            input: &self.body,
            input_sha256: &input_sha256,
            webhook_url: self.webhook_url.as_deref(),
        };
        let attempt = saga::begin_submit(&mut tx, self.order, &attempt, cx.settings.first_poll).await?;
        tx.commit().await?;
        Ok(attempt)
    }

    /// Records the outcome of the POST. Not fenced: whether FAL has the request is a fact, whichever run reports it,
    /// and the attempt's own compare-and-set keeps the first proof.
    async fn settle(&self, cx: &Context, attempt: Uuid, outcome: SubmitOutcome) -> Result<Done, JobError> {
        match outcome {
            SubmitOutcome::Accepted(request) => self.accepted(cx, attempt, &request).await,
            SubmitOutcome::Unknown(why) => self.leave_open(cx, attempt, &why).await,
            SubmitOutcome::NotSent(why) => {
                let tx = cx.begin().await?;
                self.not_taken(tx, attempt, AttemptOutcome::NotSent, &why, JobError::retry(&why))
                    .await
            }
            SubmitOutcome::Busy { retry_after } => {
                let mut tx = cx.begin().await?;
                account::answered(&mut tx, Call::Submit).await?;
                let verdict = JobError::snooze(retry_after, "FAL is busy (429)");
                self.not_taken(tx, attempt, AttemptOutcome::Refused, "429", verdict)
                    .await
            }
            SubmitOutcome::Locked(why) | SubmitOutcome::Moved(why) => {
                let mut tx = cx.begin().await?;
                account::refused(&mut tx, cx, Call::Submit, &why).await?;
                let verdict = JobError::snooze(cx.settings.probe_every, &why);
                self.not_taken(tx, attempt, AttemptOutcome::Refused, &why, verdict)
                    .await
            }
            SubmitOutcome::Refused { status, detail } => {
                let mut tx = cx.begin().await?;
                account::answered(&mut tx, Call::Submit).await?;
                let why = format!("{status}: {detail}");
                let verdict = JobError::give_up(REFUSED, &why);
                self.not_taken(tx, attempt, AttemptOutcome::Refused, &why, verdict)
                    .await
            }
        }
    }

    /// The outcome of the attempt is unknown: it stays open, and `poll_status` searches for it.
    async fn leave_open(&self, cx: &Context, attempt: Uuid, why: &str) -> Result<Done, JobError> {
        let id = self.order;
        let mut tx = cx.begin().await?;
        let is_unknown = attempts::unknown(&mut tx, attempt, why).await?;
        tx.commit().await?;
        if !is_unknown {
            return Ok(Done::Skipped(PROVEN));
        }
        metrics::counter!("aisha_submit_unknown_outcome_total").increment(1);
        warn!(order.id = %id.uuid(), "Nobody knows whether FAL took {id} ({why}); it is looked for, not repeated");
        Ok(Done::Applied)
    }

    /// FAL has accepted the request, under this id.
    async fn accepted(&self, cx: &Context, attempt: Uuid, request: &FalRequest) -> Result<Done, JobError> {
        let id = self.order;
        let mut tx = cx.begin().await?;
        account::answered(&mut tx, Call::Submit).await?;
        let accepted = saga::submit_accepted(
            &mut tx,
            id,
            attempt,
            request,
            AttemptEvidence::Answer,
            cx.settings.first_poll,
        )
        .await?;
        let is_second = !accepted.happened() && {
            let order = orders::find(&mut tx, id).await?;
            order.as_ref().and_then(orders::Order::request_id) != Some(&request.request_id)
        };
        tx.commit().await?;
        if is_second {
            saga::report_double_cost(id, &request.request_id);
        }
        info!(order.id = %id.uuid(), fal.request_id = %request.request_id, "FAL accepted {id}");
        Ok(Done::Applied)
    }

    /// Settles the attempt in `tx`, and commits.
    async fn not_taken(
        &self,
        mut tx: Transaction<'static, Postgres>,
        attempt: Uuid,
        outcome: AttemptOutcome,
        why: &str,
        verdict: JobError,
    ) -> Result<Done, JobError> {
        let settled = saga::submit_not_accepted(&mut tx, self.order, attempt, outcome, why).await?;
        tx.commit().await?;
        if settled.happened() {
            Err(verdict)
        } else {
            Ok(Done::Skipped(PROVEN))
        }
    }
}

/// A submit's job is dead. An open attempt is left to the poll; otherwise the order fails, with FAL's refusal as its reason
/// or a fault of ours.
pub(crate) async fn submit_is_dead(
    tx: &mut PgConnection,
    id: OrderId,
    why: &DeadReason,
) -> Result<(), JobError> {
    if attempts::find_open(tx, id).await?.is_some() {
        error!(order.id = %id.uuid(), "The submit of {id} is dead with an attempt open; poll_status goes on");
        return Ok(());
    }
    let code = if why.code == REFUSED {
        FailureCode::RejectedByProvider
    } else {
        FailureCode::Internal
    };
    if saga::gave_up(tx, id, code, &why.message).await?.happened() {
        error!(order.id = %id.uuid(), "The {id} failed: it could not be submitted: {}", why.message);
    }
    Ok(())
}
