//! The daily limit of the account's trainings (`quotas.account_trainings_a_day`): further ones wait, and none fails.

use std::time::Duration;

use rand::Rng;
use sqlx::PgConnection;
use tracing::info;

use crate::{context::Context, domain::TrainingId, job::JobError, saga, store::quotas};

/// Longest pause before the limit is checked again, since an operator may have raised it.
const LOOK_AGAIN: Duration = Duration::from_mins(15);
/// Spreads the waiting jobs, so that they do not all come back at once.
const SPREAD_MS: std::ops::Range<u64> = 500..5_000;

/// Passes if another submit is allowed today. If not, the training's owner is told.
///
/// # Errors
/// A snooze while there is no room.
pub(super) async fn admit(cx: &Context, training: TrainingId) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let Some(wait) = quotas::submit_wait(&mut tx, cx.settings.submits_a_day).await? else {
        return Ok(());
    };
    saga::booked(&mut tx, training, wait).await?;
    tx.commit().await?;
    info!(training.id = %training, "Training {training} waits: the {} trainings of the day are submitted", cx.settings.submits_a_day);
    Err(snooze(cx, wait))
}

/// The same check at the deciding moment: no other worker takes the last place while `tx` is open.
///
/// # Errors
/// A snooze if the last place was taken since [`admit`].
pub(super) async fn take(cx: &Context, tx: &mut PgConnection) -> Result<(), JobError> {
    if cx.settings.submits_a_day == 0 {
        return Ok(());
    }
    quotas::lock_submits(tx).await?;
    match quotas::submit_wait(tx, cx.settings.submits_a_day).await? {
        None => Ok(()),
        Some(wait) => Err(snooze(cx, wait)),
    }
}

fn snooze(cx: &Context, wait: Duration) -> JobError {
    let spread = Duration::from_millis(cx.chance.draw(|rng| rng.random_range(SPREAD_MS)));
    JobError::snooze(
        wait.min(LOOK_AGAIN) + spread,
        format_args!(
            "{} trainings were submitted within a day; more of them wait",
            cx.settings.submits_a_day
        ),
    )
}
