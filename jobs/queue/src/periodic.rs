//! Periodic jobs without a leader (Q16): any worker may enqueue a tick, and exactly one does.
//!
//! A tick is a moment that the schedule names, in UTC, the same for every worker. `periodic.last_tick` is the last
//! tick that was enqueued. A worker moves it under the row's lock, in the transaction that enqueues the job, and
//! reads the time from the database in that transaction: no worker's clock plays a part.
//!
//! # Must stay true
//! * One tick, one enqueue, however many workers look — `q16_three_workers_make_one_job_of_a_tick`
//! * Ticks missed while no worker ran are made up for as the entry says — `q16_ticks_missed_while_no_worker_ran_are_made_up_for`
//! * A clock that ran ahead is believed for one interval — `q28_a_tick_of_the_future_is_waited_for_no_longer_than_an_interval`
//! * A tick makes no job while the entry has a live job with the same dedupe key: work
//!   does not pile up behind a slow run.
//!
//! # If the process dies here
//! The transaction is rolled back, and another worker finds the tick due at its next look.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use croner::Cron;
use futures::{FutureExt, future::BoxFuture};
use sqlx::PgConnection;
use tokio::time::sleep;
use tracing::{info, warn};

use crate::{
    Engine,
    backoff::Backoff,
    database::within,
    enqueue::{EnqueueError, Enqueued, enqueue},
    job::Job,
    trace::{self, TraceContext},
};

/// Pause after another worker was found to hold the row of a due tick: by then it has enqueued the job, or died.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The shortest interval: anything faster belongs in a loop inside one job.
const SHORTEST: Duration = Duration::from_secs(1);

/// When an entry is due. Always UTC, which has no hours that repeat or are skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Schedule {
    /// At each multiple of this since 1970, so that a restart or another worker shifts nothing. At least a second.
    Every(Duration),
    /// By a cron expression of five fields, e.g. `30 4 * * *`.
    Cron(&'static str),
}

/// What to do about ticks that passed while no worker ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatchUp {
    /// One job for all of them: for work that covers everything since the last run.
    Once,
    /// A job for each of the newest `at_most` ticks; older ones are given up with a warning.
    Each {
        /// Most ticks that are made up for; at least 1.
        at_most: u16,
    },
}

type Enqueue = dyn for<'a> Fn(&'a mut PgConnection, DateTime<Utc>) -> BoxFuture<'a, Result<Enqueued, EnqueueError>>
    + Send
    + Sync;

/// A job that is enqueued by the clock.
#[derive(Clone)]
pub struct Periodic {
    /// The entry's name, in `periodic.entry`.
    pub name: &'static str,
    /// At which moments the job is enqueued.
    pub schedule: Schedule,
    /// What to do about ticks that passed while no worker ran.
    pub catch_up: CatchUp,
    enqueue: Arc<Enqueue>,
}

impl Periodic {
    /// An entry that enqueues the job which `job` makes for the tick.
    pub fn new<J: Job>(
        name: &'static str,
        schedule: Schedule,
        catch_up: CatchUp,
        job: impl Fn(DateTime<Utc>) -> J + Send + Sync + 'static,
    ) -> Self {
        Self {
            name,
            schedule,
            catch_up,
            enqueue: Arc::new(move |tx, tick| {
                let job = job(tick);
                async move { enqueue(tx, &job).await }.boxed()
            }),
        }
    }
}

/// A periodic entry that cannot work, found when the worker starts.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the periodic entry {entry} cannot work: {problem}")]
pub struct BadPeriodic {
    /// Name of the entry that is wrong.
    pub entry: &'static str,
    /// What is wrong with it, and how to fix it.
    pub problem: String,
}

/// An entry whose schedule has been parsed.
struct Entry {
    periodic: Periodic,
    ticks: Ticks,
}

enum Ticks {
    Every(Duration),
    Cron(Box<Cron>),
}

impl Ticks {
    fn parse(schedule: Schedule) -> Result<Self, String> {
        match schedule {
            Schedule::Every(every) if every < SHORTEST => Err(format!("{every:?} is less than {SHORTEST:?}")),
            Schedule::Every(every) => Ok(Self::Every(every)),
            Schedule::Cron(pattern) => {
                let cron = pattern
                    .parse::<Cron>()
                    .map_err(|error| format!("{pattern:?} is no cron expression: {error}"))?;
                Ok(Self::Cron(Box::new(cron)))
            }
        }
    }

