//! Finds the model of an avatar at an address where FAL can fetch it.
//!
//! The truth is the copy in our bucket, which was verified. If FAL may fetch it from us (`fal.archive_delivery = "presigned"`),
//! it gets a presigned URL of it. Otherwise, and where our store does not hand it out at that URL, FAL's own file is used as
//! long as it is there; it is copied to FAL anew when it is not, and the new URL is kept with the avatar.

use tracing::{info, warn};

use crate::{
    account,
    clients::object_store::ObjectError,
    context::{ArchiveDelivery, Context},
    job::JobError,
    store::{avatars, generations::Generation},
};

/// Larger than any model that `store_model` keeps.
const MAX_MODEL_BYTES: u64 = 2 * 1024 * 1024 * 1024;
const CONTENT_TYPE: &str = "application/octet-stream";
/// Dead reason of pictures whose avatar has no model any more.
pub(super) const MODEL_GONE: &str = "model_gone";

pub(super) enum FoundModel {
    Lora { url: String },
    Finetune { id: String },
}

pub(super) async fn find(cx: &Context, generation: &Generation) -> Result<FoundModel, JobError> {
    let mut db = cx.read().await?;
    let row = avatars::model(&mut db, generation.user_id, generation.avatar_id).await?;
    drop(db);
    let row = row.ok_or_else(|| JobError::give_up(MODEL_GONE, "the avatar has no model"))?;
    if let Some(id) = row.finetune_id {
        return Ok(FoundModel::Finetune { id });
    }
    let lifecycle = cx.settings.patience.archive_lifecycle;
    if cx.settings.archive_delivery == ArchiveDelivery::Presigned
        && let Some(key) = &row.model_key
    {
        let url = cx.objects.presign_get(key, lifecycle).await?;
        let why = match cx.fal.exists(&url).await {
            Ok(true) => return Ok(FoundModel::Lora { url }),
            Ok(false) => "it does not hand it out".to_owned(),
            // An address that nobody reaches is as wrong as one that denies: repeating would help neither.
            Err(error) => error.to_string(),
        };
        warn!(avatar.id = %generation.avatar_id, "FAL cannot fetch the model of avatar {} from our store ({why}): \
            check s3.public_endpoint; FAL's own copy is tried", generation.avatar_id);
    }
    if let Some(url) = row.lora_url
        && cx.fal.exists(&url).await?
    {
        return Ok(FoundModel::Lora { url });
    }
    let (Some(key), Some(sha256)) = (row.model_key, row.model_sha256) else {
        return Err(JobError::give_up(
            MODEL_GONE,
            "neither FAL nor our bucket has the model",
        ));
    };
    copy_to_fal(cx, generation, &key, &sha256).await
}

async fn copy_to_fal(
    cx: &Context,
    generation: &Generation,
    key: &str,
    sha256: &str,
) -> Result<FoundModel, JobError> {
    account::admit_upload(cx).await?;
    let copied = match cx.objects.get_file(key, MAX_MODEL_BYTES).await {
        Ok(copied) => copied,
        Err(error @ ObjectError::NotFound { .. }) => return Err(JobError::give_up(MODEL_GONE, error)),
        Err(error) => return Err(error.into()),
    };
    if copied.sha256 != sha256 {
        return Err(JobError::retry(format_args!(
            "the bucket returned other bytes for {key} than were verified"
        )));
    }
    let name = format!("{}.safetensors", &sha256[..sha256.len().min(16)]);
    let lifecycle = cx.settings.patience.archive_lifecycle;
    let upload = cx
        .fal
        .upload(copied.file, copied.bytes, CONTENT_TYPE, &name, lifecycle);
    let url = account::heard(cx, upload.await).await??;
    let mut tx = cx.begin().await?;
    avatars::lora_moved(&mut tx, generation.avatar_id, &url).await?;
    tx.commit().await?;
    info!(avatar.id = %generation.avatar_id, model.bytes = copied.bytes, "The model of avatar {} was copied to FAL again", generation.avatar_id);
    Ok(FoundModel::Lora { url })
}
