//! Copy a trained model to our bucket, verify it, and complete the avatar.
//!
//! FAL's URLs are caches that expire. `completed` therefore means: a LoRA of the promised size whose safetensors
//! header reads, hashed, in our bucket; or a finetune id of the right shape. There is no fallback model.
//!
//! # Must stay true
//! * 404, an empty, truncated or foreign file never completes — `a_model_that_is_no_model_never_completes_an_avatar`
//! * the avatar is completed and its owner told once           — `store_model_run_twice_completes_once`
//!
//! # If we die
//! Before the commit: the object is written again under the same key. After it: nothing is left to do.
//!
//! Read next: `saga.rs`, `notify_user.rs`.

use std::{
    fs::File,
    io::{Read, Seek},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sqlx::PgConnection;
use tracing::info;

use crate::{
    chaos::{Point, Sabotage, reach, sabotaged},
    context::Context,
    domain::{FailureCode, TrainedModel, TrainingId, TrainingSource, TrainingStatus},
    job::{DeadReason, DedupeKey, Done, Job, JobError, Policy, Queue, Run},
    saga,
    store::trainings::{self, Training, VerifiedModel},
};

/// A FLUX LoRA has 20–700 MB; anything above this is no model of ours.
const MAX_MODEL_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// The safetensors format's own limit for its JSON header.
const MAX_HEADER_BYTES: u64 = 100_000_000;
/// Dead reason of a file that was there and is no model.
const INVALID: &str = "model_invalid";

/// Persisted as `{"training_id":…}`; golden copy in `tests/payloads/store_model.v1.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoreModel {
    training_id: TrainingId,
}

impl StoreModel {
    /// For a training whose result is stored.
    pub const fn new(training_id: TrainingId) -> Self {
        Self { training_id }
    }
}

impl Job for StoreModel {
    const NAME: &'static str = "store_model";
    const QUEUE: Queue = Queue::Media;
    const POLICY: Policy = Policy::attempts(10)
        .backoff(Duration::from_secs(3), Duration::from_mins(5))
        .timeout(Duration::from_mins(10));

    fn dedupe_key(&self) -> Option<DedupeKey> {
        Some(DedupeKey::until_done(self.training_id))
    }
}

impl Run for StoreModel {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let mut db = cx.pool.acquire().await?;
        let Some(training) = trainings::find(&mut db, self.training_id).await? else {
            return Ok(Done::Skipped("the training is gone"));
        };
        drop(db);
        if training.status != TrainingStatus::Trained {
            return Ok(Done::Skipped("the training has no result to store"));
        }
        let verified = match trained_model(cx, &training)? {
            TrainedModel::Finetune { id } => VerifiedModel::Finetune { id },
            TrainedModel::Lora { url, file_size, .. } => copy_lora(cx, &training, &url, file_size).await?,
        };
        reach(Point::ModelStored);
        let mut tx = cx.begin().await?;
        saga::completed(&mut tx, training.id, &verified).await?;
        cx.complete_in(&mut tx).await?;
        tx.commit().await?;
        info!(training.id = %training.id, avatar.id = %training.avatar_id, "Avatar {} is completed", training.avatar_id);
        Ok(Done::Committed)
    }

    async fn on_dead(&self, tx: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        saga::failed(
            tx,
            self.training_id,
            FailureCode::ModelInvalid,
            &why.message,
            TrainingSource::Job,
        )
        .await?;
        Ok(())
    }
}

/// What the result holds, as the trainer's entry says where to look.
fn trained_model(cx: &Context, training: &Training) -> Result<TrainedModel, JobError> {
    let trainer = cx.trainers.get(&training.trainer).ok_or_else(|| {
        JobError::retry(format_args!(
            "trainer {:?} is not in config/trainers.toml",
            training.trainer
        ))
    })?;
    let result = training
        .result
        .as_ref()
        .ok_or_else(|| JobError::give_up(INVALID, "a trained training has no result"))?;
    trainer
        .output(result)
        .map_err(|problem| JobError::give_up(INVALID, problem))
}