    /// The first tick after `moment`. `None`: there is none.
    fn after(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(every) => self.up_to(moment)?.checked_add_signed(signed(*every)?),
            Self::Cron(cron) => cron.find_next_occurrence(&moment, false).ok(),
        }
    }

    /// The last tick at or before `moment`. `None`: there is none.
    fn up_to(&self, moment: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::Every(every) => {
                let every = signed(*every)?.num_microseconds()?;
                DateTime::from_timestamp_micros(moment.timestamp_micros().div_euclid(every) * every)
            }
            Self::Cron(cron) => cron.find_previous_occurrence(&moment, true).ok(),
        }
    }

    /// Whether `last` cannot be a tick that was rightly enqueued, because it is later than the next one. If the clock
    /// was set back by less than an interval, the entry waits for the tick instead.
    fn is_beyond_belief(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> bool {
        self.after(now).is_some_and(|next| last > next)
    }

    /// The ticks in (`last`, `now`] to enqueue, oldest first, and whether older ones are given up.
    fn due(&self, last: DateTime<Utc>, now: DateTime<Utc>, catch_up: CatchUp) -> DueTicks {
        let most = match catch_up {
            CatchUp::Once => 1,
            CatchUp::Each { at_most } => usize::from(at_most),
        };
        // Counts backwards from now, so that a year without a worker costs no more than a day.
        let newest = std::iter::successors(self.up_to(now), |tick| {
            self.up_to(tick.checked_sub_signed(chrono::TimeDelta::microseconds(1))?)
        });
        let mut missed = newest.take_while(|tick| *tick > last);
        let mut ticks: Vec<_> = missed.by_ref().take(most).collect();
        ticks.reverse();
        DueTicks {
            ticks,
            given_up: matches!(catch_up, CatchUp::Each { .. }) && missed.next().is_some(),
        }
    }
}

/// The ticks of one entry that are to be enqueued now.
#[derive(Debug, PartialEq, Eq)]
struct DueTicks {
    ticks: Vec<DateTime<Utc>>,
    given_up: bool,
}

fn signed(span: Duration) -> Option<chrono::TimeDelta> {
    chrono::TimeDelta::from_std(span).ok()
}

#[derive(Default)]
pub(crate) struct Timetable(Vec<Entry>);

impl Timetable {
    /// Refuses invalid schedules, and two entries of one name.
    pub(crate) fn new(entries: &[Periodic]) -> Result<Self, BadPeriodic> {
        let mut table: Vec<Entry> = Vec::with_capacity(entries.len());
        for periodic in entries {
            let bad = |problem| BadPeriodic {
                entry: periodic.name,
                problem,
            };
            if table.iter().any(|entry| entry.periodic.name == periodic.name) {
                return Err(bad("there are two of the name".to_owned()));
            }
            if periodic.catch_up == (CatchUp::Each { at_most: 0 }) {
                return Err(bad("at_most is 0".to_owned()));
            }
            table.push(Entry {
                ticks: Ticks::parse(periodic.schedule).map_err(bad)?,
                periodic: periodic.clone(),
            });
        }
        Ok(Self(table))
    }
}

/// Enqueues ticks as they come due, for ever. Looks at least every
/// `queue.sweep`, since the database's clock can jump.
pub(crate) async fn tick_forever(engine: Arc<Engine>, timetable: Timetable) {
    let mut backoff = Backoff::new();
    loop {
        let wait = match within(engine.timing.lease, tick_all(&engine, &timetable)).await {
            Ok(next) => {
                if let Some(lasted) = backoff.reset() {
                    info!("Periodic jobs are enqueued again, after {lasted}");
                }
                next.min(engine.timing.sweep)
            }
            Err(error) => {
                if let Some(so_far) = backoff.failed() {
                    warn!("Periodic jobs could not be enqueued, trying again: {error}{so_far}");
                }
                backoff.next()
            }
        };
        sleep(wait).await;
    }
}

