//! Photos, pictures and drafts that are too old. Their rows go first, then their objects: what a crash leaves in between has
//! no row, and `sweep_orphans` removes it.

use std::time::Duration;

use tracing::info;

use crate::{context::Context, deletion, job::JobError, notifications::Place, store::retention};

/// Most rows that one transaction deletes.
const BATCH: i64 = 200;

/// What has an object in the bucket.
#[derive(Clone, Copy)]
enum Media {
    Photo,
    Picture,
}

impl Media {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Photo => "photo",
            Self::Picture => "picture",
        }
    }
}

/// Deletes what is older than `[retention]` allows. Returns how many photos, pictures and drafts.
pub(super) async fn retire(cx: &Context) -> Result<u64, JobError> {
    let ages = cx.retention.media;
    let mut all = 0;
    for (what, age) in [(Media::Photo, ages.photos), (Media::Picture, ages.pictures)] {
        if age > Duration::ZERO {
            all += batches(cx, what, age).await?;
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

/// Takes rows away, a batch at a time, until no batch is full; and the objects that they named. Returns how many rows.
async fn batches(cx: &Context, what: Media, age: Duration) -> Result<u64, JobError> {
    let mut all = 0;
    loop {
        let mut tx = cx.begin().await?;
        let rows = match what {
            Media::Photo => retention::photos(&mut tx, age.as_secs_f64(), BATCH).await?,
            Media::Picture => retention::pictures(&mut tx, age.as_secs_f64(), BATCH).await?,
        };
        tx.commit().await?;
        let count = rows.len();
        for key in rows.into_iter().flatten() {
            cx.objects.delete(&key).await?;
            metrics::counter!("aisha_media_retired_total", "what" => what.as_str()).increment(1);
        }
        all += count as u64;
        if i64::try_from(count).is_ok_and(|count| count < BATCH) {
            return Ok(all);
        }
    }
}

/// Deletes idle drafts as their users would, at most a batch of them: the next run goes on.
async fn drafts(cx: &Context, age: Duration) -> Result<u64, JobError> {
    let mut db = cx.read().await?;
    let idle = retention::idle_drafts(&mut db, age.as_secs_f64(), BATCH).await?;
    drop(db);
    let mut deleted = 0;
    for (user, avatar) in idle {
        let mut tx = cx.begin().await?;
        if !retention::lock_idle_draft(&mut tx, avatar, age.as_secs_f64()).await? {
            continue;
        }
        deleted += u64::from(
            deletion::delete_avatar(&mut tx, user, avatar, Place::New)
                .await?
                .is_some(),
        );
        tx.commit().await?;
        metrics::counter!("aisha_media_retired_total", "what" => "draft").increment(1);
    }
    Ok(deleted)
}
