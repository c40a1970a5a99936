//! Asks FAL to train one avatar, once.
//!
//! Needs a training in `archived`; leaves it `submitted`, or `submitting` with an open attempt if it is unknown
//! whether FAL accepted it. The job does not wait: `poll_status` (enqueued with the attempt) and
//! `apply_fal_delivery` learn what happens next.
//!
//! # Must stay true
//! * at most one POST whose fate is unknown or accepted, ever — `a_submit_whose_answer_is_lost_is_adopted_and_never_repeated`
//! * a worker that slept past its lease does not send          — `a_withheld_submit_puts_no_byte_on_the_wire`
//! * an archive that FAL cannot fetch is not submitted, and not built for ever — `an_archive_that_fal_never_finds_fails_the_training_after_three`
//! * a refused account parks all submits and fails none         — `a_locked_account_parks_every_submit_until_a_probe_succeeds`
//! * a day has a limited number of submits for all users, whatever the number of workers — `the_accounts_trainings_of_a_day_park_the_rest_and_fail_none`
//! * running out of attempts never fails an open attempt (K12) — `a_dead_submit_leaves_an_ambiguous_attempt_to_the_poll`
//!
//! # If we die …
//! | …                                  | the next run finds            | and                                     |
//! |------------------------------------|-------------------------------|-----------------------------------------|
//! | before the attempt is committed    | `archived`                    | posts                                   |
//! | after that, before or in the POST  | `submitting`, an open attempt | leaves it to `poll_status`; never posts |
//! | after the answer is recorded       | `submitted`                   | does nothing                            |
//!
//! FAL has no idempotency key (docs/adr/0003-one-paid-submit.md). Read next: `saga.rs`, `clients/fal.rs`.

use chrono::{DateTime, Utc};
use queue::{Run, database};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::{PgConnection, Postgres, Transaction};
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::{
    account,
    chaos::{Point, reach},
    clients::fal::{Call, SubmitOutcome},
    context::{ArchiveDelivery, Context, Services},
    domain::{
        AttemptEvidence, AttemptOutcome, FailureCode, FalRequest, FinetuneComment, Preset, TrainingId,
        TrainingOrder, TrainingStatus,
    },
    job::{DeadReason, Done, JobError},
    payloads::SubmitTraining,
    saga::{self, ArchiveLost},
    store::{
        attempts::{self, NewAttempt},
        trainings::{self, Training},
    },
};

mod booking;

impl Run<Services> for SubmitTraining {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(training) = trainings::find(&mut db, self.training_id).await? else {
            return Ok(Done::Skipped("the training is gone"));
        };
        match training.status {
            TrainingStatus::Archived => {}
            TrainingStatus::Submitting => {
                return Ok(Done::Skipped("an attempt is open; poll_status learns its fate"));
            }
            _ => return Ok(Done::Skipped("the training is not waiting to be submitted")),
        }
        let now = database::now(&mut db).await?;
        drop(db);
        booking::admit(cx, training.id).await?;
        account::admit_submit(cx).await?;
        if let Some(loss) = archive_loss(cx, &training, now).await? {
            return archive_lost(cx, &training, loss).await;
        }
        let posting = Posting::prepare(cx, &training).await?;
        reach(Point::SubmitBeforeAttempt);
        let Some(attempt) = posting.commit(cx).await? else {
            return Ok(Done::Skipped("somebody else took the training meanwhile"));
        };
        // From here to the answer FAL may have the request: no code below may post again, and the training fails only
        // if FAL said that it did not accept it.
        let claim = cx.claim().clone();
        let outcome = cx
            .fal
            .submit(
                &posting.endpoint,
                &posting.body,
                posting.webhook_url.as_deref(),
                move || {
                    reach(Point::SubmitBeforeFirstByte);
                    claim.holds_lease()
                },
            )
            .await;
        reach(Point::SubmitAnswered);
        posting.settle(cx, attempt, outcome).await
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        if attempts::find_open(tx, self.training_id).await?.is_some() {
            error!(training.id = %self.training_id, "Submit of training {} is dead with an attempt open; poll_status goes on", self.training_id);
            return Ok(());
        }
        let code = if why.code == REFUSED {
            FailureCode::RejectedByProvider
        } else {
            FailureCode::Internal
        };
        if saga::gave_up(tx, self.training_id, code, &why.message)
            .await?
            .happened()
        {
            error!(training.id = %self.training_id, "Training {} failed: it could not be submitted: {}", self.training_id, why.message);
        }
        Ok(())
    }
}

/// A proof overrides our classification of an error.
const PROVEN: &str = "a delivery proved meanwhile that FAL has it";
/// Dead reason of a submit that FAL refused because of its content.
const REFUSED: &str = "fal_refused";

