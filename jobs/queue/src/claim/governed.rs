//! Claims from a queue that is paused, limited, held to a rate, or whose jobs take turns (Q14, K7).
//!
//! The fast claim (`exchange.rs`) looks whether its queue is governed, claims nothing if so, and says it; then this
//! claim follows, under the same token. What it does stands at `queue_claim_step()` in
//! `migrations/*_bound_governed_claims.sql`, `queue_take()` in `*_walk_past_locked_jobs.sql`: one call, serialised per queue by the row lock of `queue_controls`. A call
//! walks past a bounded number of keys that must wait; the next one goes on from there, until the walk came round.
//!
//! # Must stay true
//! * never more run than the limit, whoever races           — `q14_two_workers_never_run_more_than_the_limit`
//! * a pause holds from the next claim statement on         — `q14_a_pause_stops_claims_on_all_workers_and_what_runs_goes_on`
//! * keys take turns; one that must wait delays no other    — `q14_a_key_out_of_its_rate_delays_no_other`
//! * and is skipped whatever waits in it                    — `q14_a_key_at_its_limit_is_skipped_without_walking_its_jobs`
//! * ten thousand such keys cost a claim no more than five hundred — `q26_keys_that_must_wait_are_walked_in_bounded_steps`;
//!   and who has walked past all of them for nothing rests (`rest.rs`)
//! * waiting for a limit, a rate or a turn costs no attempt: such a job is not claimed
//! * who was refused looks again when a place is free: the worker whose job ended claims again, and wakes the others
//!   if it leaves a place; who waits for a rate knows how long
//!
//! # If the process dies here
//! Its running jobs count against the limit until they are rescued. What a rate granted them is used up.

use std::time::{Duration, Instant};

use serde_json::value::RawValue;
use sqlx::{PgConnection, PgPool, types::Json};
use tracing::info;

use crate::{
    Claim, Claimed, JobId,
    claim::{
        Grant,
        exchange::{Exchange, Exchanged, Wanted, seconds},
        rest::Rest,
    },
    database::{self, single},
    job::{DedupeScope, Queue},
    lease::boot_clock::Moment,
    operate::controls::wake,
    storable,
    trace::TraceContext,
};

/// So many starts a second on average, and so many at once after a rest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Starts a second on average; more than zero.
    pub per_second: f64,
    /// At least 1. In any span of time no more start than `burst`, plus `per_second` for each second of it.
    pub burst: u16,
}

/// How fast jobs of a queue may start, over all workers. [`Default`]: as fast as they can.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Rates {
    /// For all jobs of the queue together; `None`: no rate.
    pub queue: Option<Rate>,
    /// For the jobs of each fairness key; `None`: no rate.
    pub key: Option<Rate>,
}

/// What a pump knows of the rules for its queue.
pub(crate) struct Governor {
    queue: Queue,
    rates: Rates,
    /// The last claim was governed.
    active: bool,
    /// A job ended since then.
    freed: bool,
    /// When a rate allows the next start.
    allowed_at: Option<Instant>,
    /// Where the walk is that the last claim did not finish.
    walk: Option<Walk>,
    rest: Rest,
}

/// How far a walk from key to key has come.
#[derive(Debug, Clone)]
struct Walk {
    /// The key that was looked at last; empty: the jobs without one.
    at: String,
    /// The walk ends where it comes past this key again, after the end of the keys.
    mark: String,
    /// It has come to the end of the keys.
    wrapped: bool,
}

/// So many keys a claim walks past, and so many jobs it parks: a few milliseconds under the queue's lock.
const STEPS: i32 = 500;

impl Governor {
    pub(crate) fn new(queue: Queue, rates: Rates) -> Self {
        Self {
            queue,
            rates,
            active: false,
            freed: false,
            allowed_at: None,
            walk: None,
            rest: Rest::default(),
        }
    }

    /// The last claim did not see all keys: the next one is to come at once.
    pub(crate) fn is_walking(&self) -> bool {
        self.walk.is_some() && !self.rests()
    }

    /// It is time to look, or (`told`) there is something new. Says whether to look now; [`Governor::patience`] has when.
    pub(crate) fn hear(&mut self, told: bool) -> bool {
        if told {
            self.rest.tell();
            self.go_round();
        }
        !self.rests()
    }

