//! Empties the buffer of a stopping worker: jobs that it had claimed and not started
//! go back, uncharged, in one statement.

use std::collections::HashSet;

use tracing::warn;
use uuid::Uuid;

use crate::{Claimed, Ending, database::Database, job::Queue, requeue};

/// Gives jobs back. A job for which that fails waits for its lease to end; it is
/// rescued uncharged if it was claimed ahead.
pub(crate) async fn release_buffered(database: &Database, queue: Queue, unstarted: &[Claimed]) {
    let released = match release_plain(database, unstarted).await {
        Ok(released) => released,
        Err(error) => {
            warn!(
                queue = queue.as_str(),
                "Could not hand back the buffer of {queue}: {error}"
            );
            return;
        }
    };
    // Jobs that the one statement leaves out: cancelled ones, those with a successor of the same key, and lost ones.
    for claimed in unstarted {
        let claim = &claimed.claim;
        if released.contains(&claim.job().0) {
            continue;
        }
        let requeued = async {
            let mut tx = database.begin().await?;
            requeue(&mut tx, claim.job(), claim.id(), &Ending::Released).await?;
            tx.commit().await
        };
        if let Err(error) = requeued.await {
            warn!(job.id = %claim.job(), "Could not hand back job {}: {error}", claim.job());
        }
    }
}

async fn release_plain(database: &Database, unstarted: &[Claimed]) -> Result<HashSet<i64>, sqlx::Error> {
    let ids: Vec<i64> = unstarted.iter().map(|claimed| claimed.claim.job().0).collect();
    let claims: Vec<Uuid> = unstarted.iter().map(|claimed| claimed.claim.id().0).collect();
    let mut tx = database.begin().await?;
    let released = sqlx::query_file_scalar!("src/sql/release_buffered.sql", &ids, &claims)
        .fetch_all(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(released.into_iter().collect())
}