/// Enqueues all due ticks. Returns how long until the next one.
async fn tick_all(engine: &Engine, timetable: &Timetable) -> Result<Duration, EnqueueError> {
    let names: Vec<String> = timetable
        .0
        .iter()
        .map(|entry| entry.periodic.name.to_owned())
        .collect();
    if names.is_empty() {
        return Ok(Duration::MAX);
    }
    let mut rows = seen(engine, &names).await?;
    if rows.len() < names.len() {
        // The first worker that knows an entry adds its row.
        let mut tx = engine.database.begin().await?;
        sqlx::query!(
            "insert into periodic (entry, last_tick) select unnest($1::text[]), now() on conflict do nothing",
            &names
        )
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        rows = seen(engine, &names).await?;
    }
    let mut next = Duration::MAX;
    for row in rows {
        let Some(entry) = timetable.0.iter().find(|entry| entry.periodic.name == row.entry) else {
            continue;
        };
        if entry.ticks.is_beyond_belief(row.last_tick, row.now) {
            set_back(engine, entry, &row).await?;
            next = Duration::ZERO;
            continue;
        }
        let Some(tick) = entry.ticks.after(row.last_tick) else {
            continue;
        };
        let wait = match (tick - row.now).to_std() {
            Ok(wait) if !wait.is_zero() => wait,
            _ => match tick_one(engine, entry).await {
                Ok(true) => Duration::ZERO,
                Ok(false) => LOOK_AGAIN,
                // A failing entry must not keep the others from their ticks.
                Err(error) => {
                    warn!(
                        "The tick of {} could not be enqueued, trying again: {error}",
                        row.entry
                    );
                    LOOK_AGAIN
                }
            },
        };
        next = next.min(wait);
    }
    Ok(next)
}