    /// There may be something new at a key that the walk has passed: it goes once round from where it is.
    fn go_round(&mut self) {
        if let Some(walk) = &mut self.walk {
            walk.mark.clone_from(&walk.at);
            walk.wrapped = false;
        }
    }

    /// When there is a reason to look, other than a poll.
    fn reason_at(&self) -> Option<Instant> {
        let news_at = self.rest.news_at();
        let reason = news_at.filter(|_| self.rest.is_told()).or(self.allowed_at)?;
        Some(news_at.map_or(reason, |at| reason.max(at)))
    }

    /// All keys were looked at for nothing, a moment ago.
    pub(crate) fn rests(&self) -> bool {
        let Some(polls_at) = self.rest.polls_at() else {
            return false;
        };
        let end = self.reason_at().map_or(polls_at, |at| at.min(polls_at));
        Instant::now() < end
    }

    /// A job of ours has ended, and the next statement acks it: it may have kept others of its key waiting.
    pub(crate) const fn ended_with_ack(&mut self) {
        self.rest.tell();
    }

    /// A job of ours has ended without an ack of the pump's. Says whether that makes another look worth it.
    pub(crate) fn ended(&mut self) -> bool {
        self.freed |= self.active;
        self.active && self.hear(true)
    }

    /// Others may wait for a place that we have to tell of.
    pub(crate) const fn owes_a_look(&self) -> bool {
        self.freed
    }

    /// How long to wait for a wake-up: at most `poll`, and not beyond the moment at which a rate allows a start.
    pub(crate) fn patience(&self, poll: Duration) -> Duration {
        self.reason_at().map_or(poll, |at| {
            poll.min(at.saturating_duration_since(Instant::now()) + Duration::from_millis(1))
        })
    }

    /// For the next statement, which may claim so many if its claim is governed: nothing is claimed ahead then.
    pub(crate) fn rules(&mut self, places: usize) -> Rules {
        let freed = self.freed;
        self.freed = false;
        self.rest.set_out();
        Rules {
            rates: self.rates,
            places,
            freed,
            walk: self.walk.take(),
        }
    }

    /// Call when the answer of a statement never came: its places are unknown.
    pub(crate) const fn unheard(&mut self, rules: &Rules) {
        self.freed |= rules.freed;
    }

    /// What the statement learnt. `None`: it was not governed.
    pub(crate) fn learn(&mut self, governed: Option<Governed>) {
        let was_active = self.active;
        self.active = governed.is_some();
        let allowed_at = governed
            .as_ref()
            .and_then(|governed| Some(Instant::now() + governed.next_in?));
        // A walk in several claims: the earliest moment that any of them learnt.
        let earlier = governed.as_ref().filter(|governed| governed.continues);
        self.allowed_at = [allowed_at, earlier.and(self.allowed_at)]
            .into_iter()
            .flatten()
            .min();
        let paused = governed.as_ref().is_some_and(|governed| governed.paused);
        match &governed {
            Some(governed) if governed.claimed == 0 && !paused => {
                self.rest.step(governed.took, governed.continues);
                if governed.walk.is_none() {
                    self.rest.begin();
                }
            }
            _ => self.rest.is_over(),
        }
        self.walk = governed.and_then(|governed| governed.walk);
        if self.rest.is_told() {
            self.go_round();
        }
        if was_active || self.active {
            metrics::gauge!("aisha_queue_paused", "queue" => self.queue.as_str())
                .set(f64::from(u8::from(paused)));
        }
    }
}

/// The limits and rates that one claim statement must keep to.
#[derive(Debug)]
pub(crate) struct Rules {
    rates: Rates,
    /// Free slots of this worker.
    places: usize,
    /// A job of ours has ended since the last governed claim.
    freed: bool,
    /// Where to go on. `None`: after the last key served.
    walk: Option<Walk>,
}

