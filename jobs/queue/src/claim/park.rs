//! Parks jobs whose kind or version this worker does not know (K4, Q26).
//!
//! Jobs of a newer binary, and those of a removed kind, stay ready until a worker comes that knows them. Where they
//! lie before known jobs, each claim would walk past all of them. So they are parked
//! (`migrations/*_park_unknown_jobs.sql`). The claim that meets an unknown job with a fairness key parks it
//! (`queue_take()`); the fast claim has no time for that, so this loop looks at the head of each queue.
//!
//! If the process dies here, parked jobs stay parked, which does no harm.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use crate::{
    Engine, KnownKinds,
    backoff::jittered,
    claim::connection::{EngineConnection, timed_out},
    job::Queue,
};

/// Jobs at the head of a queue that one statement looks at. Parking all of them takes some tens of milliseconds.
const HEAD: i64 = 2000;
/// If this many were parked, more are likely to lie behind them.
const MORE: i64 = HEAD / 4;

/// Looks at these queues for ever: at once, then as often as for expired leases,
/// and without a pause while it parks many.
pub(crate) async fn park_forever(engine: Arc<Engine>, queues: Vec<Queue>, known: KnownKinds) {
    let mut connection = engine.connection();
    loop {
        let mut most = 0;
        for queue in &queues {
            match park(&engine, &mut connection, *queue, &known).await {
                Ok(parked) => most = most.max(parked),
                Err(error) => warn!(
                    queue = queue.as_str(),
                    "Unknown jobs of {queue} could not be parked, the next look goes on: {error}"
                ),
            }
        }
        let pause = match most {
            MORE.. => Duration::from_millis(1),
            1.. => engine.timing.sweep / 10,
            _ => engine.timing.sweep,
        };
        sleep(jittered(pause)).await;
    }
}

async fn park(
    engine: &Engine,
    connection: &mut EngineConnection,
    queue: Queue,
    known: &KnownKinds,
) -> Result<i64, sqlx::Error> {
    let db = connection.get().await?;
    let park = sqlx::query_file!(
        "src/sql/park.sql",
        queue.as_str(),
        &known.names,
        &known.versions,
        HEAD
    )
    .fetch_one(db);
    let answer = timeout(engine.timing.lease, park)
        .await
        .map_err(|_| timed_out())??;
    connection.succeeded().await?;
    let parked = i64::from(answer.parked);
    if parked > 0 {
        metrics::counter!("aisha_jobs_parked_total", "queue" => queue.as_str())
            .increment(answer.parked.unsigned_abs().into());
        info!(
            queue = queue.as_str(),
            "Parked {parked} jobs of {queue} that this worker does not know ({}): they wait for one that does",
            answer.kinds.unwrap_or_default()
        );
    }
    Ok(parked)
}
