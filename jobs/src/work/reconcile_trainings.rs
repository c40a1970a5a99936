//! Compares every training that is not at rest with what must be true of it, and repairs the differences.
//!
//! Periodic, and without input: it looks at everything, so a lost run costs nothing but its interval. Without bugs
//! and operators it finds only deadlines, since each step enqueues the next job in its own transaction. Its findings
//! are counted (`aisha_reconcile_found_total`) and should be looked into.
//!
//! `asking/rails.rs` says what it repairs about an order. Besides, it finds acknowledged deliveries without effect, of trainings
//! and of pictures, and puts their jobs back.
//!
//! # Must stay true
//! * a training that lost its job goes on                  — `a_training_that_lost_its_job_is_put_back_on_its_rails`
//! * each live status ends at its deadline, and is told     — `every_status_has_a_deadline_that_ends_it`
//! * time is the database's, not a worker's                — `queue::database::now`
//!
//! # If we die
//! Each training is a transaction of its own; the next run looks at all of them again.
//!
//! Read next: `domain/saga.rs`, `domain/saga/deadlines.rs`, `saga/ending.rs`.

use queue::Run;
use sqlx::PgConnection;
use tracing::{error, warn};

use crate::{
    asking,
    context::{Context, Services},
    domain::Product,
    enqueue::enqueue,
    job::{DeadReason, Done, Job, JobError},
    payloads::{ApplyFalDelivery, ReconcileTrainings},
    store::{deliveries, fal_account, quotas},
};

/// Deliveries that are put back in one run.
const DELIVERIES: i64 = 500;
impl Run<Services> for ReconcileTrainings {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let seen = asking::reconcile(cx, Product::Model).await?;
        put_deliveries_back(cx).await?;
        let mut db = cx.read().await?;
        let parked = fal_account::parked(&mut db).await?;
        let booked = quotas::submit_wait(&mut db, cx.settings.submits_a_day).await?;
        metrics::gauge!("aisha_submits_booked_seconds").set(booked.unwrap_or_default().as_secs_f64());
        if let Some(wait) = booked {
            warn!(
                "{} trainings were submitted within a day: the others wait, the next for {wait:?} (quotas.account_trainings_a_day)",
                cx.settings.submits_a_day
            );
        }
        metrics::gauge!("aisha_avatars_overdue").set(seen.overdue);
        metrics::gauge!("aisha_trainings_ambiguous").set(seen.ambiguous);
        metrics::gauge!("aisha_trainings_long_in_queue").set(seen.long_in_queue);
        metrics::gauge!("aisha_fal_parked").set(u32::from(parked.is_some()));
        if seen.long_in_queue > 0 {
            warn!(
                "{} trainings have waited in FAL's queue for longer than {:?}",
                seen.long_in_queue, cx.settings.patience.queue_alarm
            );
        }
        Ok(Done::Applied)
    }

    /// The next tick enqueues another.
    async fn on_dead(&self, _: &mut PgConnection, why: &DeadReason) -> Result<(), JobError> {
        error!("Trainings could not be reconciled: {}", why.message);
        Ok(())
    }
}

/// A delivery that was answered 200 has an effect, whatever became of its job (I9).
async fn put_deliveries_back(cx: &Context) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let open = deliveries::unapplied(&mut tx, DELIVERIES).await?;
    if open.is_empty() {
        return Ok(());
    }
    let keys: Vec<String> = open.iter().map(|delivery| delivery.id.to_string()).collect();
    let live = queue::live_by_key(&mut tx, &[ApplyFalDelivery::NAME], &keys).await?;
    for delivery in open {
        let id = delivery.id;
        if !live.contains(&(ApplyFalDelivery::NAME.to_owned(), id.to_string())) {
            asking::found("delivery");
            warn!(
                fal.delivery_id = id,
                "FAL delivery {id} had no effect and no job; it has one now"
            );
            enqueue(&mut tx, &ApplyFalDelivery::new(id, delivery.is_of_training)).await?;
        }
    }
    Ok(tx.commit().await?)
}