/// What a governed claim tells the pump beside the jobs.
#[derive(Debug)]
pub(crate) struct Governed {
    paused: bool,
    claimed: i32,
    /// By the claim, which other claims of the queue may have held up.
    took: Duration,
    /// When a rate allows more than was claimed.
    next_in: Option<Duration>,
    /// It went on with the walk of the claim before it.
    continues: bool,
    /// Where the next claim goes on. `None`: all keys were looked at.
    walk: Option<Walk>,
}

impl Rules {
    /// Takes `jobs` free slots away.
    pub(crate) const fn less(&mut self, jobs: usize) {
        self.places = self.places.saturating_sub(jobs);
    }

    /// Acks and claims as the exchange says; what is governed is claimed by the rules instead.
    pub(crate) async fn claim(
        &self,
        db: &mut PgConnection,
        exchange: Exchange<'_>,
    ) -> Result<Exchanged, sqlx::Error> {
        let has_rates = self.rates != Rates::default();
        let plain = Exchange {
            wanted: if has_rates {
                Wanted::Strict(0)
            } else {
                exchange.wanted
            },
            ..exchange
        };
        let mut exchanged = if has_rates && plain.acks.is_empty() {
            Exchanged::default()
        } else {
            plain.run(db).await?
        };
        if has_rates || exchanged.is_governed {
            self.claim_governed(db, &plain, exchange.wanted.count(), &mut exchanged)
                .await?;
        }
        Ok(exchanged)
    }

    async fn claim_governed(
        &self,
        db: &mut PgConnection,
        exchange: &Exchange<'_>,
        wanted: usize,
        exchanged: &mut Exchanged,
    ) -> Result<(), sqlx::Error> {
        let sent = Moment::now();
        let answer = sqlx::query_file!(
            "src/sql/claim_governed.sql",
            exchange.queue.as_str(),
            exchange.claim.0,
            exchange.worker,
            exchange.lease.as_secs_f64(),
            &exchange.known.names,
            &exchange.known.versions,
            i32::try_from(wanted.min(self.places)).unwrap_or(i32::MAX),
            self.freed || !exchange.acks.is_empty(),
            self.rates.queue.map(|rate| rate.per_second),
            self.rates.queue.map(|rate| i32::from(rate.burst)),
            self.rates.key.map(|rate| rate.per_second),
            self.rates.key.map(|rate| i32::from(rate.burst)),
            STEPS,
            self.walk.as_ref().map(|walk| walk.at.as_str()),
            self.walk.as_ref().map(|walk| walk.mark.as_str()),
            self.walk.as_ref().map(|walk| walk.wrapped),
        )
        .fetch_one(&mut *db)
        .await?;
        exchanged.governed = Some(Governed {
            paused: answer.paused,
            claimed: answer.claimed,
            took: sent.elapsed(),
            next_in: answer.next_in.map(seconds),
            continues: self.walk.is_some(),
            walk: answer.walk_at.map(|at| Walk {
                mark: answer.walk_mark.unwrap_or_else(|| at.clone()),
                wrapped: answer.walk_wrapped.unwrap_or_default(),
                at,
            }),
        });
        // Governed claims are always strict, so suspects need no special case.
        exchanged.suspects = false;
        if answer.claimed > 0 {
            read_claimed(db, exchange, sent, exchanged).await?;
        }
        Ok(())
    }
}

async fn read_claimed(
    db: &mut PgConnection,
    exchange: &Exchange<'_>,
    sent: Moment,
    exchanged: &mut Exchanged,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query_file!("src/sql/claimed.sql", exchange.queue.as_str(), exchange.claim.0)
        .fetch_all(db)
        .await?;
    rows.sort_by_key(|row| (std::cmp::Reverse(row.priority), row.run_at, row.id));
    for row in rows {
        // Every one of them is: the claim was told so.
        let Some(kind) = exchange.known.find(&row.kind) else {
            continue;
        };
        let grant = Grant {
            job: JobId(row.id),
            id: exchange.claim,
            attempt: u16::try_from(row.attempt).unwrap_or(u16::MAX),
            max_attempts: kind.max_attempts,
            age: seconds(row.age),
            claimed: sent,
            lease: exchange.lease,
        };
        exchanged.waits.push(seconds(row.waited));
        exchanged.claimed.push(Claimed {
            claim: Claim::new(&grant),
            kind: kind.name,
            payload: row.payload.0,
            coalesces: row.dedupe_scope == Some(DedupeScope::UntilStarted),
            trace: row.traceparent.as_deref().and_then(TraceContext::parse),
        });
    }
    Ok(())
}

