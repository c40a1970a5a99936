//! Hand-written SQL: what no queue on this server can beat at the same semantics. History is kept.
//!
//! * `batch`: strict; claims at most as many as there are slots, acks them, two statements;
//! * `fused`: one statement acks a batch of 500 and claims the next;
//! * `max`: two overlapping loops of those.
//!
//! Handlers are called in place, so that nothing but the statements is measured. A worker that finds nothing listens.

use std::time::Duration;

use futures::future::{pending, try_join_all};
use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row, postgres::PgListener, types::Json};
use tokio::time::timeout;

use crate::{
    family::{connect, pool},
    protocol::{Tally, ended, until_stopped},
};

/// State 0 is ready, 1 running, 2 done.
const SCHEMA: &str = "
create table floor_jobs (
    id          bigint generated always as identity primary key,
    run_at      timestamptz not null default now(),
    created_at  timestamptz not null default now(),
    claimed_at  timestamptz,
    finished_at timestamptz,
    attempt     integer not null default 0,
    state       smallint not null default 0,
    priority    smallint not null default 0,
    kind        text not null default 'noop',
    queue       text not null default 'bench',
    worker      text,
    payload     jsonb not null
) with (fillfactor = 85);
create index floor_claim on floor_jobs (queue, priority desc, run_at, id) where state = 0;
create index floor_running on floor_jobs (id) where state = 1;
create index floor_due on floor_jobs (run_at) where state = 3;";

/// The right plan for ever, as our own engine has it.
const PLANS: &str =
    "set plan_cache_mode = force_generic_plan; set enable_seqscan = off; set enable_bitmapscan = off;
    set enable_hashjoin = off; set enable_mergejoin = off; set enable_sort = off";

const CLAIM: &str = "
update floor_jobs set state = 1, attempt = attempt + 1, claimed_at = now(), worker = $1
 where id = any (array (select id from floor_jobs where queue = 'bench' and state = 0
                         order by priority desc, run_at, id limit $2 for update skip locked))
returning id, payload";

const ACK: &str = "update floor_jobs set state = 2, finished_at = now() where id = any ($1) and state = 1";

const FUSED: &str = "
with acked as (
    update floor_jobs set state = 2, finished_at = now() where id = any ($3) and state = 1
)
update floor_jobs set state = 1, attempt = attempt + 1, claimed_at = now(), worker = $1
 where id = any (array (select id from floor_jobs where queue = 'bench' and state = 0
                         order by priority desc, run_at, id limit $2 for update skip locked))
returning id, payload";

/// How many a fused statement takes.
const BATCH: i64 = 500;
/// Between looks when no notification came.
const POLL: Duration = Duration::from_secs(1);

#[derive(Serialize, Deserialize)]
struct Payload {
    number: u64,
}

pub async fn setup(db: &mut PgConnection) -> anyhow::Result<()> {
    db.execute(SCHEMA).await?;
    Ok(())
}

pub async fn enqueue(db: &mut PgConnection, number: u64) -> anyhow::Result<()> {
    // The driver asks for the notifying floor by setting this.
    let sql = if std::env::var_os("FLOOR_NOTIFY").is_some() {
        "with job as (insert into floor_jobs (payload) values ($1) returning 1)
         select pg_notify('floor_jobs', '') from job"
    } else {
        "insert into floor_jobs (payload) values ($1)"
    };
    sqlx::query(sql)
        .bind(Json(Payload { number }))
        .execute(db)
        .await?;
    Ok(())
}

pub async fn enqueue_many(db: &mut PgConnection, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let payloads: Vec<_> = numbers.map(|number| Json(Payload { number })).collect();
    let sql = "with job as (insert into floor_jobs (payload) select * from unnest($1::jsonb[]) returning 1)
               select pg_notify('floor_jobs', '') from (select count(*) from job) as jobs";
    sqlx::query(sql).bind(payloads).execute(db).await?;
    Ok(())
}

pub async fn work(variant: &str, slots: usize) -> anyhow::Result<()> {
    let slots = i64::try_from(slots)?;
    let loops = match variant {
        "batch" => vec![Loop::new(slots, false).await?],
        "fused" => vec![Loop::new(BATCH, true).await?],
        "max" => vec![Loop::new(BATCH, true).await?, Loop::new(BATCH, true).await?],
        other => anyhow::bail!("the floor has no variant {other:?}: use batch, fused or max"),
    };
    tokio::select! {
        ended = try_join_all(loops.into_iter().map(|each| tokio::spawn(each.run()))) => {
            ended?.into_iter().collect::<Result<Vec<()>, _>>()?;
        }
        () = until_stopped() => {}
    }
    ended();
    Ok(())
}

struct Loop {
    db: PgConnection,
    wake: PgListener,
    batch: i64,
    fused: bool,
    acks: Vec<i64>,
}

impl Loop {
    async fn new(batch: i64, fused: bool) -> anyhow::Result<Self> {
        let mut db = connect().await?;
        db.execute(AssertSqlSafe(PLANS)).await?;
        let mut wake = PgListener::connect_with(&pool(1).await?).await?;
        wake.listen("floor_jobs").await?;
        Ok(Self {
            db,
            wake,
            batch,
            fused,
            acks: Vec::new(),
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            if !self.fused && !self.acks.is_empty() {
                sqlx::query(ACK).bind(&self.acks).execute(&mut self.db).await?;
                self.acks.clear();
            }
            let had_acks = !self.acks.is_empty();
            let claimed = self.claim().await?;
            let blocked = claimed.iter().any(|(id, number)| {
                let ran = Tally::begin(*number);
                if ran {
                    self.acks.push(*id);
                }
                !ran
            });
            if blocked {
                sqlx::query(ACK).bind(&self.acks).execute(&mut self.db).await?;
                return pending().await;
            }
            if claimed.is_empty() && !had_acks {
                // Whatever it brings, the table is looked at again.
                let _ = timeout(POLL, self.wake.recv()).await;
            }
        }
    }

    async fn claim(&mut self) -> anyhow::Result<Vec<(i64, u64)>> {
        let query = if self.fused {
            sqlx::query(FUSED)
        } else {
            sqlx::query(CLAIM)
        };
        let query = query.bind("bench").bind(self.batch);
        let query = if self.fused { query.bind(&self.acks) } else { query };
        let rows = query.fetch_all(&mut self.db).await?;
        self.acks.clear();
        rows.iter()
            .map(|row| {
                let Json(Payload { number }) = row.try_get(1)?;
                anyhow::Ok((row.try_get(0)?, number))
            })
            .collect()
    }
}
