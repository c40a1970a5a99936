//! Samples the depths of the queues as gauges (Q19): counting at every change would cost every job.
//!
//! Each worker samples all queues, so that the metrics of any one worker show everything. A sample walks through all
//! live jobs. The pause after it is at least twenty times as long, so that a queue of millions costs no more than a
//! twentieth of one connection, and is sampled more rarely. The first sample comes after a pause as well: many
//! workers that start on a long queue would otherwise all count it before they work it off.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use metrics::gauge;
use tokio::time::sleep;
use tracing::debug;

use crate::{Engine, JobState, backoff::jittered, claim::governed::silences, database::within};

/// Least pause between the end of a sample and the next.
const PAUSE: Duration = Duration::from_secs(5);
/// Limit of one sample. Counting many millions of jobs takes less; a connection that went silent never answers.
const LONGEST: Duration = Duration::from_mins(5);
/// The pause is at least this many times as long as the sample took.
const AT_LEAST: u32 = 20;

pub(crate) async fn sample_forever(engine: Arc<Engine>) {
    let mut shown = SetGauges::default();
    let mut pause = PAUSE;
    loop {
        sleep(jittered(pause)).await;
        let begun = Instant::now();
        if let Err(error) = within(LONGEST, sample(&engine, &mut shown)).await {
            debug!("The depth of the queues could not be sampled: {error}");
        }
        pause = PAUSE.max(begun.elapsed() * AT_LEAST);
    }
}

/// The gauges that earlier samples have set.
#[derive(Default)]
struct SetGauges {
    gauges: HashSet<Shown>,
    queues: BTreeSet<String>,
}

/// A gauge that was set; it must be set to 0 when its row is gone.
#[derive(PartialEq, Eq, Hash, Clone)]
enum Shown {
    Depth {
        queue: String,
        kind: String,
        state: JobState,
    },
    Dead {
        kind: String,
        reason: String,
    },
}

impl Shown {
    fn set(&self, jobs: f64) {
        match self.clone() {
            Self::Depth { queue, kind, state } => {
                gauge!("aisha_queue_depth", "queue" => queue, "kind" => kind, "state" => state.as_str())
                    .set(jobs);
            }
            Self::Dead { kind, reason } => {
                gauge!("aisha_dlq_depth", "kind" => kind, "reason" => reason).set(jobs);
            }
        }
    }
}

async fn sample(engine: &Engine, shown: &mut SetGauges) -> Result<(), sqlx::Error> {
    let mut db = engine.database.read().await?;
    let rows = sqlx::query_file!("src/sql/depth.sql").fetch_all(&mut *db).await?;
    // Concerns the whole server: above half of it `queue_wake` sends no NOTIFY any more.
    let notify_queue = sqlx::query_scalar!(r#"select pg_notification_queue_usage() as "usage!""#)
        .fetch_one(&mut *db)
        .await?;
    let silences = silences(&mut db).await?;
    drop(db);
    gauge!("aisha_notify_queue_usage").set(notify_queue);
    let silent: HashMap<String, (f64, i64)> = silences
        .into_iter()
        .map(|silence| (silence.queue, (silence.seconds, silence.keys)))
        .collect();
    // Includes other workers' queues, and for ever those shown once: a gauge that is not set again keeps its last
    // value.
    shown
        .queues
        .extend(engine.queues().map(|queue| queue.to_string()));
    shown.queues.extend(silent.keys().cloned());
    let mut oldest: HashMap<String, f64> = HashMap::new();
    let mut gone = std::mem::take(&mut shown.gauges);
    for row in rows {
        if let Some(age) = row.oldest {
            let oldest = oldest.entry(row.queue.clone()).or_default();
            *oldest = oldest.max(age);
        }
        let one = match row.reason {
            Some(reason) => Shown::Dead {
                kind: row.kind,
                reason,
            },
            None => Shown::Depth {
                queue: row.queue,
                kind: row.kind,
                state: row.state,
            },
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; counts stay far below 2^52"
        )]
        one.set(row.jobs as f64);
        gone.remove(&one);
        shown.gauges.insert(one);
    }
    for one in gone {
        one.set(0.0);
    }
    shown.queues.extend(oldest.keys().cloned());
    for name in &shown.queues {
        let (seconds, keys) = silent.get(name).copied().unwrap_or_default();
        let oldest = oldest.get(name).copied().unwrap_or_default();
        gauge!("aisha_queue_oldest_ready_seconds", "queue" => name.clone()).set(oldest);
        gauge!("aisha_queue_silence_seconds", "queue" => name.clone()).set(seconds);
        gauge!("aisha_queue_silent_keys", "queue" => name.clone())
            .set(f64::from(u32::try_from(keys).unwrap_or(u32::MAX)));
    }
    Ok(())
}
