//! What a submit's answer says of our account at FAL, for all submits of all workers.

use std::time::Duration;

use rand::Rng;
use sqlx::PgConnection;
use tracing::{error, info};

use crate::{
    context::Context,
    job::JobError,
    store::fal_account::{self, Admission},
};

/// Parked submits come back within so long after the probe: they find its answer, and not all come at once.
const SPREAD_MS: std::ops::Range<u64> = 500..3_000;

/// Passes if a submit may be sent: the account is in order, or it is this submit's turn to find out.
///
/// # Errors
/// A snooze while FAL refuses us.
pub(super) async fn admit(cx: &Context) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let admission = fal_account::admit(&mut tx, cx.saga.probe_every).await?;
    tx.commit().await?;
    match admission {
        Admission::Open => Ok(()),
        Admission::Probe => {
            info!("This submit tries whether FAL takes submissions again");
            Ok(())
        }
        Admission::Parked(wait) => {
            let spread = Duration::from_millis(cx.chance.draw(|rng| rng.random_range(SPREAD_MS)));
            Err(JobError::snooze(
                wait + spread,
                "FAL refuses our account; submissions are parked",
            ))
        }
    }
}

/// FAL refused key or account: nobody submits until a probe succeeds.
pub(super) async fn refused(tx: &mut PgConnection, cx: &Context, why: &str) -> Result<(), JobError> {
    let is_new = fal_account::park(tx, why, cx.saga.probe_every).await?;
    error!(
        is_new,
        "FAL refuses all submissions ({why}): they are parked and fail nobody's training; check key and balance"
    );
    metrics::counter!("aisha_fal_refusals_total").increment(1);
    metrics::gauge!("aisha_fal_parked").set(1.0);
    Ok(())
}

/// FAL answered as it does to an account in order.
pub(super) async fn answered(tx: &mut PgConnection) -> Result<(), JobError> {
    if fal_account::reopen(tx).await? {
        info!("FAL takes submissions again");
        metrics::gauge!("aisha_fal_parked").set(0.0);
    }
    Ok(())
}
