//! Copies a trained model to our bucket, verifies it, and completes the avatar.
//!
//! FAL's URLs are caches that expire. So `completed` means: a LoRA in our bucket, hashed, whose safetensors header
//! fits its bytes; or a finetune id of the right shape. There is no fallback model.
//!
//! A file that is no model may be a moment's trouble of FAL's storage, or an expired URL. So the result,
//! which names the file again, is fetched anew from FAL, and the file is tried several times before it is
//! believed to be no model. A storage that does not answer, FAL's or ours, is waited for through a night: the
//! training is paid for. So is a storage that denies the file (404, 403): an account's storage settings can
//! hide its files, and an operator can open them.
//!
//! # Must stay true
//! * 404, an empty, truncated or foreign file never completes — `a_model_that_is_no_model_never_completes_an_avatar`
//! * a model that FAL's storage hides is waited for            — `a_model_that_fals_storage_hides_is_waited_for_until_it_can_be_read`
//! * an expired URL is replaced from FAL's result             — `a_model_whose_url_has_expired_is_found_through_a_fresh_result`
//! * the avatar is completed, and its owner told, once     — `store_model_run_twice_completes_once`
//!
//! # If we die
//! Before the commit: the object is written again under the same key. After it: there is nothing left to do.
//!
//! Read next: `store_model/safetensors.rs`, `store_model/samples.rs` (the first pictures), `saga.rs`, `notify_user.rs`.

mod safetensors;
mod samples;

use queue::Run;
use serde_json::Value;
use sqlx::PgConnection;
use tokio::task::spawn_blocking;
use tracing::{error, info, warn};

use crate::{
    account,
    chaos::{Point, reach},
    clients::fal::{Download, Error, ResultOutcome},
    context::{Context, Services},
    domain::{FailureCode, NextJob, TrainedModel},
    job::{DeadReason, Done, JobError},
    payloads::StoreModel,
    saga,
    store::trainings::{self, Training, VerifiedModel},
};

/// A FLUX LoRA has 20–700 MB; a larger file is no model of ours.
const MAX_MODEL_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// Runs before a file that is no model is believed to be none. They take about a minute and a half.
const LOOKS: i16 = 6;
/// Attempts after which operators are alerted of a hidden model.
const HIDDEN_ALARM: u16 = 6;
/// Dead reason of a file that exists and is no model.
const INVALID: &str = "model_invalid";

impl Run<Services> for StoreModel {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.read().await?;
        let Some(training) = trainings::find(&mut db, self.training_id).await? else {
            return Ok(Done::Skipped("the training is gone"));
        };
        drop(db);
        if training.saga().carried_by() != Some(NextJob::Store) {
            return Ok(Done::Skipped("the training has no result to store"));
        }
        let verified = match verified(cx, &training, training.result.as_ref()).await {
            Ok(model) => model,
            Err(ModelProblem::Job(error)) => return Err(error),
            Err(problem) => verified_anew(cx, &training, problem).await?,
        };
        let samples = samples::plan(cx, &training).await?;
        reach(Point::ModelStored);
        let mut tx = cx.begin().await?;
        if !saga::model_verified(&mut tx, training.id, &verified, &samples)
            .await?
            .happened()
        {
            return Ok(Done::Skipped("the model was verified by another run"));
        }
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        info!(training.id = %training.id, avatar.id = %training.avatar_id, "The model of avatar {} is verified and stored", training.avatar_id);
        Ok(Done::Committed)
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        if saga::gave_up(tx, self.training_id, FailureCode::ModelInvalid, &why.message)
            .await?
            .happened()
        {
            error!(training.id = %self.training_id, "The model of training {}, which is paid for, could not be had: {}", self.training_id, why.message);
        }
        Ok(())
    }
}

/// Why there is no verified model yet.
enum ModelProblem {
    /// The result, or the file that it names, is no model.
    Model(String),
    /// We cannot read the file. FAL's storage does not say whether it is gone or hidden.
    Hidden(String),
    /// Any other error, which says nothing about the model.
    Job(JobError),
}

