//! Enqueuing: one by one, in bulk, at a slow pace.

use std::time::{Duration, Instant};

use apalis_postgres::queries::push_tasks;
use graphile_worker::{JobSpec, RawJobSpec, WorkerUtils};
use jobs::testing::Probe;
use serde_json::json;
use sqlx::PgConnection;
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval},
};

use crate::{
    apalis_peer,
    family::{Family, connect, pool},
    floor, graphile,
    protocol::{now, say},
};

/// One client.
enum Producer {
    Ours(PgConnection),
    Floor(PgConnection),
    Apalis(PgConnection),
    GraphileRs(WorkerUtils),
}

impl Producer {
    async fn new(family: Family) -> anyhow::Result<Self> {
        Ok(match family {
            Family::Ours => Self::Ours(connect().await?),
            Family::Floor => Self::Floor(connect().await?),
            Family::Apalis => Self::Apalis(connect().await?),
            Family::GraphileRs => Self::GraphileRs(WorkerUtils::new(pool(1).await?, graphile::SCHEMA)),
            Family::Ceiling => anyhow::bail!("apalis's ceiling has no database to enqueue into"),
        })
    }

    /// One job in one transaction of one statement: on every side the connection commits by itself.
    async fn one(&mut self, number: u64) -> anyhow::Result<()> {
        match self {
            Self::Ours(db) => {
                jobs::enqueue::enqueue(db, &Probe::new(number.to_string())).await?;
            }
            Self::Floor(db) => floor::enqueue(db, number).await?,
            Self::Apalis(db) => push_tasks(db, apalis_peer::QUEUE, vec![apalis_peer::task(number)]).await?,
            Self::GraphileRs(utils) => {
                utils
                    .add_job(graphile::Noop { number }, JobSpec::default())
                    .await?;
            }
        }
        Ok(())
    }

    /// One bulk call.
    async fn many(&mut self, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
        match self {
            Self::Ours(db) => {
                let jobs: Vec<_> = numbers.map(|number| Probe::new(number.to_string())).collect();
                jobs::enqueue::enqueue_many(db, &jobs).await?;
            }
            Self::Floor(db) => floor::enqueue_many(db, numbers).await?,
            Self::Apalis(db) => {
                push_tasks(db, apalis_peer::QUEUE, numbers.map(apalis_peer::task).collect()).await?;
            }
            Self::GraphileRs(utils) => {
                let jobs: Vec<_> = numbers
                    .map(|number| RawJobSpec {
                        identifier: graphile::TASK.to_owned(),
                        payload: json!({ "number": number }),
                        spec: JobSpec::default(),
                    })
                    .collect();
                utils.add_raw_jobs(&jobs).await?;
            }
        }
        Ok(())
    }
}

/// As many single enqueues as `clients` connections bring about in `time`.
pub async fn one_by_one(family: Family, time: Duration, clients: usize) -> anyhow::Result<()> {
    let mut producers = Vec::new();
    for _ in 0..clients {
        let mut producer = Producer::new(family).await?;
        producer.one(0).await?;
        producers.push(producer);
    }
    let mut running = JoinSet::new();
    let started = Instant::now();
    for mut producer in producers {
        running.spawn(async move {
            let mut jobs = 0;
            while started.elapsed() < time {
                producer.one(jobs).await?;
                jobs += 1;
            }
            anyhow::Ok(jobs)
        });
    }
    let mut jobs = 0;
    while let Some(ended) = running.join_next().await {
        jobs += ended??;
    }
    let seconds = started.elapsed().as_secs_f64();
    say(&json!({ "event": "enqueued", "at": now(), "jobs": jobs, "seconds": seconds }));
    Ok(())
}

/// `calls` bulk calls of `size` jobs each, one after the other.
pub async fn bulk(family: Family, calls: u64, size: u64) -> anyhow::Result<()> {
    let mut producer = Producer::new(family).await?;
    let started = Instant::now();
    for call in 0..calls {
        producer.many(call * size..(call + 1) * size).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    say(&json!({ "event": "enqueued", "at": now(), "jobs": calls * size, "seconds": seconds }));
    Ok(())
}

/// One job every `pace`, and when each was committed.
pub async fn paced(family: Family, count: u64, pace: Duration) -> anyhow::Result<()> {
    let mut producer = Producer::new(family).await?;
    let mut ticks = interval(pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut commits = Vec::new();
    for number in 0..count {
        ticks.tick().await;
        producer.one(number).await?;
        commits.push((number, now()));
    }
    say(&json!({ "event": "enqueued", "at": now(), "commits": commits }));
    Ok(())
}