async fn copy_lora(
    cx: &Context,
    training: &Training,
    url: &str,
    promised: Option<u64>,
) -> Result<VerifiedModel, JobError> {
    if sabotaged(Sabotage::UnverifiedModel) {
        return Ok(VerifiedModel::Lora {
            key: format!("{}/emergency-fallback.safetensors", training.user_id),
            sha256: "0".repeat(64),
            bytes: 1,
            url: url.to_owned(),
        });
    }
    let mut file = cx.fal.download(url, MAX_MODEL_BYTES).await?;
    let bytes = file.bytes;
    if let Some(promised) = promised.filter(|promised| *promised != bytes) {
        return Err(JobError::retry(format_args!(
            "the model has {bytes} bytes instead of {promised}"
        )));
    }
    check_safetensors(&mut file.file, bytes).map_err(|problem| JobError::give_up(INVALID, problem))?;
    let key = format!(
        "{}/{}/{}.safetensors",
        training.user_id, training.avatar_id, training.id
    );
    cx.objects
        .put_file(&key, file.file, bytes, "application/octet-stream")
        .await?;
    Ok(VerifiedModel::Lora {
        key,
        sha256: file.sha256,
        bytes,
        url: url.to_owned(),
    })
}

/// Why a file is no safetensors file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
enum NotSafetensors {
    #[error("the model file ends within its first 8 bytes")]
    Empty,
    #[error("the model's header claims {0} bytes")]
    HeaderSize(u64),
    #[error("the model's header is no JSON object of tensors")]
    Header,
    #[error("the model's tensors end at byte {promised} of a file of {bytes}")]
    Length { promised: u64, bytes: u64 },
    #[error("the model file cannot be read: {0}")]
    Unreadable(String),
}

/// 8 bytes of header length (little endian), a JSON object of tensors with their offsets, then exactly their data.
/// Source: the safetensors format description. Leaves the file rewound.
fn check_safetensors(file: &mut File, bytes: u64) -> Result<(), NotSafetensors> {
    let unreadable = |error: std::io::Error| NotSafetensors::Unreadable(error.to_string());
    file.rewind().map_err(unreadable)?;
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| NotSafetensors::Empty)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER_BYTES || length.saturating_add(8) > bytes {
        return Err(NotSafetensors::HeaderSize(length));
    }
    let header: serde_json::Map<String, serde_json::Value> =
        serde_json::from_reader((&mut *file).take(length)).map_err(|_| NotSafetensors::Header)?;
    let mut end = 0;
    let mut tensors = 0;
    for (_, tensor) in header.iter().filter(|(name, _)| *name != "__metadata__") {
        let last = tensor
            .pointer("/data_offsets/1")
            .and_then(serde_json::Value::as_u64)
            .ok_or(NotSafetensors::Header)?;
        end = end.max(last);
        tensors += 1;
    }
    if tensors == 0 {
        return Err(NotSafetensors::Header);
    }
    let promised = end.saturating_add(length).saturating_add(8);
    if promised != bytes {
        return Err(NotSafetensors::Length { promised, bytes });
    }
    file.rewind().map_err(unreadable)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn check(content: &[u8]) -> Result<(), NotSafetensors> {
        let mut file = tempfile::tempfile().expect("a temporary file");
        file.write_all(content).expect("written");
        check_safetensors(&mut file, content.len() as u64)
    }

    fn model(header: &str, data: usize) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend_from_slice(header.as_bytes());
        bytes.resize(bytes.len() + data, 7);
        bytes
    }

    const ONE_TENSOR: &str =
        r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F16","shape":[4],"data_offsets":[0,8]}}"#;

    #[test]
    fn a_whole_model_is_accepted() {
        assert_eq!(check(&model(ONE_TENSOR, 8)), Ok(()));
    }

    #[test]
    fn a_truncated_model_is_refused() {
        let whole = model(ONE_TENSOR, 8);
        assert!(matches!(
            check(&whole[..whole.len() - 1]),
            Err(NotSafetensors::Length { .. })
        ));
    }

    #[test]
    fn an_empty_file_and_a_web_page_are_refused() {
        assert_eq!(check(b""), Err(NotSafetensors::Empty));
        assert!(matches!(
            check(b"<!doctype html><title>404</title>"),
            Err(NotSafetensors::HeaderSize(_))
        ));
        assert_eq!(check(&model("{}", 0)), Err(NotSafetensors::Header));
        assert_eq!(check(&model("[1]", 0)), Err(NotSafetensors::Header));
    }
}