impl From<JobError> for ModelProblem {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

/// Verifies the model that `result` names; a LoRA is copied first.
async fn verified(
    cx: &Context,
    training: &Training,
    result: Option<&Value>,
) -> Result<VerifiedModel, ModelProblem> {
    match trained_model(cx, training, result)? {
        TrainedModel::Finetune { id } => Ok(VerifiedModel::Finetune { id }),
        TrainedModel::Lora { url, file_size, .. } => copy_lora(cx, training, url, file_size).await,
    }
}

/// The stored result named no readable model, so FAL is asked for the result once more.
async fn verified_anew(
    cx: &Context,
    training: &Training,
    problem: ModelProblem,
) -> Result<VerifiedModel, JobError> {
    let problem = match fresh_result(cx, training).await? {
        None => problem,
        Some(fresh) => match verified(cx, training, Some(&fresh)).await {
            Ok(model) => return Ok(model),
            Err(problem) => problem,
        },
    };
    match problem {
        ModelProblem::Job(error) => Err(error),
        ModelProblem::Model(why) => {
            // Attempts are not the measure: most of them may have met a storage that was away.
            let mut tx = cx.begin().await?;
            let looks = trainings::odd_answer(&mut tx, training.id).await?;
            tx.commit().await?;
            if looks >= LOOKS {
                return Err(JobError::give_up(INVALID, why));
            }
            warn!(training.id = %training.id, "The model of training {} cannot be used: {why}; it is looked at again", training.id);
            Err(JobError::retry(why))
        }
        ModelProblem::Hidden(why) => {
            if cx.claim().attempt() >= HIDDEN_ALARM {
                error!(training.id = %training.id, "FAL's storage hides the model of training {}, or has lost it ({why}): \
                    make outputs readable in the account's storage settings", training.id);
            }
            Err(JobError::retry(why))
        }
    }
}

/// FAL's result, if it differs from ours. Only the model's address is taken from it.
async fn fresh_result(cx: &Context, training: &Training) -> Result<Option<Value>, JobError> {
    let Some(request) = training.request() else {
        return Ok(None);
    };
    let answer = account::heard(cx, cx.fal.result(&request).await).await?;
    match answer.map_err(JobError::from) {
        Ok(ResultOutcome::Succeeded(result)) => {
            Ok(Some(result).filter(|fresh| training.result.as_ref() != Some(fresh)))
        }
        Ok(ResultOutcome::Failed(_) | ResultOutcome::NotReady | ResultOutcome::Gone)
        | Err(JobError::GiveUp(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads the model from the result, where the trainer's entry says.
fn trained_model(
    cx: &Context,
    training: &Training,
    result: Option<&Value>,
) -> Result<TrainedModel, ModelProblem> {
    let trainer = cx.trainers.get(&training.trainer).ok_or_else(|| {
        JobError::retry(format_args!(
            "trainer {:?} is not in config/trainers.toml",
            training.trainer
        ))
    })?;
    let result = result.ok_or_else(|| ModelProblem::Model("a trained training has no result".to_owned()))?;
    trainer
        .output(result)
        .map_err(|problem| ModelProblem::Model(problem.to_string()))
}

async fn copy_lora(
    cx: &Context,
    training: &Training,
    url: String,
    promised: Option<u64>,
) -> Result<VerifiedModel, ModelProblem> {
    let Download {
        mut file,
        bytes,
        sha256,
    } = cx
        .fal
        .download(&url, MAX_MODEL_BYTES)
        .await
        .map_err(|error| match error {
            Error::Missing { .. }
            | Error::Refused {
                status: 401 | 403, ..
            } => ModelProblem::Hidden(error.to_string()),
            Error::Refused { .. } | Error::TooLarge { .. } | Error::Garbled { .. } => {
                ModelProblem::Model(error.to_string())
            }
            other => ModelProblem::Job(other.into()),
        })?;
    // The header below proves that the file is whole. FAL's size proves nothing: FAL has reported 0 for whole files.
    if let Some(promised) = promised.filter(|promised| *promised != bytes) {
        warn!(training.id = %training.id, "The model of training {} has {bytes} bytes; FAL said {promised}", training.id);
    }
    // A header may be megabytes of JSON.
    let (file, checked) = spawn_blocking(move || {
        let checked = safetensors::check(&mut file, bytes);
        (file, checked)
    })
    .await
    .map_err(JobError::retry)?;
    checked.map_err(|problem| ModelProblem::Model(problem.to_string()))?;
    let key = format!(
        "{}/{}/{}.safetensors",
        training.user_id, training.avatar_id, training.id
    );
    cx.objects
        .put_file(&key, file, bytes, "application/octet-stream")
        .await
        .map_err(JobError::from)?;
    // An acknowledged upload may still be incomplete (proxies that cut an upload also answer 200).
    let stored = cx.objects.stat(&key).await.map_err(JobError::retry)?;
    if stored.bytes != bytes {
        return Err(
            JobError::retry(format_args!("the bucket kept {} of {bytes} bytes", stored.bytes)).into(),
        );
    }
    Ok(VerifiedModel::Lora {
        key,
        sha256,
        bytes,
        url,
    })
}
