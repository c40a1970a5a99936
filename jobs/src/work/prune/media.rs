//! Photos, pictures and drafts that are too old. Their rows go first, then their objects: what a crash leaves in between has
//! no row, and `sweep_orphans` removes it.

use std::time::Duration;

use tracing::info;

use crate::{context::Context, deletion, job::JobError, store::retention};

/// Most rows that one transaction deletes.
const BATCH: i64 = 200;

/// Deletes what is older than `[retention]` allows. Returns how many photos, pictures and drafts.
pub(super) async fn retire(cx: &Context) -> Result<u64, JobError> {
    let ages = cx.retention.media;
    let mut all = 0;
    if ages.photos > Duration::ZERO {
        loop {
            let mut tx = cx.begin().await?;
            let keys = retention::photos(&mut tx, ages.photos.as_secs_f64(), BATCH).await?;
            tx.commit().await?;
            let count = keys.len();
            remove(cx, "photo", keys.into_iter().flatten()).await?;
            all += count as u64;
            if i64::try_from(count).is_ok_and(|count| count < BATCH) {
                break;
            }
        }
    }
    if ages.pictures > Duration::ZERO {
        loop {
            let mut tx = cx.begin().await?;
            let keys = retention::pictures(&mut tx, ages.pictures.as_secs_f64(), BATCH).await?;
            tx.commit().await?;
            let count = keys.len();
            remove(cx, "picture", keys).await?;
            all += count as u64;
            if i64::try_from(count).is_ok_and(|count| count < BATCH) {
                break;
            }
        }
    }
    if ages.drafts > Duration::ZERO {
        all += drafts(cx, ages.drafts).await?;
    }
    if all > 0 {
        info!("{all} photos, pictures and drafts were older than [retention] allows, and are deleted");
    }
    Ok(all)
}

async fn remove(
    cx: &Context,
    what: &'static str,
    keys: impl IntoIterator<Item = String>,
) -> Result<(), JobError> {
    for key in keys {
        cx.objects.delete(&key).await?;
        metrics::counter!("aisha_media_retired_total", "what" => what).increment(1);
    }
    Ok(())
}

/// Deletes idle drafts as their users would, at most a batch of them: the next run goes on.
async fn drafts(cx: &Context, age: Duration) -> Result<u64, JobError> {
    let mut db = cx.read().await?;
    let idle = retention::idle_drafts(&mut db, age.as_secs_f64(), BATCH).await?;
    drop(db);
    let mut deleted = 0;
    for (user, avatar) in idle {
        let mut tx = cx.begin().await?;
        deleted += u64::from(deletion::delete_avatar(&mut tx, user, avatar).await?.is_some());
        tx.commit().await?;
        metrics::counter!("aisha_media_retired_total", "what" => "draft").increment(1);
    }
    Ok(deleted)
}