/// How many keys that were told to be silent within [`SOON`] mean that everybody was: a 429 does not always say whom it is for.
const EVERYBODY: i64 = 3;
/// Keys that are told to be silent within this time count as together.
const SOON: Duration = Duration::from_secs(5);
/// Longest silence of a whole queue before it is probed: a wait that the other side names for one chat can be hours.
pub(crate) const PROBE_AFTER: Duration = Duration::from_mins(1);

/// The other side asked for silence (429): for so long no job of `key` starts in `queue`, on any worker; without a key,
/// no job at all. Jobs of other keys go on, unless several keys were told so within seconds: then it was meant for all,
/// and all wait for the shortest of their waits, a minute at most. Then one job is let through, whose end decides: a
/// further 429 is the next silence, a success ends it ([`let_speak`]).
/// Answers for how long all wait. `None`: they do not.
///
/// Two commits: keys that are told at the same moment see each other only if each is committed before it looks. In one
/// statement, three transactions of one moment would miss each other's uncommitted rows, and none would count three. If the
/// process dies between the two commits, the next 429 does the check.
pub(crate) async fn hold_back(
    pool: &PgPool,
    queue: Queue,
    key: Option<&str>,
    silence: Duration,
) -> Result<Option<Duration>, sqlx::Error> {
    let Some(key) = key else {
        let silence = silence.min(PROBE_AFTER);
        let mut db = single(pool).await?;
        sqlx::query_file!(
            "src/sql/hold_queue_back.sql",
            queue.as_str(),
            silence.as_secs_f64()
        )
        .execute(&mut *db)
        .await?;
        db.commit().await?;
        return Ok(Some(silence));
    };
    let mut db = single(pool).await?;
    sqlx::query_file!(
        "src/sql/hold_back.sql",
        queue.as_str(),
        key,
        storable::delay(silence).as_secs_f64(),
    )
    .execute(&mut *db)
    .await?;
    db.commit().await?;
    let mut db = single(pool).await?;
    let everybody = sqlx::query_file_scalar!(
        "src/sql/hold_everybody_back.sql",
        queue.as_str(),
        PROBE_AFTER.as_secs_f64(),
        EVERYBODY,
        SOON.as_secs_f64(),
    )
    .fetch_optional(&mut *db)
    .await?;
    db.commit().await?;
    Ok(everybody.map(seconds))
}

/// The other side took what a job of `queue` sent: if it was the probe, all others go on at once.
pub(crate) async fn let_speak(pool: &PgPool, queue: Queue) -> Result<(), sqlx::Error> {
    let mut db = single(pool).await?;
    let ended = sqlx::query_file!("src/sql/let_speak.sql", queue.as_str())
        .execute(&mut *db)
        .await?;
    db.commit().await?;
    if ended.rows_affected() > 0 {
        info!(queue = queue.as_str(), "The silence of {queue} is over");
        let mut tx = database::begin(pool).await?;
        wake(&mut tx, queue).await?;
        tx.commit().await?;
    }
    Ok(())
}

/// For how long each queue is to be silent, and how many of its keys are, of those that are at all.
pub(crate) async fn silences(db: &mut PgConnection) -> Result<Vec<Silence>, sqlx::Error> {
    sqlx::query_file_as!(Silence, "src/sql/silences.sql")
        .fetch_all(db)
        .await
}

/// One queue that is silent, or has silent keys.
pub(crate) struct Silence {
    pub queue: String,
    /// Seconds that the silence of the whole queue still lasts; 0 also while the queue is probed.
    pub seconds: f64,
    pub keys: i64,
}

/// Forgets buckets that are full again, and silences that nobody has had anything to probe with since.
pub(crate) async fn sweep_buckets(db: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "delete from queue_buckets
          where greatest(nullif(full_at, 'infinity'), quiet_until, held_at) < now() - case full_at when 'infinity' then interval '10 min' else interval '1 min' end"
    )
    .execute(db)
    .await?;
    Ok(())
}