/// Why FAL could not train on the training's archive: a lost or expired archive would cost a failed training (K21).
async fn archive_loss(
    cx: &Context,
    training: &Training,
    now: DateTime<Utc>,
) -> Result<Option<&'static str>, JobError> {
    let Some(url) = &training.archive_url else {
        return Ok(Some("it was never stored"));
    };
    if training
        .saga()
        .is_archive_too_old(&training.times(), now, &cx.settings.patience)
    {
        return Ok(Some(
            "it would be gone before FAL's queue has to be through with it",
        ));
    }
    if cx.fal.exists(url).await? {
        return Ok(None);
    }
    Ok(Some(match cx.settings.archive_delivery {
        ArchiveDelivery::FalStorage => {
            "FAL's storage hides our files: make uploads readable in the account's storage settings"
        }
        ArchiveDelivery::Presigned => {
            "our store does not hand it out at s3.public_endpoint: check that address, the bucket's policy and the clocks"
        }
    }))
}

/// Has the archive built again, or gives the training up after too many lost archives.
async fn archive_lost(cx: &Context, training: &Training, loss: &'static str) -> Result<Done, JobError> {
    let mut tx = cx.begin().await?;
    let outcome = saga::archive_lost(
        &mut tx,
        training.id,
        &format!("FAL cannot fetch the archive: {loss}"),
    )
    .await?;
    if outcome == ArchiveLost::TooLate {
        return Ok(Done::Skipped("somebody else took the training meanwhile"));
    }
    // The job ends here and not by an ack: the rebuilt archive enqueues this kind and key again, perhaps before an
    // ack.
    cx.complete_in(&mut tx).await?;
    tx.commit().await?;
    metrics::counter!("aisha_archives_lost_total").increment(1);
    if outcome == ArchiveLost::GivenUp {
        error!(training.id = %training.id, "Training {} failed: FAL cannot fetch its archive, which was built again and again: {loss}", training.id);
    } else {
        warn!(training.id = %training.id, "The archive of training {} is built again, since FAL cannot fetch it: {loss}", training.id);
    }
    Ok(Done::Committed)
}

/// One POST, ready to be committed and sent.
struct Posting {
    training: TrainingId,
    token: String,
    endpoint: String,
    body: Value,
    body_sha256: String,
    webhook_url: Option<String>,
}

impl Posting {
    async fn prepare(cx: &Context, training: &Training) -> Result<Self, JobError> {
        let trainer = cx.trainers.get(&training.trainer).ok_or_else(|| {
            JobError::give_up(
                "unknown_trainer",
                format_args!("trainer {:?} is not in config/trainers.toml", training.trainer),
            )
        })?;
        let preset: Preset = training
            .preset
            .parse()
            .map_err(|problem| JobError::give_up("unknown_preset", problem))?;
        let mut db = cx.read().await?;
        let owner = trainings::owner(&mut db, training.id).await?;
        let token = cx.chance.token();
        let body = trainer.request(&TrainingOrder {
            archive_url: training.archive_url.as_deref().unwrap_or_default(),
            trigger: &training.trigger_phrase,
            preset,
            comment: FinetuneComment {
                avatar_name: owner.avatar_name.as_deref(),
                telegram_username: owner.username.as_deref(),
                user_id: training.user_id,
                token: &token,
            },
        });
        let body_sha256 = hex::encode(Sha256::digest(body.to_string()));
        let webhook_url = cx
            .settings
            .webhook
            .as_ref()
            .map(|base| base.url_for(training.training_type, &token).into());
        Ok(Self {
            training: training.id,
            token,
            endpoint: trainer.endpoint.clone(),
            body,
            body_sha256,
            webhook_url,
        })
    }

    /// Commits the attempt under our claim's fence: a run whose claim is lost must not open one.
    async fn commit(&self, cx: &Context) -> Result<Option<Uuid>, JobError> {
        let mut tx = cx.begin().await?;
        cx.fence(&mut tx).await?;
        booking::take(cx, &mut tx).await?;
        let attempt = NewAttempt {
            token: &self.token,
            endpoint: &self.endpoint,
            input: &self.body,
            input_sha256: &self.body_sha256,
            webhook_url: self.webhook_url.as_deref(),
        };
        let attempt = saga::begin_submit(&mut tx, self.training, &attempt, cx.settings.first_poll).await?;
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
        let id = self.training;
        let mut tx = cx.begin().await?;
        let is_unknown = attempts::unknown(&mut tx, attempt, why).await?;
        tx.commit().await?;
        if !is_unknown {
            return Ok(Done::Skipped(PROVEN));
        }
        metrics::counter!("aisha_submit_unknown_outcome_total").increment(1);
        warn!(training.id = %id, "Nobody knows whether FAL took training {id} ({why}); it is looked for, not repeated");
        Ok(Done::Applied)
    }

    /// FAL has accepted the request, under this id.
    async fn accepted(&self, cx: &Context, attempt: Uuid, request: &FalRequest) -> Result<Done, JobError> {
        let id = self.training;
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
            let training = trainings::find(&mut tx, id).await?;
            training.and_then(|training| training.request_id).as_deref() != Some(&request.request_id)
        };
        tx.commit().await?;
        if is_second {
            saga::report_double_cost(id, &request.request_id);
        }
        info!(training.id = %id, fal.request_id = %request.request_id, "FAL accepted training {id}");
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
        let settled = saga::submit_not_accepted(&mut tx, self.training, attempt, outcome, why).await?;
        tx.commit().await?;
        if settled.happened() {
            Err(verdict)
        } else {
            Ok(Done::Skipped(PROVEN))
        }
    }
}