/// Sets `last_tick` back if it is in the future: a clock that ran ahead has enqueued those ticks, and the entry would
/// rest until they come. At most one interval is lost by that.
async fn set_back(engine: &Engine, entry: &Entry, seen: &EntryState) -> Result<(), sqlx::Error> {
    let name = entry.periodic.name;
    let last = entry.ticks.up_to(seen.now).unwrap_or(seen.now);
    let mut tx = engine.database.begin().await?;
    let changed = sqlx::query!(
        "update periodic set last_tick = $2, updated_at = now() where entry = $1 and last_tick = $3",
        name,
        last,
        seen.last_tick
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    if changed.rows_affected() > 0 {
        warn!(
            "Periodic entry {name} stood at the tick of {}, which is to come: the database's clock ran ahead. It goes on from {last}",
            seen.last_tick
        );
    }
    Ok(())
}

/// What the database knows of an entry, and its clock.
struct EntryState {
    entry: String,
    last_tick: DateTime<Utc>,
    now: DateTime<Utc>,
}

async fn seen(engine: &Engine, names: &[String]) -> Result<Vec<EntryState>, sqlx::Error> {
    let mut db = engine.database.read().await?;
    sqlx::query_as!(
        EntryState,
        r#"select entry, last_tick, now() as "now!" from periodic where entry = any ($1)"#,
        names
    )
    .fetch_all(&mut *db)
    .await
}

/// Enqueues the due ticks of an entry. `false`: another worker is doing so.
async fn tick_one(engine: &Engine, entry: &Entry) -> Result<bool, EnqueueError> {
    let name = entry.periodic.name;
    let mut tx = engine.database.begin().await?;
    let row = sqlx::query!(
        r#"select last_tick, now() as "now!" from periodic where entry = $1 for update skip locked"#,
        name
    )
    .fetch_optional(&mut *tx)
    .await?;
    let Some(row) = row else { return Ok(false) };
    let due = entry.ticks.due(row.last_tick, row.now, entry.periodic.catch_up);
    let Some(&last) = due.ticks.last() else {
        return Ok(true); // Another worker was faster.
    };
    let mut last_job = None;
    for &tick in &due.ticks {
        let enqueued = (entry.periodic.enqueue)(&mut tx, tick);
        last_job = match trace::scope(TraceContext::new(), enqueued).await? {
            Enqueued::New(job) => Some(job.0),
            Enqueued::AlreadyLive => None,
        };
    }
    sqlx::query!(
        "update periodic set last_tick = $2, last_job = $3, updated_at = now() where entry = $1",
        name,
        last,
        last_job
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    metrics::counter!("aisha_periodic_ticks_total", "entry" => name).increment(due.ticks.len() as u64);
    if due.given_up {
        warn!("Periodic entry {name} missed more ticks than it makes up for: the oldest are given up");
    }
    info!(
        periodic.entry = name,
        job.id = last_job,
        "The tick of {last} of {name} is enqueued"
    );
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{DedupeKey, Policy, Queue};

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Tick {}

    impl Job for Tick {
        const NAME: &'static str = "tick";
        const QUEUE: Queue = Queue::named("upkeep");
        const POLICY: Policy = Policy::attempts(1);

        fn dedupe_key(&self) -> Option<DedupeKey> {
            None
        }
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a moment")
    }

    fn ticks(schedule: Schedule) -> Ticks {
        Ticks::parse(schedule).expect("a schedule")
    }

    #[test]
    fn intervals_are_counted_from_1970_and_not_from_a_start() {
        let ticks = ticks(Schedule::Every(Duration::from_mins(5)));
        assert_eq!(
            ticks.after(at("2026-11-25T10:03:07Z")),
            Some(at("2026-11-25T10:05:00Z"))
        );
        assert_eq!(
            ticks.after(at("2026-11-25T10:05:00Z")),
            Some(at("2026-11-25T10:10:00Z"))
        );
        assert_eq!(
            ticks.up_to(at("2026-11-25T10:05:00Z")),
            Some(at("2026-11-25T10:05:00Z"))
        );
    }

    #[test]
    fn cron_expressions_name_moments_in_utc() {
        let ticks = ticks(Schedule::Cron("30 4 * * 1"));
        assert_eq!(
            ticks.after(at("2026-11-25T10:03:07Z")),
            Some(at("2026-11-30T04:30:00Z"))
        );
        assert_eq!(
            ticks.up_to(at("2026-11-30T04:30:00Z")),
            Some(at("2026-11-30T04:30:00Z"))
        );
        assert_eq!(
            ticks.up_to(at("2026-11-30T04:29:59Z")),
            Some(at("2026-11-23T04:30:00Z"))
        );
    }

    #[test]
    fn missed_ticks_are_one_job_or_the_newest_of_them() {
        for schedule in [
            Schedule::Every(Duration::from_hours(1)),
            Schedule::Cron("0 * * * *"),
        ] {
            let ticks = ticks(schedule);
            let (last, now) = (at("2026-11-25T10:00:00Z"), at("2026-11-25T13:20:00Z"));
            let due = |last, catch_up| ticks.due(last, now, catch_up);
            let hour = |hour: u32| at(&format!("2026-11-25T{hour}:00:00Z"));
            let just = |ticks, given_up| DueTicks { ticks, given_up };
            assert_eq!(due(last, CatchUp::Once), just(vec![hour(13)], false));
            assert_eq!(
                due(last, CatchUp::Each { at_most: 9 }),
                just(vec![hour(11), hour(12), hour(13)], false)
            );
            assert_eq!(
                due(last, CatchUp::Each { at_most: 2 }),
                just(vec![hour(12), hour(13)], true)
            );
            assert_eq!(due(hour(13), CatchUp::Once), just(vec![], false));
            // Written while the database's clock was ahead: such a tick is not run again, and waited for if it is
            // near.
            assert_eq!(due(hour(14), CatchUp::Each { at_most: 9 }), just(vec![], false));
            assert!(!ticks.is_beyond_belief(hour(13), now) && !ticks.is_beyond_belief(hour(14), now));
            assert!(ticks.is_beyond_belief(hour(15), now));
        }
    }

    #[test]
    fn entries_that_cannot_work_are_refused() {
        let entry = |name, schedule, catch_up| Periodic::new(name, schedule, catch_up, |_| Tick {});
        let every = Schedule::Every(Duration::from_hours(1));
        let refused = [
            vec![entry("a", Schedule::Cron("every day"), CatchUp::Once)],
            vec![entry(
                "a",
                Schedule::Every(Duration::from_millis(10)),
                CatchUp::Once,
            )],
            vec![entry("a", every, CatchUp::Each { at_most: 0 })],
            vec![entry("a", every, CatchUp::Once), entry("a", every, CatchUp::Once)],
        ];
        for entries in refused {
            assert_eq!(Timetable::new(&entries).err().map(|bad| bad.entry), Some("a"));
        }
    }
}
