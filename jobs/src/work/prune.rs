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
//! | `erased_requests`                     | a week after the erasure                   |                                          |
//! | photos                                | `retention.photos` after the last training | a draft's                                |
//! | pictures                              | older than `retention.pictures`            | favourites                               |
//! | drafts                                | untouched for `retention.drafts`           |                                          |
//! | `notifications`                       | the bot's answers, as old as the updates   | what was said of trainings and albums    |
//! | `trainings`, `training_attempts`      | –                                          | all: the user's, and proof of what was paid |
//!
//! It also looks for deleted avatars and users whom no job erases, and enqueues `delete_avatar` or `erase_user` again.
//!
//! # Must stay true
//! * Each state has its own age, and live jobs have none — `q17_each_state_has_its_age_and_live_jobs_have_none`
//! * A batch is bounded — `q17_a_stretch_deletes_no_more_than_its_bound`
//! * Claims go on meanwhile — `q17_pruning_waits_for_no_claim_and_no_claim_waits_for_it`
//! * What is older than `[retention]` goes, and nothing else — `photos_go_when_their_time_has_come_and_retry_asks_for_new_ones`
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
    enqueue::enqueue,
    job::{DeadReason, Done, Job, JobError},
    payloads::{DeleteAvatar, EraseUser, Prune},
    store::{deletions, erasures, inbox_history, quotas},
};

mod media;

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
        let answers = until_none("notifications", || {
            inbox_history::prune_answers(&cx.database, retention.updates, BATCH)
        })
        .await?;
        put_deletions_back(cx).await?;
        let media = media::retire(cx).await?;
        let uses = until_none("quota_uses", || quotas::prune(&cx.database, BATCH)).await?;
        let erased = until_none("erased_requests", || {
            deletions::prune_requests(&cx.database, BATCH)
        })
        .await?;
        if jobs + updates + deliveries + answers + uses + erased + media == 0 {
            return Ok(Done::Skipped("nothing is old enough"));
        }
        info!(
            "Pruned {jobs} jobs, {updates} updates of Telegram's, {answers} answers to them, {deliveries} deliveries of FAL's and {uses} uses of quotas"
        );
        Ok(Done::Applied)
    }

    async fn on_dead(&self, _: &mut PgConnection, _: &DeadReason) -> Result<(), JobError> {
        // The next tick enqueues another.
        Ok(())
    }
}

/// Deletions that are put back in one run.
const DELETIONS: i64 = 200;

/// A deleted avatar is erased, and so is a user who asked for it, whatever became of their jobs.
async fn put_deletions_back(cx: &Context) -> Result<(), JobError> {
    let mut tx = cx.begin().await?;
    let avatars = deletions::unfinished(&mut tx, DELETIONS).await?;
    let erasures = erasures::unfinished(&mut tx, DELETIONS).await?;
    let keys = avatars.iter().map(|(_, avatar)| avatar.to_string());
    let keys: Vec<String> = keys.chain(erasures.iter().map(ToString::to_string)).collect();
    let live = queue::live_by_key(&mut tx, &[DeleteAvatar::NAME, EraseUser::NAME], &keys).await?;
    let is_live = |kind: &str, key: String| live.contains(&(kind.to_owned(), key));
    for (user, avatar) in avatars {
        if !is_live(DeleteAvatar::NAME, avatar.to_string()) {
            warn!(avatar.id = %avatar, "Avatar {avatar} is deleted and not erased, and has no job; it has one now");
            deletion::carry_out(&mut tx, user, avatar).await?;
        }
    }
    for erasure in erasures {
        if !is_live(EraseUser::NAME, erasure.to_string()) {
            warn!("A user is to be erased, and erasure {erasure} has no job; it has one now");
            enqueue(&mut tx, &EraseUser::new(erasure)).await?;
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
