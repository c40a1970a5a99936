//! Deletes rows that ended long ago, so that the queue's table and indexes stay small
//! however many jobs pass through (Q17).
//!
//! Enqueued by the clock (`work.rs`). Small batches, each in its own transaction, which never delete a row that is
//! still needed:
//!
//! | table                                 | goes                                       | stays                                    |
//! |---------------------------------------|--------------------------------------------|------------------------------------------|
//! | `jobs`                                | ended, older than the age of how it ended  | everything live; dead letters longest    |
//! | `job_attempts`                        | with its job                               |                                          |
//! | `telegram_updates`                    | handled, older than Telegram's repetitions | what was not handled                     |
//! | `fal_deliveries`                      | applied, old                               | what was never applied                   |
//! | `trainings`, `training_attempts`, `notifications`, photos | –                      | all: the user's, and proof of what was paid |
//!
//! It also looks for deleted avatars that no job erases, and enqueues their `delete_avatar` again.
//!
//! # Must stay true
//! * Each state has its own age, and live jobs have none — `q17_each_state_has_its_age_and_live_jobs_have_none`
//! * A batch is bounded — `q17_a_stretch_deletes_no_more_than_its_bound`
//! * Claims go on meanwhile — `q17_pruning_waits_for_no_claim_and_no_claim_waits_for_it`
//!
//! # If we die
//! Deleted rows stay deleted; the next tick goes on.

use std::future::Future;

use queue::{Run, prune_stretch};
use sqlx::PgConnection;
use tracing::{info, warn};

use crate::{
    context::{Context, Services},
    deletion,
    job::{DeadReason, Done, Job, JobError},
    payloads::{DeleteAvatar, Prune},
    store::{deletions, inbox_history, quotas},
};

/// Most rows that one transaction looks at or deletes.
const BATCH: u16 = 1000;

impl Run<Services> for Prune {
    async fn run(&self, cx: &Context) -> Result<Done, JobError> {
        let retention = cx.retention;
        let mut jobs = 0;
        let mut next = Some(0);
        while let Some(after) = next {
            let stretch = prune_stretch(&cx.database, retention.jobs, after, BATCH).await?;
            jobs += stretch.pruned;
            count("jobs", stretch.pruned);
            next = stretch.next;
        }
        let updates = until_none("telegram_updates", || {
            inbox_history::prune_updates(&cx.database, retention.updates, BATCH)
        })
        .await?;
        let deliveries = until_none("fal_deliveries", || {
            inbox_history::prune_deliveries(&cx.database, retention.deliveries, BATCH)
        })
        .await?;
        put_deletions_back(cx).await?;
        let uses = until_none("quota_uses", || quotas::prune(&cx.database, BATCH)).await?;
        if jobs + updates + deliveries + uses == 0 {
            return Ok(Done::Skipped("nothing is old enough"));
        }
        info!(
            "Pruned {jobs} jobs, {updates} updates of Telegram's, {deliveries} deliveries of FAL's and {uses} uses of quotas"
        );
        Ok(Done::Applied)
    }

    async fn on_dead(&self, _: &mut PgConnection, _: &DeadReason) -> Result<(), JobError> {
        // The next tick enqueues another.
        Ok(())
    }
}

/// Avatars whose deletion is put back in one run.
const DELETIONS: i64 = 200;

/// A deleted avatar is erased, whatever became of its job.
async fn put_deletions_back(cx: &Context) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let unfinished = deletions::unfinished(&mut tx, DELETIONS).await?;
    let keys: Vec<String> = unfinished.iter().map(|(_, avatar)| avatar.to_string()).collect();
    let live = queue::live_by_key(&mut tx, &[DeleteAvatar::NAME], &keys).await?;
    for (user, avatar) in unfinished {
        if !live.contains(&(DeleteAvatar::NAME.to_owned(), avatar.to_string())) {
            warn!(avatar.id = %avatar, "Avatar {avatar} is deleted and not erased, and has no job; it has one now");
            deletion::carry_out(&mut tx, user, avatar).await?;
        }
    }
    Ok(tx.commit().await?)
}

/// Repeats a batch until one is not full.
async fn until_none<F>(table: &'static str, batch: impl Fn() -> F) -> Result<u64, sqlx::Error>
where
    F: Future<Output = Result<u64, sqlx::Error>>,
{
    let mut all = 0;
    loop {
        let pruned = batch().await?;
        all += pruned;
        count(table, pruned);
        if pruned < u64::from(BATCH) {
            return Ok(all);
        }
    }
}

fn count(table: &'static str, rows: u64) {
    metrics::counter!("aisha_rows_pruned_total", "table" => table).increment(rows);
}
